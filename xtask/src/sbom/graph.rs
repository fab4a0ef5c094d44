//! The crates of the workspace and what they depend on, as cargo resolves them.

use crate::tree;
use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Every crate, by cargo's id of it.
#[derive(Debug)]
pub(super) struct Graph {
    crates: BTreeMap<String, Crate>,
}

/// A crate.
#[derive(Debug, Clone)]
pub(super) struct Crate {
    /// Its name.
    pub(super) name: String,
    /// Its version.
    pub(super) version: String,
    /// An SPDX expression, when it names one.
    pub(super) license: Option<String>,
    /// What it is, in a line.
    pub(super) description: Option<String>,
    /// Where its sources are.
    pub(super) repository: Option<String>,
    /// The SHA-256 of its archive; crates of the workspace have none.
    pub(super) checksum: Option<String>,
    macros: bool,
    links: BTreeSet<String>,
    builds: BTreeSet<String>,
}

/// A program and the crates it is made of.
#[derive(Debug)]
pub(super) struct Parts {
    /// The program's own crate.
    pub(super) program: Crate,
    /// All others, with whether they are linked into it (else they only build).
    pub(super) crates: Vec<(Crate, bool)>,
    /// Package URL of each crate, and those of the crates it needs.
    pub(super) edges: BTreeMap<String, BTreeSet<String>>,
}

impl Crate {
    /// The package URL of it.
    pub(super) fn purl(&self) -> String {
        format!("pkg:cargo/{}@{}", self.name, self.version)
    }
}

