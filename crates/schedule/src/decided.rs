//! Which times have been decided: a few stretches of time that only grow.

use probity_types::Micros;
use serde::{Deserialize, Serialize};

/// Most stretches that are kept apart.
const MAX_STRETCHES: usize = 16;

/// A set of points in time, as stretches with both ends in them, in order, never touching.
///
/// While a schedule is asked in time there is one stretch. An outage longer than the catch-up
/// window, or a clock that was wrong and set back, leaves a gap: times in it were never seen
/// inside their window, and still are decided should the clock come there. After more than
/// sixteen such gaps the oldest is closed; what was in it never runs, and nothing runs twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Decided(Vec<(i64, i64)>);

impl Decided {
    /// Everything up to a point in time, and that point.
    pub(crate) fn up_to(at: Micros) -> Self {
        Self(vec![(i64::MIN, at.0)])
    }

    /// Adds a stretch with both ends; nothing when it ends before it begins.
    pub(crate) fn add(&mut self, from: i64, to: i64) {
        if from > to {
            return;
        }
        let touches = |(a, b): &(i64, i64)| *a <= to.saturating_add(1) && from <= b.saturating_add(1);
        let (mut merged, mut apart) = ((from, to), Vec::new());
        for stretch in self.0.drain(..) {
            if touches(&stretch) {
                merged = (merged.0.min(stretch.0), merged.1.max(stretch.1));
            } else {
                apart.push(stretch);
            }
        }
        apart.push(merged);
        apart.sort_unstable();
        self.0 = apart;
        while self.0.len() > MAX_STRETCHES {
            let (_, end) = self.0.remove(1);
            self.0[0].1 = end;
        }
    }

    /// The first point from `from` on that is not decided.
    pub(crate) fn first_open(&self, from: i64) -> i64 {
        let inside = self.0.iter().find(|(a, b)| (*a..=*b).contains(&from));
        inside.map_or(from, |(_, end)| end.saturating_add(1))
    }

    /// Whether a point is decided.
    #[must_use]
    pub fn contains(&self, at: Micros) -> bool {
        self.first_open(at.0) != at.0
    }

    /// The end of the last stretch that begins before `at`: where the gap before `at` starts.
    pub(crate) fn before(&self, at: i64) -> Option<i64> {
        self.0.iter().rev().find(|(from, _)| *from < at).map(|(_, end)| *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stretches_merge_and_stay_few() {
        let mut set = Decided::up_to(Micros(10));
        set.add(11, 20);
        assert_eq!(set.0, [(i64::MIN, 20)]);
        set.add(30, 25);
        set.add(30, 40);
        assert_eq!((set.first_open(5), set.first_open(25), set.first_open(30)), (21, 25, 41));
        assert_eq!((set.before(30), set.before(31), set.before(i64::MIN)), (Some(20), Some(40), None));
        for n in 1..40 {
            set.add(n * 100, n * 100 + 1);
        }
        assert_eq!(set.0.len(), MAX_STRETCHES);
        assert!(set.contains(Micros(250)) && !set.contains(Micros(3_850)));
    }

    proptest! {
        #[test]
        fn it_is_a_set(stretches in prop::collection::vec((0_i64..60, 0_i64..12), 0..12)) {
            let mut set = Decided::up_to(Micros(0));
            let mut model: std::collections::BTreeSet<i64> = [0].into();
            for (from, length) in stretches {
                set.add(from, from + length);
                model.extend(from..=from + length);
            }
            for at in 0..80 {
                prop_assert_eq!(set.contains(Micros(at)), model.contains(&at), "{}", at);
            }
        }
    }
}
