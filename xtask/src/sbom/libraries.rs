//! The shared libraries in the root of an image, and which package of Debian they are of.

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Library {
    /// Its path in the image.
    pub(super) path: String,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub(super) sha256: String,
    /// Name, version and architecture of the package it came from, where dpkg knows.
    pub(super) package: Option<[String; 3]>,
}

/// The libraries under a root, by path.
pub(super) fn of(root: &Path) -> Result<Vec<Library>> {
    let mut paths = Vec::new();
    walk(root, &mut paths).with_context(|| {
        format!("{} cannot be read: deploy/docker/roots makes the roots of images", root.display())
    })?;
    paths.sort();
    paths.iter().map(|path| library(root, path)).collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, found)?;
        } else if is_library(&path) {
            found.push(path);
        }
    }
    Ok(())
}

fn is_library(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".so") || name.contains(".so.")
}

fn library(root: &Path, file: &Path) -> Result<Library> {
    let bytes = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let path = format!("/{}", file.strip_prefix(root)?.display());
    Ok(Library { sha256: hex(&Sha256::digest(bytes)), package: package(&path), path })
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn package(path: &str) -> Option<[String; 3]> {
    let owner = answer(&["-S", path])?;
    let name = owner.split_once(": ")?.0.to_owned();
    let said = answer(&["-W", "-f", "${Package} ${Version} ${Architecture}", &name])?;
    let mut words = said.split_whitespace().map(str::to_owned);
    Some([words.next()?, words.next()?, words.next()?])
}

fn answer(arguments: &[&str]) -> Option<String> {
    let output = Command::new("dpkg-query").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_found_with_their_hash() {
        let root = tempfile::tempdir().unwrap();
        let file = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        file("program", "x");
        file("opt/of-nobody/libx.so.1", "abc");
        file("etc/ssl/certs/ca-certificates.crt", "x");
        let expect = Library {
            path: "/opt/of-nobody/libx.so.1".to_owned(),
            sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned(),
            package: None,
        };
        assert_eq!(of(root.path()).unwrap(), [expect]);
    }

    #[test]
    fn a_root_that_is_not_there_says_what_makes_it() {
        let error = of(Path::new("/nowhere/gateway")).unwrap_err();
        assert!(error.to_string().contains("deploy/docker/roots makes the roots"), "{error}");
    }
}
