//! Denied calls on their way into the audit log.
//!
//! Whoever is refused here has gone around the gateway, so every refusal counts.
//! They are counted together and written once a second: somebody who tries very
//! often cannot flood the log, and nothing goes uncounted.

use parking_lot::Mutex;
use probity_storage::{Db, outbox};
use probity_types::{AuditEvent, Clock, Ctx, Fault};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often they are written.
const EVERY: Duration = Duration::from_secs(1);
/// Different ones kept apart between two writes; the rest is counted together.
const APART: usize = 100;
/// What the rest is counted under.
const OTHERS: &str = "(others)";

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    tenant: String,
    actor: String,
    path: String,
    code: &'static str,
}

#[derive(Debug, Default)]
struct Seen {
    count: u64,
    reason: String,
    request_id: String,
}

/// Denied calls of one service since they were last written.
#[derive(Default)]
pub(crate) struct Denials(Mutex<HashMap<Key, Seen>>);

impl Denials {
    /// Counts a denied call. `ctx` is the caller, where it was credible.
    pub(crate) fn count(&self, ctx: Option<&Ctx>, path: &str, request_id: &str, fault: &Fault) {
        let who = |ctx: &Ctx| (ctx.tenant.clone(), ctx.actor.clone());
        let (tenant, actor) = ctx.map_or_else(|| ("platform".to_owned(), "anonymous".to_owned()), who);
        let mut key = Key { tenant, actor, path: path.chars().take(200).collect(), code: fault.code };
        let mut all = self.0.lock();
        if all.len() >= APART && !all.contains_key(&key) {
            key = Key {
                tenant: "platform".to_owned(),
                actor: OTHERS.to_owned(),
                path: OTHERS.to_owned(),
                code: fault.code,
            };
        }
        let seen = all.entry(key).or_default();
        seen.count += 1;
        if seen.count == 1 {
            seen.reason.clone_from(&fault.message);
            seen.request_id = request_id.chars().take(128).collect();
        }
    }

    fn take(&self, clock: &dyn Clock) -> Vec<AuditEvent> {
        let all = std::mem::take(&mut *self.0.lock());
        all.into_iter().map(|(key, seen)| event(key, &seen, clock)).collect()
    }

    /// Writes what was counted, until `stop` and once more after it.
    pub(crate) async fn write(self: Arc<Self>, db: Db, clock: Arc<dyn Clock>, stop: CancellationToken) {
        loop {
            let ends = tokio::time::timeout(EVERY, stop.cancelled()).await.is_ok();
            let events = self.take(&*clock);
            if !events.is_empty() {
                let stored = db.write(move |tx| Box::pin(store(tx, events))).await;
                if let Err(error) = stored {
                    tracing::error!(%error, "denied calls could not be written to the outbox");
                }
            }
            if ends {
                return;
            }
        }
    }
}

async fn store(tx: &mut probity_storage::Tx, events: Vec<AuditEvent>) -> Result<(), probity_storage::Error> {
    for event in &events {
        outbox::append(tx, event).await?;
    }
    Ok(())
}

fn event(key: Key, seen: &Seen, clock: &dyn Clock) -> AuditEvent {
    let ctx = Ctx {
        tenant: key.tenant,
        actor: key.actor,
        roles: probity_types::Roles::default(),
        request_id: seen.request_id.clone(),
        trace_id: String::new(),
    };
    AuditEvent::new(&ctx, clock.now(), "call.denied", key.path)
        .with_outcome("denied")
        .with_detail(&json!({ "code": key.code, "reason": seen.reason, "count": seen.count }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_types::{FaultKind, SystemClock};

    #[test]
    fn many_are_counted_and_few_are_written() {
        let denials = Denials::default();
        let fault = Fault::new(FaultKind::Unauthenticated, "RUN-0004", "no token");
        for number in 0..1_000 {
            denials.count(None, &format!("/p/{}", number % 500), "r", &fault);
        }
        let events = denials.take(&SystemClock);
        assert_eq!(events.len(), APART + 1);
        let count = |e: &AuditEvent| {
            serde_json::from_str::<serde_json::Value>(&e.detail).unwrap()["count"].as_u64().unwrap()
        };
        assert_eq!(events.iter().map(count).sum::<u64>(), 1_000);
        assert!(denials.take(&SystemClock).is_empty());
    }
}
