//! Tools from npm, each in one version, kept in a cache folder outside the
//! repository.

use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program of an npm package.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// The package.
    pub package: &'static str,
    /// Its version, so that a new one cannot fail a build by surprise.
    pub version: &'static str,
    /// The program in it.
    pub program: &'static str,
}

impl Tool {
    /// The program, installed if need be; `None` where there is no npm.
    ///
    /// # Errors
    /// When npm is there and cannot install it.
    pub fn find(&self) -> Result<Option<PathBuf>> {
        let folder = cache().join(format!("{}-{}", self.program, self.version));
        let program = folder.join("node_modules/.bin").join(self.program);
        if !program.is_file() {
            if !answers("npm") {
                return Ok(None);
            }
            self.install(&folder)?;
        }
        Ok(Some(program))
    }

    fn install(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        let package = format!("{}@{}", self.package, self.version);
        let status = Command::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
            .arg(folder)
            .arg(&package)
            .status()
            .context("npm cannot be started")?;
        ensure!(status.success(), "npm could not install {package}; is there a network?");
        Ok(())
    }
}

/// Whether a program can be started.
#[must_use]
pub fn answers(program: &str) -> bool {
    let status = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn cache() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    base.or_else(home).unwrap_or_else(std::env::temp_dir).join("probity")
}
