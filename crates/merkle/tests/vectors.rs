//! Published inclusion and consistency vectors, negative cases included. They are
//! not part of the repository: `PROBITY_DATA` says where they lie.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, missing_docs)]

use probity_merkle::proof::{verify_subtree, verify_subtree_inclusion};
use probity_merkle::{Hash, leaf_hash, verify_consistency, verify_inclusion};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("PROBITY_DATA")?).join("merkle-vectors");
    folder.is_dir().then_some(folder)
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("folder is readable") {
        let path = entry.expect("entry is readable").path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// One vector: how its fields are read.
struct Vector(Value);

impl Vector {
    fn number(&self, field: &str) -> u64 {
        self.0[field].as_u64().expect(field)
    }

    fn hash(&self, field: &str) -> Option<Hash> {
        Hash::from_base64(self.0[field].as_str().expect(field)).ok()
    }

    /// Some consistency vectors have short texts for roots that are only ever
    /// compared. A `Hash` cannot be short, so each such text stands for one hash.
    fn compared(&self, field: &str) -> Hash {
        let text = self.0[field].as_str().expect(field);
        Hash::from_base64(text).unwrap_or_else(|_| leaf_hash(text.as_bytes()))
    }

    fn proof(&self) -> Option<Vec<Hash>> {
        let list = self.0["proof"].as_array().map_or(&[][..], Vec::as_slice);
        list.iter().map(|h| Hash::from_base64(h.as_str().expect("text")).ok()).collect()
    }

    fn holds(&self, kind: &str) -> Option<bool> {
        let proof = self.proof()?;
        let n = |field: &str| self.number(field);
        let result = match kind {
            "inclusion" => {
                let (leaf, root) = (self.hash("leafHash")?, self.hash("root")?);
                verify_inclusion(n("leafIdx"), n("treeSize"), &leaf, &proof, &root)
            }
            "consistency" => {
                let (first, second) = (self.compared("root1"), self.compared("root2"));
                verify_consistency(n("size1"), n("size2"), &first, &second, &proof)
            }
            "subtreeinclusion" => {
                let (leaf, root) = (self.hash("leafHash")?, self.hash("root")?);
                verify_subtree_inclusion(n("leafIdx"), &(n("start")..n("end")), &leaf, &proof, &root)
            }
            "subtreeconsistency" => {
                let (first, second) = (self.compared("root1"), self.compared("root2"));
                verify_subtree(&(n("start")..n("end")), n("size"), &first, &second, &proof)
            }
            other => panic!("unknown kind of vector {other}"),
        };
        Some(result.is_ok())
    }
}

fn check(kind: &str) {
    let Some(folder) = folder() else {
        eprintln!("SKIPPED {kind}: PROBITY_DATA/merkle-vectors is not there, nothing was tested");
        return;
    };
    let mut paths = Vec::new();
    files(&folder.join(kind), &mut paths);
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    let mut good = 0;
    for path in &paths {
        let text = std::fs::read_to_string(path).expect("file is readable");
        let vector = Vector(serde_json::from_str(&text).expect("file is JSON"));
        let expect = !vector.0["wantErr"].as_bool().expect("wantErr");
        assert_eq!(vector.holds(kind).unwrap_or(false), expect, "{}: {}", path.display(), vector.0["desc"]);
        good += usize::from(expect);
    }
    eprintln!("{kind}: {} vectors, {good} of them positive", paths.len());
}

#[test]
fn inclusion() {
    check("inclusion");
}

#[test]
fn consistency() {
    check("consistency");
}

#[test]
fn subtree_inclusion() {
    check("subtreeinclusion");
}

#[test]
fn subtree_consistency() {
    check("subtreeconsistency");
}
