//! Ends the open time of a breaker early when its peer is back.
//!
//! The first call that a breaker refuses begins this: the peer's health service
//! is asked now and then, and when it says that it serves, probes may pass. Each
//! time they fail all the same, it is asked more rarely. So a restart costs its
//! callers about a second, and a peer that is up but broken is still left alone.

use probity_proto::BoxGrpcService;
use probity_resilience::Breaker;
use probity_resilience::Criticality;
use probity_resilience::breaker::State;
use probity_resilience::limit::CRITICALITY_HEADER;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tonic::Code;
use tonic::metadata::MetadataValue;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// First and longest pause before the peer is asked. The longest is what a peer whose
/// store was away for minutes costs its callers once the store is back.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));
/// How long it may take to answer.
const LIMIT: Duration = Duration::from_secs(1);
/// How often a half-open breaker is looked at, and for how long: without calls
/// nothing becomes of it.
const LOOK: (Duration, u32) = (Duration::from_millis(100), 600);

/// Follows one peer while its breaker is open.
pub(crate) struct Recovery {
    breaker: Arc<Breaker>,
    peer: BoxGrpcService,
    busy: AtomicBool,
}

impl Recovery {
    pub(crate) const fn new(breaker: Arc<Breaker>, peer: BoxGrpcService) -> Self {
        Self { breaker, peer, busy: AtomicBool::new(false) }
    }

    /// Begins to follow the peer, unless somebody does.
    pub(crate) fn wake(self: &Arc<Self>) {
        if !self.busy.swap(true, Ordering::AcqRel) {
            let recovery = self.clone();
            tokio::spawn(async move {
                recovery.follow().await;
                recovery.busy.store(false, Ordering::Release);
            });
        }
    }

    async fn follow(&self) {
        let (mut pause, mut looks) = (PAUSE.0, LOOK.1);
        loop {
            let snapshot = self.breaker.snapshot();
            match snapshot.state {
                State::Closed => return,
                State::Open if snapshot.forced => return,
                State::Open => {
                    tokio::time::sleep(pause).await;
                    if self.serves().await {
                        self.breaker.peer_serves();
                        pause = (pause * 2).min(PAUSE.1);
                    }
                }
                State::HalfOpen if looks == 0 => return,
                State::HalfOpen => {
                    looks -= 1;
                    tokio::time::sleep(LOOK.0).await;
                }
            }
        }
    }

    async fn serves(&self) -> bool {
        let mut request = tonic::Request::new(HealthCheckRequest { service: String::new() });
        // Whoever sheds load is there, and must be able to say so.
        let important = MetadataValue::from_static(Criticality::CriticalPlus.name());
        request.metadata_mut().insert(CRITICALITY_HEADER, important);
        let mut health = HealthClient::new(self.peer.clone());
        match tokio::time::timeout(LIMIT, health.check(request)).await {
            Ok(Ok(said)) => said.into_inner().status() == ServingStatus::Serving,
            // Who knows no health service is there all the same, as gRPC clients take it.
            Ok(Err(status)) => status.code() == Code::Unimplemented,
            Err(_) => false,
        }
    }
}
