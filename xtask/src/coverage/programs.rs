//! The test programs with counters in them, and what they counted.
//!
//! The tests are built once more with `-C instrument-coverage` for the crates of the
//! workspace alone; dependencies are taken as they are. One program runs after the
//! other, and its counts are put together before the next one, so that neither time nor
//! disk is needed twice when a run ends early.

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Lines, and those of them that were run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
pub(super) struct Lines {
    pub(super) count: u64,
    pub(super) covered: u64,
}

impl Lines {
    pub(super) fn add(&mut self, other: Self) {
        self.count += other.count;
        self.covered += other.covered;
    }

    #[allow(clippy::cast_precision_loss)] // lines of code
    pub(super) fn percent(self) -> f64 {
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

/// What cargo says about something it built.
#[derive(Debug, Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
    profile: Option<Profile>,
}

#[derive(Debug, Deserialize)]
struct Profile {
    test: bool,
}

/// A program; tests are run, the others are run by tests.
struct Program {
    path: PathBuf,
    package: PathBuf,
    test: bool,
}

impl Program {
    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// The programs of a build, the place for what they count, and the tools that read it.
pub(super) struct Programs {
    programs: Vec<Program>,
    folder: PathBuf,
    tools: PathBuf,
}

impl Programs {
    /// Builds the tests of `packages`, of all when there are none.
    pub(super) fn build(root: &Path, packages: &[String]) -> Result<Self> {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let mut cargo = cargo(root, packages);
        cargo.args(["--tests", "--bins", "--no-run", "--message-format", "json-render-diagnostics"]);
        let text = output(cargo.stderr(Stdio::inherit()))?;
        let messages = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        let programs: Vec<_> = messages.filter_map(program).collect();
        ensure!(programs.iter().any(|program| program.test), "cargo names no test program");
        let folder = target.join("coverage");
        std::fs::create_dir_all(&folder)?;
        Ok(Self { programs, folder, tools: tools()? })
    }

    /// Runs every test program; answers which failed.
    pub(super) fn run(&self, resume: bool) -> Result<Vec<String>> {
        if !resume {
            std::fs::remove_dir_all(&self.folder)?;
        }
        let mut failed = Vec::new();
        for program in self.programs.iter().filter(|program| program.test) {
            if !self.counts(program).is_file() && !self.run_one(program)? {
                failed.push(program.name());
            }
        }
        Ok(failed)
    }

    /// Where the counts of a program are kept, under its name with cargo's hash.
    fn counts(&self, program: &Program) -> PathBuf {
        self.folder.join(program.name()).with_extension("profdata")
    }

    fn run_one(&self, program: &Program) -> Result<bool> {
        let raw = self.folder.join("raw");
        if raw.is_dir() {
            std::fs::remove_dir_all(&raw)?;
        }
        std::fs::create_dir_all(&raw)?;
        let mut command = Command::new(&program.path);
        command.current_dir(&program.package).env("CARGO_MANIFEST_DIR", &program.package);
        // %c: counts are on disk as they come, so that a process that is killed leaves its own.
        command.env("LLVM_PROFILE_FILE", raw.join("%c%m_%p.profraw"));
        let status =
            command.status().with_context(|| format!("{} cannot be started", program.path.display()))?;
        let files: Vec<_> = std::fs::read_dir(&raw)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        // A program without a line that counts, such as one that only calls a library, leaves nothing.
        if !files.is_empty() {
            self.merge(&files, &self.counts(program))?;
        }
        std::fs::remove_dir_all(&raw)?;
        Ok(status.success())
    }

    fn merge(&self, files: &[PathBuf], into: &Path) -> Result<()> {
        ensure!(!files.is_empty(), "no test left its counts in {}", self.folder.display());
        let list = self.folder.join("list.txt");
        let lines: Vec<_> = files.iter().map(|path| path.display().to_string()).collect();
        std::fs::write(&list, lines.join("\n"))?;
        let mut merge = Command::new(self.tools.join("llvm-profdata"));
        merge.args(["merge", "-sparse", "-failure-mode=all", "-f"]).arg(list).arg("-o").arg(into);
        output(&mut merge).map(drop)
    }

    /// The lines of each file, by its path.
    pub(super) fn lines(&self, left_out: &str) -> Result<Vec<(String, Lines)>> {
        let all = self.folder.join("all.profdata");
        let counts = self.programs.iter().map(|program| self.counts(program)).filter(|path| path.is_file());
        self.merge(&counts.collect::<Vec<_>>(), &all)?;
        let mut export = Command::new(self.tools.join("llvm-cov"));
        export.args(["export", "-summary-only", "-ignore-filename-regex", left_out, "-instr-profile"]);
        export.arg(&all);
        for program in &self.programs {
            export.arg("-object").arg(&program.path);
        }
        let export: Export = serde_json::from_str(&output(&mut export)?)?;
        let files = export.data.into_iter().flat_map(|data| data.files);
        Ok(files.map(|file| (file.filename, file.summary.lines)).collect())
    }
}

fn program(message: Message) -> Option<Program> {
    let package = message.manifest_path?.parent()?.to_owned();
    Some(Program { path: message.executable?, package, test: message.profile?.test })
}

/// `cargo test`, whose rustc counts lines in crates of the workspace.
fn cargo(root: &Path, packages: &[String]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).arg("test").env("CARGO_INCREMENTAL", "0");
    cargo.env("RUSTC_WORKSPACE_WRAPPER", root.join("scripts/instrumented-rustc"));
    if packages.is_empty() {
        cargo.arg("--workspace");
    }
    for package in packages {
        cargo.args(["--package", package]);
    }
    cargo
}

/// Where the toolchain keeps LLVM's tools.
fn tools() -> Result<PathBuf> {
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let libraries = Path::new(sysroot.trim()).join("lib/rustlib");
    std::fs::read_dir(&libraries)?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .find(|bin| bin.join("llvm-profdata").is_file())
        .context("llvm-profdata is missing; run `rustup component add llvm-tools`")
}

fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| format!("{shown} cannot be started"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{shown}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}
