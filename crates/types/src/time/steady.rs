//! What a process takes for the time: that of the machine, without its jumps.

use super::Micros;
use std::time::Duration;

/// An offset this small is followed little by little.
const NEAR: i64 = 1_000_000;
/// The share of the time that passes by which it is followed: one in twenty.
const PACE: i64 = 20;
/// A jump that has stood for so long is believed.
const BELIEVED: Duration = Duration::from_secs(600);

/// Follows a clock that may jump, with one that does not but knows no date.
///
/// As long as the two agree to a second, the difference is made up for little by
/// little. Where the clock jumps farther, time goes on as if it had not: a machine
/// whose clock is set wrong, and right again, ends no timer early and no lease. A
/// jump that stands for ten minutes is taken over in one step: then it was the
/// time before that was wrong, or the machine had slept.
#[derive(Debug)]
pub(super) struct Steady {
    /// The answer before, and when that was.
    shown: i64,
    passed: Duration,
    /// How far away the clock is since it jumped, and since when.
    doubted: Option<(i64, Duration)>,
}

impl Steady {
    /// Begins with what the clock shows now.
    pub(super) const fn new(wall: Micros, passed: Duration) -> Self {
        Self { shown: wall.0, passed, doubted: None }
    }

    /// The time, where the clock shows `wall` and `passed` has passed since some
    /// moment that never changes.
    pub(super) fn read(&mut self, wall: Micros, passed: Duration) -> Micros {
        let elapsed = i64::try_from(passed.saturating_sub(self.passed).as_micros()).unwrap_or(i64::MAX);
        self.passed = self.passed.max(passed);
        self.shown = self.shown.saturating_add(elapsed);
        let offset = wall.0.saturating_sub(self.shown);
        if offset.abs() <= NEAR {
            self.doubted = None;
            self.shown += offset.clamp(-elapsed / PACE, elapsed / PACE);
            return Micros(self.shown);
        }
        match self.doubted {
            Some((first, since)) if first.saturating_sub(offset).abs() <= NEAR => {
                if passed.saturating_sub(since) >= BELIEVED {
                    self.doubted = None;
                    self.shown = wall.0;
                }
            }
            _ => self.doubted = Some((offset, passed)),
        }
        Micros(self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: i64 = 1_800_000_000_000_000;
    const SECOND: i64 = 1_000_000;
    const HOUR: i64 = 3_600 * SECOND;

    /// Reads once a second for `seconds`, the wall clock off by what `off` says at
    /// each; how far the answers are from the true time, in seconds.
    fn drift(seconds: i64, off: impl Fn(i64) -> i64) -> Vec<f64> {
        let mut steady = Steady::new(Micros(START), Duration::ZERO);
        (1..=seconds)
            .map(|second| {
                let truth = START + second * SECOND;
                let passed = Duration::from_secs(second.unsigned_abs());
                let shown = steady.read(Micros(truth + off(second)), passed).0;
                (shown - truth) as f64 / SECOND as f64
            })
            .collect()
    }

    fn check(seconds: i64, off: impl Fn(i64) -> i64, last: f64) {
        let drift = drift(seconds, off);
        let found = drift[drift.len() - 1];
        assert!((found - last).abs() < 0.01, "{found} s from the truth, not {last}");
    }

    #[test]
    fn what_is_near_is_followed_and_what_jumps_is_not() {
        check(60, |_| 0, 0.0);
        check(60, |_| SECOND / 2, 0.5);
        check(60, |_| -SECOND / 2, -0.5);
        check(2, |_| SECOND / 2, 0.1); // a twentieth of two seconds
        for jump in [HOUR, -HOUR, 24 * HOUR, -24 * HOUR] {
            check(300, |_| jump, 0.0);
            check(300, |second| if second < 200 { jump } else { 0 }, 0.0);
            check(3_000, |second| if second % 20 < 10 { jump } else { 0 }, 0.0);
            check(3_000, |second| jump / 100 * (second % 50), 0.0);
            check(602, |_| jump, (jump / SECOND) as f64); // it has stood for ten minutes
        }
    }

    proptest! {
        /// Whatever the clock does for less than ten minutes, no duration that is
        /// measured meanwhile is wrong by more than one in twenty.
        #[test]
        fn durations_are_true(jumps in prop::collection::vec((-100 * HOUR..100 * HOUR, 1i64..60), 1..9)) {
            let mut offsets = Vec::new();
            for (jump, seconds) in jumps {
                offsets.extend(std::iter::repeat_n(jump, usize::try_from(seconds).unwrap_or(1)));
            }
            let drift = drift(offsets.len() as i64, |second| offsets[usize::try_from(second - 1).unwrap_or(0)]);
            for pair in drift.windows(2) {
                prop_assert!((pair[1] - pair[0]).abs() <= 0.051, "{pair:?}");
            }
        }
    }
}
