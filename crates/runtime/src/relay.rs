//! The outbox relay: hands what was committed to the audit log, in order, until
//! the log has it.
//!
//! **Architecture invariant:** an event leaves the outbox only after the log
//! answered that it is durable there. A repeated batch is harmless because the
//! log keeps each event id once. No request ever waits for this.

use crate::call::Caller;
use crate::identity::Minter;
use crate::metrics::OutboxMetrics;
use crate::status::fault_of;
use futures::future::BoxFuture;
use probity_proto::BoxGrpcService;
use probity_proto::audit::audit_service_client::AuditServiceClient;
use probity_proto::audit::{AppendRequest, Entry};
use probity_resilience::Criticality;
use probity_storage::{Db, outbox};
use probity_types::{AuditEvent, Clock, Fault};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Events in one batch.
const BATCH: u32 = 500;
/// Looks again after this long even when nobody knocked.
const IDLE: Duration = Duration::from_secs(1);
/// At least so long from one look to the next: what is committed meanwhile goes in
/// one batch. Each batch is a transaction of the log and one of the outbox, so a
/// busy service would otherwise commit as often for its relay as for its callers.
const PACE: Duration = Duration::from_millis(100);
/// First and longest wait after a failure.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long the log may take for a batch. A call that vanished must not hold up the
/// outbox after the log is back.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time for the last batches when the process stops.
const FAREWELL: Duration = Duration::from_secs(3);

/// Events that wait for the log.
#[derive(Debug, Default)]
pub struct Pending {
    /// With their sequence numbers.
    pub events: Vec<(i64, AuditEvent)>,
    /// Whether more of them were there when these were read.
    pub more: bool,
}

/// Where committed events wait for the log.
pub trait Outbox: Send + Sync + 'static {
    /// The oldest events the log does not have yet, at most `limit`, in the order of
    /// their commits.
    fn pending(&self, limit: u32) -> BoxFuture<'_, Result<Pending, Fault>>;

    /// The log has everything up to this sequence number.
    fn acknowledge(&self, sequence: i64) -> BoxFuture<'_, Result<(), Fault>>;

    /// Knocks when something was committed.
    fn notify(&self) -> Arc<Notify>;
}

impl Outbox for Db {
    fn pending(&self, limit: u32) -> BoxFuture<'_, Result<Pending, Fault>> {
        Box::pin(async move {
            let events = outbox::pending(self, 0, limit).await?;
            let more = events.len() >= limit as usize;
            Ok(Pending { events, more })
        })
    }

    fn acknowledge(&self, sequence: i64) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move { Ok(outbox::acknowledge(self, sequence).await?) })
    }

    fn notify(&self) -> Arc<Notify> {
        self.outbox_notify()
    }
}

/// How long batches are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// What was there when the last batch was read is sent. What came meanwhile waits
    /// for the next look: a busy service would never see its outbox empty, and send
    /// every few events by themselves.
    CaughtUp,
    /// Nothing is left.
    Empty,
}

/// The relay of one service.
pub(crate) struct Relay {
    pub(crate) service: &'static str,
    pub(crate) outbox: Arc<dyn Outbox>,
    pub(crate) audit: BoxGrpcService,
    pub(crate) minter: Arc<Minter>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Which of the outboxes of the service.
    pub(crate) name: &'static str,
    pub(crate) gauges: OutboxMetrics,
}

