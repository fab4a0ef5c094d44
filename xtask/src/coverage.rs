//! Lines of the code that the tests run, by crate, and the least there must be.
//!
//! The tests are built once more with `-C instrument-coverage` for the crates of the
//! workspace alone (dependencies are taken as they are), run, and what they ran is read
//! with the LLVM tools of the toolchain. Test code itself is left out as far as it
//! stands in files of its own.

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
}

/// Lines, and those of them that were run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
struct Lines {
    count: u64,
    covered: u64,
}

impl Lines {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.covered += other.covered;
    }

    #[allow(clippy::cast_precision_loss)] // lines of code
    fn percent(self) -> f64 {
        if self.count == 0 { 100.0 } else { self.covered as f64 * 100.0 / self.count as f64 }
    }
}

#[derive(Debug, Deserialize)]
struct Export {
    data: Vec<Data>,
}

#[derive(Debug, Deserialize)]
struct Data {
    files: Vec<File>,
}

#[derive(Debug, Deserialize)]
struct File {
    filename: String,
    summary: Summary,
}

#[derive(Debug, Deserialize)]
struct Summary {
    lines: Lines,
}

/// Measures, prints a table, and answers whether every bound is held.
///
/// # Errors
/// When a tool is missing or a test fails.
pub fn run(root: &Path, options: &Options) -> Result<bool> {
    let place = Place::new(root)?;
    if !options.report {
        place.run_tests(root, &options.packages)?;
    }
    let files = place.export(root, &options.packages)?;
    let files: BTreeMap<String, Lines> = files
        .into_iter()
        .filter_map(|file| {
            let path = Path::new(&file.filename).strip_prefix(root).ok()?;
            Some((path.display().to_string(), file.summary.lines))
        })
        .collect();
    ensure!(!files.is_empty(), "no file of the workspace was run; run it without --report first");
    let (text, held) = table(&files, options.packages.is_empty());
    print!("{text}");
    Ok(held)
}

/// Where instrumented tests leave their counts, and the tools that read them.
struct Place {
    folder: PathBuf,
    tools: PathBuf,
}

impl Place {
    fn new(root: &Path) -> Result<Self> {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]))?;
        let libraries = Path::new(sysroot.trim()).join("lib/rustlib");
        let tools = std::fs::read_dir(&libraries)?
            .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
            .find(|bin| bin.join("llvm-profdata").is_file());
        let tools = tools.context("llvm-profdata is missing; run `rustup component add llvm-tools`")?;
        Ok(Self { folder: target.join("coverage"), tools })
    }

    /// `cargo test`, whose rustc counts lines in crates of the workspace.
    fn cargo(&self, root: &Path, packages: &[String]) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(root).arg("test");
        cargo.env("RUSTC_WORKSPACE_WRAPPER", root.join("scripts/instrumented-rustc"));
        cargo.env("LLVM_PROFILE_FILE", self.folder.join("%m_%p.profraw")).env("CARGO_INCREMENTAL", "0");
        if packages.is_empty() {
            cargo.arg("--workspace");
        }
        for package in packages {
            cargo.args(["--package", package]);
        }
        cargo
    }

    fn run_tests(&self, root: &Path, packages: &[String]) -> Result<()> {
        if self.folder.is_dir() {
            std::fs::remove_dir_all(&self.folder)?;
        }
        std::fs::create_dir_all(&self.folder)?;
        let status = self.cargo(root, packages).args(["--tests", "--bins"]).status()?;
        ensure!(status.success(), "the tests fail; mend them first");
        Ok(())
    }

    fn export(&self, root: &Path, packages: &[String]) -> Result<Vec<File>> {
        let programs = self.programs(root, packages)?;
        let counts = std::fs::read_dir(&self.folder)?.filter_map(|entry| Some(entry.ok()?.path()));
        let counts: Vec<_> = counts.filter(|path| path.extension().is_some_and(|e| e == "profraw")).collect();
        ensure!(!counts.is_empty(), "no test left its counts in {}", self.folder.display());
        let list = self.folder.join("counts.txt");
        let lines: Vec<_> = counts.iter().map(|path| path.display().to_string()).collect();
        std::fs::write(&list, lines.join("\n"))?;
        let merged = self.folder.join("all.profdata");
        let mut merge = Command::new(self.tools.join("llvm-profdata"));
        // A process that was killed leaves a file that ends too early.
        merge.args(["merge", "-sparse", "-failure-mode=all", "-f"]).arg(&list).arg("-o").arg(&merged);
        output(&mut merge)?;
        let mut export = Command::new(self.tools.join("llvm-cov"));
        export.args(["export", "-summary-only", "-ignore-filename-regex", LEFT_OUT, "-instr-profile"]);
        export.arg(&merged);
        for program in programs {
            export.arg("-object").arg(program);
        }
        let export: Export = serde_json::from_str(&output(&mut export)?)?;
        Ok(export.data.into_iter().flat_map(|data| data.files).collect())
    }

    /// The programs that were run: cargo knows them without building anything anew.
    fn programs(&self, root: &Path, packages: &[String]) -> Result<Vec<String>> {
        let mut cargo = self.cargo(root, packages);
        cargo.args(["--tests", "--bins", "--no-run", "--message-format", "json"]).stderr(Stdio::null());
        let text = output(&mut cargo)?;
        let messages = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let programs: Vec<_> =
            messages.filter_map(|message| Some(message.get("executable")?.as_str()?.to_owned())).collect();
        if programs.is_empty() {
            bail!("cargo names no test program");
        }
        Ok(programs)
    }
}

fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| format!("{shown} cannot be started"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{shown}: {said}");
    Ok(String::from_utf8(output.stdout)?)
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
