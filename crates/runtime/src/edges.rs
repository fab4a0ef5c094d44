//! Who may call whom: `edges.toml`, read once.

use serde::Deserialize;
use std::sync::LazyLock;

/// A service of the platform.
#[derive(Debug, Clone, Deserialize)]
pub struct ServiceEntry {
    /// Its name.
    pub name: String,
    /// The gRPC packages it serves.
    pub package: Vec<String>,
    /// Its port when nothing else is configured.
    pub port: u16,
    /// Its admin port when nothing else is configured.
    pub admin_port: u16,
    /// Whether the platform cannot take cases without it.
    pub critical: bool,
    /// Whether it keeps data of its own.
    pub store: bool,
}

/// A call that may happen.
#[derive(Debug, Clone, Deserialize)]
pub struct Edge {
    /// Who calls.
    pub from: String,
    /// Who is called.
    pub to: String,
    /// Why.
    pub why: String,
}

/// The whole table.
#[derive(Debug, Clone, Deserialize)]
pub struct Edges {
    /// The services.
    #[serde(rename = "service")]
    pub services: Vec<ServiceEntry>,
    /// The calls.
    #[serde(rename = "edge")]
    pub edges: Vec<Edge>,
}

static EDGES: LazyLock<Edges> = LazyLock::new(|| {
    #[allow(clippy::expect_used)] // embedded at build time and parsed by a test
    toml::from_str(include_str!("../../../edges.toml")).expect("edges.toml can be read")
});

/// The table of this build.
#[must_use]
pub fn edges() -> &'static Edges {
    &EDGES
}

impl Edges {
    /// The service of that name.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&ServiceEntry> {
        self.services.iter().find(|s| s.name == name)
    }

    /// Who may call `name`.
    #[must_use]
    pub fn callers_of(&self, name: &str) -> Vec<String> {
        self.edges.iter().filter(|e| e.to == name).map(|e| e.from.clone()).collect()
    }

    /// Whether `from` may call `to`.
    #[must_use]
    pub fn allows(&self, from: &str, to: &str) -> bool {
        self.edges.iter().any(|e| e.from == from && e.to == to)
    }

    /// The service that serves a gRPC package.
    #[must_use]
    pub fn serving(&self, package: &str) -> Option<&ServiceEntry> {
        self.services.iter().find(|s| s.package.iter().any(|p| p == package))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_edge_joins_known_services() {
        for edge in &edges().edges {
            for name in [&edge.from, &edge.to] {
                assert!(edges().service(name).is_some(), "{name} is no service");
            }
        }
    }

    #[test]
    fn every_package_of_the_contracts_is_served_by_one_service() {
        for service in probity_proto::pool().services() {
            let package = service.parent_file().package_name().to_owned();
            if package.starts_with("probity.") {
                assert!(edges().serving(&package).is_some(), "{package}");
            }
        }
    }
}
