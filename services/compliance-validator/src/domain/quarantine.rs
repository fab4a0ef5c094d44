//! Policies that ran out of time too often are not run for a while.
//!
//! A policy that takes its whole time on each case would slow every evaluation
//! down; one that cannot be stopped costs a thread each time. Both are set aside
//! by the hash of their source, so a mended version is run at once.

use probity_types::Micros;
use std::collections::HashMap;
use std::time::Duration;

/// Most policies remembered; the forgotten one is run again.
const MOST: usize = 4_096;

/// Who is set aside and until when.
#[derive(Debug)]
pub struct Quarantine {
    strikes: u32,
    period: Duration,
    records: HashMap<[u8; 32], Record>,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    strikes: u32,
    until: Option<Micros>,
}

impl Quarantine {
    /// Sets a policy aside for `period` after `strikes` time-outs in a row.
    #[must_use]
    pub fn new(strikes: u32, period: Duration) -> Self {
        Self { strikes, period, records: HashMap::new() }
    }

    /// True while the policy is not to be run.
    #[must_use]
    pub fn holds(&self, policy: &[u8; 32], now: Micros) -> bool {
        self.records.get(policy).and_then(|record| record.until).is_some_and(|until| now < until)
    }

    /// The policy ran out of time and was stopped.
    pub fn strike(&mut self, policy: [u8; 32], now: Micros) {
        let strikes = self.records.get(&policy).map_or(0, |record| record.strikes) + 1;
        let until = (strikes >= self.strikes).then(|| now.plus(self.period));
        self.keep(policy, Record { strikes, until }, now);
    }

    /// The policy could not be stopped: once is enough.
    pub fn overrun(&mut self, policy: [u8; 32], now: Micros) {
        let until = Some(now.plus(self.period));
        // One time-out after the period sets it aside again.
        self.keep(policy, Record { strikes: self.strikes.saturating_sub(1), until }, now);
    }

    /// The policy ended in time.
    pub fn clear(&mut self, policy: &[u8; 32]) {
        if !self.records.is_empty() {
            self.records.remove(policy);
        }
    }

    fn keep(&mut self, policy: [u8; 32], record: Record, now: Micros) {
        if self.records.len() >= MOST {
            self.records.retain(|_, record| record.until.is_some_and(|until| now < until));
        }
        if self.records.len() < MOST || self.records.contains_key(&policy) {
            self.records.insert(policy, record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [u8; 32] = [1; 32];
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn three_in_a_row_set_it_aside_for_a_while() {
        let mut q = Quarantine::new(3, SECOND);
        let at = |s: i64| Micros(s * 1_000_000);
        q.strike(A, at(0));
        q.strike(A, at(0));
        assert!(!q.holds(&A, at(0)));
        q.clear(&A);
        q.strike(A, at(0));
        q.strike(A, at(0));
        assert!(!q.holds(&A, at(0)));
        q.strike(A, at(0));
        assert!(q.holds(&A, at(0)) && !q.holds(&A, at(1)) && !q.holds(&[2; 32], at(0)));
        q.strike(A, at(1));
        assert!(q.holds(&A, at(1)), "one more after the period is enough");
    }

    #[test]
    fn one_that_cannot_be_stopped_is_set_aside_at_once() {
        let mut q = Quarantine::new(3, SECOND);
        q.overrun(A, Micros(0));
        assert!(q.holds(&A, Micros(999_999)) && !q.holds(&A, Micros(1_000_000)));
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let mut q = Quarantine::new(1, SECOND);
        for i in 0..10_000_u32 {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&i.to_le_bytes());
            q.strike(key, Micros(i64::from(i) * 1_000));
        }
        assert!(q.records.len() <= MOST);
    }
}
