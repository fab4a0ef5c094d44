//! From a batch to its consequences: the commit, and everything that waited for it.

use super::live::{Live, Order};
use super::work::{Settled, Work};
use super::{Answer, Committing, Lane};
use crate::dispatch::{OrderId, Work as ToDo};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::sabotage::{self, Damage};
use crate::store::{Batch, Opened};
use crate::{tasks, views};
use futures::FutureExt as _;
use probity_engine::{Command, What};
use probity_types::id::ExecutionId;
use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

/// Time for an answer that was given too early, on purpose, to leave the process.
const EARLY: Duration = Duration::from_millis(50);

impl Lane {
    pub(super) fn commit(&mut self, mut work: Work) -> Committing {
        let batch: Arc<Batch> = Arc::new(work.batch(&mut self.live));
        work.writing = Some((batch.clone(), self.parts.views.writing(&batch.rows)));
        let (store, place) = (self.parts.store.clone(), self.place);
        if sabotage::does(Damage::AckBeforeCommit) {
            work.answer_early();
        }
        async move {
            if sabotage::does(Damage::AckBeforeCommit) {
                tokio::time::sleep(EARLY).await;
            }
            probity_failpoint::hit("lane.before_commit");
            let outcome = if batch.is_empty() { Ok(Vec::new()) } else { store.commit(batch, place).await };
            (work, outcome)
        }
        .boxed()
    }

    /// A batch is stored, or lost. `next` is the one being made meanwhile.
    pub(super) fn settle(
        &mut self,
        mut work: Work,
        outcome: Result<Vec<Opened>, Error>,
        next: &Work,
    ) -> Result<(), Error> {
        let written = work.writing.take();
        let opened = match outcome {
            Ok(opened) => opened,
            Err(error) => {
                self.parts.metrics.fenced.inc_by(u64::from(matches!(error, Error::Fenced)));
                self.parts.views.disown();
                work.fail(&error.to_string());
                return Err(error);
            }
        };
        probity_failpoint::hit("lane.after_commit");
        // Before anybody is told.
        if let Some((batch, writing)) = written {
            let known =
                batch.opens.iter().zip(&opened).filter(|(_, outcome)| !matches!(outcome, Opened::New));
            let left_out = known.map(|(opening, _)| opening.execution);
            views::written(writing, &batch.rows, &left_out.collect());
        }
        let Settled { turns, commands, left_out, visited } = work.settle(opened, &self.parts.metrics);
        probity_failpoint::hit("lane.answered");
        let mut recall = Vec::new();
        if !turns.is_empty() {
            self.parts.metrics.batch.observe(turns.len() as f64);
            self.place.after += i64::try_from(turns.len()).unwrap_or(0);
            recall.extend(turns.iter().filter(|turn| turn.takes_back()).map(|turn| turn.execution));
            self.parts.letters.note(&turns);
            self.handle.committed(turns);
        }
        for id in &left_out {
            self.live.remove(id);
            self.ends.remove(id);
        }
        let mut tasks = Vec::new();
        for (id, commands) in commands {
            self.carry_out(id, commands, &mut tasks);
        }
        self.parts.board.offer(tasks);
        recall.iter().for_each(|id| self.parts.dispatcher.recall(*id));
        self.inner.extend(recall.iter().flat_map(|id| self.parts.board.recall(*id)).map(tasks::recalled));
        for id in visited {
            self.let_go(id, next);
        }
        self.parts.metrics.live.set(i64::try_from(self.live.len()).unwrap_or(i64::MAX));
        Ok(())
    }

    /// An execution with nothing under way is read back when somebody asks for it.
    /// One that ended tells who waits for it and the step that started it. While the
    /// next batch touches it nothing is told: memory is ahead of the store then, and
    /// that batch comes by here too.
    fn let_go(&mut self, id: ExecutionId, next: &Work) {
        if next.touches(id) {
            return;
        }
        self.line_up(id);
        let Some(live) = self.live.get_mut(&id) else { return };
        if live.execution.ended.is_some() {
            if !live.end_stored {
                measure(live, &self.parts.metrics);
            }
            live.end_stored = true;
            for reply in self.ends.remove(&id).into_iter().flatten() {
                let _ = reply.send(Ok(Answer::View(live.view())));
            }
            self.parts.board.forget(id);
            self.tell_parent(id);
        }
        let Some(live) = self.live.get(&id) else { return };
        if !live.execution.is_active() {
            self.live.remove(&id);
        }
    }

    pub(super) fn carry_out(
        &mut self,
        id: ExecutionId,
        commands: Vec<Command>,
        tasks: &mut Vec<crate::dispatch::Task>,
    ) {
        for command in commands {
            match command {
                Command::WakeAt(at) => self.timers.push(Reverse((at, id))),
                Command::CancelChild { step, item, .. } => self.cancel_child(id, step, item),
                Command::Call { step, item, attempt, compensation, input, key } => {
                    let order = OrderId { execution: id, step, item, attempt, compensation };
                    let Some(live) = self.live.get(&id) else { continue };
                    let work = live.work(Order { id: order, step, compensation, input, key });
                    match work {
                        Some(ToDo::Task(task)) => tasks.push(task),
                        Some(ToDo::Child(child)) => self.children.push_back(child),
                        // The same call may still be under way.
                        Some(ToDo::Call(call)) if self.in_flight.insert(order) => {
                            let (dispatcher, finish) = (self.parts.dispatcher.clone(), self.finish.clone());
                            tokio::spawn(async move {
                                let finished = dispatcher.run(call).await;
                                let _ = finish.send(finished).await;
                            });
                        }
                        Some(ToDo::Call(_)) | None => {}
                    }
                }
            }
        }
    }
}

/// How long a case took that has come to its last state.
fn measure(live: &Live, metrics: &Metrics) {
    if let What::Case { kind, .. } = &live.execution.opening.what {
        let labels = [kind.as_str(), live.execution.state.as_str()];
        let took = live.updated.since(live.created);
        metrics.resolution.with_label_values(&labels).observe(took.as_secs_f64());
    }
}
