//! What a call waits for before it is made: the limit of its step, that of its tenant,
//! and a free place among all calls. Always in this order, so that nobody waits in a
//! circle.

use super::{Call, Dispatcher};
use crate::config::Config;
use crate::gate::{FOR_GOOD, Place, Wish};
use crate::tasks;
use parking_lot::Mutex;
use probity_engine::{CallFailure, Definition};
use probity_queue::{Policy, Priority, Rate, Refusal, TenantRule};
use probity_types::id::ExecutionId;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::task::Poll;
use tokio_util::sync::CancellationToken;

/// One place in so many is kept for urgent calls.
const KEPT_SHARE: usize = 8;
/// The lowest priority that is urgent.
const URGENT: u8 = 3;

/// The kinds of places that are free or not, whoever asks.
pub(crate) const FREE_PLACES: [&str; 2] = ["calls", "urgent"];

/// What holds for all calls.
pub(super) struct Rules {
    tenant: Option<Policy>,
    all: Policy,
    /// Places that only urgent calls get; none when there are too few.
    kept: Option<Policy>,
}

impl Rules {
    pub(super) fn new(config: &Config) -> Self {
        let most = config.max_calls_in_flight;
        let kept = most / KEPT_SHARE;
        let policy = |most: usize| {
            let concurrency = Some(u32::try_from(most).unwrap_or(u32::MAX));
            Policy { lease: FOR_GOOD, concurrency, ..Policy::default() }
        };
        let tenant = config.calls.policy();
        Self { tenant, all: policy(most - kept), kept: (kept > 0).then(|| policy(kept)) }
    }
}

/// Executions with calls that wait, so that they can be told not to.
#[derive(Default)]
pub(super) struct Waiting(Mutex<HashMap<ExecutionId, (CancellationToken, usize)>>);

/// A call waits as long as this is.
struct Waits<'a> {
    of: &'a Waiting,
    execution: ExecutionId,
    recalled: CancellationToken,
}

impl Waiting {
    fn wait(&self, execution: ExecutionId) -> Waits<'_> {
        let mut all = self.0.lock();
        let (recalled, count) = all.entry(execution).or_default();
        *count += 1;
        Waits { of: self, execution, recalled: recalled.clone() }
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let mut all = self.of.0.lock();
        if let Some((_, count)) = all.get_mut(&self.execution) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.execution);
            }
        }
    }
}

impl Dispatcher {
    /// The calls of an execution that still wait are not made any more.
    pub(crate) fn recall(&self, execution: ExecutionId) {
        if let Some((recalled, _)) = self.waiting.0.lock().get(&execution) {
            recalled.cancel();
        }
    }

    /// Everything a call needs, held until it is over.
    pub(super) async fn places(&self, call: &Call) -> Result<Vec<Place>, CallFailure> {
        let mut places = std::pin::pin!(self.wait_for_places(call));
        if let Poll::Ready(places) = futures::poll!(places.as_mut()) {
            return places.map_err(|refusal| full(&refusal));
        }
        if call.order.compensation {
            return places.await.map_err(|refusal| full(&refusal));
        }
        let waits = self.waiting.wait(call.order.execution);
        tokio::select! {
            places = places => places.map_err(|refusal| full(&refusal)),
            () = waits.recalled.cancelled() => Err(tasks::recall()),
        }
    }

    async fn wait_for_places(&self, call: &Call) -> Result<Vec<Place>, Refusal> {
        let mut places = Vec::with_capacity(3);
        if let Some(wish) = &call.limit {
            places.push(self.wait("step", self.gate.pass(wish.clone())).await?);
        }
        let wish = |kind: &str, policy: &Policy| Wish {
            kind: kind.into(),
            policy: policy.clone(),
            share: call.tenant.as_str().into(),
            priority: priority(call.priority),
        };
        if let Some(policy) = &self.rules.tenant {
            places.push(self.wait("tenant", self.gate.pass(wish("tenants", policy))).await?);
        }
        let any = self.gate.pass(wish(FREE_PLACES[0], &self.rules.all));
        let Some(kept) = self.rules.kept.as_ref().filter(|_| call.priority >= URGENT) else {
            places.push(self.wait("place", any).await?);
            return Ok(places);
        };
        // Urgent calls have places of their own, so that a flood of others does not
        // keep them waiting.
        let urgent = self.gate.pass(wish(FREE_PLACES[1], kept));
        let either = async {
            tokio::select! {
                biased;
                place = any => place,
                place = urgent => place,
            }
        };
        places.push(self.wait("place", either).await?);
        Ok(places)
    }

    /// Waits, and is counted while it does.
    async fn wait<T>(&self, what: &str, place: impl Future<Output = T>) -> T {
        let mut place = std::pin::pin!(place);
        if let Poll::Ready(place) = futures::poll!(place.as_mut()) {
            return place;
        }
        let _counted = Counted::new(self.metrics.calls_waiting.with_label_values(&[what]));
        place.await
    }
}

/// Counts who waits, also when they give up.
struct Counted(prometheus::IntGauge);

impl Counted {
    fn new(gauge: prometheus::IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What a call of a step waits for when the step has a limit. Versions of a
/// definition with the same limit share it.
pub(crate) fn limited(
    tenant: &str,
    definition: &Definition,
    step: usize,
    key: Option<&str>,
    urgency: u8,
) -> Option<Wish> {
    let spec = definition.steps.get(step)?;
    let limit = spec.limit.as_ref()?;
    let numbers = format!("{:?} {:?}", limit.running, limit.rate);
    let kind = digest(&[tenant, &definition.name, &spec.id, &numbers]);
    let rate = limit.rate.map(|(count, period)| Rate { count, period, burst: count });
    let tenant = TenantRule { concurrency: limit.running, rate, ..TenantRule::default() };
    let policy = Policy { lease: FOR_GOOD, tenant, ..Policy::default() };
    let (kind, share) = (format!("step.{kind}").into(), digest(&[key.unwrap_or_default()]).into());
    Some(Wish { kind, policy, share, priority: priority(urgency) })
}

fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(&hash.finalize()[..16])
}

const fn priority(number: u8) -> Priority {
    match number {
        0 | 1 => Priority::Low,
        2 => Priority::Normal,
        3 => Priority::High,
        _ => Priority::Critical,
    }
}

fn full(refusal: &Refusal) -> CallFailure {
    CallFailure {
        code: "ORC-0007".to_owned(),
        message: format!("there is no room for one more call that waits: {refusal}"),
        transient: true,
        retry_after: None,
    }
}
