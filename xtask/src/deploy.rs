//! Files under `deploy/` that follow from the code: the list of services the Helm
//! chart loops over, what Prometheus scrapes, the chart's copy of the alerts, and the
//! Grafana dashboards.
//!
//! Deliberately absent: anything a person decides, such as sizes or thresholds.
//! Those are in `values.yaml` and in the alert rules.

mod dashboards;
mod panels;
mod platform;
mod rules;

use crate::{Problem, edges, tree};
use anyhow::Result;
use std::path::{Path, PathBuf};

/// A file and what has to be in it.
type Written = (PathBuf, String);

/// Files that are not what the code says.
pub fn problems(root: &Path) -> Result<Vec<Problem>> {
    let stale = files(root)?
        .into_iter()
        .filter(|(path, text)| !tree::read(root, path).is_ok_and(|found| found == *text));
    let fix = "cargo run -p xtask -- deploy";
    let mut found: Vec<_> =
        stale.map(|(path, _)| Problem::new(path, "is not what the code says", fix)).collect();
    found.extend(rules::problems(root)?);
    Ok(found)
}

/// Writes the files; returns how many there are.
pub fn write(root: &Path) -> Result<usize> {
    let files = files(root)?;
    for (path, text) in &files {
        tree::write(root, path, text)?;
    }
    Ok(files.len())
}

fn files(root: &Path) -> Result<Vec<Written>> {
    let edges = edges::read(root)?;
    let mut files = vec![
        (PathBuf::from("deploy/helm/probity/files/platform.yaml"), platform::list(&edges)),
        (PathBuf::from("deploy/prometheus/scrape.json"), platform::scraped(&edges)?),
    ];
    files.push((PathBuf::from("deploy/helm/probity/files/rules.yaml"), rules::copy(root)?));
    for board in dashboards::ALL {
        files.push((PathBuf::from(format!("deploy/grafana/dashboards/{}.json", board.uid)), board.json()?));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem;

    #[test]
    fn the_files_of_this_repository_are_up_to_date() {
        problem::assert_none(&problems(&tree::built_from()).unwrap());
    }
}
