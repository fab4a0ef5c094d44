//! Patterns of failures: a thousand dead letters as the three things that went wrong.
//!
//! A message becomes a [`template`]: numbers, ids, times, addresses and quoted texts are
//! replaced by placeholders, so that "case_01 took 31 s" and "case_02 took 45 s" are one.
//! [`Patterns`] counts failures by code, peer, operation and template, in bounded memory.
//!
//! **Architecture invariant:** the counts of all patterns and of the rest add up to the number
//! of failures that were added.
//!
//! Deliberately absent: guessing causes, and patterns that are learned. The same message has
//! the same template today and tomorrow, on every replica.

mod template;

pub use template::{MAX_TEMPLATE, template};

use probity_types::Micros;
use std::cmp::Reverse;
use std::collections::HashMap;

/// Failures of one pattern that are named.
pub const MAX_EXAMPLES: usize = 3;
/// Longest code, peer, operation and name that is kept, in bytes.
const MAX_PART: usize = 256;

/// One failure.
#[derive(Debug, Clone, Copy)]
pub struct Failure<'a> {
    /// Stable code, such as `STO-0004`; empty when there is none.
    pub code: &'a str,
    /// Who was called.
    pub peer: &'a str,
    /// What was asked for.
    pub operation: &'a str,
    /// What went wrong, in words.
    pub message: &'a str,
    /// When.
    pub at: Micros,
    /// What failed, such as `tasks/task_01`.
    pub name: &'a str,
}

/// Failures that are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// Their code.
    pub code: String,
    /// Who was called.
    pub peer: String,
    /// What was asked for.
    pub operation: String,
    /// Their message with placeholders.
    pub template: String,
    /// How many there are. Exact as long as nothing was moved to the rest; else at least this.
    pub count: u64,
    /// When the first happened.
    pub first_seen: Micros,
    /// When the last happened.
    pub last_seen: Micros,
    /// Names of the last ones, the newest first.
    pub examples: Vec<String>,
}

/// All patterns, the most frequent first, and the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The most frequent patterns; of equals, the one seen last comes first.
    pub patterns: Vec<Pattern>,
    /// Failures of all other patterns.
    pub other: u64,
    /// All failures: the counts above together.
    pub total: u64,
}

type Key = (String, String, String, String);

/// Counts patterns while failures go by.
///
/// It keeps at most twice `capacity` patterns. When there are more, the rarer half is moved to
/// the rest, so memory is bounded whatever the messages say, and patterns that come often stay.
#[derive(Debug, Clone)]
pub struct Patterns {
    capacity: usize,
    found: HashMap<Key, Pattern>,
    other: u64,
    total: u64,
}

impl Patterns {
    /// An empty count of at most `capacity` (1 to 10,000) patterns.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.clamp(1, 10_000), found: HashMap::new(), other: 0, total: 0 }
    }

    /// Counts one failure.
    pub fn add(&mut self, failure: &Failure<'_>) {
        self.total += 1;
        let key =
            (kept(failure.code), kept(failure.peer), kept(failure.operation), template(failure.message));
        let pattern = self.found.entry(key).or_insert_with_key(|(code, peer, operation, template)| Pattern {
            code: code.clone(),
            peer: peer.clone(),
            operation: operation.clone(),
            template: template.clone(),
            count: 0,
            first_seen: failure.at,
            last_seen: failure.at,
            examples: Vec::new(),
        });
        pattern.count += 1;
        pattern.first_seen = pattern.first_seen.min(failure.at);
        pattern.last_seen = pattern.last_seen.max(failure.at);
        pattern.examples.insert(0, kept(failure.name));
        pattern.examples.truncate(MAX_EXAMPLES);
        if self.found.len() > self.capacity * 2 {
            self.shrink();
        }
    }

    /// The rarer patterns become part of the rest.
    fn shrink(&mut self) {
        let mut all: Vec<_> = self.found.drain().collect();
        all.sort_by_key(|(key, pattern)| (rank(pattern), key.clone()));
        self.other += all.drain(self.capacity..).map(|(_, pattern)| pattern.count).sum::<u64>();
        self.found.extend(all);
    }

    /// The `most` most frequent patterns; everything else is in the rest.
    #[must_use]
    pub fn summary(&self, most: usize) -> Summary {
        let mut patterns: Vec<_> = self.found.values().cloned().collect();
        patterns.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| names(a).cmp(&names(b))));
        let beyond: u64 = patterns.iter().skip(most).map(|pattern| pattern.count).sum();
        patterns.truncate(most);
        Summary { patterns, other: self.other + beyond, total: self.total }
    }
}

fn rank(pattern: &Pattern) -> (Reverse<u64>, Reverse<Micros>) {
    (Reverse(pattern.count), Reverse(pattern.last_seen))
}

fn names(pattern: &Pattern) -> [&str; 4] {
    [&pattern.code, &pattern.peer, &pattern.operation, &pattern.template]
}

/// The beginning of a text that fits.
fn kept(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_PART)].to_owned()
}
