//! The alerts: each has a page that says what to do, and a test; the queries of
//! alerts and dashboards name only metrics there are.
//!
//! Deliberately absent: a parser of PromQL. promtool reads the rules; here only the
//! words that look like metrics are looked at.

use super::dashboards;
use crate::{Problem, tree};
use anyhow::Result;
use std::collections::BTreeSet;
use std::path::Path;

const RULES: &str = "deploy/prometheus/rules.yaml";
const TESTS: &str = "deploy/prometheus/tests";
const PAGES: &str = "docs/runbooks";
const METRICS: &str = "docs/metrics.md";

/// The rules without their comments, for the chart.
pub(super) fn copy(root: &Path) -> Result<String> {
    let text = tree::read(root, RULES)?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    Ok(lines.map(|line| format!("{line}\n")).collect())
}

/// What alerts and dashboards lack.
pub(super) fn problems(root: &Path) -> Result<Vec<Problem>> {
    let rules = tree::read(root, RULES)?;
    let mut tests = String::new();
    for path in tree::files(root, TESTS, "yaml")? {
        tests.push_str(&tree::read(root, path)?);
    }
    let mut found = Vec::new();
    for (line, alert) in alerts(&rules) {
        let page = format!("{PAGES}/{alert}.md");
        if !root.join(&page).is_file() || !rules.contains(&format!("/{page}\n")) {
            let fix = format!("write {page} and name it in the alert's runbook_url");
            found.push(Problem::new(RULES, format!("{alert} has no runbook"), fix).at(line));
        }
        if !tests.contains(&format!("alertname: {alert}\n")) {
            let fix = format!("add a case to a file in {TESTS}");
            found.push(Problem::new(RULES, format!("{alert} has no test"), fix).at(line));
        }
    }
    found.extend(unknown_metrics(&tree::read(root, METRICS)?, &rules));
    Ok(found)
}

/// The alerts and the lines they begin on.
fn alerts(rules: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = rules.lines().enumerate();
    lines.filter_map(|(at, line)| Some((at + 1, line.trim_start().strip_prefix("- alert: ")?.trim())))
}

fn unknown_metrics(page: &str, rules: &str) -> Vec<Problem> {
    let known: BTreeSet<_> =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let mut found = Vec::new();
    let mut check = |file: &str, query: &str| {
        for name in metrics(query).into_iter().filter(|name| !is_known(&known, name)) {
            let what = format!("{name} is no metric of the platform");
            found.push(Problem::new(file, what, format!("choose one of {METRICS}")));
        }
    };
    for board in dashboards::ALL {
        for (query, _) in board.panels.iter().flat_map(|panel| panel.queries) {
            check(board.uid, query);
        }
    }
    for line in rules.lines().filter_map(|line| line.trim_start().strip_prefix("expr: ")) {
        check(RULES, line);
    }
    found
}

fn is_known(known: &BTreeSet<&str>, name: &str) -> bool {
    let base = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    known.contains(name) || known.contains(base)
}

/// The words of a query that a metric could be called: with `_`, outside of
/// texts, label lists and functions.
fn metrics(query: &str) -> Vec<String> {
    let bare = without_lists(query);
    let in_a_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    let mut found = Vec::new();
    let mut rest = bare.as_str();
    while let Some(begin) = rest.find(in_a_name) {
        rest = &rest[begin..];
        let end = rest.find(|c| !in_a_name(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let function = after.starts_with('(') || word.contains(':');
        if word.contains('_') && !function && word.starts_with(|c: char| c.is_ascii_lowercase()) {
            found.push(word.to_owned());
        }
        rest = after;
    }
    found
}

/// The query without `{…}`, `[…]` and `by (…)`.
fn without_lists(query: &str) -> String {
    let mut bare = String::new();
    let mut depth = 0_i32;
    for c in query.chars() {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            _ if depth == 0 => bare.push(c),
            _ => {}
        }
    }
    let mut parts = bare.split("by (");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(part.split_once(')').map_or("", |(_, after)| after));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_of_a_query_are_found() {
        let check = |query: &str, expect: &[&str]| assert_eq!(metrics(query), expect, "{query}");
        check("up == 0", &[]);
        check(r#"sum by (x_y) (rate(a_bucket{x_y="b_c"}[5m])) / b_total"#, &["a_bucket", "b_total"]);
        check("histogram_quantile(0.9, rate(a_bucket[5m]))", &["a_bucket"]);
        check("probity:errors:ratio_5m > 0.1", &[]);
    }

    #[test]
    fn what_an_alert_lacks_is_named() {
        let rules = "groups:\n  - rules:\n      - alert: A\n        expr: b_total > 1\n";
        assert_eq!(alerts(rules).collect::<Vec<_>>(), [(3, "A")]);
        let found = unknown_metrics("| `c_total` | counter |\n", rules);
        assert!(found.iter().any(|p| p.what == "b_total is no metric of the platform"), "{found:?}");
        assert_eq!(copy_of("# why\na: b\n"), "a: b\n");
    }

    fn copy_of(text: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        tree::write(dir.path(), RULES, text).unwrap();
        copy(dir.path()).unwrap()
    }
}
