//! How long what could be done has waited: timers that are due, calls without a free
//! place, tasks that no worker takes. What waits for its own limit, for its time or for
//! a person does not count.

use crate::gate::Gate;
use crate::metrics::Metrics;
use crate::tasks::Board;
use parking_lot::Mutex;
use probity_types::{Clock, Micros};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// It is looked at this often.
const LOOK: Duration = Duration::from_secs(1);
/// No timer is set.
const NEVER: i64 = i64::MAX;

/// What has waited longest. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Runnable(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    /// When the next timer of the lane is due, in microseconds since 1970.
    timer: AtomicI64,
    oldest: Mutex<Option<(&'static str, Duration)>>,
    /// Waiting longer than this is bad.
    bound: Duration,
}

impl Runnable {
    pub(crate) fn new(clock: Arc<dyn Clock>, bound: Duration) -> Self {
        let (timer, oldest) = (AtomicI64::new(NEVER), Mutex::new(None));
        Self(Arc::new(Inner { clock, timer, oldest, bound }))
    }

    /// The next timer of the lane.
    pub(crate) fn next_timer(&self, at: Option<Micros>) {
        self.0.timer.store(at.map_or(NEVER, |at| at.0), Ordering::Relaxed);
    }

    fn late_timer(&self, now: Micros) -> Duration {
        now.since(Micros(self.0.timer.load(Ordering::Relaxed)))
    }

    fn noted(&self, ages: [(&'static str, Duration); 3], metrics: &Metrics) {
        for (kind, age) in ages {
            metrics.oldest_runnable.with_label_values(&[kind]).set(age.as_secs_f64());
        }
        let oldest = ages.into_iter().max_by_key(|(_, age)| *age);
        *self.0.oldest.lock() = oldest.filter(|(_, age)| !age.is_zero());
    }

    /// What is bad about it, when something is.
    pub(crate) fn complaint(&self) -> Option<String> {
        let (kind, age) = (*self.0.oldest.lock())?;
        let bound = self.0.bound;
        (age > bound && !bound.is_zero()).then(|| {
            let (age, bound) = (age.as_secs(), bound.as_secs());
            format!("a {kind} that could be done has waited {age} s, more than {bound} s")
        })
    }

    /// Looks until `stop`.
    pub(crate) async fn watch(
        self,
        board: Board,
        gate: Gate,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = look.tick() => {}
            }
            let task = board.oldest_ready().await;
            let now = self.0.clock.now();
            let call = gate.longest_wait(&crate::dispatch::FREE_PLACES, now);
            self.noted([("timer", self.late_timer(now)), ("call", call), ("task", task)], &metrics);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_types::ManualClock;

    #[test]
    fn what_waits_too_long_is_complained_of() {
        let clock = Arc::new(ManualClock::at(Micros(10_000_000)));
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        let check = |bound: u64, ages: [u64; 3], expect: Option<&str>| {
            let runnable = Runnable::new(clock.clone(), Duration::from_secs(bound));
            let [timer, call, task] = ages.map(Duration::from_secs);
            runnable.noted([("timer", timer), ("call", call), ("task", task)], &metrics);
            let complaint = runnable.complaint();
            match (&complaint, expect) {
                (Some(text), Some(part)) => assert!(text.contains(part), "{text}"),
                (complaint, expect) => assert_eq!(complaint.as_deref(), expect),
            }
        };
        check(60, [0, 0, 0], None);
        check(60, [3, 60, 1], None);
        check(60, [3, 61, 1], Some("a call that could be done has waited 61 s, more than 60 s"));
        check(0, [900, 0, 0], None);

        let runnable = Runnable::new(clock, Duration::from_secs(1));
        let late = |at: Option<i64>| {
            runnable.next_timer(at.map(Micros));
            runnable.late_timer(Micros(10_000_000)).as_secs()
        };
        assert_eq!((late(None), late(Some(30_000_000)), late(Some(4_000_000))), (0, 0, 6));
    }
}
