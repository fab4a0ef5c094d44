//! What a file may name.
//!
//! A rule is a set of files, what they must not name, and why. Exceptions are
//! written down one by one, each with its reason.

use crate::edges::Edges;
use crate::source::{self, Source};
use crate::{Problem, tree};
use anyhow::Result;
use std::path::Path;

/// Files that must not name something.
struct Rule {
    /// Whether a file (by its path inside `src`, in a service or a crate) is bound.
    binds: fn(&Place<'_>) -> bool,
    /// Paths, by their first segments.
    names: &'static [&'static str],
    why: &'static str,
    fix: &'static str,
}

/// Where a file is.
struct Place<'a> {
    /// The crate's folder, such as `services/intake`.
    crate_dir: &'a str,
    /// The path inside `src`.
    file: &'a str,
}

impl Place<'_> {
    /// True for `part.rs` and everything under `part/`.
    fn is(&self, part: &str) -> bool {
        self.file.strip_prefix(part).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    }

    fn in_service(&self) -> bool {
        self.crate_dir.starts_with("services/") && !self.in_composition()
    }

    fn in_composition(&self) -> bool {
        self.crate_dir == "services/probity"
    }
}

const RULES: [Rule; 5] = [
    Rule {
        binds: |place| place.in_service() && place.is("domain"),
        names: &[
            "tokio",
            "tonic",
            "sqlx",
            "rusqlite",
            "redis",
            "hyper",
            "axum",
            "tower",
            "futures",
            "prost",
            "prometheus",
            "tracing",
            "probity_proto",
            "probity_storage",
            "probity_runtime",
            "probity_resilience",
            "probity_telemetry",
            "std::fs",
            "std::net",
            "std::process",
            "std::env",
            "std::thread",
            "std::time::SystemTime",
            "std::time::Instant",
            "crate::api",
            "crate::store",
            "crate::convert",
        ],
        why: "the domain is pure: no I/O, no clock, no messages, no rows",
        fix: "take values in and give values out; decode in convert.rs, read rows in store.rs, pass the time in",
    },
    Rule {
        binds: |place| place.in_service() && !(place.is("api") || place.is("lib")),
        names: &["tonic"],
        why: "api.rs and lib.rs alone speak gRPC",
        fix: "return a Fault or an error of error.rs; api.rs turns it into a status",
    },
    Rule {
        binds: |place| {
            place.in_service()
                && !(place.is("store") || place.is("lib") || place.is("error") || place.is("api"))
        },
        names: &[
            "probity_storage::Tx",
            "probity_storage::Row",
            "probity_storage::Value",
            "probity_storage::args",
            "probity_storage::outbox",
        ],
        why: "store.rs alone reads and writes rows",
        fix: "add a method to the store and call that",
    },
    Rule {
        binds: |place| place.crate_dir.starts_with("services/"),
        names: &["sqlx", "rusqlite", "redis", "deadpool_redis"],
        why: "services reach stores through probity_storage, which keeps one SQL text for both databases",
        fix: "use probity_storage::Db",
    },
    Rule {
        binds: |place| place.crate_dir != "crates/types" && place.crate_dir != "xtask",
        names: &["std::time::SystemTime::now", "SystemTime::now", "jiff::Timestamp::now", "jiff::Zoned::now"],
        why: "the time comes from a Clock, so that tests can set it",
        fix: "take an `Arc<dyn Clock>` or a `Micros`; only types::SystemClock asks the machine",
    },
];

/// Files that name what a rule keeps from others, and why they may.
const EXCEPTIONS: [(&str, &str, &str); 5] = [
    ("services/gateway/src/door", "tonic", "the door carries calls of any method: it is the gateway's api"),
    (
        "services/gateway/src/error.rs",
        "tonic::Code",
        "the door refuses what no Fault has a word for, such as a method",
    ),
    (
        "services/orchestrator/src/dispatch",
        "tonic",
        "steps call any method, with codecs made at registration",
    ),
    (
        "services/compliance-validator/src/domain/evaluate.rs",
        "std::time::Instant",
        "a stopwatch that ends a policy which takes too long; no verdict is made of it",
    ),
    ("services/gateway/src/domain", "probity_proto::access", "who may call what is written in the contracts"),
];

