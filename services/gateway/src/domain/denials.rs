//! Refused calls on their way into the audit log: equal ones are counted
//! together, so that an attacker can neither flood the log nor go uncounted.

use std::collections::BTreeMap;

/// A call that was refused at the door.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denial {
    /// The tenant of the caller; the home tenant when nobody knows.
    pub tenant: String,
    /// Who it was, as far as known.
    pub actor: String,
    /// Where it came from.
    pub address: String,
    /// The RPC.
    pub method: String,
    /// The stable code of the refusal.
    pub code: &'static str,
    /// Why, in one sentence.
    pub reason: String,
}

/// Equal denials within a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// What they have in common.
    pub denial: Denial,
    /// How many there were.
    pub count: u64,
    /// The request id of the first one.
    pub request_id: String,
}

/// What has been refused since the last time it was asked.
#[derive(Debug)]
pub struct Denials {
    limit: usize,
    seen: BTreeMap<Denial, (u64, String)>,
}

impl Denials {
    /// Keeps at most `limit` different denials apart, and one more for each code
    /// that counts all the rest.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit, seen: BTreeMap::new() }
    }

    /// Counts one.
    pub fn note(&mut self, denial: Denial, request_id: &str) {
        self.add(denial, 1, request_id);
    }

    /// Gives back what could not be written.
    pub fn put_back(&mut self, counted: Vec<Counted>) {
        for one in counted {
            self.add(one.denial, one.count, &one.request_id);
        }
    }

    /// Takes everything counted so far.
    pub fn take(&mut self) -> Vec<Counted> {
        let seen = std::mem::take(&mut self.seen);
        seen.into_iter().map(|(denial, (count, request_id))| Counted { denial, count, request_id }).collect()
    }

    fn add(&mut self, denial: Denial, count: u64, request_id: &str) {
        let known = self.seen.contains_key(&denial) || self.seen.len() < self.limit;
        let key = if known { denial } else { others(&denial) };
        let slot = self.seen.entry(key).or_insert_with(|| (0, request_id.to_owned()));
        slot.0 = slot.0.saturating_add(count);
    }
}

/// What stands for all denials of a code that are not kept apart.
fn others(denial: &Denial) -> Denial {
    Denial {
        tenant: denial.tenant.clone(),
        actor: "several".to_owned(),
        address: "several".to_owned(),
        method: "several".to_owned(),
        code: denial.code,
        reason: "too many different callers were refused at once to name each".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn denial(n: usize) -> Denial {
        Denial {
            tenant: "default".into(),
            actor: format!("users/{n}"),
            address: "10.0.0.1".into(),
            method: "/probity.audit.v1.AuditService/Append".into(),
            code: "GTW-0013",
            reason: "no".into(),
        }
    }

    #[test]
    fn equal_ones_become_one_with_a_count() {
        let mut denials = Denials::new(10);
        for i in 0..5 {
            denials.note(denial(1), &format!("r{i}"));
        }
        let taken = denials.take();
        assert_eq!(taken.len(), 1);
        assert_eq!((taken[0].count, taken[0].request_id.as_str()), (5, "r0"));
        assert!(denials.take().is_empty());
    }

    #[test]
    fn what_could_not_be_written_is_not_lost() {
        let mut denials = Denials::new(10);
        denials.note(denial(1), "r1");
        let taken = denials.take();
        denials.note(denial(1), "r2");
        denials.put_back(taken);
        assert_eq!(denials.take()[0].count, 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn bounded_and_nothing_uncounted(callers in prop::collection::vec(0_usize..500, 0..2_000), limit in 1_usize..50) {
            let mut denials = Denials::new(limit);
            for caller in &callers {
                denials.note(denial(*caller), "r");
            }
            let taken = denials.take();
            prop_assert!(taken.len() <= limit + 1);
            prop_assert_eq!(taken.iter().map(|c| c.count).sum::<u64>(), callers.len() as u64);
        }
    }
}
