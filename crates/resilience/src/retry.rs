//! Repeating what may be repeated, with growing waits, and never past the
//! deadline.
//!
//! [`Policy`] says how often and how patiently; [`Retryable`] says which failures
//! are worth another try; a [`Budget`] says when enough is enough. [`run`] and
//! [`Retrying`] repeat any operation; [`RetryLayer`] repeats gRPC calls, by a
//! policy or by a [`ServiceConfig`].

mod budget;
pub(crate) mod buffer;
mod classify;
mod codes;
mod layer;
mod policy;
mod service_config;
mod tokens;
mod written;

pub use budget::{Budget, BudgetConfig};
pub use classify::{Retryable, Verdict, has_stopped, of_http, of_status, of_status_with};
pub use codes::Codes;
pub use layer::{ATTEMPTS_HEADER, BODY_LIMIT, RetryFuture, RetryLayer, RetryService, may_repeat};
pub use policy::{Jitter, Policy, Preset};
pub use service_config::{BadServiceConfig, Hedging, MethodConfig, ServiceConfig};

/// The atomics of the lock-free part; the test of every interleaving swaps them.
mod sync {
    pub(super) use std::sync::atomic::{AtomicU32, Ordering};
}

#[cfg(test)]
mod interleavings;

use crate::Deadline;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

/// Runs an operation until it succeeds, its failure is final, or attempts, total
/// time or the current deadline are used up; then answers with the last failure.
/// The operation gets the number of the attempt, from 1.
pub async fn run<T, E, F, O>(policy: &Policy, operation: F) -> Result<T, E>
where
    E: Retryable,
    F: FnMut(u32) -> O,
    O: Future<Output = Result<T, E>>,
{
    Retrying::new(*policy).run(operation).await
}

/// As [`run`], with a budget and a callback.
pub struct Retrying<'a, E> {
    policy: Policy,
    budget: Option<&'a Budget>,
    on_retry: Option<OnRetry<'a, E>>,
}

type OnRetry<'a, E> = Box<dyn FnMut(u32, &E, Duration) + Send + 'a>;

impl<'a, E: Retryable> Retrying<'a, E> {
    /// Follows a policy.
    #[must_use]
    pub const fn new(policy: Policy) -> Self {
        Self { policy, budget: None, on_retry: None }
    }

    /// Stops trying again while a budget is used up.
    #[must_use]
    pub const fn with_budget(mut self, budget: &'a Budget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Calls back before each wait, with the attempt that failed (from 1), its
    /// failure and the wait.
    #[must_use]
    pub fn on_retry(mut self, callback: impl FnMut(u32, &E, Duration) + Send + 'a) -> Self {
        self.on_retry = Some(Box::new(callback));
        self
    }

    /// Runs the operation; see [`run`].
    ///
    /// # Errors
    /// The last failure.
    pub async fn run<T, F, O>(mut self, mut operation: F) -> Result<T, E>
    where
        F: FnMut(u32) -> O,
        O: Future<Output = Result<T, E>>,
    {
        let mut attempts = Attempts::new(self.policy, Deadline::current());
        loop {
            let error = match operation(attempts.number).await {
                Ok(value) => {
                    self.budget.inspect(|budget| budget.on_success());
                    return Ok(value);
                }
                Err(error) => error,
            };
            let verdict = error.verdict();
            let failed = attempts.number;
            let Some(wait) = attempts.after(verdict, self.budget) else { return Err(error) };
            if let Some(callback) = &mut self.on_retry {
                callback(failed, &error, wait);
            }
            tokio::time::sleep(wait).await;
        }
    }
}

/// The attempts of one operation so far.
struct Attempts {
    policy: Policy,
    deadline: Option<Deadline>,
    begun: Instant,
    number: u32,
}

impl Attempts {
    fn new(policy: Policy, deadline: Option<Deadline>) -> Self {
        Self { policy, deadline, begun: Instant::now(), number: 1 }
    }

    /// How long to wait for the next attempt; `None` when there is none.
    fn after(&mut self, verdict: Verdict, budget: Option<&Budget>) -> Option<Duration> {
        if let Some(budget) = budget {
            charge(budget, verdict);
        }
        if verdict == Verdict::Final {
            return None;
        }
        let rng = &mut fastrand::Rng::new();
        let wait = self.policy.next_wait(self.number, verdict, self.begun.elapsed(), rng)?;
        if self.deadline.is_some_and(|deadline| !deadline.allows(wait)) {
            return None;
        }
        if budget.is_some_and(|budget| !budget.allows()) {
            return None;
        }
        self.number += 1;
        Some(wait)
    }
}

/// Counts a failure against a budget when it is worth another try.
fn charge(budget: &Budget, verdict: Verdict) {
    match verdict {
        Verdict::Final => budget.on_success(),
        Verdict::Retry | Verdict::RetryAfter(_) => budget.on_failure(),
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
    async fn a_budget_and_a_callback_are_heard() {
        let budget = Budget::new(BudgetConfig { max_tokens: 4, token_ratio: 0.1 }).unwrap();
        let mut seen = Vec::new();
        for expect in [2, 1, 1] {
            let mut tries = 0;
            let retrying = Retrying::new(Policy::STANDARD).with_budget(&budget);
            let retrying =
                retrying.on_retry(|attempt, fault: &Fault, wait| seen.push((attempt, fault.code, wait)));
            let result = retrying.run(|attempt| {
                tries = attempt;
                async { Err::<(), _>(Fault::new(FaultKind::Unavailable, "TST-0001", "no")) }
            });
            assert!(result.await.is_err());
            assert_eq!(tries, expect);
        }
        assert!(
            matches!(seen.as_slice(), [(1, "TST-0001", wait)] if *wait >= Duration::from_secs(1)),
            "{seen:?}"
        );
        let fine = Retrying::<Fault>::new(Policy::QUICK).with_budget(&budget).run(|_| async { Ok(1) }).await;
        assert!(fine.is_ok() && budget.tokens() > 0.0);
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
