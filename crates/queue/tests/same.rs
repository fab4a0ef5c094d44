//! The scheduler and the script on the server answer alike, call for call.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "scheduler/ops.rs"]
mod ops;

use ops::Op;
use probity_queue::{
    Answer, Error, Held, InProcess, Limits, Policy, Priority, ReadyQueue, Redis, RedisConfig, Release, Stats,
    Take, Task, TaskId,
};
use probity_testkit::Redis as Server;
use probity_types::{Clock, ManualClock, Micros};
use proptest::prelude::*;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

const LIMITS: Limits = Limits { capacity: 24, queue_capacity: 16, queues: 2, payload_bytes: 8 };

/// Both kinds of queue with one clock between them.
struct Pair {
    local: InProcess,
    remote: Redis,
    clock: Arc<ManualClock>,
    held: Vec<Held>,
}

impl Pair {
    fn new(server: &Server) -> Self {
        server.command("FLUSHALL");
        let clock = Arc::new(ManualClock::at(Micros(1_700_000_000_000_000)));
        let shared = || Arc::clone(&clock) as Arc<dyn Clock>;
        let config = RedisConfig { limits: LIMITS, ..RedisConfig::new(server.url()) };
        let remote = Redis::with_clock(&config, shared()).unwrap();
        Self { local: InProcess::new(LIMITS, shared()), remote, clock, held: Vec::new() }
    }

    /// The answer of both, which must be one.
    async fn both<T: PartialEq + Debug>(&self, call: impl Fn(&dyn ReadyQueue) -> Answer<'_, T>) -> T {
        let (local, remote) = (call(&self.local).await, call(&self.remote).await);
        let text = |answer: &Result<T, Error>| answer.as_ref().map_err(ToString::to_string).map(|_| ());
        assert_eq!(text(&local), text(&remote));
        let (local, remote) = (local.unwrap(), remote.unwrap());
        assert_eq!(local, remote, "the local answer and the remote one");
        local
    }

    async fn step(&mut self, op: &Op) {
        match op {
            Op::Offer { .. } => {
                let task = self.task(op);
                self.both(|queue| queue.offer(vec![task.clone()])).await;
            }
            Op::Take { credits, queues } => {
                let names = (0..2).filter(|queue| queues & 1 << queue != 0).map(name).collect();
                let wish = Take { queues: names, ..Take::now("q0", *credits, "w") };
                let leases = self.both(|queue| queue.take(wish.clone())).await;
                self.held.extend(leases.iter().map(probity_queue::Lease::held));
            }
            Op::Finish { which } if *which < self.held.len() => {
                let held = self.held.remove(*which);
                self.both(|queue| queue.finish(vec![held.clone(), held.clone()])).await;
            }
            Op::Release { which, delay } if *which < self.held.len() => {
                let not_before = delay.map(|delay| Micros(self.clock.now().0 + delay));
                let release = Release { held: self.held[*which].clone(), not_before };
                self.both(|queue| queue.release(vec![release.clone()])).await;
            }
            Op::Extend { which } if *which < self.held.len() => {
                let held = self.held[*which].clone();
                self.both(|queue| queue.extend(vec![held.clone()])).await;
            }
            Op::Cancel { n, queue } => {
                self.both(|at| at.cancel(name(*queue), vec![id(*n)])).await;
            }
            Op::Pause { queue, paused } => self.both(|at| at.pause(name(*queue), *paused)).await,
            Op::Wait { us } => {
                self.clock.advance(Duration::from_micros(u64::try_from(*us).unwrap_or(0)));
                self.look().await; // what became due is moved at the same time in both
            }
            Op::Expire => {
                for n in 0..40 {
                    self.both(|at| at.standing(name((n % 2) as usize), id(n))).await;
                }
            }
            Op::Finish { .. } | Op::Release { .. } | Op::Extend { .. } => {}
        }
    }

    async fn look(&self) {
        for queue in 0..2 {
            self.figures(queue).await;
        }
    }

    /// Rates are computed along different ways: they may differ in rounding.
    async fn figures(&self, queue: usize) {
        let (local, remote) = (self.local.stats(name(queue)).await, self.remote.stats(name(queue)).await);
        let (local, remote) = (local.unwrap(), remote.unwrap());
        let rates = |stats: &Stats| [stats.offered_per_s, stats.taken_per_s, stats.finished_per_s];
        for (local, remote) in rates(&local).into_iter().zip(rates(&remote)) {
            assert!((local - remote).abs() < 1e-9, "{local} and {remote} per second");
        }
        let [offered_per_s, taken_per_s, finished_per_s] = rates(&local);
        assert_eq!(local, Stats { offered_per_s, taken_per_s, finished_per_s, ..remote });
    }

    fn task(&self, op: &Op) -> Task {
        let Op::Offer { n, queue, tenant, rank, key, unique, delay } = op else { unreachable!() };
        Task {
            priority: Priority::of_rank(*rank),
            key: key.map(|key| format!("k{key}").into()),
            unique: unique.map(|unique| format!("u{unique}").into()),
            not_before: (*delay != 0).then_some(Micros(self.clock.now().0 + delay)),
            ..Task::new(id(*n), name(*queue), format!("t{tenant}"), "")
        }
    }
}

fn id(n: u32) -> TaskId {
    TaskId(u128::from(n).to_be_bytes())
}

fn name(queue: usize) -> Arc<str> {
    format!("q{queue}").into()
}

async fn run(server: &Server, policies: &[Policy; 2], ops: &[Op]) {
    let mut pair = Pair::new(server);
    for (queue, policy) in policies.iter().enumerate() {
        pair.both(|at| at.configure(name(queue), policy.clone())).await;
    }
    for op in ops {
        pair.step(op).await;
    }
    pair.step(&Op::Expire).await;
}

#[test]
fn both_kinds_answer_alike() {
    let server = Server::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(policies in [ops::policy(), ops::policy()], ops in prop::collection::vec(ops::op(), 1..120))| {
        runtime.block_on(run(&server, &policies, &ops));
    });
}
