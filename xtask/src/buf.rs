//! The contracts with buf, the one on the path, else the npm package: lint, and
//! whether anything breaks those who use the last release.

use crate::npm::{Tool, answers};
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

const BUF: Tool = Tool { package: "@bufbuild/buf", version: "1.75.0", program: "buf" };

/// Lints `proto/` and compares it with the last release, or with the revision
/// that is named. Without buf and without npm, says so and passes.
pub fn run(root: &Path, against: Option<&str>) -> Result<bool> {
    let Some(buf) = find()? else {
        println!(
            "buf lint SKIPPED: neither buf nor npm is installed (install npm, or buf from https://buf.build)"
        );
        return Ok(true);
    };
    let lint = call(&buf, &root.join("proto"), &["lint"])?;
    println!("buf lint {}", if lint { "ok" } else { "failed: mend the lines above" });
    let Some(revision) = against.map(ToOwned::to_owned).or_else(|| last_release(root)) else {
        println!("buf breaking SKIPPED: there is no release yet (name a revision with --against)");
        return Ok(lint);
    };
    let before = format!(".git#ref={revision},subdir=proto");
    let kept = call(&buf, root, &["breaking", "proto", "--against", &before])?;
    println!("buf breaking {}", if kept { "ok" } else { "failed: contracts change only by addition" });
    Ok(lint && kept)
}

fn call(buf: &Path, folder: &Path, args: &[&str]) -> Result<bool> {
    let status = Command::new(buf).args(args).current_dir(folder).status();
    Ok(status.with_context(|| format!("{} cannot be started", buf.display()))?.success())
}

/// The newest tag of a version.
fn last_release(root: &Path) -> Option<String> {
    let args = ["describe", "--tags", "--abbrev=0", "--match", "v[0-9]*"];
    let output = Command::new("git").args(args).current_dir(root).output().ok()?;
    let tag = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !tag.is_empty()).then_some(tag)
}

fn find() -> Result<Option<PathBuf>> {
    if answers("buf") { Ok(Some(PathBuf::from("buf"))) } else { BUF.find() }
}
