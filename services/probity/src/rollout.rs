//! Whether a canary may have more: the decision alone.
//!
//! **Architecture invariant:** nothing here reads a clock, asks Prometheus or touches
//! a route; what was measured comes in, what to do goes out.

use std::fmt;
use std::time::Duration;

/// What a canary may do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Largest share of its answers that may be failures, from 0 to 1.
    pub errors: f64,
    /// Longest time within which 99 of 100 calls have to be answered.
    pub p99: Duration,
    /// Fewer calls than this in an interval say nothing.
    pub calls: f64,
    /// So many intervals in a row may say nothing before it is taken back.
    pub patience: u32,
}

/// What a canary did in an interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Calls it answered.
    pub calls: f64,
    /// Those among them that failed for a reason of ours.
    pub failed: f64,
    /// Within which time 99 of 100 were answered; nothing without calls that end by
    /// themselves.
    pub p99: Option<Duration>,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Look again after an interval.
    Stay(Quiet),
    /// Give it this share, in percent.
    Raise(u8),
    /// It has everything and does well.
    Done,
    /// Take everything from it.
    RollBack(Reason),
}

/// Why an interval said nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quiet {
    /// There were too few calls.
    FewCalls,
    /// Nothing could be measured.
    Unmeasured,
}

/// Why a canary is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Too many failures: the share and what is allowed, in hundredths of a percent.
    Errors(u32, u32),
    /// Too slow: p99 and what is allowed.
    Slow(Duration, Duration),
    /// It was quiet too often: it may not be reached at all.
    Quiet(Quiet),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |hundredths: u32| f64::from(hundredths) / 100.0;
        match self {
            Self::Errors(is, may) => {
                write!(f, "{:.2} % of its calls failed, {:.2} % may", percent(*is), percent(*may))
            }
            Self::Slow(is, may) => {
                write!(f, "its p99 is {} ms, {} ms is allowed", is.as_millis(), may.as_millis())
            }
            Self::Quiet(Quiet::FewCalls) => write!(f, "it answered too few calls to tell, again and again"),
            Self::Quiet(Quiet::Unmeasured) => {
                write!(f, "Prometheus has not told what it does, again and again")
            }
        }
    }
}

/// A canary on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    steps: Vec<u8>,
    at: usize,
    limits: Limits,
    quiet: u32,
}

impl Rollout {
    /// A canary that has not begun.
    ///
    /// # Errors
    /// When the steps do not rise to 100, in words for a person.
    pub fn new(steps: &[u8], limits: Limits) -> Result<Self, String> {
        let rising = steps.windows(2).all(|pair| pair[0] < pair[1]);
        if !rising || steps.first().is_none_or(|first| *first == 0) || steps.last() != Some(&100) {
            return Err("write rising shares that end with 100, such as 1,10,50,100".to_owned());
        }
        Ok(Self { steps: steps.to_vec(), at: 0, limits, quiet: 0 })
    }

    /// The share it has, in percent.
    #[must_use]
    pub fn share(&self) -> u8 {
        self.steps.get(self.at).copied().unwrap_or(100)
    }

    /// What to do after an interval; `None` when nothing could be measured.
    pub fn next(&mut self, seen: Option<Measured>) -> Decision {
        let Some(seen) = seen else { return self.nothing(Quiet::Unmeasured) };
        let Limits { errors, p99, calls, .. } = self.limits;
        if seen.calls < calls.max(1.0) {
            return self.nothing(Quiet::FewCalls);
        }
        self.quiet = 0;
        let failed = seen.failed / seen.calls;
        if failed > errors {
            return Decision::RollBack(Reason::Errors(hundredths(failed), hundredths(errors)));
        }
        if let Some(slow) = seen.p99.filter(|is| *is > p99) {
            return Decision::RollBack(Reason::Slow(slow, p99));
        }
        self.at += 1;
        self.steps.get(self.at).map_or(Decision::Done, |share| Decision::Raise(*share))
    }

    fn nothing(&mut self, quiet: Quiet) -> Decision {
        self.quiet += 1;
        if self.quiet > self.limits.patience {
            return Decision::RollBack(Reason::Quiet(quiet));
        }
        Decision::Stay(quiet)
    }
}

/// A share as hundredths of a percent.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // between 0 and 10,000
fn hundredths(share: f64) -> u32 {
    (share.clamp(0.0, 1.0) * 10_000.0).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { errors: 0.01, p99: Duration::from_millis(500), calls: 20.0, patience: 2 };

    fn seen(calls: f64, failed: f64, p99: u64) -> Option<Measured> {
        Some(Measured { calls, failed, p99: Some(Duration::from_millis(p99)) })
    }

    #[test]
    fn a_canary_rises_while_it_does_well_and_falls_at_once() {
        let check = |intervals: &[Option<Measured>], expect: &[Decision]| {
            let mut rollout = Rollout::new(&[1, 10, 50, 100], LIMITS).unwrap();
            let got: Vec<_> = intervals.iter().map(|interval| rollout.next(*interval)).collect();
            assert_eq!(got, expect);
        };
        let fine = seen(100.0, 0.0, 40);
        check(
            &[fine, fine, fine, fine],
            &[Decision::Raise(10), Decision::Raise(50), Decision::Raise(100), Decision::Done],
        );
        check(
            &[fine, seen(1_000.0, 11.0, 40)],
            &[Decision::Raise(10), Decision::RollBack(Reason::Errors(110, 100))],
        );
        check(&[seen(1_000.0, 10.0, 500)], &[Decision::Raise(10)]);
        let slow = Reason::Slow(Duration::from_millis(501), Duration::from_millis(500));
        check(&[seen(100.0, 0.0, 501)], &[Decision::RollBack(slow)]);
        let streams = Some(Measured { calls: 50.0, failed: 0.0, p99: None });
        check(&[streams], &[Decision::Raise(10)]);
    }

    #[test]
    fn silence_is_borne_for_a_while_and_never_taken_for_success() {
        let check = |intervals: &[Option<Measured>], expect: &Decision| {
            let mut rollout = Rollout::new(&[1, 100], LIMITS).unwrap();
            let last = intervals.iter().map(|interval| rollout.next(*interval)).last();
            assert_eq!(last.as_ref(), Some(expect));
        };
        let few = seen(19.0, 19.0, 9_000);
        check(&[few], &Decision::Stay(Quiet::FewCalls));
        check(&[few, None], &Decision::Stay(Quiet::Unmeasured));
        check(&[few, few, few], &Decision::RollBack(Reason::Quiet(Quiet::FewCalls)));
        check(&[few, few, None], &Decision::RollBack(Reason::Quiet(Quiet::Unmeasured)));
        check(&[few, few, seen(20.0, 0.0, 1), few, few], &Decision::Stay(Quiet::FewCalls));
        check(&[seen(0.0, 0.0, 0)], &Decision::Stay(Quiet::FewCalls));
    }

    #[test]
    fn steps_rise_to_everything() {
        let check = |steps: &[u8], fits: bool| {
            assert_eq!(Rollout::new(steps, LIMITS).is_ok(), fits, "{steps:?}");
        };
        check(&[1, 10, 50, 100], true);
        check(&[100], true);
        check(&[], false);
        check(&[0, 100], false);
        check(&[10, 10, 100], false);
        check(&[50, 10, 100], false);
        check(&[1, 50], false);
    }
}