impl Relay {
    /// Relays until `stop`, then once more what is left.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let notify = self.outbox.notify();
        let mut wait = BACKOFF.0;
        while !stop.is_cancelled() {
            let looked = tokio::time::Instant::now();
            let drained = tokio::select! {
                // What was under way is sent again below: the log keeps each event once.
                () = stop.cancelled() => break,
                drained = self.drain(Until::CaughtUp) => drained,
            };
            let (pause, knocked) = match drained {
                Ok(()) => {
                    wait = BACKOFF.0;
                    (IDLE, true)
                }
                Err(fault) => {
                    tracing::warn!(service = self.service, error = %fault, "the audit log did not take the outbox");
                    wait = (wait * 2).min(BACKOFF.1);
                    (wait, false)
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = async {
                    notify.notified().await;
                    tokio::time::sleep_until(looked + PACE).await;
                }, if knocked => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        let _ = tokio::time::timeout(FAREWELL, self.drain(Until::Empty)).await;
    }

    /// Sends batch after batch.
    async fn drain(&self, until: Until) -> Result<(), Fault> {
        loop {
            let Pending { events, more } = self.outbox.pending(BATCH).await?;
            self.look_at(&events);
            let Some(last) = events.last().map(|(sequence, _)| *sequence) else { return Ok(()) };
            let entries: Vec<_> = events.into_iter().map(|(_, event)| entry(self.service, event)).collect();
            for chunk in entries.chunks(BATCH as usize) {
                probity_failpoint::hit("relay.before_send");
                self.send(chunk.to_vec()).await?;
                probity_failpoint::hit("relay.after_send");
            }
            self.outbox.acknowledge(last).await?;
            probity_failpoint::hit("relay.acknowledged");
            if !more && until == Until::CaughtUp {
                return Ok(());
            }
        }
    }

    fn look_at(&self, batch: &[(i64, AuditEvent)]) {
        let oldest = batch.iter().map(|(_, event)| event.time).min();
        let age = oldest.map_or(0.0, |at| self.clock.now().since(at).as_secs_f64());
        self.gauges.seen(self.name, age, batch.len());
    }

    async fn send(&self, entries: Vec<Entry>) -> Result<(), Fault> {
        let (ctx, token) = self.minter.mint_own()?;
        let mut request =
            Caller::new(ctx, token).matters(Criticality::SheddablePlus).request(AppendRequest { entries });
        request.set_timeout(PATIENCE);
        let mut client = AuditServiceClient::new(self.audit.clone());
        client.append(request).await.map(|_| ()).map_err(|s| fault_of(&s))
    }
}

fn entry(service: &str, event: AuditEvent) -> Entry {
    Entry {
        event_id: event.event_id.to_string(),
        tenant: event.tenant,
        time_us: event.time.0,
        actor: event.actor,
        action: event.action,
        subject: event.subject,
        case: event.case,
        outcome: event.outcome,
        detail: event.detail,
        service: service.to_owned(),
        request_id: event.request_id,
        trace_id: event.trace_id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ResilienceConfig;
    use crate::peers::Peers;
    use probity_types::{Ctx, Micros, SystemClock};
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// One event that the log never gets.
    struct One;

    impl Outbox for One {
        fn pending(&self, _limit: u32) -> BoxFuture<'_, Result<Pending, Fault>> {
            let event = AuditEvent::new(&Ctx::service("intake", "t", "r"), Micros(1), "a", "s");
            Box::pin(std::future::ready(Ok(Pending { events: vec![(1, event)], more: false })))
        }

        fn acknowledge(&self, _sequence: i64) -> BoxFuture<'_, Result<(), Fault>> {
            Box::pin(std::future::ready(Ok(())))
        }

        fn notify(&self) -> Arc<Notify> {
            Arc::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_vanishes_is_sent_again_and_holds_up_no_end() {
        let calls = Arc::new(AtomicU32::new(0));
        let seen = calls.clone();
        let gone = BoxGrpcService::new(tower::service_fn(move |_request| {
            seen.fetch_add(1, Ordering::SeqCst);
            std::future::pending()
        }));
        let peers = Peers::new(BTreeMap::new(), ResilienceConfig::default());
        peers.add_local("audit-aggregator", gone);
        let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(SystemClock));
        let minter = Arc::new(Minter::open(dir.path(), "intake", clock).unwrap());
        let audit = peers.client("intake", "audit-aggregator");
        let registry = prometheus::Registry::new();
        let gauges = OutboxMetrics::new(&registry).unwrap();
        let relay = Relay {
            service: "intake",
            outbox: Arc::new(One),
            audit,
            minter,
            clock: Arc::new(SystemClock),
            name: "table",
            gauges,
        };
        let stop = CancellationToken::new();
        let running = tokio::spawn(relay.run(stop.clone()));
        let begun = tokio::time::Instant::now();
        while calls.load(Ordering::SeqCst) < 3 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(begun.elapsed() < PATIENCE * 3, "{:?}", begun.elapsed());
        let seen = registry.gather();
        let value = |name: &str| {
            let of = seen.iter().find(|family| family.name() == name).expect(name);
            of.get_metric()[0].get_gauge().get_value()
        };
        assert!(value("outbox_oldest_age_seconds") > 0.0);
        assert!((value("outbox_waiting_events") - 1.0).abs() < f64::EPSILON);
        let stopped = tokio::time::Instant::now();
        stop.cancel();
        running.await.unwrap();
        assert!(stopped.elapsed() <= FAREWELL, "{:?}", stopped.elapsed());
    }
}
