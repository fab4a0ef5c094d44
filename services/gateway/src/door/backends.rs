//! The services behind the door, by the gRPC package they serve.

use probity_proto::BoxGrpcService;
use probity_proto::gateway::gateway_service_server::{GatewayService, GatewayServiceServer};
use probity_runtime::Setup;
use probity_runtime::edges::edges;
use std::collections::HashMap;
use tower::util::BoxCloneSyncService;

/// The package the gateway answers itself.
const OWN: &str = "probity.gateway.v1";

/// Who answers which package.
pub(crate) struct Backends(HashMap<String, BoxGrpcService>);

impl Backends {
    /// All packages of `edges.toml` that the gateway may call, and its own.
    pub(super) fn new(setup: &Setup, own: BoxGrpcService) -> Self {
        let mut backends = HashMap::from([(OWN.to_owned(), own)]);
        for service in edges().services.iter().filter(|s| edges().allows("gateway", &s.name)) {
            for package in &service.package {
                backends.insert(package.clone(), setup.peer(service.name.as_str()));
            }
        }
        Self(backends)
    }

    /// The gateway's own service, called like any other.
    pub(crate) fn local<S: GatewayService>(server: GatewayServiceServer<S>) -> BoxGrpcService {
        BoxCloneSyncService::new(server)
    }

    /// The service that answers a package.
    pub(super) fn of(&self, package: &str) -> Option<BoxGrpcService> {
        self.0.get(package).cloned()
    }
}
