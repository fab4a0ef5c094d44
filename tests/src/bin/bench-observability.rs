//! `make bench-observability`: what it costs to be observed.
//!
//! Four platforms run side by side with the work of `make bench-workflows`: one that
//! is not observed at all (`telemetry.enabled = false`: no span, no log, no call
//! counted), one with everything but an exporter, one that sends a tenth of its traces
//! to a Jaeger and one that sends all. Their rounds take turns, beginning with another
//! one each time, and each is compared with the unobserved round beside it: a shared
//! machine changes its speed from minute to minute. Processor time is the server's
//! alone; driver, worker and Jaeger share the processors and are in the throughput.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)] // a tool for the terminal

use clap::Parser;
use probity_tests::workflows::driver::{Call, Line, Target, closed_loop};
use probity_tests::workflows::jaeger::Jaeger;
use probity_tests::workflows::machine::{Machine, cpu_s, rss_mb};
use probity_tests::workflows::ours::{Ours, Store};
use probity_tests::workflows::report::median;
use std::time::Duration;

/// What is still under way after a round has ended: relays, a batch of spans.
const REST: Duration = Duration::from_millis(1_500);
/// Scrapes whose processor time is measured.
const SCRAPES: u32 = 100;

#[derive(Debug, Clone, Parser)]
struct Args {
    /// Where the orchestrator and the log keep their data.
    #[arg(long, default_value = "sqlite")]
    store: Store,
    /// Rounds of each platform.
    #[arg(long, default_value_t = 15)]
    repetitions: usize,
    /// Callers at once.
    #[arg(long, default_value_t = 64)]
    callers: usize,
    /// Executions of a round.
    #[arg(long, default_value_t = 4_000)]
    calls: u64,
    /// A collector that runs elsewhere, instead of a Jaeger here.
    #[arg(long)]
    otlp: Option<String>,
}

/// How much is observed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Observed {
    Not,
    NotSent,
    Tenth,
    All,
}

impl Observed {
    const EACH: [Self; 4] = [Self::Not, Self::NotSent, Self::Tenth, Self::All];

    const fn name(self) -> &'static str {
        match self {
            Self::Not => "not observed",
            Self::NotSent => "tracing off",
            Self::Tenth => "a tenth of the traces sent",
            Self::All => "all traces sent",
        }
    }

    fn settings(self, otlp: &str) -> Vec<(String, String)> {
        let ratio = match self {
            Self::Not => return vec![("PROBITY_TELEMETRY__ENABLED".to_owned(), "false".to_owned())],
            Self::NotSent => return Vec::new(),
            Self::Tenth => "0.1",
            Self::All => "1.0",
        };
        vec![
            ("PROBITY_TELEMETRY__OTLP_ENDPOINT".to_owned(), otlp.to_owned()),
            ("PROBITY_TELEMETRY__SAMPLE_RATIO".to_owned(), ratio.to_owned()),
        ]
    }
}

/// A platform and what its rounds showed.
struct Side {
    observed: Observed,
    ours: Ours,
    admin: Target,
    per_s: Vec<f64>,
    p99_ms: Vec<f64>,
    cpu_ms: Vec<f64>,
    spans: Vec<f64>,
    _dir: tempfile::TempDir,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args = Args::parse();
    let scratch = tempfile::tempdir().expect("a folder");
    println!("{}\n", Machine::look(scratch.path()).line());
    let jaeger = match args.otlp {
        Some(_) => None,
        None => Some(Jaeger::start(scratch.path()).await),
    };
    let otlp = args.otlp.clone().or_else(|| jaeger.as_ref().map(|jaeger| jaeger.otlp.clone())).expect("one");
    let local = tokio::task::LocalSet::new();
    let mut sides = Vec::new();
    for observed in Observed::EACH {
        sides.push(Side::start(observed, args.store, &otlp).await);
    }
    local.run_until(rounds(&args, &mut sides, jaeger.as_ref())).await;
    table(&sides);
    scrapes(&sides[1]).await;
    for side in sides {
        side.ours.stop().await;
    }
}

