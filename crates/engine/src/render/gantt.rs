//! The timeline as a picture that stands by itself.
//!
//! Kinds of bars differ in form as well as in colour: failed attempts carry a cross, waits are
//! thin, what people are needed for has an outline, taking back is striped.

use super::graph::cut;
use super::scale::{Scale, duration};
use super::timeline::{Bar, BarKind, Mark, Row, timeline};
use crate::execution::{Execution, Status};
use crate::fact::{Ending, Fact};
use probity_types::Micros;
use std::collections::HashMap;
use std::fmt::Write as _;

/// Most rows in one picture; a note says how many more there are.
pub const MAX_ROWS: usize = 500;

const WIDTH: f64 = 1_120.0;
const NAMES: f64 = 210.0;
const MARGIN: f64 = 20.0;
const PLOT_END: f64 = WIDTH - 170.0;
const TOP: f64 = 112.0;
const ROW: f64 = 26.0;
const NAME_CHARS: usize = 27;
const STANDING_CHARS: usize = 25;
/// A bar is never narrower: a call of a millisecond in a case of weeks is still seen.
const LEAST: f64 = 3.0;

/// Light colours first; a page that prefers dark overrides them.
const STYLE: &str = "\
text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#0f172a}\
.h{font-size:16px;font-weight:600}.m{fill:#64748b;font-size:11px}.n{fill:#fff;font-size:10px;font-weight:600}\
.p{fill:#fff}.z{fill:#f8fafc}.g{stroke:#e2e8f0}.w{fill:none;stroke:#94a3b8;stroke-dasharray:2 3}\
.state{fill:#cbd5e1;stroke:#fff}.attempt{fill:#2563eb}.failed{fill:#dc2626}.backoff{fill:#f59e0b}.timer{fill:#94a3b8}\
.items{fill:#93c5fd}.signal{fill:#0d9488}.approval{fill:#fef3c7;stroke:#d97706}.incident{fill:#fee2e2;stroke:#dc2626;stroke-dasharray:4 2}\
.back{fill:#9333ea}.backfailed{fill:#be185d}.mark{fill:#0f172a;stroke:#fff}.x{stroke:#fff;stroke-width:1.5}\
@media(prefers-color-scheme:dark){text{fill:#e2e8f0}.m{fill:#94a3b8}.p{fill:#0f172a}.z{fill:#172033}\
.g{stroke:#273449}.w{stroke:#64748b}.state{fill:#334155;stroke:#0f172a}.attempt{fill:#3b82f6}.items{fill:#1e40af}.signal{fill:#14b8a6}.failed{fill:#ef4444}.approval{fill:#451a03}\
.incident{fill:#450a0a}.back{fill:#a855f7}.backfailed{fill:#db2777}.mark{fill:#f8fafc;stroke:#0f172a}}";

const LEGEND: [(BarKind, &str); 10] = [
    (BarKind::Items, "items"),
    (BarKind::Attempt, "attempt"),
    (BarKind::Failed, "failed attempt"),
    (BarKind::BackOff, "wait to retry"),
    (BarKind::Timer, "timer"),
    (BarKind::Signal, "waits for a signal"),
    (BarKind::Approval, "waits for people"),
    (BarKind::Incident, "incident"),
    (BarKind::Back, "taking back"),
    (BarKind::BackFailed, "taking back failed"),
];

impl BarKind {
    const fn class(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Items => "items",
            Self::Attempt => "attempt",
            Self::Failed => "failed",
            Self::BackOff => "backoff",
            Self::Timer => "timer",
            Self::Signal => "signal",
            Self::Approval => "approval",
            Self::Incident => "incident",
            Self::Back => "back",
            Self::BackFailed => "backfailed",
        }
    }

    /// Its height in a row.
    const fn height(self) -> f64 {
        match self {
            Self::BackOff | Self::Timer | Self::Signal | Self::Items => 5.0,
            _ => 15.0,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Items => "goes through a list",
            Self::Attempt => "attempt",
            Self::Failed => "failed attempt",
            Self::BackOff => "wait before the next attempt",
            Self::Timer => "timer",
            Self::Signal => "waits for a signal",
            Self::Approval => "waits for people",
            Self::Incident => "incident",
            Self::Back => "taking back, attempt",
            Self::BackFailed => "taking back failed, attempt",
        }
    }
}

