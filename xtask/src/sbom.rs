//! What a released program is made of, as CycloneDX 1.6: every crate that is linked into
//! it, with the checksum of `Cargo.lock`, and the shared libraries of its image.
//!
//! What only builds (build scripts, procedural macros and what they need) is listed with
//! the scope `excluded`. The same sources give the same bytes: the time is that of the
//! commit, the serial number follows from the content.
//!
//! Deliberately absent: what only tests need.

mod document;
mod graph;
mod libraries;

use crate::edges;
use anyhow::{Context as _, Result};
use document::Document;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What to write where.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The folder the files go to, `probity-<name>.cdx.json` each.
    #[arg(long)]
    out: PathBuf,
    /// Roots of images (`deploy/docker/roots`): their shared libraries are listed too.
    #[arg(long)]
    roots: Option<PathBuf>,
    /// What the programs are built for.
    #[arg(long, default_value = "x86_64-unknown-linux-gnu")]
    target: String,
}

/// Writes a file for each program that is released.
///
/// # Errors
/// When cargo cannot say what a program is made of, or a file cannot be written.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    let graph = graph::Graph::read(root, &options.target)?;
    let time = commit_time(root);
    std::fs::create_dir_all(&options.out)
        .with_context(|| format!("{} cannot be made", options.out.display()))?;
    for (image, package) in programs(root)? {
        let parts = graph.parts_of(&package)?;
        let libraries = match &options.roots {
            Some(roots) => libraries::of(&roots.join(&image))?,
            None => Vec::new(),
        };
        let document = Document { parts: &parts, libraries: &libraries, time: time.as_deref() };
        let path = options.out.join(format!("probity-{image}.cdx.json"));
        std::fs::write(&path, document.json()?)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        let linked = parts.linked();
        println!("{}: {linked} crates linked, {} libraries", path.display(), libraries.len());
    }
    Ok(())
}

/// Name of the image and package of each program that is released.
fn programs(root: &Path) -> Result<Vec<(String, String)>> {
    let services = edges::read(root)?.services;
    let mut all: Vec<_> =
        services.into_iter().map(|s| (s.name.clone(), format!("probity-{}", s.name))).collect();
    all.push(("cli".to_owned(), "probity-cli".to_owned()));
    Ok(all)
}

/// When the commit was made, in UTC; `None` where there is no history, as in a build of an image.
fn commit_time(root: &Path) -> Option<String> {
    let output = Command::new("git")
        .args(["log", "-1", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", "--format=%cd"])
        .env("TZ", "UTC")
        .current_dir(root)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
