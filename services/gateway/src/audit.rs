//! Denials on their way into the audit log: counted in memory, written once a
//! second, so that refusing a call never waits for a disk.

use crate::config::Config;
use crate::domain::denials::{Counted, Denial, Denials as Counter};
use crate::store::Store;
use parking_lot::Mutex;
use probity_runtime::Setup;
use probity_types::{AuditEvent, Clock, Ctx, Micros, Roles};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often denials are written.
const INTERVAL: Duration = Duration::from_secs(1);

/// Takes note of denials.
#[derive(Clone)]
pub(crate) struct Denials {
    counter: Arc<Mutex<Counter>>,
}

impl Denials {
    /// Starts writing in the background. The last ones are written when the
    /// gateway drains.
    pub(crate) fn start(config: &Config, store: Store, setup: &mut Setup) -> Self {
        let counter = Arc::new(Mutex::new(Counter::new(config.denials_per_second)));
        let writer = Writer { counter: counter.clone(), store, clock: setup.clock() };
        setup.spawn("denials", |stop| writer.run(stop));
        Self { counter }
    }

    pub(crate) fn note(&self, denial: Denial, request_id: &str) {
        self.counter.lock().note(denial, request_id);
    }
}

struct Writer {
    counter: Arc<Mutex<Counter>>,
    store: Store,
    clock: Arc<dyn Clock>,
}

impl Writer {
    async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let _ = tokio::time::timeout(INTERVAL, stop.cancelled()).await;
            self.write().await;
        }
    }

    async fn write(&self) {
        let counted = self.counter.lock().take();
        if counted.is_empty() {
            return;
        }
        let now = self.clock.now();
        let events = counted.iter().map(|one| event(one, now)).collect();
        if let Err(error) = self.store.record(events).await {
            tracing::warn!(%error, "denials could not be written; they are kept for the next try");
            self.counter.lock().put_back(counted);
        }
    }
}

fn event(counted: &Counted, now: Micros) -> AuditEvent {
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
    AuditEvent::new(&ctx, now, "auth.denied", denial.method.trim_start_matches('/'))
        .with_outcome("denied")
        .with_detail(&detail)
}
