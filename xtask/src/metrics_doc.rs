//! `docs/metrics.md`, written from the metrics in the code.
//!
//! Metric names live in `metrics.rs` (and `metrics/`) of each crate. A call with a
//! name and a help text as its first two arguments makes a metric, whatever the
//! helper is called; its kind follows from what is called, its labels from the
//! list of names beside it.

use crate::edges;
use crate::source::{Source, is_for_tests, is_test_path};
use crate::{Problem, tree};
use anyhow::Result;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use syn::visit::{self, Visit};

const PAGE: &str = "docs/metrics.md";

const HEAD: &str = "# Metrics\n\n\
    Every metric of the platform. Generated from the code by `cargo run -p xtask -- metrics-doc`; edit the help\n\
    texts there. Each series also carries the label `service`.\n";

/// A metric in the code.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Metric {
    name: String,
    kind: &'static str,
    labels: Vec<String>,
    help: String,
}

/// Says when the page is not up to date.
pub fn problems(root: &Path) -> Result<Vec<Problem>> {
    let (expect, _) = page(root)?;
    let fine = tree::read(root, PAGE).is_ok_and(|text| text == expect);
    let fix = "cargo run -p xtask -- metrics-doc";
    Ok(if fine { vec![] } else { vec![Problem::new(PAGE, "is not what the code says", fix)] })
}

/// Writes the page; returns how many metrics are on it.
pub fn write(root: &Path) -> Result<usize> {
    let (text, count) = page(root)?;
    tree::write(root, PAGE, &text)?;
    Ok(count)
}

fn page(root: &Path) -> Result<(String, usize)> {
    let mut text = HEAD.to_owned();
    let mut count = 0;
    let services = edges::read(root)?.services;
    let shared =
        [("Every service", "crates/telemetry"), ("Runtime", "crates/runtime"), ("Stores", "crates/storage")];
    let own = services.iter().map(|s| (s.name.as_str(), format!("services/{}", s.name)));
    for (title, dir) in shared.map(|(title, dir)| (title, dir.to_owned())).into_iter().chain(own) {
        let metrics = of_crate(root, &dir)?;
        count += metrics.len();
        section(&mut text, title, &metrics);
    }
    Ok((text, count))
}

fn section(text: &mut String, title: &str, metrics: &BTreeMap<String, Metric>) {
    if metrics.is_empty() {
        return;
    }
    let _ = write!(text, "\n## {title}\n\n| metric | type | labels | what it says |\n|---|---|---|---|\n");
    for metric in metrics.values() {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let help = metric.help.trim_end_matches('.').replace('|', "\\|");
        let _ = writeln!(text, "| `{}` | {} | {} | {help} |", metric.name, metric.kind, labels.join(", "));
    }
}

fn of_crate(root: &Path, dir: &str) -> Result<BTreeMap<String, Metric>> {
    let mut found = BTreeMap::new();
    for path in tree::files(root, &format!("{dir}/src"), "rs")? {
        let inside = path.components().any(|part| part.as_os_str() == "metrics");
        if (inside || path.ends_with("metrics.rs")) && !is_test_path(&path) {
            found.extend(of_file(&Source::read(root, &path)?));
        }
    }
    Ok(found)
}

fn of_file(source: &Source) -> BTreeMap<String, Metric> {
    let mut metrics = Metrics::default();
    metrics.visit_file(&source.file);
    metrics.found.into_iter().map(|metric| (metric.name.clone(), metric)).collect()
}

#[derive(Default)]
struct Metrics {
    found: Vec<Metric>,
}

