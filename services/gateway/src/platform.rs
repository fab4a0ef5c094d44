//! The platform as its callers see it: which services answer right now.
//!
//! Anybody may ask, so the answer is kept for a moment: however often it is
//! asked for, each service is asked once a second at most.

use futures::future::join_all;
use probity_proto::{BoxGrpcService, gateway};
use probity_runtime::Setup;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(1);
/// How long a service may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Looks after the other services.
pub(crate) struct Platform {
    peers: Vec<(&'static str, BoxGrpcService)>,
    last: Mutex<Option<(Instant, Vec<gateway::ServiceStatus>)>>,
}

impl Platform {
    pub(crate) fn new(setup: &Setup) -> Self {
        let others = setup.platform_services().into_iter().filter(|name| *name != "gateway");
        let peers = others.map(|name| (name, setup.peer(name))).collect();
        Self { peers, last: Mutex::new(None) }
    }

    /// The version and the services. Who asks while the services are being asked
    /// waits for the same answer.
    pub(crate) async fn look(&self) -> gateway::Platform {
        let mut last = self.last.lock().await;
        let services = match last.as_ref() {
            Some((at, services)) if at.elapsed() < KEPT => services.clone(),
            _ => {
                let services = self.ask().await;
                *last = Some((Instant::now(), services.clone()));
                services
            }
        };
        gateway::Platform { version: env!("CARGO_PKG_VERSION").to_owned(), services }
    }

    async fn ask(&self) -> Vec<gateway::ServiceStatus> {
        let own = gateway::ServiceStatus { service: "gateway".to_owned(), serving: true };
        let others = self.peers.iter().map(|(name, peer)| async move {
            gateway::ServiceStatus { service: (*name).to_owned(), serving: serves(peer.clone()).await }
        });
        std::iter::once(own).chain(join_all(others).await).collect()
    }
}

async fn serves(peer: BoxGrpcService) -> bool {
    let mut client = HealthClient::new(peer);
    let asked = timeout(PATIENCE, client.check(HealthCheckRequest::default())).await;
    asked.is_ok_and(|answer| answer.is_ok_and(|a| a.into_inner().status() == ServingStatus::Serving))
}
