//! Crates that `deny.toml` bans are not in the lock file.
//!
//! `cargo deny check` says more (licences, advisories); this part needs no tool
//! and no network, so it can be a test.

use crate::{Problem, tree};
use anyhow::{Context as _, Result};
use serde::Deserialize;
use std::path::Path;

const LOCK: &str = "Cargo.lock";

#[derive(Deserialize)]
struct Deny {
    bans: Bans,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
struct Ban {
    name: String,
    reason: String,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
}

/// Every banned crate that is in the tree.
pub fn problems(root: &Path) -> Result<Vec<Problem>> {
    let deny: Deny =
        toml::from_str(&tree::read(root, "deny.toml")?).context("deny.toml is not as it should be")?;
    let lock: Lock = toml::from_str(&tree::read(root, LOCK)?).context("Cargo.lock is not as it should be")?;
    Ok(banned(&deny, &lock))
}

fn banned(deny: &Deny, lock: &Lock) -> Vec<Problem> {
    let there = |ban: &&Ban| lock.package.iter().any(|package| package.name == ban.name);
    let found = deny.bans.deny.iter().filter(there);
    let problem = |ban: &Ban| {
        let fix = format!("cargo tree -i {} --workspace says who brings it; turn that feature off", ban.name);
        Problem::new(LOCK, format!("{} is in the tree: {}", ban.name, ban.reason), fix)
    };
    found.map(problem).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem;

    #[test]
    fn a_banned_crate_is_named_with_its_reason() {
        let deny: Deny = toml::from_str("[bans]\ndeny = [{ name = \"rsa\", reason = \"leaks\" }]").unwrap();
        let check = |name: &str, expect: &[&str]| {
            let lock = Lock { package: vec![Package { name: name.to_owned() }] };
            let found: Vec<_> = banned(&deny, &lock).into_iter().map(|p| p.what).collect();
            assert_eq!(found, expect);
        };
        check("rsa", &["rsa is in the tree: leaks"]);
        check("rsa-oaep", &[]);
    }

    #[test]
    fn this_repository_brings_none() {
        problem::assert_none(&problems(&tree::built_from()).unwrap());
    }
}
