//! Evaluates the policies of a case on the sandbox's threads, with a cache of
//! compiled policies and a quarantine for those that ran out of time.
//!
//! Whatever goes wrong with a policy becomes a [`Trouble`] in its verdict, so a
//! case is never let pass by accident. Only a lack of threads is an error: then
//! nothing was evaluated, and the same call may succeed later.

use crate::config::Config;
use crate::domain::policy::source_sha256;
use crate::domain::{
    Case, CaseKind, Compiled, Evaluation, Outcome, Policy, PolicyError, Quarantine, Trouble, Verdict, decide,
    evaluate,
};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::sandbox::{Limits, Lost, Sandbox};
use lru::LruCache;
use parking_lot::Mutex;
use probity_types::Clock;
use regorus::Value;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

type Sha256 = [u8; 32];

/// The evaluator. Clones share everything.
#[derive(Clone)]
pub(crate) struct Evaluator(Arc<Inner>);

struct Inner {
    config: Config,
    sandbox: Sandbox,
    compiled: Mutex<LruCache<Sha256, Arc<Compiled>>>,
    quarantine: Mutex<Quarantine>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

impl Evaluator {
    /// An evaluator with an empty cache.
    #[must_use]
    pub(crate) fn new(config: Config, clock: Arc<dyn Clock>, metrics: Metrics) -> Self {
        let sandbox = Sandbox::new(Limits {
            workers: config.workers,
            stack_bytes: config.stack_mib * 1024 * 1024,
            max_stuck: config.max_stuck,
            queue_wait: Duration::from_millis(config.queue_wait_ms),
        });
        let entries = NonZeroUsize::new(config.cache_entries).unwrap_or(NonZeroUsize::MIN);
        Self(Arc::new(Inner {
            quarantine: Mutex::new(Quarantine::new(config.quarantine_after, config.quarantine())),
            compiled: Mutex::new(LruCache::new(entries)),
            config,
            sandbox,
            clock,
            metrics,
        }))
    }

    /// Compiles a policy that is to be published and tries it on a case without
    /// findings of each kind.
    ///
    /// # Errors
    /// Why the policy is refused, or that there is no thread for it.
    pub(crate) async fn check(&self, source: Arc<str>, kinds: Vec<CaseKind>) -> Result<(), Error> {
        self.refuse_when_worn()?;
        let sha256 = source_sha256(&source);
        let compiled = self.compile(sha256, source).await?.map_err(|error| self.refuse(error))?;
        let (limit, shared) = (self.0.config.time_limit(), Arc::clone(&compiled));
        let patience = self.0.config.give_up_after() * 4;
        let rehearsed = self.0.sandbox.run(patience, move || shared.rehearse(&kinds, limit)).await;
        let verdict =
            rehearsed.or_else(|lost| self.lost(sha256, lost, patience).map(|t| Err(as_error(&t))))?;
        verdict.map_err(|error| self.refuse(error))
    }

    /// Evaluates a text that is not published on a case.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(crate) async fn try_out(&self, policy: Policy, case: &Case) -> Result<Evaluation, Error> {
        self.refuse_when_worn()?;
        let source = Arc::clone(&policy.source);
        self.compile(policy.sha256, source).await?.map_err(|error| self.refuse(error))?;
        self.evaluate(&[policy], case).await
    }

    /// Evaluates all policies on a case, one after the other.
    ///
    /// # Errors
    /// [`Error::Busy`] when there was no thread for one of them.
    pub(crate) async fn evaluate(&self, policies: &[Policy], case: &Case) -> Result<Evaluation, Error> {
        let started = Instant::now();
        let input = evaluate::input(case).map_err(|error| Error::Internal(error.to_string()))?;
        let mut outcomes = Vec::with_capacity(policies.len());
        for policy in policies {
            let verdict = match self.time_left(started) {
                true => self.ask(policy, &input).await?,
                false => Verdict::of(Trouble::NoTimeLeft { limit: self.0.config.evaluation_limit() }),
            };
            verdict.troubles.iter().for_each(|trouble| self.noted(policy, trouble));
            outcomes.push(Outcome { policy: policy.label(), verdict });
        }
        let evaluation = decide(case.kind, &outcomes);
        self.0.metrics.evaluated(&evaluation, started.elapsed());
        Ok(evaluation)
    }

