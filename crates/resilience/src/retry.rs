//! Repeating what may be repeated, with growing waits, and never past the
//! deadline.
//!
//! [`Policy`] says how often and how patiently; [`Retryable`] says which failures
//! are worth another try. [`run`] repeats any operation; [`RetryLayer`] repeats
//! gRPC calls.

mod buffer;
mod classify;
mod layer;
mod policy;
mod written;

pub use classify::{Retryable, Verdict, of_status};
pub use layer::{ATTEMPTS_HEADER, BODY_LIMIT, RetryLayer, RetryService};
pub use policy::{InvalidPolicy, Jitter, Policy, Preset};

use crate::Deadline;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

/// Runs an operation until it succeeds, its failure is final, or attempts, total
/// time or the current deadline are used up; then answers with the last failure.
/// The operation gets the number of the attempt, from 1.
pub async fn run<T, E, F, O>(policy: &Policy, mut operation: F) -> Result<T, E>
where
    E: Retryable,
    F: FnMut(u32) -> O,
    O: Future<Output = Result<T, E>>,
{
    let mut attempts = Attempts::new(*policy, Deadline::current());
    loop {
        let error = match operation(attempts.number).await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let Some(wait) = attempts.after(error.verdict()) else { return Err(error) };
        tokio::time::sleep(wait).await;
    }
}

/// The attempts of one operation so far.
struct Attempts {
    policy: Policy,
    deadline: Option<Deadline>,
    begun: Instant,
    rng: fastrand::Rng,
    number: u32,
}

impl Attempts {
    fn new(policy: Policy, deadline: Option<Deadline>) -> Self {
        Self { policy, deadline, begun: Instant::now(), rng: fastrand::Rng::new(), number: 1 }
    }

    /// How long to wait for the next attempt; `None` when there is none.
    fn after(&mut self, verdict: Verdict) -> Option<Duration> {
        let wait = self.policy.next_wait(self.number, verdict, self.begun.elapsed(), &mut self.rng)?;
        if self.deadline.is_some_and(|deadline| !deadline.allows(wait)) {
            return None;
        }
        self.number += 1;
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_types::{Fault, FaultKind};

    async fn fails(policy: Policy, kind: FaultKind) -> u32 {
        let mut tries = 0;
        let result = run(&policy, |attempt| {
            tries = attempt;
            async move { Err::<(), _>(Fault::new(kind, "TST-0001", "no")) }
        })
        .await;
        assert!(result.is_err());
        tries
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_depend_on_the_failure_and_the_preset() {
        let check = async |preset: Preset, kind, expect| {
            assert_eq!(fails(preset.policy(), kind).await, expect, "{preset:?} {kind:?}");
        };
        check(Preset::Quick, FaultKind::Unavailable, 3).await;
        check(Preset::Standard, FaultKind::Unavailable, 5).await;
        check(Preset::Aggressive, FaultKind::Unavailable, 10).await;
        check(Preset::RateLimited, FaultKind::Overloaded, 5).await;
        check(Preset::Standard, FaultKind::Invalid, 1).await;
        check(Preset::Standard, FaultKind::Timeout, 1).await;
        check(Preset::Standard, FaultKind::Internal, 1).await;
    }

    #[tokio::test(start_paused = true)]
    async fn success_ends_it() {
        let result = run(&Policy::STANDARD, |attempt| async move {
            if attempt == 3 { Ok(attempt) } else { Err(Fault::new(FaultKind::Unavailable, "TST-0001", "no")) }
        });
        assert_eq!(result.await.ok(), Some(3));
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_before_the_deadline() {
        for seconds in 0..40 {
            let begun = Instant::now();
            let deadline = Deadline::within(Duration::from_secs(seconds));
            deadline.scope(fails(Policy::AGGRESSIVE, FaultKind::Unavailable)).await;
            assert!(begun.elapsed() <= Duration::from_secs(seconds), "{seconds}");
        }
    }
}