/// An execution as a Gantt chart in SVG: what each step did, waited for and retried, with a
/// legend and an axis of time since the start. `facts` as for [`timeline`]; what is still going
/// on reaches up to `now`.
#[must_use]
pub fn gantt_svg(execution: &Execution, facts: &[(Micros, Fact)], now: Micros) -> String {
    let rows = timeline(execution, facts, now);
    let drawn = &rows[..rows.len().min(MAX_ROWS)];
    let (from, to) = extent(&rows, facts, now);
    let scale = Scale { from, to, start: NAMES, width: PLOT_END - NAMES };
    #[allow(clippy::cast_precision_loss)] // at most MAX_ROWS
    let bottom = TOP + ROW * drawn.len() as f64;
    let mut svg = Svg { out: String::new(), scale };
    svg.begin(bottom + 36.0);
    svg.header(execution, facts, now);
    svg.legend(&rows);
    for (index, row) in drawn.iter().enumerate() {
        svg.stripe(index);
        svg.name(index, row);
    }
    svg.axis(bottom);
    for (index, row) in drawn.iter().enumerate() {
        svg.row(index, row);
    }
    if rows.len() > drawn.len() {
        let note = format!("{} more rows are not drawn", rows.len() - drawn.len());
        svg.text(MARGIN, bottom + 20.0, "m", "start", &note);
    }
    svg.out.push_str("</svg>\n");
    svg.out
}

/// From the first to the last moment of anything.
fn extent(rows: &[Row], facts: &[(Micros, Fact)], now: Micros) -> (Micros, Micros) {
    let bars = rows.iter().flat_map(|row| &row.bars).flat_map(|bar| [bar.from, bar.to]);
    let times = || bars.clone().chain(facts.iter().map(|(at, _)| *at));
    let (first, last) = (times().min().unwrap_or(now), times().max().unwrap_or(now));
    (first, last.max(Micros(first.0.saturating_add(1_000))))
}

struct Svg {
    out: String,
    scale: Scale,
}

impl Svg {
    fn begin(&mut self, height: f64) {
        let _ = write!(
            self.out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" role=\"img\"><style>{STYLE}</style>\
             <defs><pattern id=\"s\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
             patternTransform=\"rotate(45)\"><rect width=\"3\" height=\"6\" fill=\"#fff\" fill-opacity=\".35\"/>\
             </pattern></defs><rect class=\"p\" width=\"{WIDTH}\" height=\"{height}\"/>"
        );
    }

    fn header(&mut self, execution: &Execution, facts: &[(Micros, Fact)], now: Micros) {
        let title = format!("{} · {}", execution.definition.name, execution.opening.name);
        let _ = write!(self.out, "<title>{}</title>", escaped(&title));
        self.text(MARGIN, 32.0, "h", "start", &cut(&title, 90));
        let started = facts.first().map_or(now, |(at, _)| *at);
        let ended = execution.ended.and_then(|_| facts.last()).map_or(now, |(at, _)| *at);
        let took = duration(ended.0.saturating_sub(started.0));
        let began = started.to_string();
        let began = began.split_once('.').map_or(began.as_str(), |(seconds, _)| seconds).replace('T', " ");
        let of = execution.opening.parent.as_ref().map_or_else(String::new, |parent| {
            let item = parent.item.map_or_else(String::new, |item| format!("[{item}]"));
            format!(" · for {}{item} of {}", parent.step, parent.execution)
        });
        let line = format!("{} · began {began} UTC · {took}{of}", status(execution.status()));
        self.text(MARGIN, 52.0, "m", "start", &line);
    }

