//! Links between the Markdown pages lead somewhere.
//!
//! Deliberately absent: links to the web. A check that needs the network fails
//! for reasons that are not ours.

use crate::{Problem, tree};
use anyhow::Result;
use std::path::{Component, Path, PathBuf};

/// Every broken link.
pub fn problems(root: &Path) -> Result<Vec<Problem>> {
    let mut found = Vec::new();
    for page in tree::files(root, "", "md")? {
        let text = tree::read(root, &page)?;
        for (target, line) in targets(&text) {
            let path = resolve(&page, &target);
            if !root.join(&path).exists() {
                let what = format!("links to {target}, which is not there");
                found.push(Problem::new(&page, what, "mend the link, or write the page").at(line));
            }
        }
    }
    Ok(found)
}

/// Targets of `[text](target)` inside the repository, without their anchors, and
/// their lines. Code is left out.
fn targets(text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect();
        for part in prose.split("](").skip(1) {
            let target = part.split([')', '#', ' ']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:") {
                found.push((target.to_owned(), at + 1));
            }
        }
    }
    found
}

fn resolve(page: &Path, target: &str) -> PathBuf {
    let mut path = page.parent().map(Path::to_path_buf).unwrap_or_default();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem;

    #[test]
    fn targets_are_found_outside_code() {
        let text = "[a](b.md) and [c](../d/e.md#f), [w](https://x.example) [t](#here)\n```\n[no](no.md)\n```\n`[no](no.md)` [g](h.md)";
        let found: Vec<_> = targets(text);
        assert_eq!(found, [("b.md".to_owned(), 1), ("../d/e.md".to_owned(), 1), ("h.md".to_owned(), 5)]);
    }

    #[test]
    fn targets_are_relative_to_their_page() {
        let check = |page: &str, target: &str, expect: &str| {
            assert_eq!(resolve(Path::new(page), target), Path::new(expect));
        };
        check("docs/adr/0001.md", "../errors/A.md", "docs/errors/A.md");
        check("README.md", "docs/", "docs");
    }

    #[test]
    fn no_link_of_this_repository_is_broken() {
        problem::assert_none(&problems(&tree::built_from()).unwrap());
    }
}
