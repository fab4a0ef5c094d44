//! Chance from a seed.

use jiff::ToSpan as _;
use jiff::civil::{Date, date};
use rust_decimal::Decimal;

/// A source of repeatable chance.
#[derive(Debug, Clone)]
pub(super) struct Dice(fastrand::Rng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// A source for one part, so that parts do not shift each other.
    pub(super) fn branch(seed: u64, part: u64, number: u64) -> Self {
        Self::new([part, number].into_iter().fold(mixed(seed), |state, next| mixed(state ^ next)))
    }

    /// A number from `low` to `high`, both possible.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        self.0.i64(low..=high)
    }

    /// True in `percent` of 100 throws.
    pub(super) fn chance(&mut self, percent: u8) -> bool {
        self.0.u8(0..100) < percent
    }

    /// One of several texts.
    pub(super) fn pick(&mut self, from: &[&'static str]) -> &'static str {
        self.0.choice(from).copied().unwrap_or_default()
    }

    /// One of several things, which must not be none.
    pub(super) fn one<T>(&mut self, from: &'static [T]) -> &'static T {
        let at = self.0.usize(0..from.len());
        &from[at]
    }

    /// `count` different ones, in random order.
    pub(super) fn several(&mut self, from: &[&'static str], count: usize) -> Vec<&'static str> {
        let mut all = from.to_vec();
        self.0.shuffle(&mut all);
        all.truncate(count);
        all
    }

    /// Different numbers below `below`.
    pub(super) fn distinct(&mut self, below: usize, count: usize) -> Vec<usize> {
        let mut found = Vec::with_capacity(count);
        while found.len() < count.min(below) {
            let next = self.0.usize(0..below);
            if !found.contains(&next) {
                found.push(next);
            }
        }
        found
    }

    /// An amount between two whole amounts, small ones likelier than large ones,
    /// as amounts in ledgers are; never round.
    pub(super) fn amount(&mut self, low: u32, high: u32) -> Decimal {
        let (low, high) = (f64::from(low).ln(), f64::from(high).ln());
        let value = (low + self.0.f64() * (high - low)).exp();
        #[allow(clippy::cast_possible_truncation)] // far below 2^63
        let whole = value as i64;
        Decimal::new(whole * 100 + self.between(1, 99), 2)
    }

    /// A working day in the first half of 2026.
    pub(super) fn day(&mut self) -> Date {
        workday(date(2026, 1, 5), self.between(0, 120))
    }

    /// A time of day in office hours, `HH:MM:SS`.
    pub(super) fn time(&mut self) -> String {
        format!("{:02}:{:02}:{:02}", self.between(8, 16), self.between(0, 59), self.between(0, 59))
    }
}

/// Spreads neighbouring numbers over all of 64 bits (the finish of SplitMix64).
const fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// A day some days later, moved to Monday when it falls on a weekend.
pub(super) fn workday(from: Date, days: i64) -> Date {
    let day = later(from, days);
    match day.weekday() {
        jiff::civil::Weekday::Saturday => later(day, 2),
        jiff::civil::Weekday::Sunday => later(day, 1),
        _ => day,
    }
}

/// A day some days later.
pub(super) fn later(from: Date, days: i64) -> Date {
    from.saturating_add(days.days())
}
