//! Lint of the contracts with buf: the one on the path, else the npm package in
//! a cache folder outside the repository.

use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The version of the npm package, so that a new one cannot fail a build by
/// surprise.
const VERSION: &str = "1.75.0";

/// Lints `proto/`. Without buf and without npm, says so and passes.
pub fn run(root: &Path) -> Result<bool> {
    let Some(buf) = find()? else {
        println!(
            "buf lint SKIPPED: neither buf nor npm is installed (install npm, or buf from https://buf.build)"
        );
        return Ok(true);
    };
    let status = Command::new(&buf)
        .arg("lint")
        .current_dir(root.join("proto"))
        .status()
        .with_context(|| format!("{} cannot be started", buf.display()))?;
    println!("buf lint {}", if status.success() { "ok" } else { "failed: mend the lines above" });
    Ok(status.success())
}

fn find() -> Result<Option<PathBuf>> {
    if answers("buf") {
        return Ok(Some(PathBuf::from("buf")));
    }
    let folder = cache().join(format!("buf-{VERSION}"));
    let program = folder.join("node_modules/.bin/buf");
    if !program.is_file() {
        if !answers("npm") {
            return Ok(None);
        }
        install(&folder)?;
    }
    Ok(Some(program))
}

fn answers(program: &str) -> bool {
    let status = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn install(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let status = Command::new("npm")
        .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
        .arg(folder)
        .arg(format!("@bufbuild/buf@{VERSION}"))
        .status()
        .context("npm cannot be started")?;
    ensure!(
        status.success(),
        "npm could not install @bufbuild/buf@{VERSION}; is there a network? Or install buf yourself"
    );
    Ok(())
}

fn cache() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    base.or_else(home).unwrap_or_else(std::env::temp_dir).join("probity")
}