impl Parts {
    /// How many crates are linked, without the program's own.
    pub(super) fn linked(&self) -> usize {
        self.crates.iter().filter(|(_, linked)| *linked).count()
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    description: Option<String>,
    repository: Option<String>,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

impl Graph {
    /// Asks cargo, and `Cargo.lock` for the checksums.
    pub(super) fn read(root: &Path, target: &str) -> Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", target])
            .current_dir(root)
            .output()
            .context("cargo cannot be started")?;
        if !output.status.success() {
            bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Self::parse(&String::from_utf8(output.stdout)?, &tree::read(root, "Cargo.lock")?)
    }

    fn parse(metadata: &str, lock: &str) -> Result<Self> {
        let metadata: Metadata =
            serde_json::from_str(metadata).context("what cargo metadata says is not understood")?;
        let lock: Lock = toml::from_str(lock).context("Cargo.lock is not understood")?;
        let sums: BTreeMap<_, _> = lock
            .package
            .into_iter()
            .filter_map(|locked| Some(((locked.name, locked.version), locked.checksum?)))
            .collect();
        let mut crates: BTreeMap<_, _> =
            metadata.packages.into_iter().map(|package| package.into_crate(&sums)).collect();
        for node in metadata.resolve.nodes {
            let found = crates.get_mut(&node.id).with_context(|| format!("{} is no package", node.id))?;
            for dependency in node.deps {
                let of = |kind: Option<&str>| dependency.dep_kinds.iter().any(|k| k.kind.as_deref() == kind);
                if of(None) {
                    found.links.insert(dependency.pkg.clone());
                } else if of(Some("build")) {
                    found.builds.insert(dependency.pkg.clone());
                }
            }
        }
        Ok(Self { crates })
    }

    /// What a package of the workspace is made of.
    pub(super) fn parts_of(&self, package: &str) -> Result<Parts> {
        let program = self.crates.iter().find(|(id, found)| found.name == package && id.starts_with("path+"));
        let (start, program) = program
            .with_context(|| format!("the workspace has no package {package}: is edges.toml right?"))?;
        let (linked, all) = (self.reach(start, true), self.reach(start, false));
        let purl = |id: &String| self.crates[id].purl();
        let edges = all.iter().map(|id| {
            let found = &self.crates[id];
            (found.purl(), found.links.iter().chain(&found.builds).map(purl).collect())
        });
        Ok(Parts {
            program: program.clone(),
            edges: edges.collect(),
            crates: all
                .iter()
                .filter(|id| *id != start)
                .map(|id| (self.crates[id].clone(), linked.contains(id)))
                .collect(),
        })
    }

    /// Every crate that can be reached; only through what is linked when asked so.
    fn reach(&self, start: &str, linked: bool) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut next = vec![start.to_owned()];
        while let Some(id) = next.pop() {
            let found = &self.crates[&id];
            if linked && found.macros || !seen.insert(id) {
                continue;
            }
            next.extend(found.links.iter().cloned());
            if !linked {
                next.extend(found.builds.iter().cloned());
            }
        }
        seen
    }
}

impl Package {
    fn into_crate(self, sums: &BTreeMap<(String, String), String>) -> (String, Crate) {
        let checksum = sums.get(&(self.name.clone(), self.version.clone())).cloned();
        let found = Crate {
            macros: self.targets.iter().any(|target| target.kind.iter().any(|kind| kind == "proc-macro")),
            description: self.description.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")),
            // Before 2021 `MIT/Apache-2.0` meant a choice.
            license: self.license.map(|license| license.replace('/', " OR ")),
            name: self.name,
            version: self.version,
            repository: self.repository,
            checksum,
            links: BTreeSet::new(),
            builds: BTreeSet::new(),
        };
        (self.id, found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Its id, the kind of crate, and what it needs, each with the kind of need.
    type Crate<'a> = (&'a str, &'a str, &'a [(&'a str, Option<&'a str>)]);

    /// A graph of `probity-a`, with the ids and edges given.
    fn graph(crates: &[Crate<'_>]) -> Graph {
        let packages: Vec<_> = crates
            .iter()
            .map(|(id, kind, _)| {
                let name = id.rsplit('/').next();
                json!({"id": id, "name": name, "version": "1.0.0", "targets": [{"kind": [kind]}], "license": "MIT/Zlib"})
            })
            .collect();
        let nodes: Vec<_> = crates
            .iter()
            .map(|(id, _, needs)| {
                let deps: Vec<_> = needs
                    .iter()
                    .map(|(id, kind)| json!({"pkg": id, "dep_kinds": [{"kind": kind}]}))
                    .collect();
                json!({"id": id, "deps": deps})
            })
            .collect();
        let lock = "[[package]]\nname = \"serde\"\nversion = \"1.0.0\"\nchecksum = \"ab\"\n";
        Graph::parse(&json!({"packages": packages, "resolve": {"nodes": nodes}}).to_string(), lock).unwrap()
    }

    #[test]
    fn what_is_linked_is_told_from_what_builds_and_what_tests() {
        let check = |needs: &[(&str, Option<&str>)], expect: &[(&str, bool)]| {
            let graph = graph(&[
                ("path+/a", "bin", needs),
                ("registry+/serde", "lib", &[("registry+/derive", None)]),
                ("registry+/derive", "proc-macro", &[("registry+/syn", None)]),
                ("registry+/syn", "lib", &[]),
            ]);
            let parts = graph.parts_of("a").unwrap();
            let found: Vec<_> = parts.crates.iter().map(|(found, linked)| (&*found.name, *linked)).collect();
            assert_eq!(found, expect, "{needs:?}");
        };
        check(&[], &[]);
        check(&[("registry+/syn", None)], &[("syn", true)]);
        check(&[("registry+/syn", Some("build"))], &[("syn", false)]);
        check(&[("registry+/syn", Some("dev"))], &[]);
        check(&[("registry+/serde", None)], &[("derive", false), ("serde", true), ("syn", false)]);
        let both = [("registry+/serde", None), ("registry+/syn", None)];
        check(&both, &[("derive", false), ("serde", true), ("syn", true)]);
    }

    #[test]
    fn a_crate_keeps_its_checksum_and_its_licence_as_a_choice() {
        let graph =
            graph(&[("path+/a", "bin", &[("registry+/serde", None)]), ("registry+/serde", "lib", &[])]);
        let parts = graph.parts_of("a").unwrap();
        let (serde, _) = &parts.crates[0];
        assert_eq!(serde.checksum.as_deref(), Some("ab"));
        assert_eq!(serde.license.as_deref(), Some("MIT OR Zlib"));
        assert_eq!(parts.program.checksum, None);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = graph(&[("registry+/serde", "lib", &[])]).parts_of("serde").unwrap_err();
        assert_eq!(error.to_string(), "the workspace has no package serde: is edges.toml right?");
    }
}
