//! How long to wait before a service that died is started again.

use std::time::Duration;

/// The first and the longest wait.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Who ran for so long has earned the first wait again.
const STEADY: Duration = Duration::from_secs(60);

/// The deaths of one service.
#[derive(Debug, Clone, Copy, Default)]
pub struct Restarts {
    in_a_row: u32,
}

impl Restarts {
    /// It died after it had run for so long (not at all when it did not even start);
    /// answers how long to wait.
    pub fn died(&mut self, ran: Duration) -> Duration {
        if ran >= STEADY {
            self.in_a_row = 0;
        }
        let wait = WAITS.0.saturating_mul(1 << self.in_a_row.min(16)).min(WAITS.1);
        self.in_a_row = self.in_a_row.saturating_add(1);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_bound_and_begin_anew_after_a_steady_run() {
        let mut restarts = Restarts::default();
        let mut check = |ran_s: u64, wait_ms: u64| {
            assert_eq!(restarts.died(Duration::from_secs(ran_s)), Duration::from_millis(wait_ms));
        };
        check(0, 500);
        check(1, 1_000);
        check(59, 2_000);
        check(60, 500);
        for wait in [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
            check(0, wait);
        }
        for _ in 0..100 {
            check(0, 30_000);
        }
        check(3_600, 500);
    }
}