    /// Only what is in the picture.
    fn legend(&mut self, rows: &[Row]) {
        let mut x = MARGIN;
        let seen = |kind: BarKind| rows.iter().flat_map(|row| &row.bars).any(|bar| bar.kind == kind);
        for (kind, words) in LEGEND.into_iter().filter(|(kind, _)| seen(*kind)) {
            self.rect(kind, x, 76.0, 22.0);
            if matches!(kind, BarKind::Failed | BarKind::BackFailed) {
                self.cross(x + 11.0, 76.0);
            }
            self.text(x + 28.0, 80.0, "m", "start", words);
            #[allow(clippy::cast_precision_loss)] // a word of the table above
            let width = words.len() as f64;
            x += 46.0 + width * 5.8;
        }
        if rows.iter().any(|row| !row.marks.is_empty()) {
            self.diamond(x + 6.0, 76.0, "");
            self.text(x + 18.0, 80.0, "m", "start", "decision, skip or new attempt");
        }
    }

    fn axis(&mut self, bottom: f64) {
        for (at, label) in self.scale.ticks() {
            let x = self.scale.x(at);
            let _ = write!(self.out, "<path class=\"g\" d=\"M{x:.1} {:.1}V{bottom:.1}\"/>", TOP - 4.0);
            self.text(x, TOP - 9.0, "m", "middle", &label);
        }
    }

    fn stripe(&mut self, index: usize) {
        if index.is_multiple_of(2) {
            let (y, width) = (middle(index) - ROW / 2.0, WIDTH - 2.0 * MARGIN + 12.0);
            let _ = write!(
                self.out,
                "<rect class=\"z\" x=\"{:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{ROW}\"/>",
                MARGIN - 6.0
            );
        }
    }

    fn name(&mut self, index: usize, row: &Row) {
        let y = middle(index) + 4.0;
        let name = row.step.as_deref().unwrap_or("case");
        match row.item {
            Some(item) => {
                self.text(MARGIN + 14.0, y, "m", "start", &cut(&format!("{name}[{item}]"), NAME_CHARS));
            }
            None => self.text(MARGIN, y, "", "start", &cut(name, NAME_CHARS)),
        }
        self.text(PLOT_END + 14.0, y, "m", "start", &cut(&row.standing, STANDING_CHARS));
    }

    /// Bars that would lie on the very place of their like are drawn once, so a row has no more
    /// of them than the picture has room for.
    fn row(&mut self, index: usize, row: &Row) {
        let y = middle(index);
        self.gaps(y, &row.bars);
        let mut drawn: HashMap<BarKind, f64> = HashMap::new();
        for bar in &row.bars {
            let (x, end) = (self.scale.x(bar.from), self.scale.x(bar.to));
            let end = end.max(x + LEAST);
            if drawn.get(&bar.kind).is_none_or(|until| end >= *until + 1.0) {
                self.bar(bar, x, y, end - x);
                drawn.insert(bar.kind, end);
            }
        }
        let mut last = f64::MIN;
        for mark in &row.marks {
            let x = self.scale.x(mark.at);
            if x - last >= 1.0 {
                self.mark(mark, x, y);
                last = x;
            }
        }
    }

    /// A thin line through a row, from its first to its last bar.
    fn gaps(&mut self, y: f64, bars: &[Bar]) {
        if let (Some(first), Some(last), true) = (bars.first(), bars.last(), bars.len() > 1) {
            let (from, to) = (self.scale.x(first.from), self.scale.x(last.to));
            let _ = write!(self.out, "<path class=\"w\" d=\"M{from:.1} {y:.1}H{to:.1}\"/>");
        }
    }

