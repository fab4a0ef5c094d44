//! What a release is called and what it says has changed.
//!
//! A version is written in three files and has a section in `CHANGELOG.md`; they have to
//! agree before anything is published.

use crate::{Problem, tree};
use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use std::path::Path;

const CHANGELOG: &str = "CHANGELOG.md";
const CHART: &str = "deploy/helm/probity/Chart.yaml";
const LIBRARY: &str = "deploy/helm/probity/charts/probity-lib/Chart.yaml";

/// The heading of what is not released yet.
pub const UNRELEASED: &str = "Unreleased";

/// The version of the workspace.
///
/// # Errors
/// When `Cargo.toml` has none.
pub fn version(root: &Path) -> Result<String> {
    #[derive(Deserialize)]
    struct Manifest {
        workspace: Workspace,
    }
    #[derive(Deserialize)]
    struct Workspace {
        package: Package,
    }
    #[derive(Deserialize)]
    struct Package {
        version: String,
    }
    let manifest: Manifest = toml::from_str(&tree::read(root, "Cargo.toml")?)
        .context("Cargo.toml has no workspace.package.version")?;
    Ok(manifest.workspace.package.version)
}

/// What changed in a version, as Markdown without its heading.
///
/// # Errors
/// When the version has no section.
pub fn changes(root: &Path, version: &str) -> Result<String> {
    section(&tree::read(root, CHANGELOG)?, version)
}

fn section(changelog: &str, version: &str) -> Result<String> {
    let heads = |line: &str| {
        let name = line.strip_prefix("## ")?.split_whitespace().next()?;
        Some(name.trim_matches(['[', ']']) == version)
    };
    let mut lines = changelog.lines().skip_while(|line| heads(line) != Some(true));
    if lines.next().is_none() {
        bail!(
            "{CHANGELOG} has no section `## {version}`: rename `## {UNRELEASED}` and begin a new one above it"
        );
    }
    let text: Vec<_> = lines.take_while(|line| !line.starts_with("## ")).collect();
    Ok(format!("{}\n", text.join("\n").trim()))
}

/// What keeps a tag from being released.
///
/// # Errors
/// When a file that carries the version cannot be read.
pub fn problems(root: &Path, tag: &str) -> Result<Vec<Problem>> {
    let mut found = Vec::new();
    let version = version(root)?;
    let wanted = tag.strip_prefix('v').unwrap_or(tag);
    if version != wanted {
        let what = format!("is of version {version}, and the tag is {tag}");
        found.push(Problem::new("Cargo.toml", what, format!("set workspace.package.version = \"{wanted}\"")));
    }
    for (file, keys) in [(CHART, &["version:", "appVersion:"][..]), (LIBRARY, &["version:"])] {
        let text = tree::read(root, file)?;
        for key in keys {
            let (line, said) = value(&text, key);
            if said != wanted {
                let what = format!("{key} is {said}, and the tag is {tag}");
                found.push(Problem::new(file, what, format!("write {key} {wanted}")).at(line));
            }
        }
    }
    if let Err(error) = changes(root, wanted) {
        found.push(Problem::new(CHANGELOG, "says nothing of this version", format!("{error:#}")));
    }
    Ok(found)
}

/// The line and value of a key at the beginning of a line.
fn value<'a>(text: &'a str, key: &str) -> (usize, &'a str) {
    let found = text.lines().enumerate().find_map(|(at, line)| Some((at + 1, line.strip_prefix(key)?)));
    found.map_or((0, "missing"), |(line, value)| (line, value.trim().trim_matches('"')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "# Changelog\n\nText.\n\n## Unreleased\n\n### Added\n\n- a\n\n## [0.2.0] - 2026-01-02\n\n- b\n\n## 0.1.0\n";

    #[test]
    fn a_version_has_its_section() {
        let check = |version: &str, expect: &str| {
            let found = section(LOG, version).unwrap_or_else(|error| error.to_string());
            assert_eq!(found, expect, "{version}");
        };
        check("Unreleased", "### Added\n\n- a\n");
        check("0.2.0", "- b\n");
        check("0.1.0", "\n");
        let none =
            "CHANGELOG.md has no section `## 0.3.0`: rename `## Unreleased` and begin a new one above it";
        check("0.3.0", none);
    }

    fn repository(version: &str, app: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| tree::write(root.path(), file, text).unwrap();
        write("Cargo.toml", &format!("[workspace.package]\nversion = \"{version}\"\n"));
        write(
            CHART,
            &format!("name: probity\nversion: 0.2.0\nappVersion: \"{app}\"\ndependencies:\n  - version: 9\n"),
        );
        write(LIBRARY, "version: 0.2.0\n");
        write(CHANGELOG, LOG);
        root
    }

    #[test]
    fn versions_that_differ_from_the_tag_are_named() {
        let check = |version: &str, app: &str, tag: &str, expect: &[&str]| {
            let found = problems(repository(version, app).path(), tag).unwrap();
            let found: Vec<_> = found.iter().map(|p| format!("{}:{} {}", p.file, p.line, p.what)).collect();
            assert_eq!(found, expect, "{tag}");
        };
        check("0.2.0", "0.2.0", "v0.2.0", &[]);
        check("0.2.0", "0.2.0", "0.2.0", &[]);
        check("0.1.0", "0.2.0", "v0.2.0", &["Cargo.toml:0 is of version 0.1.0, and the tag is v0.2.0"]);
        let chart = "deploy/helm/probity/Chart.yaml:3 appVersion: is 0.1.0, and the tag is v0.2.0";
        check("0.2.0", "0.1.0", "v0.2.0", &[chart]);
        assert_eq!(problems(repository("0.3.0", "0.3.0").path(), "v0.3.0").unwrap().len(), 3);
    }

    #[test]
    fn this_repository_has_one_version() {
        let root = tree::built_from();
        let found = problems(&root, &version(&root).unwrap()).unwrap();
        let found: Vec<_> = found.iter().filter(|problem| problem.file != CHANGELOG).collect();
        assert!(found.is_empty(), "{found:?}");
    }
}
