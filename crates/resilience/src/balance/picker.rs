//! The state machine of a choice: loads in, a number out.

use super::Load;
use serde::{Deserialize, Serialize};

/// How an endpoint is chosen; see the [module](super).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// One after the other.
    RoundRobin,
    /// The one with the fewest calls under way for its weight.
    LeastConnections,
    /// In proportion to weights, smoothly.
    Weighted,
    /// Any.
    Random,
    /// The cheaper of two drawn at random, by peak EWMA.
    #[default]
    PeakEwma,
}

impl Strategy {
    /// All strategies.
    pub const ALL: [Self; 5] =
        [Self::RoundRobin, Self::LeastConnections, Self::Weighted, Self::Random, Self::PeakEwma];
}

/// Chooses among endpoints, by their positions.
#[derive(Debug, Clone)]
pub struct Picker {
    strategy: Strategy,
    rng: fastrand::Rng,
    next: usize,
    /// Smooth weights: what each endpoint is owed.
    owed: Vec<i64>,
}

impl Picker {
    /// Chooses by a strategy; the same seed makes the same choices.
    #[must_use]
    pub fn new(strategy: Strategy, seed: u64) -> Self {
        Self { strategy, rng: fastrand::Rng::with_seed(seed), next: 0, owed: Vec::new() }
    }

    /// The position of the endpoint to take; `None` when none is available.
    pub fn pick(&mut self, loads: &[Load]) -> Option<usize> {
        match self.strategy {
            Strategy::RoundRobin => self.round_robin(loads),
            Strategy::LeastConnections => self.least_connections(loads),
            Strategy::Weighted => self.weighted(loads),
            Strategy::Random => self.random(loads, None),
            Strategy::PeakEwma => self.peak_ewma(loads),
        }
    }

    fn round_robin(&mut self, loads: &[Load]) -> Option<usize> {
        let around = (0..loads.len()).map(|step| (self.next + step) % loads.len());
        let found = around.into_iter().find(|at| loads[*at].available)?;
        self.next = found + 1;
        Some(found)
    }

    /// Ties go around, so that idle endpoints share the load.
    fn least_connections(&mut self, loads: &[Load]) -> Option<usize> {
        let weigh = |load: &Load| f64::from(load.in_flight) / f64::from(load.weight.max(1));
        let fewest = loads.iter().filter(|l| l.available).map(weigh).min_by(f64::total_cmp)?;
        let around = (0..loads.len()).map(|step| (self.next + step) % loads.len());
        let found = around.into_iter().find(|at| loads[*at].available && weigh(&loads[*at]) <= fewest)?;
        self.next = found + 1;
        Some(found)
    }

    /// Everybody is owed its weight; who is owed most is chosen and pays for all.
    fn weighted(&mut self, loads: &[Load]) -> Option<usize> {
        self.owed.resize(loads.len(), 0);
        let mut total = 0;
        let mut best: Option<usize> = None;
        for (at, load) in loads.iter().enumerate() {
            if !load.available || load.weight == 0 {
                self.owed[at] = 0;
                continue;
            }
            self.owed[at] += i64::from(load.weight);
            total += i64::from(load.weight);
            if best.is_none_or(|best| self.owed[at] > self.owed[best]) {
                best = Some(at);
            }
        }
        let chosen = best?;
        self.owed[chosen] -= total;
        Some(chosen)
    }

    fn random(&mut self, loads: &[Load], but: Option<usize>) -> Option<usize> {
        let free = |at: &usize| loads[*at].available && Some(*at) != but;
        let count = (0..loads.len()).filter(free).count();
        if count == 0 {
            return None;
        }
        let nth = self.rng.usize(0..count);
        (0..loads.len()).filter(free).nth(nth)
    }