pub(super) fn problems(root: &Path, edges: &Edges) -> Result<Vec<Problem>> {
    let mut found = Vec::new();
    for dir in crate_dirs(root, edges)? {
        for source in source::of_crate(root, &dir)? {
            found.extend(of_file(&dir, &source));
        }
    }
    Ok(found)
}

/// The folders of all crates that are not for tests.
fn crate_dirs(root: &Path, edges: &Edges) -> Result<Vec<String>> {
    let mut dirs: Vec<_> =
        edges.services.iter().map(|service| format!("services/{}", service.name)).collect();
    dirs.push("services/probity".to_owned());
    for manifest in tree::files(root, "crates", "toml")? {
        let dir = manifest.parent().map(|dir| dir.display().to_string()).unwrap_or_default();
        if manifest.ends_with("Cargo.toml") && dir != "crates/testkit" {
            dirs.push(dir);
        }
    }
    Ok(dirs)
}

fn of_file(dir: &str, source: &Source) -> Vec<Problem> {
    let path = source.path.display().to_string();
    let file = path.strip_prefix(&format!("{dir}/src/")).unwrap_or(&path);
    let place = Place { crate_dir: dir, file };
    let rules: Vec<_> = RULES.iter().filter(|rule| (rule.binds)(&place)).collect();
    let mut found = Vec::new();
    for (named, line) in source.paths() {
        let named = named.join("::");
        let broken = rules.iter().find(|rule| rule.names.iter().any(|name| is_or_under(&named, name)));
        if let Some(rule) = broken.filter(|_| !is_excepted(&path, &named)) {
            found.push(Problem::new(&path, format!("names {named}: {}", rule.why), rule.fix).at(line));
        }
    }
    found.dedup_by(|a, b| a.line == b.line);
    found
}

fn is_or_under(path: &str, name: &str) -> bool {
    path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn is_excepted(file: &str, named: &str) -> bool {
    EXCEPTIONS.iter().any(|(path, name, _)| file.starts_with(path) && is_or_under(named, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(dir: &str, file: &str, code: &str, expect: &str) {
        let path = format!("{dir}/src/{file}");
        let source = Source::parse(Path::new(&path), code.to_owned()).unwrap();
        let found: Vec<_> = of_file(dir, &source).into_iter().map(|p| p.what).collect();
        assert!(found.join("; ").contains(expect), "{path} {code}: {found:?}");
        assert_eq!(found.is_empty(), expect.is_empty(), "{path} {code}: {found:?}");
    }

    #[test]
    fn files_keep_to_what_is_theirs() {
        let intake = "services/intake";
        check(intake, "api.rs", "use tonic::Status;", "");
        check(intake, "api/upload.rs", "use tonic::Status;", "");
        check(intake, "store.rs", "use tonic::Status;", "speak gRPC");
        check(intake, "store.rs", "use probity_storage::Db;", "");
        check(intake, "store/rows.rs", "use probity_storage::Row;", "");
        check(intake, "convert.rs", "use probity_storage::{Db, Row};", "rows");
        check(intake, "store.rs", "use sqlx::Row;", "probity_storage");
        check(intake, "domain.rs", "use probity_types::Micros; use std::fmt;", "");
        check(intake, "domain/rules.rs", "use std::fs;", "pure");
        check(intake, "domain.rs", "fn f() { let _ = crate::store::Store; }", "pure");
        check(intake, "domains.rs", "use std::fs;", "");
        check(intake, "config.rs", "fn f() { std::time::SystemTime::now(); }", "Clock");
        check(intake, "config.rs", "#[cfg(test)] mod tests { use tonic::Status; }", "");
        check("services/probity", "client.rs", "use tonic::transport::Channel;", "");
        check("services/probity", "client.rs", "use sqlx::Row;", "probity_storage");
        check("crates/runtime", "status.rs", "use tonic::Status;", "");
        check("crates/types", "time.rs", "fn f() { SystemTime::now(); }", "");
    }
}
