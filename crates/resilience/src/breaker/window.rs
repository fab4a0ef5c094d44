//! What happened lately: in the last minutes, or in the last calls.

use super::Config;
use std::collections::VecDeque;

/// A window by time has so many slots.
pub(super) const SLOTS: u32 = 12;

/// Calls in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    /// All calls.
    pub(super) calls: u64,
    /// Those that failed.
    pub(super) failures: u64,
    /// Those that were slow, failed or not.
    pub(super) slow: u64,
}

impl Counts {
    const fn one(failed: bool, slow: bool) -> Self {
        Self { calls: 1, failures: failed as u64, slow: slow as u64 }
    }

    const fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.failures += other.failures;
        self.slow += other.slow;
    }

    const fn remove(&mut self, other: Self) {
        self.calls -= other.calls;
        self.failures -= other.failures;
        self.slow -= other.slow;
    }
}

/// A sliding window. Slots are counted from the start of the breaker.
#[derive(Debug, Clone)]
pub(super) enum Window {
    Time { slots: Box<[(u32, Counts); SLOTS as usize]> },
    Calls { most: usize, calls: VecDeque<Counts>, sum: Counts },
}

impl Window {
    pub(super) fn new(config: &Config) -> Self {
        match config.window_calls {
            None => Self::Time { slots: Default::default() },
            Some(calls) => {
                let most = calls as usize;
                Self::Calls { most, calls: VecDeque::with_capacity(most), sum: Counts::default() }
            }
        }
    }

    /// One call that ended in a slot.
    pub(super) fn push(&mut self, slot: u32, failed: bool, slow: bool) {
        self.add(slot, Counts::one(failed, slow), 1);
    }

    /// Many calls that went well in a slot.
    pub(super) fn push_fine(&mut self, slot: u32, count: u32) {
        self.add(slot, Counts::one(false, false), count);
    }

    fn add(&mut self, slot: u32, one: Counts, times: u32) {
        match self {
            Self::Time { slots } => {
                let (kept, counts) = &mut slots[(slot % SLOTS) as usize];
                // What ends after its slot has been given to a newer one is too old.
                if *kept > slot {
                    return;
                }
                if *kept < slot {
                    (*kept, *counts) = (slot, Counts::default());
                }
                let times = u64::from(times);
                counts.add(Counts { calls: times, failures: one.failures * times, slow: one.slow * times });
            }
            Self::Calls { most, calls, sum } => {
                for _ in 0..(times as usize).min(*most) {
                    if calls.len() == *most
                        && let Some(oldest) = calls.pop_front()
                    {
                        sum.remove(oldest);
                    }
                    calls.push_back(one);
                    sum.add(one);
                }
            }
        }
    }

    /// What the window holds when the newest slot is `slot`.
    pub(super) fn counts(&self, slot: u32) -> Counts {
        match self {
            Self::Calls { sum, .. } => *sum,
            Self::Time { slots } => {
                let mut sum = Counts::default();
                for (kept, counts) in slots.iter() {
                    if slot.saturating_sub(*kept) < SLOTS {
                        sum.add(*counts);
                    }
                }
                sum
            }
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Self::Time { slots } => **slots = Default::default(),
            Self::Calls { calls, sum, .. } => {
                calls.clear();
                *sum = Counts::default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn by_time() -> Window {
        Window::new(&Config::default())
    }

    fn by_calls(calls: u32) -> Window {
        Window::new(&Config { window_calls: Some(calls), ..Config::default() })
    }

    #[test]
    fn time_forgets_slot_by_slot() {
        let mut window = by_time();
        window.push(0, true, false);
        window.push(3, true, true);
        window.push_fine(3, 7);
        let check = |slot, calls, failures, slow| {
            assert_eq!(window.counts(slot), Counts { calls, failures, slow }, "slot {slot}");
        };
        check(3, 9, 2, 1);
        check(11, 9, 2, 1);
        check(12, 8, 1, 1);
        check(14, 8, 1, 1);
        check(15, 0, 0, 0);
        window.push(15, false, false);
        window.push(3, true, false); // its slot belongs to 15 now
        assert_eq!(window.counts(15), Counts { calls: 1, failures: 0, slow: 0 });
        window.clear();
        assert_eq!(window.counts(15), Counts::default());
    }

    #[test]
    fn calls_push_out_the_oldest() {
        let mut window = by_calls(5);
        window.push(0, true, true);
        window.push_fine(0, 4);
        assert_eq!(window.counts(999), Counts { calls: 5, failures: 1, slow: 1 });
        window.push(1, true, false);
        assert_eq!(window.counts(999), Counts { calls: 5, failures: 1, slow: 0 });
        window.push_fine(1, 1_000_000);
        assert_eq!(window.counts(999), Counts { calls: 5, failures: 0, slow: 0 });
        window.clear();
        assert_eq!(window.counts(0), Counts::default());
    }

    proptest! {
        #[test]
        fn a_window_is_the_sum_of_what_is_in_it(
            calls in proptest::collection::vec((0u32..40, any::<bool>(), any::<bool>()), 0..200),
        ) {
            let mut sorted = calls;
            sorted.sort_by_key(|call| call.0);
            let (mut time, mut last) = (by_time(), by_calls(20));
            for (slot, failed, slow) in &sorted {
                time.push(*slot, *failed, *slow);
                last.push(*slot, *failed, *slow);
            }
            let newest = sorted.last().map_or(0, |call| call.0);
            let sum = |calls: &[(u32, bool, bool)]| Counts {
                calls: calls.len() as u64,
                failures: calls.iter().filter(|c| c.1).count() as u64,
                slow: calls.iter().filter(|c| c.2).count() as u64,
            };
            let recent: Vec<_> = sorted.iter().copied().filter(|c| newest - c.0 < SLOTS).collect();
            prop_assert_eq!(time.counts(newest), sum(&recent));
            prop_assert_eq!(last.counts(newest), sum(&sorted[sorted.len().saturating_sub(20)..]));
        }
    }
}
