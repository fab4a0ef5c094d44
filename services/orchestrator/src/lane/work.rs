//! One batch in the making: turns, and who waits for them.

use super::live::Live;
use super::{Answer, Reply};
use crate::domain::audit::StoredTurn;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::store::{Batch, Opened, Opening, View};
use crate::views::Writing;
use probity_engine::{Command, Fact, Refusal};
use probity_storage::idempotency::Scope;
use probity_types::id::ExecutionId;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Told once the batch is durable (`true`) or lost.
pub(crate) type Acknowledge = Box<dyn FnOnce(bool) + Send>;

#[derive(Default)]
pub(super) struct Work {
    opens: Vec<(Opening, Reply)>,
    turns: Vec<Arc<StoredTurn>>,
    commands: Vec<(ExecutionId, Vec<Command>)>,
    /// The executions that changed, in order, each once.
    changed: Vec<ExecutionId>,
    seen: HashSet<ExecutionId>,
    /// Those that took an event, whether it changed them or not.
    visited: HashSet<ExecutionId>,
    answers: Vec<(ExecutionId, Reply)>,
    refusals: Vec<(Reply, Refusal)>,
    acknowledgements: Vec<Acknowledge>,
    /// What callers are told, as it was when the batch was closed: memory may be
    /// ahead of it by the time it is stored.
    views: HashMap<ExecutionId, View>,
    /// What the commit writes, and who reads it meanwhile.
    pub(super) writing: Option<(Arc<Batch>, Writing)>,
}

/// What a committed batch leaves to do.
pub(super) struct Settled {
    /// Turns stored.
    pub(super) turns: Vec<Arc<StoredTurn>>,
    pub(super) commands: Vec<(ExecutionId, Vec<Command>)>,
    /// Executions that were started before and are not started again.
    pub(super) left_out: HashSet<ExecutionId>,
    pub(super) visited: HashSet<ExecutionId>,
}

impl Work {
    pub(super) fn open(&mut self, execution: ExecutionId, scope: Option<Scope>, reply: Reply) {
        self.opens.push((Opening { execution, scope }, reply));
    }

    pub(super) fn add(&mut self, turn: StoredTurn, commands: Vec<Command>) {
        let id = turn.execution;
        self.turns.push(Arc::new(turn));
        self.command(id, commands);
        if self.seen.insert(id) {
            self.changed.push(id);
        }
    }

    /// What is to be carried out after the commit of everything decided before.
    pub(super) fn command(&mut self, execution: ExecutionId, commands: Vec<Command>) {
        if !commands.is_empty() {
            self.commands.push((execution, commands));
        }
    }

    pub(super) fn answer(&mut self, execution: ExecutionId, reply: Reply) {
        self.answers.push((execution, reply));
    }

    pub(super) fn refuse(&mut self, reply: Option<Reply>, refusal: Refusal) {
        self.refusals.extend(reply.map(|reply| (reply, refusal)));
    }

    pub(super) fn acknowledge(&mut self, acknowledge: Acknowledge) {
        self.acknowledgements.push(acknowledge);
    }

    pub(super) fn len(&self) -> usize {
        self.turns.len() + self.refusals.len() + self.acknowledgements.len() + self.answers.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0 && self.commands.is_empty()
    }

    pub(super) fn visit(&mut self, execution: ExecutionId) {
        self.visited.insert(execution);
    }

    pub(super) fn touches(&self, execution: ExecutionId) -> bool {
        self.seen.contains(&execution) || self.visited.contains(&execution)
    }

    /// Closes the batch. Rows and answers are read off the executions as they are
    /// now.
    pub(super) fn batch(&mut self, live: &mut HashMap<ExecutionId, Live>) -> Batch {
        let told = self.opens.iter().map(|(o, _)| o.execution).chain(self.answers.iter().map(|(id, _)| *id));
        for id in told.collect::<Vec<_>>() {
            if let Some(live) = live.get(&id) {
                self.views.insert(id, live.view());
            }
        }
        let rows = self.changed.iter().filter_map(|id| live.get_mut(id)?.row()).collect();
        Batch {
            opens: self.opens.iter().map(|(opening, _)| opening.clone()).collect(),
            turns: self.turns.clone(),
            rows,
        }
    }

    /// Damage done on purpose: see [`crate::sabotage`].
    pub(super) fn answer_early(&mut self) {
        for (opening, reply) in &mut self.opens {
            let Some(view) = self.views.get(&opening.execution).cloned() else { continue };
            let waiting = std::mem::replace(reply, tokio::sync::oneshot::channel().0);
            let _ = waiting.send(Ok(Answer::View(view)));
        }
    }

    /// Nobody knows what became of the batch: everybody is told to ask again.
    pub(super) fn fail(self, why: &str) {
        let opens = self.opens.into_iter().map(|(_, reply)| reply);
        let answers = self.answers.into_iter().map(|(_, reply)| reply);
        let refused = self.refusals.into_iter().map(|(reply, _)| reply);
        for reply in opens.chain(answers).chain(refused) {
            let _ = reply.send(Err(Error::Away(why.to_owned())));
        }
        self.acknowledgements.into_iter().for_each(|told| told(false));
    }

    /// The batch is stored: answers everybody.
    pub(super) fn settle(mut self, opened: Vec<Opened>, metrics: &Metrics) -> Settled {
        let mut left_out = HashSet::new();
        let views = self.views;
        let view = |id: ExecutionId| {
            let view = views.get(&id).cloned();
            view.map(Answer::View).ok_or_else(|| Error::NoExecution(id.to_string()))
        };
        for ((opening, reply), outcome) in self.opens.into_iter().zip(opened) {
            let answer = match outcome {
                Opened::New => view(opening.execution),
                Opened::Before(id) => {
                    left_out.insert(opening.execution);
                    Ok(Answer::Before(id))
                }
                Opened::KeyReused(error) => {
                    left_out.insert(opening.execution);
                    Err(error.into())
                }
            };
            let _ = reply.send(answer);
        }
        for (execution, reply) in self.answers {
            let _ = reply.send(view(execution));
        }
        for (reply, refusal) in self.refusals {
            let _ = reply.send(Err(refusal.into()));
        }
        self.acknowledgements.into_iter().for_each(|told| told(true));
        if !left_out.is_empty() {
            self.turns.retain(|turn| !left_out.contains(&turn.execution));
            self.commands.retain(|(execution, _)| !left_out.contains(execution));
        }
        count(&self.turns, metrics);
        Settled { turns: self.turns, commands: self.commands, left_out, visited: self.visited }
    }
}

fn count(turns: &[Arc<StoredTurn>], metrics: &Metrics) {
    for fact in turns.iter().flat_map(|t| &t.facts) {
        match fact {
            Fact::CaseMoved { to, .. } => metrics.transitions.with_label_values(&[to.as_str()]).inc(),
            Fact::CaseOpened { kind, .. } => metrics.opened.with_label_values(&[kind.as_str()]).inc(),
            Fact::ExecutionStarted { .. } => metrics.started.inc(),
            Fact::Ended { .. } => metrics.ended.inc(),
            Fact::IncidentOpened { .. } => metrics.incidents.inc(),
            _ => {}
        }
    }
}