async fn rounds(args: &Args, sides: &mut [Side], jaeger: Option<&Jaeger>) {
    for side in &*sides {
        closed_loop(&side.ours.target, args.callers, args.calls / 2, "warm").await;
    }
    for repetition in 0..args.repetitions {
        for turn in 0..sides.len() {
            let at = (turn + repetition) % sides.len();
            sides[at].round(args, repetition, jaeger).await;
        }
    }
}

impl Side {
    async fn start(observed: Observed, store: Store, otlp: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let port = probity_testkit::free_port();
        let ours = Ours::start_as(store, None, port, observed.settings(otlp), dir.path()).await;
        let admin = Target::reads(([127, 0, 0, 1], port).into());
        let none = Vec::new;
        Self {
            observed,
            ours,
            admin,
            per_s: none(),
            p99_ms: none(),
            cpu_ms: none(),
            spans: none(),
            _dir: dir,
        }
    }

    async fn round(&mut self, args: &Args, repetition: usize, jaeger: Option<&Jaeger>) {
        tokio::time::sleep(REST).await;
        let spans_before = spans(jaeger).await;
        let before: f64 = cpu_s(self.ours.pid()).iter().sum();
        let round =
            closed_loop(&self.ours.target, args.callers, args.calls, &format!("r{repetition}n")).await;
        assert_eq!(round.errors, 0, "{}", round.first_error);
        tokio::time::sleep(REST).await;
        let after: f64 = cpu_s(self.ours.pid()).iter().sum();
        let each = |amount: f64| amount / args.calls as f64;
        self.per_s.push(round.per_s);
        self.p99_ms.push(round.p99_ms);
        self.cpu_ms.push(each((after - before) * 1_000.0));
        self.spans.push(each(spans(jaeger).await - spans_before));
        eprintln!(
            "{repetition} {}: {:.0}/s, {:.4} ms of a processor each",
            self.observed.name(),
            round.per_s,
            self.cpu_ms[repetition]
        );
    }
}

async fn spans(jaeger: Option<&Jaeger>) -> f64 {
    match jaeger {
        Some(jaeger) => jaeger.spans().await,
        None => f64::NAN,
    }
}

/// Medians, and the middle half of the rounds in brackets. What something costs is
/// the median over the rounds of a side and the unobserved rounds beside them.
fn table(sides: &[Side]) {
    println!(
        "| | executions/s | p99 ms | processor ms each | more processor time | less throughput | spans taken each | RSS MB |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let bare = &sides[0];
    for side in sides {
        let percent = |mine: &[f64], theirs: &[f64], sign: f64| {
            let pairs = mine.iter().zip(theirs).map(|(mine, theirs)| sign * 100.0 * (mine / theirs - 1.0));
            middle(&pairs.collect::<Vec<_>>(), 1)
        };
        let (more, less) = if side.observed == Observed::Not {
            ("–".to_owned(), "–".to_owned())
        } else {
            (percent(&side.cpu_ms, &bare.cpu_ms, 1.0) + " %", percent(&side.per_s, &bare.per_s, -1.0) + " %")
        };
        println!(
            "| {} | {} | {} | {} | {more} | {less} | {:.1} | {:.0} |",
            side.observed.name(),
            middle(&side.per_s, 0),
            middle(&side.p99_ms, 0),
            middle(&side.cpu_ms, 4),
            median(&side.spans),
            rss_mb(side.ours.pid()).0,
        );
    }
}

fn middle(values: &[f64], digits: usize) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |quarters: usize| sorted[(sorted.len() - 1) * quarters / 4];
    format!("{:.digits$} ({:.digits$} to {:.digits$})", median(values), at(1), at(3))
}

/// What a scrape by Prometheus costs.
async fn scrapes(side: &Side) {
    let (call, mut line) = (Call::get("/metrics"), Line::new(&side.admin));
    let before: f64 = cpu_s(side.ours.pid()).iter().sum();
    let mut bytes = 0;
    for _ in 0..SCRAPES {
        bytes = line.call(&call).await.expect("the page of metrics").len();
    }
    let after: f64 = cpu_s(side.ours.pid()).iter().sum();
    let each = (after - before) * 1_000.0 / f64::from(SCRAPES);
    println!("\na scrape of all seven services: {bytes} bytes, {each:.1} ms of a processor");
}
