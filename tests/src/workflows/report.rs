//! What was measured, as JSON lines and as a table of medians.

use super::crash::Crash;
use super::driver::Round;
use super::engine::Kind;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A row of the table: what it is called, its unit, and whether more is better.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    place: usize,
    name: String,
    more_is_better: Option<bool>,
}

/// All figures, by row and engine.
#[derive(Debug, Default)]
pub struct Figures {
    rows: BTreeMap<Row, BTreeMap<Kind, Vec<f64>>>,
    /// A JSON object a measurement.
    pub lines: Vec<Value>,
}

impl Figures {
    /// A round of the closed loop.
    pub fn round(&mut self, kind: Kind, repetition: usize, callers: usize, round: &Round) {
        let Round { ok, per_s, p50_ms, p99_ms, max_ms, errors, first_error } = round;
        self.lines.push(json!({
            "engine": kind.to_string(), "repetition": repetition, "callers": callers, "ok": ok, "per_s": per_s,
            "p50_ms": p50_ms, "p99_ms": p99_ms, "max_ms": max_ms, "errors": errors, "first_error": first_error,
        }));
        let place = callers * 10;
        if callers == 1 {
            self.put(place, "1 caller, p50 (ms)", Some(false), kind, *p50_ms);
        } else {
            self.put(place, &format!("{callers} callers, executions a second"), Some(true), kind, *per_s);
        }
        self.put(place + 1, &format!("{callers} caller(s), p99 (ms)"), Some(false), kind, *p99_ms);
        self.put(9_000, "calls that failed", None, kind, *errors as f64);
    }

    /// Memory of the server when idle and at its peak, and of its database.
    pub fn memory(&mut self, kind: Kind, repetition: usize, idle: f64, peak: f64, database: Option<f64>) {
        self.lines.push(json!({
            "engine": kind.to_string(), "repetition": repetition, "rss_idle_mb": idle, "rss_peak_mb": peak,
            "database_mb": database,
        }));
        self.put(5_000, "server RSS, idle (MB)", Some(false), kind, idle);
        self.put(5_001, "server RSS, peak (MB)", Some(false), kind, peak);
        if let Some(mb) = database {
            self.put(5_002, "its PostgreSQL beside it (MB)", None, kind, mb);
        }
    }

    /// How long the audit log went on growing.
    pub fn audit(&mut self, kind: Kind, repetition: usize, ms: f64) {
        self.lines.push(json!({"engine": kind.to_string(), "repetition": repetition, "audit_behind_ms": ms}));
        self.put(5_100, "audit log caught up after (ms)", None, kind, ms);
    }

    /// A crash.
    pub fn crash(&mut self, kind: Kind, repetition: usize, crash: Crash) {
        let Crash { ready_s, done_s, repeated, doubled, lost } = crash;
        self.lines.push(json!({
            "engine": kind.to_string(), "repetition": repetition, "ready_after_kill_s": ready_s,
            "done_after_kill_s": done_s, "repeated_attempts": repeated, "doubled_effects": doubled, "lost": lost,
        }));
        self.put(6_000, "after SIGKILL: ready (s)", Some(false), kind, ready_s);
        self.put(6_001, "after SIGKILL: all done (s)", Some(false), kind, done_s);
        self.put(6_002, "after SIGKILL: repeated attempts", None, kind, repeated as f64);
        self.put(6_003, "after SIGKILL: doubled effects", None, kind, doubled as f64);
        self.put(6_004, "after SIGKILL: lost", None, kind, lost as f64);
    }

    fn put(&mut self, place: usize, name: &str, more_is_better: Option<bool>, kind: Kind, value: f64) {
        let row = Row { place, name: name.to_owned(), more_is_better };
        self.rows.entry(row).or_default().entry(kind).or_default().push(value);
    }

    /// Medians in Markdown, the smallest and the largest in brackets, and for each of
    /// ours how many times better than Restate's the median is.
    #[must_use]
    pub fn table(&self, kinds: &[Kind]) -> String {
        let ours: Vec<_> = kinds.iter().filter(|kind| **kind != Kind::Restate).collect();
        let compared = kinds.contains(&Kind::Restate) && !ours.is_empty();
        let mut head: Vec<String> = kinds.iter().map(ToString::to_string).collect();
        if compared {
            head.extend(ours.iter().map(|kind| format!("{kind}: times better")));
        }
        let mut text = format!("| | {} |\n|---|{}\n", head.join(" | "), "---|".repeat(head.len()));
        for (row, values) in &self.rows {
            let mut cells: Vec<String> = kinds.iter().map(|kind| cell(values.get(kind))).collect();
            if compared {
                cells.extend(ours.iter().map(|kind| ratio(row, values, **kind)));
            }
            let _ = writeln!(text, "| {} | {} |", row.name, cells.join(" | "));
        }
        text
    }
}

fn cell(values: Option<&Vec<f64>>) -> String {
    let Some(values) = values.filter(|values| !values.is_empty()) else { return "–".to_owned() };
    let (least, most) =
        (values.iter().copied().fold(f64::MAX, f64::min), values.iter().copied().fold(0.0, f64::max));
    let middle = short(median(values));
    if values.len() == 1 { middle } else { format!("{middle} ({}–{})", short(least), short(most)) }
}

fn ratio(row: &Row, values: &BTreeMap<Kind, Vec<f64>>, kind: Kind) -> String {
    let (Some(ours), Some(theirs), Some(more)) =
        (values.get(&kind), values.get(&Kind::Restate), row.more_is_better)
    else {
        return "–".to_owned();
    };
    let (ours, theirs) = (median(ours), median(theirs));
    let times = if more { ours / theirs } else { theirs / ours };
    if times.is_finite() { format!("{times:.1}×") } else { "–".to_owned() }
}

/// The value in the middle.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflows::ours::Store;

    #[test]
    fn the_table_has_medians_spread_and_ratios() {
        let ours = Kind::Ours(Store::Sqlite);
        let mut figures = Figures::default();
        for (repetition, per_s) in [(1, 900.0), (2, 1_000.0), (3, 5_000.0)] {
            let round = Round { per_s, p99_ms: 5.0, ..Round::default() };
            figures.round(ours, repetition, 64, &round);
            figures.round(
                Kind::Restate,
                repetition,
                64,
                &Round { per_s: per_s / 10.0, p99_ms: 50.0, ..round },
            );
        }
        let table = figures.table(&[ours, Kind::Restate]);
        let check = |line: &str| assert!(table.contains(line), "{line} is not in\n{table}");
        check("| | Probity, SQLite | Restate | Probity, SQLite: times better |");
        check("| 64 callers, executions a second | 1000 (900–5000) | 100 (90–500) | 10.0× |");
        check("| 64 caller(s), p99 (ms) | 5 (5–5) | 50 (50–50) | 10.0× |");
        check("| calls that failed | 0 (0–0) | 0 (0–0) | – |");
        assert_eq!(figures.lines.len(), 6);
    }

    #[test]
    fn medians_of_even_counts_lie_between() {
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
    }
}
