//! What a worker knows: tasks that run, results on their way, room that was
//! promised. Pure, so that its laws can be tested without a platform.

use super::Summary;
use bytes::Bytes;
use probity_proto::orchestrator::{TaskResult, WorkRequest, WorkerHello};
use std::collections::{HashMap, VecDeque};
use tokio::task::AbortHandle;

/// Most bytes of results in one message, so that the largest result still fits
/// beside them into what the platform takes (4 MiB).
const BATCH_BYTES: usize = 2 << 20;
/// Most results in one message.
const BATCH_RESULTS: usize = 1_000;
/// Results that wait for their acknowledgement are this many times the tasks at
/// once; then no more tasks are asked for.
const WAITING_TIMES: usize = 4;

/// The worker between two messages.
#[derive(Debug, Default)]
pub(super) struct State {
    concurrency: usize,
    /// Room the platform was told of and has not used.
    promised: usize,
    /// Takes no more tasks.
    stopping: bool,
    running: HashMap<Bytes, Running>,
    /// To be sent, the oldest first.
    ready: VecDeque<TaskResult>,
    /// Sent, not acknowledged.
    sent: HashMap<Bytes, TaskResult>,
    heartbeats: Vec<Bytes>,
    pub(super) summary: Summary,
}

#[derive(Debug)]
struct Running {
    abort: Option<AbortHandle>,
    /// It ran at the last tick already.
    long: bool,
}

impl State {
    pub(super) fn new(concurrency: usize) -> Self {
        Self { concurrency, ..Self::default() }
    }

    /// A new stream: the platform knows nothing of the old one. Everything that was
    /// not acknowledged is sent again, what runs is kept.
    pub(super) fn begin(&mut self, hello: WorkerHello) -> WorkRequest {
        self.promised = 0;
        let again: Vec<_> = self.sent.drain().map(|(_, result)| result).collect();
        again.into_iter().for_each(|result| self.ready.push_front(result));
        self.heartbeats = self.running.keys().cloned().collect();
        WorkRequest { hello: Some(hello), ..self.message() }
    }

    /// A task has come; false when it is one that runs already.
    pub(super) fn take(&mut self, token: &Bytes) -> bool {
        self.promised = self.promised.saturating_sub(1);
        if self.running.contains_key(token) {
            return false;
        }
        self.running.insert(token.clone(), Running { abort: None, long: false });
        true
    }

    /// How a running task can be stopped.
    pub(super) fn can_abort(&mut self, token: &Bytes, abort: AbortHandle) {
        if let Some(running) = self.running.get_mut(token) {
            running.abort = Some(abort);
        }
    }

    /// A task is done. A result nobody wants any more is forgotten.
    pub(super) fn finish(&mut self, result: TaskResult) {
        if self.running.remove(&result.token).is_some() {
            self.ready.push_back(result);
        }
    }

    /// The token of the task that runs under an id, for one that panicked.
    pub(super) fn token_of(&self, id: tokio::task::Id) -> Option<Bytes> {
        let mut all = self.running.iter();
        let found = all.find(|(_, running)| running.abort.as_ref().is_some_and(|abort| abort.id() == id));
        found.map(|(token, _)| token.clone())
    }

    /// The platform has a result for good.
    pub(super) fn acknowledged(&mut self, token: &Bytes) {
        if let Some(result) = self.sent.remove(token) {
            self.summary.acknowledged += 1;
            self.summary.failed += u64::from(result.failure.is_some());
        }
    }

    /// The platform wants no result: what runs is stopped, what waits forgotten.
    pub(super) fn dropped(&mut self, token: &Bytes) {
        let running = self.running.remove(token);
        if let Some(abort) = running.as_ref().and_then(|running| running.abort.as_ref()) {
            abort.abort();
        }
        let before = self.ready.len();
        self.ready.retain(|result| result.token != *token);
        let known = running.is_some() || self.sent.remove(token).is_some() || self.ready.len() < before;
        self.summary.dropped += u64::from(known);
    }

    /// Time for heartbeats: tasks that ran at the last tick already.
    pub(super) fn tick(&mut self) {
        for (token, running) in &mut self.running {
            if std::mem::replace(&mut running.long, true) {
                self.heartbeats.push(token.clone());
            }
        }
    }

    /// From now on no more tasks.
    pub(super) const fn stop(&mut self) {
        self.stopping = true;
    }

    /// Nothing runs and nothing waits to be acknowledged.
    pub(super) fn is_done(&self) -> bool {
        self.open() == 0
    }

    /// Tasks and results that are not settled.
    pub(super) fn open(&self) -> usize {
        self.running.len() + self.ready.len() + self.sent.len()
    }

    /// Whether there is anything to say.
    pub(super) fn has_news(&self) -> bool {
        !self.ready.is_empty() || !self.heartbeats.is_empty() || self.room() != 0
    }

