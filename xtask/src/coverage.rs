//! Lines of the code that the tests run, by crate, and the least there must be.
//!
//! What tests ran comes from [`programs`]. Here are the bounds, and the table that is
//! printed. Test code itself is left out as far as it stands in files of its own.

mod programs;

use anyhow::{Result, ensure};
use clap::Parser;
use programs::{Lines, Programs};
use std::collections::BTreeMap;
use std::path::Path;

/// The least share of all lines, in percent.
const OVERALL: f64 = 85.0;

/// What code is for, where it is, and the least share of its lines, in percent.
struct Role {
    name: &'static str,
    least: f64,
    /// How the paths of its files begin or, after a star, what is in them.
    paths: &'static [&'static str],
}

const ROLES: [Role; 4] = [
    Role {
        name: "parsers and converters",
        least: 95.0,
        paths: &[
            "*/src/convert",
            "crates/filter/src/",
            "crates/engine/src/definition/",
            "crates/engine/src/expr",
            "crates/resilience/src/retry/service_config.rs",
            "services/gateway/src/transcode",
            "services/probity/src/split",
            "services/anti-corruption/src/domain/ocds",
            "services/anti-corruption/src/domain/payments",
            "services/anti-corruption/src/domain/watchlist",
        ],
    },
    Role {
        name: "transitions of the circuit breaker",
        least: 100.0,
        paths: &["crates/resilience/src/breaker/machine.rs", "crates/resilience/src/breaker/window.rs"],
    },
    Role { name: "balancers", least: 95.0, paths: &["crates/resilience/src/balance"] },
    Role { name: "caches", least: 95.0, paths: &["crates/resilience/src/cache"] },
];

/// Files that are no code of the product.
const LEFT_OUT: &str = r"(/tests?/|/tests\.rs|/\.cargo/|/rustc/|/target/|/examples/|/testing|crates/testkit|xtask/|OUT_DIR|/out/)";

/// What to measure.
#[derive(Debug, Parser)]
pub struct Options {
    /// Only these packages; all without it. Then only roles are held to their bounds.
    #[arg(long = "package", short)]
    packages: Vec<String>,
    /// Only say what the last run ran.
    #[arg(long)]
    report: bool,
    /// Go on where a run ended: what ran then, and is still the same program, is not run again.
    #[arg(long)]
    resume: bool,
}

/// Measures, prints a table, and answers whether every bound is held.
///
/// # Errors
/// When a tool is missing, or something cannot be built or read.
pub fn run(root: &Path, options: &Options) -> Result<bool> {
    let programs = Programs::build(root, &options.packages)?;
    let failed = if options.report { Vec::new() } else { programs.run(options.resume)? };
    let files: BTreeMap<String, Lines> = programs
        .lines(LEFT_OUT)?
        .into_iter()
        .filter_map(|(file, lines)| {
            Some((Path::new(&file).strip_prefix(root).ok()?.display().to_string(), lines))
        })
        .collect();
    ensure!(!files.is_empty(), "no file of the workspace was run; run it without --report first");
    let (text, held) = table(&files, options.packages.is_empty());
    print!("{text}");
    if !failed.is_empty() {
        println!("\ntests fail, mend them first: {}", failed.join(", "));
    }
    Ok(held && failed.is_empty())
}

/// The crate that a file belongs to.
fn crate_of(path: &str) -> &str {
    path.find("/src/").map_or(path, |at| &path[..at])
}

fn belongs(role: &Role, path: &str) -> bool {
    role.paths.iter().any(|part| match part.strip_prefix('*') {
        Some(inside) => path.contains(inside),
        None => path.starts_with(part),
    })
}

/// The tables, and whether every bound is held.
fn table(files: &BTreeMap<String, Lines>, whole: bool) -> (String, bool) {
    let mut crates: BTreeMap<&str, Lines> = BTreeMap::new();
    let mut all = Lines::default();
    for (path, lines) in files {
        crates.entry(crate_of(path)).or_default().add(*lines);
        all.add(*lines);
    }
    let row = |name: &str, lines: Lines, least: Option<f64>| {
        let held = least.is_none_or(|least| lines.percent() >= least);
        let bound = least.map_or_else(String::new, |least| format!("  at least {least:.0}%"));
        let missed = if held { "" } else { "  MISSED" };
        let text = format!(
            "{name:<36} {:>8} {:>8} {:>6.1}%{bound}{missed}\n",
            lines.count,
            lines.covered,
            lines.percent()
        );
        (text, held)
    };
    let mut text = format!("{:<36} {:>8} {:>8} {:>7}\n", "crate", "lines", "run", "share");
    crates.iter().for_each(|(name, lines)| text += &row(name, *lines, None).0);
    let (line, mut held) = row("all", all, whole.then_some(OVERALL));
    text += &line;
    text += &format!("\n{:<36} {:>8} {:>8} {:>7}\n", "role", "lines", "run", "share");
    for role in &ROLES {
        let own = files.iter().filter(|(path, _)| belongs(role, path));
        let lines = own.fold(Lines::default(), |mut sum, (_, lines)| {
            sum.add(*lines);
            sum
        });
        if lines.count > 0 {
            let (line, fine) = row(role.name, lines, Some(role.least));
            text += &line;
            held &= fine;
        }
    }
    (text, held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_of_roles_and_of_the_whole() {
        let files = |breaker: u64, other: u64| {
            let lines = |covered| Lines { count: 100, covered };
            BTreeMap::from([
                ("crates/resilience/src/breaker/machine.rs".to_owned(), lines(breaker)),
                ("services/intake/src/convert.rs".to_owned(), lines(96)),
                ("services/intake/src/api.rs".to_owned(), lines(other)),
            ])
        };
        let check = |breaker, other, whole, expect: bool| {
            let (text, held) = table(&files(breaker, other), whole);
            assert_eq!(held, expect, "{text}");
            assert!(text.contains("services/intake") && text.contains("parsers and converters"), "{text}");
        };
        check(100, 60, true, true);
        check(99, 90, true, false);
        check(100, 58, true, false);
        check(100, 0, false, true);
    }

    #[test]
    fn a_file_belongs_to_a_crate_and_to_roles() {
        assert_eq!(crate_of("services/intake/src/a/b.rs"), "services/intake");
        let roles = |path: &str| ROLES.iter().filter(|role| belongs(role, path)).count();
        assert_eq!(roles("services/orchestrator/src/convert/tasks.rs"), 1);
        assert_eq!(roles("crates/resilience/src/balance.rs"), 1);
        assert_eq!(roles("crates/types/src/id.rs"), 0);
    }
}
