//! `edges.toml` as the chart and Prometheus read it.

use crate::edges::{Edges, Service};
use anyhow::Result;
use serde_json::json;
use std::fmt::Write as _;

const HEAD: &str = "# The services and who may call whom. Written by `cargo run -p xtask -- deploy` from edges.toml:\n\
    # change it there.\nservices:\n";

/// The list the chart loops over.
pub(super) fn list(edges: &Edges) -> String {
    let mut text = HEAD.to_owned();
    for service in &edges.services {
        entry(&mut text, edges, service);
    }
    text
}

fn entry(text: &mut String, edges: &Edges, service: &Service) {
    let name = &service.name;
    let calls = edges.edges.iter().filter(|edge| edge.from == *name).map(|edge| edge.to.as_str());
    let callers = edges.edges.iter().filter(|edge| edge.to == *name).map(|edge| edge.from.as_str());
    let packages = service.package.iter().map(String::as_str);
    let _ = write!(
        text,
        "  - name: {name}\n    section: {}\n    port: {}\n    adminPort: {}\n    critical: {}\n    store: {}\n    \
         packages: [{}]\n    calls: [{}]\n    callers: [{}]\n",
        name.replace('-', "_"),
        service.port,
        service.admin_port,
        service.critical,
        service.store,
        join(packages),
        join(calls),
        join(callers),
    );
}

fn join<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// The targets of Prometheus outside a cluster: each service by its name.
pub(super) fn scraped(edges: &Edges) -> Result<String> {
    let targets: Vec<_> = edges
        .services
        .iter()
        .map(|s| json!({ "targets": [format!("{}:{}", s.name, s.admin_port)], "labels": { "job": s.name } }))
        .collect();
    Ok(serde_json::to_string_pretty(&targets)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_and_calls_are_the_two_ends_of_an_edge() {
        let edges: Edges = toml::from_str(
            r#"
            service = [
                { name = "a-b", errors = "A", package = ["p.v1"], port = 1, admin_port = 2, critical = true, store = false },
                { name = "c", errors = "C", package = [], port = 3, admin_port = 4, critical = false, store = true },
            ]
            edge = [{ from = "a-b", to = "c", why = "because" }]
            layer = []
        "#,
        )
        .unwrap();
        let text = list(&edges);
        let check = |part: &str| assert!(text.contains(part), "{part}\n{text}");
        check(
            "- name: a-b\n    section: a_b\n    port: 1\n    adminPort: 2\n    critical: true\n    store: false\n",
        );
        check("packages: [p.v1]\n    calls: [c]\n    callers: []\n");
        check("calls: []\n    callers: [a-b]\n");
        assert!(scraped(&edges).unwrap().contains("\"c:4\""));
    }
}