    fn bar(&mut self, bar: &Bar, x: f64, y: f64, width: f64) {
        self.out.push_str("<g>");
        self.tooltip(&tooltip(bar));
        self.rect(bar.kind, x, y, width);
        match (bar.kind, bar.attempt) {
            (BarKind::State, _) => self.state(bar, x, y, width),
            (BarKind::Failed | BarKind::BackFailed, _) if width >= 12.0 => self.cross(x + width - 7.0, y),
            _ => {}
        }
        if let Some(attempt) = bar.attempt.filter(|attempt| *attempt > 1 && width >= 26.0) {
            self.text(x + 4.0, y + 3.5, "n", "start", &attempt.to_string());
        }
        self.out.push_str("</g>");
    }

    fn state(&mut self, bar: &Bar, x: f64, y: f64, width: f64) {
        #[allow(clippy::cast_precision_loss)] // the name of a state
        let needed = bar.note.len() as f64 * 7.5 + 8.0;
        if width >= needed {
            self.text(x + 5.0, y + 4.0, "m", "start", &bar.note);
        }
    }

    fn rect(&mut self, kind: BarKind, x: f64, y: f64, width: f64) {
        let height = kind.height();
        let shape = format!(
            "x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height}\" rx=\"2\"",
            y - height / 2.0
        );
        let _ = write!(self.out, "<rect class=\"{}\" {shape}/>", kind.class());
        if matches!(kind, BarKind::Back | BarKind::BackFailed) {
            let _ = write!(self.out, "<rect fill=\"url(#s)\" {shape}/>");
        }
    }

    fn cross(&mut self, x: f64, y: f64) {
        let _ = write!(self.out, "<path class=\"x\" d=\"M{:.1} {:.1}l6 6m0-6l-6 6\"/>", x - 3.0, y - 3.0);
    }

    fn mark(&mut self, mark: &Mark, x: f64, y: f64) {
        self.diamond(x, y, &format!("{}: {}", mark.at, cut(&mark.note, 200)));
    }

    fn diamond(&mut self, x: f64, y: f64, note: &str) {
        self.out.push_str("<g>");
        self.tooltip(note);
        let _ = write!(self.out, "<path class=\"mark\" d=\"M{x:.1} {:.1}l5 5l-5 5l-5-5z\"/></g>", y - 5.0);
    }

    fn tooltip(&mut self, text: &str) {
        if !text.is_empty() {
            let _ = write!(self.out, "<title>{}</title>", escaped(text));
        }
    }

    fn text(&mut self, x: f64, y: f64, class: &str, anchor: &str, text: &str) {
        let _ = write!(
            self.out,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{}</text>",
            escaped(text)
        );
    }
}

#[allow(clippy::cast_precision_loss)] // at most MAX_ROWS
fn middle(index: usize) -> f64 {
    TOP + ROW * index as f64 + ROW / 2.0
}

fn tooltip(bar: &Bar) -> String {
    let attempt = bar.attempt.map_or(String::new(), |attempt| format!(" {attempt}"));
    let took = duration(bar.to.0.saturating_sub(bar.from.0));
    let still = if bar.open { ", still going on" } else { "" };
    let note = if bar.note.is_empty() { String::new() } else { format!(": {}", cut(&bar.note, 200)) };
    format!("{}{attempt}, {} + {took}{still}{note}", bar.kind.words(), bar.from)
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Running => "running",
        Status::Waiting => "waits for people",
        Status::Incident => "needs a person",
        Status::Queued => "waits for a place",
        Status::Compensating => "is being taken back",
        Status::Ended(Ending::Completed) => "completed",
        Status::Ended(Ending::Failed) => "failed",
        Status::Ended(Ending::Cancelled) => "cancelled",
        #[allow(unreachable_patterns)] // what a later kind of execution does
        _ => "open",
    }
}

/// Text for an element or an attribute of XML; what XML cannot hold becomes U+FFFD.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' | '\r' => out.push(' '),
            c if c.is_control() || ('\u{fffe}'..='\u{ffff}').contains(&c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
