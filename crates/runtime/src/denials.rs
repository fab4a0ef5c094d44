//! Refused calls on their way into the audit log: equal ones are counted together
//! in memory and written once a second, so that refusing a call never waits for a
//! disk, and somebody who tries very often can neither flood the log nor go
//! uncounted. The gateway counts what it refuses at the door with it, every other
//! service what it refuses to whoever has gone around the gateway.

use parking_lot::Mutex;
use probity_storage::{Db, outbox};
use probity_types::{AuditEvent, Clock, Ctx, Micros, Roles};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often they are written.
const EVERY: Duration = Duration::from_secs(1);

/// A call that was refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denial {
    /// The tenant of the caller; a fixed one when nobody knows.
    pub tenant: String,
    /// Who it was, as far as known.
    pub actor: String,
    /// Where it came from; empty for calls inside the process.
    pub address: String,
    /// The RPC.
    pub method: String,
    /// The stable code of the refusal.
    pub code: &'static str,
    /// Why, in one sentence.
    pub reason: String,
}

/// Equal denials within a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Counted {
    denial: Denial,
    count: u64,
    /// The request id of the first one.
    request_id: String,
}

/// What has been refused since the last time it was asked.
#[derive(Debug)]
struct Counter {
    limit: usize,
    seen: BTreeMap<Denial, (u64, String)>,
}

impl Counter {
    /// Keeps at most `limit` different denials apart, and one more for each tenant
    /// and code that counts all the rest.
    const fn new(limit: usize) -> Self {
        Self { limit, seen: BTreeMap::new() }
    }

    fn take(&mut self) -> Vec<Counted> {
        let seen = std::mem::take(&mut self.seen);
        seen.into_iter().map(|(denial, (count, request_id))| Counted { denial, count, request_id }).collect()
    }

    fn add(&mut self, denial: Denial, count: u64, request_id: &str) {
        let known = self.seen.contains_key(&denial) || self.seen.len() < self.limit;
        let key = if known { denial } else { others(&denial) };
        let slot = self.seen.entry(key).or_insert_with(|| (0, request_id.to_owned()));
        slot.0 = slot.0.saturating_add(count);
    }
}

/// What stands for all denials of a code that are not kept apart.
fn others(denial: &Denial) -> Denial {
    Denial {
        tenant: denial.tenant.clone(),
        actor: "several".to_owned(),
        address: "several".to_owned(),
        method: "several".to_owned(),
        code: denial.code,
        reason: "too many different callers were refused at once to name each".to_owned(),
    }
}

/// Takes note of denials. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Denials {
    counter: Arc<Mutex<Counter>>,
    action: &'static str,
}

impl Denials {
    /// Notes denials as audit events of this action, and keeps at most `limit`
    /// different ones apart between two writes.
    #[must_use]
    pub fn new(action: &'static str, limit: usize) -> Self {
        Self { counter: Arc::new(Mutex::new(Counter::new(limit))), action }
    }

    /// Counts one.
    pub fn note(&self, denial: Denial, request_id: &str) {
        self.counter.lock().add(denial, 1, request_id);
    }

    /// Writes what was counted to the outbox of a store, until `stop` and once more
    /// after it. What cannot be written is kept for the next time.
    pub async fn write(self, db: Db, clock: Arc<dyn Clock>, stop: CancellationToken) {
        loop {
            let ends = tokio::time::timeout(EVERY, stop.cancelled()).await.is_ok();
            self.write_once(&db, clock.now()).await;
            if ends {
                return;
            }
        }
    }

    async fn write_once(&self, db: &Db, now: Micros) {
        let counted = self.counter.lock().take();
        if counted.is_empty() {
            return;
        }
        let events = counted.iter().map(|one| event(self.action, one, now)).collect();
        if let Err(error) = store(db, events).await {
            tracing::warn!(%error, "denials could not be written; they are kept for the next try");
            let mut counter = self.counter.lock();
            counted.into_iter().for_each(|one| counter.add(one.denial, one.count, &one.request_id));
        }
    }
}

async fn store(db: &Db, events: Vec<AuditEvent>) -> Result<(), probity_storage::Error> {
    db.write(move |tx| {
        Box::pin(async move {
            for event in &events {
                outbox::append(tx, event).await?;
            }
            Ok(())
        })
    })
    .await
}

fn event(action: &'static str, counted: &Counted, now: Micros) -> AuditEvent {
    let denial = &counted.denial;
    let ctx = Ctx {
        tenant: denial.tenant.clone(),
        actor: denial.actor.clone(),
        roles: Roles::default(),
        request_id: counted.request_id.clone(),
        trace_id: String::new(),
    };
    let detail = json!({
        "code": denial.code,
        "reason": denial.reason,
        "address": denial.address,
        "count": counted.count,
    });
    AuditEvent::new(&ctx, now, action, denial.method.trim_start_matches('/'))
        .with_outcome("denied")
        .with_detail(&detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_storage::DbConfig;
    use probity_types::SystemClock;
    use proptest::prelude::*;

    fn denial(n: usize) -> Denial {
        Denial {
            tenant: "default".into(),
            actor: format!("users/{n}"),
            address: "10.0.0.1".into(),
            method: "/probity.audit.v1.AuditService/Append".into(),
            code: "GTW-0013",
            reason: "no".into(),
        }
    }

    #[test]
    fn equal_ones_become_one_with_a_count() {
        let mut counter = Counter::new(10);
        for i in 0..5 {
            counter.add(denial(1), 1, &format!("r{i}"));
        }
        let taken = counter.take();
        assert_eq!(taken.len(), 1);
        assert_eq!((taken[0].count, taken[0].request_id.as_str()), (5, "r0"));
        assert!(counter.take().is_empty());
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_kept_and_what_can_be_is_told_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let open = async |file: &str| {
            let url = format!("sqlite:{}", dir.path().join(file).display());
            Db::open(&DbConfig { url, ..DbConfig::default() }, "t", &[]).await.unwrap()
        };
        let denials = Denials::new("call.denied", 10);
        denials.note(denial(1), "r1");
        denials.note(denial(1), "r2");
        let closed = open("closed.db").await;
        closed.close().await;
        denials.write_once(&closed, Micros(1)).await;
        let db = open("open.db").await;
        assert_eq!(denials.counter.lock().seen.values().map(|(count, _)| *count).sum::<u64>(), 2);
        let stop = CancellationToken::new();
        stop.cancel();
        denials.clone().write(db.clone(), Arc::new(SystemClock), stop).await;
        assert_eq!(outbox::backlog(&db).await.unwrap(), 1);
        assert!(denials.counter.lock().seen.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn bounded_and_nothing_uncounted(callers in prop::collection::vec(0_usize..500, 0..2_000), limit in 1_usize..50) {
            let mut counter = Counter::new(limit);
            for caller in &callers {
                counter.add(denial(*caller), 1, "r");
            }
            let taken = counter.take();
            prop_assert!(taken.len() <= limit + 1);
            prop_assert_eq!(taken.iter().map(|c| c.count).sum::<u64>(), callers.len() as u64);
        }
    }
}