impl Metrics {
    /// Looks at a call, after the calls inside it.
    fn call(&mut self, callee: &str, arguments: &[&syn::Expr], inside: usize) {
        let texts: Vec<_> = arguments.iter().filter_map(|argument| text(argument)).collect();
        let lists: Vec<_> = arguments.iter().flat_map(|argument| list(argument)).collect();
        if let Some([name, help]) = texts.get(..2)
            && is_name(name)
        {
            let labels = [&texts[2..], &lists[..]].concat();
            self.found.push(Metric {
                name: name.clone(),
                kind: kind(callee, name),
                labels,
                help: help.clone(),
            });
        } else if !lists.is_empty() {
            self.found[inside..].iter_mut().for_each(|metric| metric.labels.clone_from(&lists));
        }
        // `IntGaugeVec::new(Opts::new(…), …)`: the outer call knows the kind.
        if callee.contains("Gauge") {
            self.found[inside..].iter_mut().for_each(|metric| metric.kind = "gauge");
        }
    }
}

impl<'ast> Visit<'ast> for Metrics {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        let inside = self.found.len();
        visit::visit_expr_call(self, call);
        if let syn::Expr::Path(path) = &*call.func {
            let callee: Vec<_> = path.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.call(&callee.join("::"), &call.args.iter().collect::<Vec<_>>(), inside);
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let inside = self.found.len();
        visit::visit_expr_method_call(self, call);
        self.call(&call.method.to_string(), &call.args.iter().collect::<Vec<_>>(), inside);
    }
}

fn text(expression: &syn::Expr) -> Option<String> {
    match expression {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    }
}

/// The texts of `&["a", "b"]`.
fn list(expression: &syn::Expr) -> Vec<String> {
    match expression {
        syn::Expr::Reference(reference) => list(&reference.expr),
        syn::Expr::Array(array) => array.elems.iter().filter_map(text).collect(),
        _ => Vec::new(),
    }
}

fn is_name(text: &str) -> bool {
    text.contains('_') && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

fn kind(callee: &str, name: &str) -> &'static str {
    let callee = callee.to_ascii_lowercase();
    if callee.contains("histogram") || (callee == "opts::new" && name.ends_with("_seconds")) {
        "histogram"
    } else if callee.contains("counter") || name.ends_with("_total") {
        "counter"
    } else {
        "gauge"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem;

    #[test]
    fn metrics_are_found_however_they_are_made() {
        let check = |code: &str, expect: &[(&str, &str, &[&str])]| {
            let text = format!("fn f() {{ {code} }}");
            let found = of_file(&Source::parse(Path::new("metrics.rs"), text).unwrap());
            let found: Vec<_> = found.values().map(|m| (m.name.as_str(), m.kind, m.labels.clone())).collect();
            let expect: Vec<_> = expect
                .iter()
                .map(|(n, k, l)| (*n, *k, l.iter().map(|l| (*l).to_owned()).collect()))
                .collect();
            assert_eq!(found, expect, "{code}");
        };
        check(r#"IntCounter::new("a_total", "A")?;"#, &[("a_total", "counter", &[])]);
        check(r#"IntGauge::new("queue_depth", "A")?;"#, &[("queue_depth", "gauge", &[])]);
        check(
            r#"IntCounterVec::new(Opts::new("a_total", "A"), &["x", "y"])?;"#,
            &[("a_total", "counter", &["x", "y"])],
        );
        check(
            r#"IntGaugeVec::new(Opts::new("state_now", "A"), &["x"])?;"#,
            &[("state_now", "gauge", &["x"])],
        );
        check(
            r#"HistogramVec::new(HistogramOpts::new("a_seconds", "A").buckets(B.to_vec()), &["x"])?;"#,
            &[("a_seconds", "histogram", &["x"])],
        );
        check(
            r#"let o = HistogramOpts::new("a_seconds", "A"); Histogram::with_opts(o)?;"#,
            &[("a_seconds", "histogram", &[])],
        );
        check(r#"counter("a_total", "A", "reason")?;"#, &[("a_total", "counter", &["reason"])]);
        check(r#"self.x.with_label_values(&["a_b", "c d"]);"#, &[]);
        check(r#"println!("x"); log("x", "y");"#, &[]);
    }

    #[test]
    fn the_page_of_this_repository_is_up_to_date() {
        problem::assert_none(&problems(&tree::built_from()).unwrap());
    }
}
