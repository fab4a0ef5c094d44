//! The layers of crates.

use crate::Problem;
use crate::edges::{Edges, FILE};
use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Crates that are only for tests, and the one that may use them outside tests.
const FOR_TESTS: &str = "probity-testkit";
const MAY_TEST: &str = "probity-tests";

/// Crates of the lower layers that must stay without I/O, and what they must not
/// depend on for it.
const PURE: [&str; 5] =
    ["probity-types", "probity-engine", "probity-merkle", "probity-schedule", "probity-filter"];
const IMPURE: [&str; 8] = ["tokio", "tonic", "sqlx", "rusqlite", "hyper", "axum", "redis", "deadpool-redis"];

/// Where the clients of stores are allowed.
const STORES: [&str; 4] = ["sqlx", "rusqlite", "redis", "deadpool-redis"];
const MAY_STORE: [&str; 3] = ["probity-storage", "probity-queue", MAY_TEST];

/// What `cargo metadata` says about the workspace.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

impl Dependency {
    fn is_for_tests(&self) -> bool {
        self.kind.as_deref() == Some("dev")
    }
}

/// Asks cargo for the crates of the workspace.
pub(super) fn metadata(root: &Path) -> Result<Metadata> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root)
        .output()
        .context("cargo cannot be started")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("cargo metadata is not as expected")
}

pub(super) fn problems(edges: &Edges, metadata: &Metadata) -> Vec<Problem> {
    let ours: BTreeSet<_> = metadata.packages.iter().map(|p| p.name.as_str()).collect();
    let mut found = Vec::new();
    for package in &metadata.packages {
        if package.name == FOR_TESTS {
            continue;
        }
        let Some(layer) = edges.layer_of(&package.name) else {
            let what = format!("the crate {} is in no layer", package.name);
            found.push(Problem::new(FILE, what, "add it to the [[layer]] it belongs to"));
            continue;
        };
        for dependency in &package.dependencies {
            let known = ours.contains(dependency.name.as_str());
            found.extend(if known {
                upward(edges, package, layer, dependency)
            } else {
                foreign(package, dependency)
            });
        }
    }
    found.extend(absent(edges, &ours));
    found
}

fn upward(edges: &Edges, package: &Package, layer: usize, dependency: &Dependency) -> Option<Problem> {
    let (from, to) = (&package.name, &dependency.name);
    if to == FOR_TESTS {
        let fine = dependency.is_for_tests() || from == MAY_TEST;
        let fix = "move it to [dev-dependencies]";
        return (!fine).then(|| Problem::new(from, format!("{from} depends on {to} outside tests"), fix));
    }
    let below = edges.layer_of(to)?;
    if below < layer {
        return None;
    }
    let (mine, theirs) = (&edges.layers[layer].name, &edges.layers[below].name);
    let (what, fix) = if below == layer {
        let what = format!("{from} depends on {to}, sideways in the layer \"{mine}\"");
        (what, "call it as a peer (an [[edge]] and its client), or move what both need to a lower layer")
    } else {
        let what = format!("{from} (layer \"{mine}\") depends on {to} (layer \"{theirs}\"), upwards");
        (what, "pass in what it needs, or move what both need to a lower layer")
    };
    Some(Problem::new(from, what, fix))
}

fn foreign(package: &Package, dependency: &Dependency) -> Option<Problem> {
    let (from, to) = (package.name.as_str(), dependency.name.as_str());
    if dependency.is_for_tests() {
        return None;
    }
    let problem =
        |what: &str, fix: &str| Some(Problem::new(from, format!("{from} depends on {to}: {what}"), fix));
    if PURE.contains(&from) && IMPURE.contains(&to) {
        return problem("it must stay without I/O", "pass in what it needs from outside");
    }
    if STORES.contains(&to) && !MAY_STORE.contains(&from) {
        return problem("stores are probity-storage's and probity-queue's alone", "use probity_storage::Db");
    }
    None
}

fn absent(edges: &Edges, ours: &BTreeSet<&str>) -> Vec<Problem> {
    let listed = edges.layers.iter().flat_map(|layer| &layer.crates);
    let missing = listed.filter(|name| !ours.contains(name.as_str()));
    missing
        .map(|name| Problem::new(FILE, format!("{name} is in a layer and no crate"), "take it out"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGES: &str = r#"
        service = []
        edge = []
        layer = [
            { name = "low", crates = ["probity-types"] },
            { name = "mid", crates = ["probity-a", "probity-b"] },
            { name = "top", crates = ["probity-tests"] },
        ]
    "#;

    /// Checks a workspace of one-dependency crates.
    fn check(from: &str, to: &str, kind: Option<&str>, expect: &str) {
        let edges: Edges = toml::from_str(EDGES).unwrap();
        let package = |name: &str, dependencies| Package { name: name.to_owned(), dependencies };
        let mut packages: Vec<_> = ["probity-types", "probity-a", "probity-b", "probity-tests", FOR_TESTS]
            .map(|n| package(n, vec![]))
            .into();
        let depends = Dependency { name: to.to_owned(), kind: kind.map(str::to_owned) };
        packages.iter_mut().find(|p| p.name == from).unwrap().dependencies.push(depends);
        let found = problems(&edges, &Metadata { packages });
        let text: Vec<_> = found.iter().map(|p| p.what.as_str()).collect();
        assert!(text.join("; ").contains(expect), "{from} → {to}: {text:?}");
        assert_eq!(text.is_empty(), expect.is_empty(), "{from} → {to}: {text:?}");
    }

    #[test]
    fn only_downwards() {
        check("probity-a", "probity-types", None, "");
        check("probity-tests", "probity-a", None, "");
        check("probity-a", "probity-b", None, "sideways in the layer \"mid\"");
        check("probity-a", "probity-b", Some("dev"), "sideways");
        check("probity-types", "probity-a", None, "upwards");
        check("probity-a", "serde", None, "");
    }

    #[test]
    fn test_helpers_stay_in_tests() {
        check("probity-a", FOR_TESTS, Some("dev"), "");
        check("probity-a", FOR_TESTS, None, "outside tests");
        check("probity-tests", FOR_TESTS, None, "");
    }

    #[test]
    fn pure_crates_and_stores() {
        check("probity-types", "tokio", None, "without I/O");
        check("probity-types", "tokio", Some("dev"), "");
        check("probity-a", "tokio", None, "");
        check("probity-a", "sqlx", None, "stores are probity-storage's");
        check("probity-tests", "sqlx", None, "");
    }

    #[test]
    fn table_and_workspace_agree() {
        let edges: Edges = toml::from_str(EDGES).unwrap();
        let lone = Package { name: "probity-new".to_owned(), dependencies: vec![] };
        let found = problems(&edges, &Metadata { packages: vec![lone] });
        assert!(found[0].what.contains("probity-new is in no layer"));
        assert_eq!(found.len(), 5);
    }
}
