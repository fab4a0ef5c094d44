//! Places for calls: how many may be under way, and how fast they may begin, of a
//! step with a limit, of a tenant, and in all.
//!
//! Each kind of place is a queue of the [scheduler](probity_queue::scheduler) that
//! gives out tasks: with priorities that do not starve each other, in turn between
//! tenants or between the keys of a step. A place is given back when it is dropped,
//! whether it was waited for or had.
//!
//! **Architecture invariant:** the gate may forget. What waits here is an attempt that
//! the journal has begun; after a start it is made again and waits again.

use parking_lot::Mutex;
use probity_queue::scheduler::MAX_CREDITS;
use probity_queue::{Limits, Policy, Priority, Refusal, Scheduler, Task, TaskId};
use probity_types::{Clock, Micros};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

/// Longer than any call may take: a place is given back, never taken away.
pub(crate) const FOR_GOOD: Duration = Duration::from_hours(24);
/// Kinds of places, steps with limits among them.
const KINDS: usize = 100_000;

/// The gate. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Somebody waits for a time to come.
    changed: Notify,
}

struct State {
    scheduler: Scheduler,
    policies: HashMap<Arc<str>, Policy>,
    waiting: HashMap<TaskId, oneshot::Sender<()>>,
    /// Who waits for which kind, the first who came first.
    lines: HashMap<Arc<str>, BTreeMap<TaskId, Micros>>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    /// The kind of place.
    pub(crate) kind: Arc<str>,
    /// Its rules.
    pub(crate) policy: Policy,
    /// Whose turn it is: a tenant, or a key of one.
    pub(crate) share: Arc<str>,
    pub(crate) priority: Priority,
}

/// A place, or the wait for one.
#[derive(Debug)]
pub(crate) struct Place {
    gate: Gate,
    kind: Arc<str>,
    id: TaskId,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gate")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.leave(&self.kind, self.id);
    }
}

impl Gate {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let limits = Limits { queues: KINDS, ..Limits::default() };
        let (policies, waiting, lines) = (HashMap::new(), HashMap::new(), HashMap::new());
        let state = State { scheduler: Scheduler::new(limits), policies, waiting, lines };
        Self(Arc::new(Inner { clock, state: Mutex::new(state), changed: Notify::new() }))
    }

    /// Waits for a place.
    pub(crate) async fn pass(&self, wish: Wish) -> Result<Place, Refusal> {
        let (place, passed) = self.enter(wish)?;
        // The sender lives as long as the place.
        let _ = passed.await;
        Ok(place)
    }

    fn enter(&self, wish: Wish) -> Result<(Place, oneshot::Receiver<()>), Refusal> {
        let now = self.0.clock.now();
        let (id, kind) = (TaskId::new(), wish.kind);
        let (pass, passed) = oneshot::channel();
        let task = Task::new(id, kind.clone(), wish.share, bytes::Bytes::new()).with_priority(wish.priority);
        let mut state = self.0.state.lock();
        if state.policies.get(&kind) != Some(&wish.policy) {
            state.scheduler.configure(&kind, wish.policy.clone())?;
            state.policies.insert(kind.clone(), wish.policy);
        }
        state.scheduler.offer(task, now)?;
        state.waiting.insert(id, pass);
        state.let_pass(std::slice::from_ref(&kind), now);
        let waits = state.waiting.contains_key(&id);
        if waits {
            state.lines.entry(kind.clone()).or_default().insert(id, now);
        }
        drop(state);
        if waits {
            self.0.changed.notify_one();
        }
        Ok((Place { gate: self.clone(), kind, id }, passed))
    }

    fn leave(&self, kind: &Arc<str>, id: TaskId) {
        let now = self.0.clock.now();
        let mut state = self.0.state.lock();
        state.waits_no_more(kind, id);
        state.scheduler.cancel(kind, id, now);
        state.let_pass(std::slice::from_ref(kind), now);
    }

    /// How long the one has waited who waits longest for one of these kinds.
    pub(crate) fn longest_wait(&self, kinds: &[&str], now: Micros) -> Duration {
        let state = self.0.state.lock();
        let lines = kinds.iter().filter_map(|kind| state.lines.get(*kind)?.values().next());
        lines.map(|since| now.since(*since)).max().unwrap_or_default()
    }

    /// Lets pass whose time has come, until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            let now = self.0.clock.now();
            let wake = {
                let mut state = self.0.state.lock();
                let kinds = state.scheduler.queues();
                state.let_pass(&kinds, now);
                state.scheduler.next_wake(now).map_or(FOR_GOOD, |at| at.since(now))
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.0.changed.notified() => {}
                () = tokio::time::sleep(wake.max(Duration::from_millis(1))) => {}
            }
        }
    }
}

