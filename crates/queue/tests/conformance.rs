//! One suite for every kind of queue.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "conformance/limits.rs"]
mod limits;
#[path = "conformance/suite.rs"]
mod suite;
#[path = "conformance/waiting.rs"]
mod waiting;

use probity_queue::{
    Answer, InProcess, Lease, Limits, Offered, Policy, ReadyQueue, Redis, RedisConfig, Refusal, Take, Task,
    TaskId,
};
use probity_testkit::Redis as Server;
use probity_types::{Clock, ManualClock, Micros};
use std::sync::Arc;
use std::time::Duration;

/// Long enough to be no matter of chance, on a machine that is busy.
const LONG: Duration = Duration::from_secs(20);

/// A queue under test, with a clock that stands still until it is moved.
struct Bench {
    queue: Arc<dyn ReadyQueue>,
    clock: Arc<ManualClock>,
    _server: Option<Server>,
}

impl Bench {
    fn in_process(limits: Limits) -> Self {
        let clock = Arc::new(ManualClock::at(Micros(1_700_000_000_000_000)));
        Self {
            queue: Arc::new(InProcess::new(limits, Arc::clone(&clock) as Arc<dyn Clock>)),
            clock,
            _server: None,
        }
    }

    fn redis(limits: Limits) -> Self {
        let clock = Arc::new(ManualClock::at(Micros(1_700_000_000_000_000)));
        let server = Server::start();
        let config = RedisConfig { limits, ..RedisConfig::new(server.url()) };
        let queue = Redis::with_clock(&config, Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
        Self { queue: Arc::new(queue), clock, _server: Some(server) }
    }

    /// The time, moved by milliseconds.
    fn in_ms(&self, ms: i64) -> Micros {
        Micros(self.clock.now().0 + ms * 1_000)
    }

    async fn configure(&self, policy: Policy) {
        self.queue.configure("q".into(), policy).await.unwrap();
    }

    /// Offers tasks that must be accepted.
    async fn offer(&self, tasks: impl IntoIterator<Item = Task>) {
        let answers = self.queue.offer(tasks.into_iter().collect()).await.unwrap();
        assert!(answers.iter().all(|answer| *answer == Ok(Offered::Accepted)), "{answers:?}");
    }

    async fn offer_one(&self, task: Task) -> Result<Offered, Refusal> {
        self.queue.offer(vec![task]).await.unwrap().remove(0)
    }

    /// Takes from the queue `q` without waiting.
    async fn take(&self, credits: usize) -> Vec<Lease> {
        self.queue.take(Take::now("q", credits, "worker")).await.unwrap()
    }

    async fn finish(&self, lease: &Lease) -> bool {
        one(self.queue.finish(vec![lease.held()])).await
    }
}

/// The only answer of a batch of one.
async fn one<T>(answer: Answer<'_, Vec<T>>) -> T {
    let mut answers = answer.await.unwrap();
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

fn id(n: u32) -> TaskId {
    TaskId((u128::from(n) << 96).to_be_bytes())
}

/// A task of tenant `acme` in the queue `q`.
fn task(n: u32) -> Task {
    Task::new(id(n), "q", "acme", format!("payload {n}\0\u{ff}"))
}

fn of_tenant(n: u32, tenant: &str) -> Task {
    Task { tenant: tenant.into(), ..task(n) }
}

/// The numbers of leased tasks, in order.
fn numbers(leases: &[Lease]) -> Vec<u32> {
    leases.iter().map(|lease| u32::from_be_bytes(lease.task.id.0[..4].try_into().unwrap())).collect()
}

/// Runs every case of the suite on a kind of queue.
macro_rules! conforms {
    ($kind:ident: $($area:ident: $($case:ident),+;)+) => {
        mod $kind {
            $($(
                #[tokio::test]
                async fn $case() {
                    crate::$area::$case(|limits| crate::Bench::$kind(limits)).await;
                }
            )+)+
        }
    };
}

macro_rules! suite {
    ($($kind:ident),+) => {
        $(conforms! { $kind:
            suite: a_task_goes_through, what_is_open_is_not_taken_twice, late_answers_are_fenced,
                an_expired_lease_comes_back, a_sign_of_life_extends, a_released_task_waits_for_its_time,
                delayed_tasks_come_in_order, turns_of_priorities, turns_of_tenants, turns_of_queues,
                a_cancelled_task_is_gone, a_paused_queue_gives_nothing, the_figures_add_up,
                large_batches_are_refused_whole;
            limits: tenants_have_their_limit, queues_have_their_limit, keys_have_their_limit,
                the_urgent_of_a_key_goes_first, rates_are_kept, weights_are_kept, what_does_not_fit_is_refused,
                idle_queues_make_room;
            waiting: a_taker_waits_for_a_task, a_batch_wakes_as_many_takers, a_taker_gives_up_in_time,
                a_taker_wakes_when_a_task_is_due, a_finished_task_wakes_who_waits_for_its_limit,
                a_dropped_taker_takes_nothing, everything_is_done_once;
        })+
    };
}

suite!(in_process, redis);