    fn peak_ewma(&mut self, loads: &[Load]) -> Option<usize> {
        let first = self.random(loads, None)?;
        let Some(second) = self.random(loads, Some(first)) else { return Some(first) };
        Some(if loads[second].cost() < loads[first].cost() { second } else { first })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::arbitrary::any;
    use proptest::{prop_assert, prop_assert_eq, proptest};

    const IDLE: Load = Load { available: true, in_flight: 0, weight: 1, seconds: 0.01 };
    const OUT: Load = Load { available: false, ..IDLE };

    fn picks(strategy: Strategy, loads: &[Load], count: usize) -> Vec<usize> {
        let mut picker = Picker::new(strategy, 7);
        (0..count).filter_map(|_| picker.pick(loads)).collect()
    }

    fn shares(strategy: Strategy, loads: &[Load], count: usize) -> Vec<usize> {
        let picked = picks(strategy, loads, count);
        (0..loads.len()).map(|at| picked.iter().filter(|p| **p == at).count()).collect()
    }

    #[test]
    fn each_strategy_in_its_way() {
        let check = |strategy, loads: &[Load], expect: &[usize]| {
            assert_eq!(picks(strategy, loads, expect.len()), expect, "{strategy:?}");
        };
        let busy = |in_flight| Load { in_flight, ..IDLE };
        let weight = |weight| Load { weight, ..IDLE };
        check(Strategy::RoundRobin, &[IDLE, IDLE, IDLE], &[0, 1, 2, 0, 1]);
        check(Strategy::RoundRobin, &[IDLE, OUT, IDLE], &[0, 2, 0, 2]);
        check(Strategy::LeastConnections, &[busy(3), busy(1), busy(2)], &[1, 1, 1]);
        check(Strategy::LeastConnections, &[busy(1), busy(1), busy(2)], &[0, 1, 0, 1]);
        check(Strategy::LeastConnections, &[busy(0), OUT, busy(0)], &[0, 2, 0]);
        let (big, small) =
            (Load { in_flight: 6, weight: 4, ..IDLE }, Load { in_flight: 2, weight: 1, ..IDLE });
        check(Strategy::LeastConnections, &[big, small], &[0, 0]);
        check(Strategy::Weighted, &[weight(5), weight(1), weight(1)], &[0, 0, 1, 0, 2, 0, 0]);
        check(Strategy::Weighted, &[weight(2), weight(0), weight(1)], &[0, 2, 0, 0, 2, 0]);
        check(Strategy::PeakEwma, &[OUT, IDLE], &[1, 1]);
    }

    #[test]
    fn random_is_even_and_two_choices_avoid_the_slow() {
        let even = shares(Strategy::Random, &[IDLE, OUT, IDLE, IDLE], 30_000);
        assert!(even[1] == 0 && [0, 2, 3].iter().all(|at| even[*at].abs_diff(10_000) < 500), "{even:?}");
        let slow = Load { seconds: 1.0, ..IDLE };
        let ewma = shares(Strategy::PeakEwma, &[slow, IDLE, IDLE], 3_000);
        assert_eq!(ewma[0], 0, "the slow one loses every comparison");
        let busy = Load { in_flight: 200, ..IDLE };
        assert_eq!(
            shares(Strategy::PeakEwma, &[busy, slow], 100),
            [0, 100],
            "a hundred times slower, but free"
        );
    }

    proptest! {
        #[test]
        fn only_what_is_available_is_chosen(
            seed: u64,
            loads in proptest::collection::vec((any::<bool>(), 0u32..9, 0u32..9, 0.0f64..2.0), 0..12),
        ) {
            let loads: Vec<_> = loads.into_iter()
                .map(|(available, in_flight, weight, seconds)| Load { available, in_flight, weight, seconds })
                .collect();
            for strategy in Strategy::ALL {
                let mut picker = Picker::new(strategy, seed);
                let able = |load: &Load| load.available && (strategy != Strategy::Weighted || load.weight > 0);
                for _ in 0..20 {
                    match picker.pick(&loads) {
                        Some(at) => prop_assert!(able(&loads[at]), "{strategy:?}"),
                        None => prop_assert!(!loads.iter().any(able), "{strategy:?}"),
                    }
                }
            }
        }

        #[test]
        fn weights_are_kept_exactly(weights in proptest::collection::vec(0u32..20, 1..8)) {
            let loads: Vec<_> = weights.iter().map(|weight| Load { weight: *weight, ..IDLE }).collect();
            let total: usize = weights.iter().map(|w| *w as usize).sum();
            let got = shares(Strategy::Weighted, &loads, total * 3);
            let expect: Vec<_> = weights.iter().map(|w| *w as usize * 3).collect();
            prop_assert_eq!(got, expect);
        }

        #[test]
        fn fewest_connections_means_fewest(in_flight in proptest::collection::vec(0u32..50, 1..10)) {
            let loads: Vec<_> = in_flight.iter().map(|n| Load { in_flight: *n, ..IDLE }).collect();
            let got = Picker::new(Strategy::LeastConnections, 1).pick(&loads).unwrap();
            prop_assert_eq!(in_flight[got], *in_flight.iter().min().unwrap());
        }
    }
}