impl State {
    fn waits_no_more(&mut self, kind: &str, id: TaskId) -> Option<oneshot::Sender<()>> {
        if let Some(line) = self.lines.get_mut(kind) {
            line.remove(&id);
            if line.is_empty() {
                self.lines.remove(kind);
            }
        }
        self.waiting.remove(&id)
    }

    fn let_pass(&mut self, kinds: &[Arc<str>], now: Micros) {
        loop {
            let passing = self.scheduler.take(kinds, MAX_CREDITS, &"gate".into(), now);
            for lease in &passing {
                // Who does not wait any more gives the place back by itself.
                let pass = self.waits_no_more(&lease.task.queue, lease.task.id);
                let _ = pass.map(|pass| pass.send(()));
            }
            if passing.len() < MAX_CREDITS {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_queue::{Rate, TenantRule};
    use probity_types::ManualClock;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    fn wish(kind: usize, share: usize, running: u32, rate: Option<Rate>) -> Wish {
        let tenant = TenantRule { concurrency: Some(running), rate, ..TenantRule::default() };
        let policy = Policy { lease: FOR_GOOD, tenant, ..Policy::default() };
        let (kind, share) = (format!("kind-{kind}").into(), format!("share-{share}").into());
        Wish { kind, policy, share, priority: Priority::Normal }
    }

    /// Who waits, and who has a place, by kind and share.
    #[derive(Default)]
    struct World {
        waiting: VecDeque<(usize, usize, Place, oneshot::Receiver<()>)>,
        inside: Vec<(usize, usize, Place)>,
    }

    impl World {
        fn settle(&mut self) {
            for _ in 0..self.waiting.len() {
                let Some((kind, share, place, mut passed)) = self.waiting.pop_front() else { return };
                match passed.try_recv() {
                    Ok(()) => self.inside.push((kind, share, place)),
                    Err(_) => self.waiting.push_back((kind, share, place, passed)),
                }
            }
        }

        fn count(&self, kind: usize, share: usize) -> u32 {
            u32::try_from(self.inside.iter().filter(|(k, s, _)| (*k, *s) == (kind, share)).count()).unwrap()
        }
    }

    #[derive(Debug, Clone)]
    enum Deed {
        Come(usize, usize),
        Go(usize),
        GiveUp(usize),
    }

    fn deed() -> impl Strategy<Value = Deed> {
        prop_oneof![
            3 => (0..2_usize, 0..3_usize).prop_map(|(kind, share)| Deed::Come(kind, share)),
            2 => any::<usize>().prop_map(Deed::Go),
            1 => any::<usize>().prop_map(Deed::GiveUp),
        ]
    }

    proptest! {
        /// Whatever comes, goes and gives up: never more than the limit are inside, a
        /// place is never empty while somebody waits for it, and in the end all pass.
        #[test]
        fn the_limit_holds_and_nobody_starves(
            deeds in proptest::collection::vec(deed(), 0..200), limit in 1_u32..4,
        ) {
            let clock = Arc::new(ManualClock::at(Micros(1_000_000)));
            let gate = Gate::new(clock);
            let mut world = World::default();
            for deed in deeds {
                match deed {
                    Deed::Come(kind, share) => {
                        let (place, passed) = gate.enter(wish(kind, share, limit, None)).unwrap();
                        world.waiting.push_back((kind, share, place, passed));
                    }
                    Deed::Go(at) if !world.inside.is_empty() => {
                        let at = at % world.inside.len();
                        drop(world.inside.swap_remove(at));
                    }
                    Deed::GiveUp(at) if !world.waiting.is_empty() => {
                        let at = at % world.waiting.len();
                        drop(world.waiting.remove(at));
                    }
                    Deed::Go(_) | Deed::GiveUp(_) => {}
                }
                world.settle();
                for (kind, share) in (0..2).flat_map(|kind| (0..3).map(move |share| (kind, share))) {
                    let inside = world.count(kind, share);
                    prop_assert!(inside <= limit);
                    let waits = world.waiting.iter().any(|(k, s, ..)| (*k, *s) == (kind, share));
                    prop_assert!(!waits || inside == limit, "{inside} of {limit}, and somebody waits");
                }
            }
            while !world.waiting.is_empty() {
                let before = world.waiting.len();
                world.inside.clear();
                world.settle();
                prop_assert!(world.waiting.len() < before, "nobody passed");
            }
        }

        /// No window of a period sees more than the rate and the burst allow.
        #[test]
        fn the_rate_holds(steps in proptest::collection::vec((1_i64..400, 0..4_usize), 1..80), count in 1_u32..5) {
            let clock = Arc::new(ManualClock::at(Micros(1_000_000)));
            let gate = Gate::new(clock.clone());
            let rate = Rate { burst: count, ..Rate::per_second(count) };
            let mut world = World::default();
            let mut passed_at = Vec::new();
            for (ms, come) in steps {
                clock.advance(Duration::from_millis(ms.unsigned_abs()));
                let mut kinds = gate.0.state.lock().scheduler.queues();
                kinds.dedup();
                gate.0.state.lock().let_pass(&kinds, clock.now());
                for _ in 0..come {
                    let (place, passed) = gate.enter(wish(0, 0, 1_000, Some(rate))).unwrap();
                    world.waiting.push_back((0, 0, place, passed));
                }
                world.settle();
                passed_at.resize(world.inside.len(), clock.now());
            }
            for (at, first) in passed_at.iter().enumerate() {
                let within = passed_at[at..].iter().filter(|later| later.since(*first) < Duration::from_secs(1));
                prop_assert!(within.count() <= 2 * count as usize);
            }
        }
    }

    #[tokio::test]
    async fn a_flood_of_one_tenant_delays_another_by_a_turn() {
        let gate = Gate::new(Arc::new(probity_types::SystemClock));
        let policy = Policy { lease: FOR_GOOD, concurrency: Some(1), ..Policy::default() };
        let wish = |share: &str| Wish {
            kind: "calls".into(),
            policy: policy.clone(),
            share: share.into(),
            priority: Priority::Normal,
        };
        let first = gate.pass(wish("flood")).await.unwrap();
        let mut flood: Vec<_> = (0..50).map(|_| gate.enter(wish("flood")).unwrap()).collect();
        let (other, mut passed) = gate.enter(wish("other")).unwrap();
        assert!(gate.longest_wait(&["calls"], Micros(i64::MAX)) > Duration::ZERO);
        assert_eq!(gate.longest_wait(&["others"], Micros(i64::MAX)), Duration::ZERO);
        drop(first);
        let mut before = 0;
        while passed.try_recv().is_err() {
            let at = flood.iter_mut().position(|(_, passed)| passed.try_recv().is_ok()).unwrap();
            drop(flood.swap_remove(at));
            before += 1;
        }
        assert!(before <= 1, "{before} of the flood went before");
        drop((other, flood));
        assert_eq!(gate.longest_wait(&["calls"], Micros(i64::MAX)), Duration::ZERO);
    }

    #[tokio::test]
    async fn what_a_rate_holds_passes_when_its_time_has_come() {
        let gate = Gate::new(Arc::new(probity_types::SystemClock));
        let stop = CancellationToken::new();
        let running = tokio::spawn(gate.clone().run(stop.clone()));
        let rate = Rate { count: 1, period: Duration::from_millis(50), burst: 1 };
        let began = std::time::Instant::now();
        for _ in 0..4 {
            drop(gate.pass(wish(0, 0, 1, Some(rate))).await.unwrap());
        }
        assert!(began.elapsed() >= Duration::from_millis(140), "{:?}", began.elapsed());
        stop.cancel();
        running.await.unwrap();
    }
}
