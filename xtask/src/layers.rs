//! Which crate may depend on which, and what a file of a service may name.
//!
//! The crates' layers are in `edges.toml`; the rules for files are in
//! [`files`], each with its reason.

mod crates;
mod files;

use crate::{Problem, edges};
use anyhow::Result;
use std::path::Path;

/// Everything that is out of its layer.
pub fn problems(root: &Path) -> Result<Vec<Problem>> {
    let edges = edges::read(root)?;
    let mut found = edges.problems();
    found.extend(crates::problems(&edges, &crates::metadata(root)?));
    found.extend(files::problems(root, &edges)?);
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use crate::{problem, tree};

    #[test]
    fn every_crate_and_every_file_of_this_repository_is_in_its_layer() {
        problem::assert_none(&super::problems(&tree::built_from()).unwrap());
    }
}