    fn time_left(&self, started: Instant) -> bool {
        started.elapsed() < self.0.config.evaluation_limit()
    }

    fn noted(&self, policy: &Policy, trouble: &Trouble) {
        self.0.metrics.trouble(trouble);
        tracing::warn!(policy = %policy.label(), reason = trouble.rule(), %trouble, "policy cannot be relied on");
    }

    async fn ask(&self, policy: &Policy, input: &Value) -> Result<Verdict, Error> {
        if self.0.quarantine.lock().holds(&policy.sha256, self.0.clock.now()) {
            return Ok(Verdict::of(Trouble::Quarantined));
        }
        let compiled = match self.compile(policy.sha256, Arc::clone(&policy.source)).await? {
            Ok(compiled) => compiled,
            Err(error) => return Ok(Verdict::of(Trouble::Broken(error))),
        };
        let (limit, patience) = (self.0.config.time_limit(), self.0.config.give_up_after());
        let input = input.clone();
        match self.0.sandbox.run(patience, move || twice(&compiled, &input, limit)).await {
            Ok(verdict) => {
                self.remember(policy.sha256, &verdict);
                Ok(verdict)
            }
            Err(lost) => self.lost(policy.sha256, lost, patience).map(Verdict::of),
        }
    }

    fn remember(&self, policy: Sha256, verdict: &Verdict) {
        let mut quarantine = self.0.quarantine.lock();
        if timed_out(verdict) {
            quarantine.strike(policy, self.0.clock.now());
        } else {
            quarantine.clear(&policy);
        }
    }

    /// What it means that a job has no result.
    fn lost(&self, policy: Sha256, lost: Lost, waited: Duration) -> Result<Trouble, Error> {
        self.0.metrics.stuck(self.0.sandbox.stuck());
        match lost {
            Lost::Busy => Err(Error::Busy),
            Lost::Panicked(message) => Ok(Trouble::Panicked { message }),
            Lost::Stuck => {
                self.0.quarantine.lock().overrun(policy, self.0.clock.now());
                Ok(Trouble::Overrun { waited })
            }
        }
    }

    /// The compiled policy, from the cache or made now.
    async fn compile(
        &self,
        sha256: Sha256,
        source: Arc<str>,
    ) -> Result<Result<Arc<Compiled>, PolicyError>, Error> {
        let known = self.0.compiled.lock().get(&sha256).cloned();
        self.0.metrics.looked_up(known.is_some());
        if let Some(known) = known {
            return Ok(Ok(known));
        }
        if self.0.quarantine.lock().holds(&sha256, self.0.clock.now()) {
            return Ok(Err(as_error(&Trouble::Quarantined)));
        }
        let patience = self.0.config.compile_limit();
        let made = match self.0.sandbox.run(patience, move || Compiled::new(&source)).await {
            Ok(made) => made,
            Err(lost) => Err(as_error(&self.lost(sha256, lost, patience)?)),
        };
        Ok(made.map(|compiled| {
            let compiled = Arc::new(compiled);
            self.0.compiled.lock().put(sha256, Arc::clone(&compiled));
            compiled
        }))
    }

    /// While threads are lost, nothing is run that nobody has run before.
    fn refuse_when_worn(&self) -> Result<(), Error> {
        self.0.metrics.stuck(self.0.sandbox.stuck());
        if self.0.sandbox.is_worn() { Err(Error::Busy) } else { Ok(()) }
    }

    fn refuse(&self, error: PolicyError) -> Error {
        self.0.metrics.refused();
        Error::Policy(error)
    }
}

/// The clock on the wall also counts while a busy machine lets the thread wait,
/// which is not the policy's fault: so a time-out gets a second chance.
fn twice(compiled: &Compiled, input: &Value, limit: Duration) -> Verdict {
    let verdict = compiled.evaluate(input, limit);
    if timed_out(&verdict) { compiled.evaluate(input, limit) } else { verdict }
}

fn timed_out(verdict: &Verdict) -> bool {
    verdict.troubles.iter().any(|trouble| matches!(trouble, Trouble::Timeout { .. }))
}

fn as_error(trouble: &Trouble) -> PolicyError {
    PolicyError::whole(format!("it {trouble}"))
}

#[cfg(test)]
mod tests;
