//! `edges.toml` as the rules need it.

use crate::{Problem, tree};
use anyhow::{Context as _, Result};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::Path;

/// The file.
pub const FILE: &str = "edges.toml";

/// The whole table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edges {
    /// The services.
    #[serde(rename = "service")]
    pub services: Vec<Service>,
    /// The calls that may happen.
    #[serde(rename = "edge")]
    pub edges: Vec<Edge>,
    /// The crates by layer, lowest first.
    #[serde(rename = "layer")]
    pub layers: Vec<Layer>,
}

/// A service.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its name and directory.
    pub name: String,
    /// The prefix of its error codes.
    pub errors: String,
    /// The gRPC packages it serves.
    pub package: Vec<String>,
    /// Its default port.
    pub port: u16,
    /// Its default admin port.
    pub admin_port: u16,
    /// Whether the platform cannot take cases without it.
    pub critical: bool,
    /// Whether it keeps data of its own.
    pub store: bool,
}

/// A call that may happen.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// The caller.
    pub from: String,
    /// The callee.
    pub to: String,
    /// What for.
    pub why: String,
}

/// Crates that may depend on those of the layers before, not on each other.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Its name, for messages.
    pub name: String,
    /// Its crates.
    pub crates: Vec<String>,
}

/// Reads the table.
pub fn read(root: &Path) -> Result<Edges> {
    toml::from_str(&tree::read(root, FILE)?).with_context(|| format!("{FILE} is not as it should be"))
}

impl Edges {
    /// The position of a crate's layer.
    #[must_use]
    pub fn layer_of(&self, package: &str) -> Option<usize> {
        self.layers.iter().position(|layer| layer.crates.iter().any(|name| name == package))
    }

    /// What is wrong with the table itself.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        let names: BTreeSet<_> = self.services.iter().map(|s| s.name.as_str()).collect();
        for edge in &self.edges {
            for name in [&edge.from, &edge.to].into_iter().filter(|name| !names.contains(name.as_str())) {
                let what = format!("the edge {} → {} names {name}, which is no service", edge.from, edge.to);
                found.push(Problem::new(FILE, what, "add a [[service]] of that name, or mend the edge"));
            }
            if edge.why.trim().is_empty() {
                let what = format!("the edge {} → {} has no reason", edge.from, edge.to);
                found.push(Problem::new(FILE, what, "say in `why` what the call is for"));
            }
        }
        for service in &self.services {
            let audited = self.edges.iter().any(|e| e.from == service.name && e.to == "audit-aggregator");
            if service.store && !audited && service.name != "audit-aggregator" {
                let what = format!("{} keeps data and has no edge to audit-aggregator", service.name);
                found.push(Problem::new(FILE, what, "add the edge: its outbox is relayed to the audit log"));
            }
        }
        let values = self
            .services
            .iter()
            .flat_map(|s| [s.port.to_string(), s.admin_port.to_string(), s.errors.clone()]);
        let edges = self.edges.iter().map(|e| format!("{} → {}", e.from, e.to));
        found.extend(doubled(values.chain(edges)));
        found
    }
}

fn doubled(values: impl Iterator<Item = String>) -> Vec<Problem> {
    let mut seen = BTreeSet::new();
    let twice = values.filter(|value| !seen.insert(value.clone()));
    twice.map(|value| Problem::new(FILE, format!("{value} is there twice"), "give each its own")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        service = [
            { name = "a", errors = "AAA", package = [], port = 1, admin_port = 2, critical = true, store = false },
            { name = "audit-aggregator", errors = "BBB", package = [], port = 3, admin_port = 4, critical = true, store = true },
        ]
        edge = [{ from = "a", to = "audit-aggregator", why = "because" }]
        layer = []
    "#;

    #[test]
    fn mistakes_in_the_table_are_named() {
        let check = |from: &str, to: &str, expect: &[&str]| {
            assert!(GOOD.contains(from), "{from}");
            let edges: Edges = toml::from_str(&GOOD.replacen(from, to, 1)).unwrap();
            let found: Vec<_> = edges.problems().into_iter().map(|p| p.what).collect();
            assert_eq!(found, expect, "{from} → {to}");
        };
        check("a", "a", &[]);
        check("port = 1", "port = 4", &["4 is there twice"]);
        check("AAA", "BBB", &["BBB is there twice"]);
        check("because", " ", &["the edge a → audit-aggregator has no reason"]);
        check(
            "from = \"a\"",
            "from = \"z\"",
            &["the edge z → audit-aggregator names z, which is no service"],
        );
        check(
            "store = false },\n            { name = \"audit-aggregator\"",
            "store = true },\n            { name = \"other\"",
            &[
                "the edge a → audit-aggregator names audit-aggregator, which is no service",
                "other keeps data and has no edge to audit-aggregator",
            ],
        );
    }

    #[test]
    fn the_table_of_this_repository_is_sound() {
        crate::problem::assert_none(&read(&tree::built_from()).unwrap().problems());
    }
}
