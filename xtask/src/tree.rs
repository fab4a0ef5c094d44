//! The files of the repository.

use anyhow::{Context as _, Result};
use std::fs;
use std::path::{Path, PathBuf};

const NOT_OURS: [&str; 4] = ["target", "node_modules", "data", "testdata"];

/// The root of the repository, from the current folder upwards.
pub fn root() -> Result<PathBuf> {
    let here = std::env::current_dir()?;
    let found = here.ancestors().find(|dir| dir.join("edges.toml").is_file());
    found
        .map(Path::to_path_buf)
        .context("no edges.toml here or above: run this inside the repository, or give --root")
}

/// The root of the repository this tool was built from.
#[must_use]
pub fn built_from() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Files with an extension under a folder of the root, sorted, as paths from the
/// root. A folder that is not there has none. Build output, dependencies and
/// hidden folders are left out.
pub fn files(root: &Path, folder: &str, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let start = root.join(folder);
    if start.is_dir() {
        walk(&start, extension, &mut found)?;
    }
    found.sort();
    found.iter().map(|path| Ok(path.strip_prefix(root)?.to_path_buf())).collect()
}

fn walk(dir: &Path, extension: &str, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("{} cannot be listed", dir.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || NOT_OURS.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            walk(&path, extension, found)?;
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    Ok(())
}

/// The text of a file under the root.
pub fn read(root: &Path, file: impl AsRef<Path>) -> Result<String> {
    let file = file.as_ref();
    fs::read_to_string(root.join(file)).with_context(|| format!("{} cannot be read", file.display()))
}

/// Writes a file under the root, making its folder.
pub fn write(root: &Path, file: impl AsRef<Path>, text: &str) -> Result<()> {
    let path = root.join(file.as_ref());
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
}