    /// How much more room there is than was promised; negative to take a promise
    /// back.
    fn room(&self) -> i64 {
        let promised = whole(self.promised);
        if self.stopping {
            return -promised;
        }
        let waiting = self.ready.len() + self.sent.len();
        let crowded = waiting >= self.concurrency.saturating_mul(WAITING_TIMES);
        let room = whole(self.concurrency) - whole(self.running.len()) - promised;
        if crowded { 0 } else { room.max(0) }
    }

    /// Everything there is to say.
    pub(super) fn message(&mut self) -> WorkRequest {
        let credits = i32::try_from(self.room()).unwrap_or_default();
        self.promised = usize::try_from(whole(self.promised) + i64::from(credits)).unwrap_or_default();
        let mut results = Vec::new();
        let mut bytes = 0;
        while let Some(result) = self.ready.pop_front() {
            bytes += result.output.len() + result.token.len() + 64;
            if results.len() == BATCH_RESULTS || (bytes > BATCH_BYTES && !results.is_empty()) {
                self.ready.push_front(result);
                break;
            }
            self.sent.insert(result.token.clone(), result.clone());
            results.push(result);
        }
        WorkRequest { hello: None, credits, results, heartbeats: std::mem::take(&mut self.heartbeats) }
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(n: usize) -> Bytes {
        Bytes::from(format!("t{n}"))
    }

    fn done(n: usize) -> TaskResult {
        TaskResult { token: token(n), ..Default::default() }
    }

    fn tokens(message: &WorkRequest) -> Vec<String> {
        message.results.iter().map(|r| String::from_utf8_lossy(&r.token).into_owned()).collect()
    }

    #[test]
    fn room_is_what_is_free_and_not_promised() {
        let mut state = State::new(4);
        let check = |state: &mut State, credits: i32| assert_eq!(state.message().credits, credits);
        check(&mut state, 4);
        check(&mut state, 0);
        assert!(!state.has_news());
        (0..3).for_each(|n| assert!(state.take(&token(n))));
        check(&mut state, 0);
        state.finish(done(0));
        check(&mut state, 1);
        state.dropped(&token(1));
        check(&mut state, 1);
        state.stop();
        check(&mut state, -3);
        state.finish(done(2));
        check(&mut state, 0);
    }

    #[test]
    fn no_more_tasks_are_asked_for_while_nothing_is_acknowledged() {
        let mut state = State::new(1);
        for n in 0..4 {
            assert_eq!(state.message().credits, 1, "{n}");
            state.take(&token(n));
            state.finish(done(n));
        }
        assert_eq!(state.message().credits, 0);
        state.acknowledged(&token(2));
        assert_eq!(state.message().credits, 1);
    }

    #[test]
    fn a_result_is_sent_again_until_it_is_acknowledged() {
        let mut state = State::new(8);
        (0..3).for_each(|n| assert!(state.take(&token(n))));
        (0..2).for_each(|n| state.finish(done(n)));
        assert_eq!(tokens(&state.message()), ["t0", "t1"]);
        assert_eq!(tokens(&state.message()), [""; 0]);
        state.acknowledged(&token(0));
        let first = state.begin(WorkerHello::default());
        assert_eq!(tokens(&first), ["t1"]);
        assert_eq!((first.credits, first.heartbeats.len()), (7, 1), "what runs is kept");
        state.acknowledged(&token(1));
        state.acknowledged(&token(1));
        assert_eq!(state.summary.acknowledged, 2, "each once");
        assert_eq!(state.open(), 1);
    }

    #[test]
    fn what_is_not_wanted_is_forgotten() {
        let mut state = State::new(8);
        (0..4).for_each(|n| assert!(state.take(&token(n))));
        assert!(!state.take(&token(3)), "it runs already");
        state.finish(done(0));
        state.message();
        state.finish(done(1));
        (0..3).for_each(|n| state.dropped(&token(n)));
        state.finish(done(2));
        assert_eq!((state.summary.dropped, state.open()), (3, 1));
        assert_eq!(tokens(&state.message()), [""; 0]);
    }

    #[test]
    fn only_what_takes_long_has_heartbeats() {
        let mut state = State::new(8);
        state.take(&token(0));
        state.tick();
        assert!(state.message().heartbeats.is_empty());
        state.take(&token(1));
        state.tick();
        assert_eq!(state.message().heartbeats, [token(0)]);
        state.tick();
        assert_eq!(state.message().heartbeats.len(), 2);
    }

    #[test]
    fn messages_stay_within_what_the_platform_takes() {
        let mut state = State::new(5_000);
        for n in 0..5 {
            state.take(&token(n));
            state.finish(TaskResult { output: vec![b'1'; 1 << 20].into(), ..done(n) });
        }
        let sizes: Vec<_> = (0..5).map(|_| state.message().results.len()).collect();
        assert_eq!(sizes, [1, 1, 1, 1, 1]);
        for n in 0..2_500 {
            state.take(&token(n));
            state.finish(done(n));
        }
        let sizes: Vec<_> = (0..3).map(|_| state.message().results.len()).collect();
        assert_eq!(sizes, [1_000, 1_000, 500]);
    }
}
