//! Every parser of outside bytes as a target: a function of bytes that must not
//! panic, and what must hold of its answer besides.
//!
//! `make test` runs each over its seeds and some thousands of mutations of them, the
//! same ones every time. `make fuzz` gives them to libFuzzer (`fuzz/`), which looks for
//! what reaches more of the code; `make soak ARGS=26` does so for ten minutes each. A
//! new target is a row of [`TARGETS`], a line in `tests/it/fuzz.rs` and a program in
//! `fuzz/`.

mod cases;
mod files;
mod mutate;
mod platform;
mod small;

pub use mutate::Mutator;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// A parser under test.
pub struct Target {
    /// Its name, for command lines.
    pub name: &'static str,
    /// Feeds it; panics when something does not hold.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Words that inputs are made of.
    pub words: &'static [&'static str],
}

/// All of them.
pub const TARGETS: [Target; 18] = [
    Target { name: "tender", run: cases::tender, seeds: cases::tenders, words: cases::OCDS_WORDS },
    Target { name: "payment", run: cases::payment, seeds: cases::payments, words: cases::CSV_WORDS },
    Target { name: "report", run: cases::report, seeds: cases::reports, words: cases::TEXT_WORDS },
    Target { name: "mime", run: cases::mime, seeds: cases::messages, words: cases::MIME_WORDS },
    Target { name: "watchlist", run: cases::watchlist, seeds: cases::watchlists, words: cases::CSV_WORDS },
    Target { name: "document", run: cases::document, seeds: cases::documents, words: cases::OCDS_WORDS },
    Target {
        name: "transcoder",
        run: platform::transcoder,
        seeds: platform::calls,
        words: platform::CALL_WORDS,
    },
    Target { name: "token", run: platform::token, seeds: platform::tokens, words: platform::TOKEN_WORDS },
    Target {
        name: "definition",
        run: platform::definition,
        seeds: platform::definitions,
        words: platform::YAML_WORDS,
    },
    Target { name: "cel", run: platform::cel, seeds: platform::expressions, words: platform::CEL_WORDS },
    Target { name: "filter", run: platform::filter, seeds: platform::filters, words: platform::FILTER_WORDS },
    Target {
        name: "schedule",
        run: platform::schedule,
        seeds: platform::schedules,
        words: platform::CRON_WORDS,
    },
    Target {
        name: "checkpoint",
        run: platform::checkpoint,
        seeds: platform::checkpoints,
        words: platform::NOTE_WORDS,
    },
    Target {
        name: "receipt",
        run: platform::receipt,
        seeds: platform::receipts,
        words: platform::NOTE_WORDS,
    },
    Target { name: "export", run: files::export, seeds: files::exports, words: cases::OCDS_WORDS },
    Target { name: "policy", run: files::policy, seeds: files::policies, words: files::REGO_WORDS },
    Target { name: "refresh", run: small::refresh, seeds: small::refreshes, words: platform::TOKEN_WORDS },
    Target { name: "value", run: small::value, seeds: small::values, words: small::VALUE_WORDS },
];

/// The target of that name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// How long a target is fed.
#[derive(Debug, Clone, Copy)]
pub enum Length {
    /// So many mutations.
    Runs(u64),
    /// So long.
    Time(Duration),
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Fed {
    /// Inputs, the seeds among them.
    pub inputs: u64,
    /// The input that took longest, and how long.
    pub slowest: Duration,
}

/// Feeds a target its seeds and mutations of them, which `seed` decides.
///
/// # Panics
/// With the input, in hex, that the target did not stand.
#[must_use]
pub fn feed(target: &Target, seed: u64, length: Length) -> Fed {
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty(), "{} has no seeds", target.name);
    let mut fed = Fed { inputs: 0, slowest: Duration::ZERO };
    for input in &seeds {
        one(target, input, &mut fed);
    }
    let mut mutator = Mutator::new(seed, seeds, target.words);
    let begun = Instant::now();
    let more = |runs: u64| match length {
        Length::Runs(wanted) => runs < wanted,
        Length::Time(wanted) => begun.elapsed() < wanted,
    };
    let mut runs = 0;
    while more(runs) {
        one(target, &mutator.next_input(), &mut fed);
        runs += 1;
    }
    fed
}

fn one(target: &Target, input: &[u8], fed: &mut Fed) {
    let begun = Instant::now();
    let stood = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    fed.slowest = fed.slowest.max(begun.elapsed());
    fed.inputs += 1;
    assert!(
        stood.is_ok(),
        "{} did not stand this input, {} bytes: {}",
        target.name,
        input.len(),
        hex::encode(input)
    );
}
