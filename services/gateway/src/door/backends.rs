//! The services behind the door, by the gRPC package they serve.

use crate::Gateway;
use probity_proto::BoxGrpcService;
use probity_runtime::edges::edges;
use probity_runtime::{Service as _, Setup};
use std::collections::HashMap;

/// Who answers which package.
pub(crate) struct Backends(HashMap<String, BoxGrpcService>);

impl Backends {
    /// All packages of `edges.toml` that the gateway may call, and its own.
    pub(super) fn new(setup: &Setup, own: &BoxGrpcService) -> Self {
        let mut backends: HashMap<_, _> =
            Gateway::PACKAGES.iter().map(|package| ((*package).to_owned(), own.clone())).collect();
        for service in edges().services.iter().filter(|s| edges().allows("gateway", &s.name)) {
            for package in &service.package {
                backends.insert(package.clone(), setup.peer(service.name.as_str()));
            }
        }
        Self(backends)
    }

    /// The service that answers a package.
    pub(super) fn of(&self, package: &str) -> Option<BoxGrpcService> {
        self.0.get(package).cloned()
    }
}
