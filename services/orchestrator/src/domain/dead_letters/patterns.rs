//! What dead letters have in common: counts that add up.

use probity_types::Micros;
use std::collections::BTreeMap;

/// Letters with the same error at the same place, as the store counts them.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) template: String,
    pub(crate) code: String,
    pub(crate) peer: String,
    pub(crate) operation: String,
    pub(crate) count: i64,
    /// When the first and the last of them failed.
    pub(crate) first: Micros,
    pub(crate) last: Micros,
}

/// Counts over all groups, those that were not read among them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) all: i64,
    pub(crate) open: i64,
    /// Open ones that are old, repeated, or either.
    pub(crate) old: i64,
    pub(crate) repeated: i64,
    pub(crate) attention: i64,
}

/// An error that several letters share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shared {
    pub(crate) template: String,
    pub(crate) code: String,
    pub(crate) count: i64,
    pub(crate) first: Micros,
    pub(crate) last: Micros,
}

/// The largest groups, and how many letters are in none of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Top<T> {
    pub(crate) largest: Vec<T>,
    pub(crate) others: i64,
}

/// What dead letters have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Patterns {
    pub(crate) totals: Totals,
    pub(crate) errors: Top<Shared>,
    pub(crate) peers: Top<(String, i64)>,
    pub(crate) operations: Top<(String, i64)>,
}

impl Patterns {
    /// The patterns of the largest groups, at most `most` of each sort.
    pub(crate) fn of(groups: &[Group], totals: Totals, most: usize) -> Self {
        Self {
            totals,
            errors: errors(groups, most, totals.all),
            peers: counts(groups, |g| &g.peer, most, totals.all),
            operations: counts(groups, |g| &g.operation, most, totals.all),
        }
    }
}

fn errors(groups: &[Group], most: usize, total: i64) -> Top<Shared> {
    let mut by_error: BTreeMap<(&str, &str), Shared> = BTreeMap::new();
    for group in groups {
        let shared = by_error.entry((&group.template, &group.code)).or_insert_with(|| Shared {
            template: group.template.clone(),
            code: group.code.clone(),
            count: 0,
            first: group.first,
            last: group.last,
        });
        shared.count += group.count;
        shared.first = shared.first.min(group.first);
        shared.last = shared.last.max(group.last);
    }
    top(by_error.into_values().collect(), |shared| shared.count, most, total)
}

fn counts(groups: &[Group], of: fn(&Group) -> &String, most: usize, total: i64) -> Top<(String, i64)> {
    let mut by_value: BTreeMap<&String, i64> = BTreeMap::new();
    for group in groups {
        *by_value.entry(of(group)).or_default() += group.count;
    }
    let all = by_value.into_iter().map(|(value, count)| (value.clone(), count)).collect();
    top(all, |(_, count)| *count, most, total)
}

/// The largest first; equals in the order of their names.
fn top<T>(mut all: Vec<T>, count: fn(&T) -> i64, most: usize, total: i64) -> Top<T> {
    all.sort_by_key(|one| std::cmp::Reverse(count(one)));
    all.truncate(most);
    let others = total - all.iter().map(count).sum::<i64>();
    Top { largest: all, others }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn group(template: u8, peer: u8, count: i64) -> Group {
        Group {
            template: format!("error {template}"),
            code: format!("E-{}", template % 2),
            peer: format!("peer {peer}"),
            operation: format!("operation {}", peer % 3),
            count,
            first: Micros(i64::from(template)),
            last: Micros(i64::from(template) + 5),
        }
    }

    fn all(groups: &[Group]) -> Totals {
        Totals { all: groups.iter().map(|g| g.count).sum(), ..Totals::default() }
    }

    #[test]
    fn the_most_frequent_comes_first_with_its_times() {
        let groups = [group(1, 1, 2), group(2, 1, 5), group(1, 2, 4), group(3, 3, 1)];
        let patterns = Patterns::of(&groups, all(&groups), 2);
        let errors: Vec<_> = patterns.errors.largest.iter().map(|e| (e.template.as_str(), e.count)).collect();
        assert_eq!(errors, [("error 1", 6), ("error 2", 5)]);
        assert_eq!((patterns.totals.all, patterns.errors.others), (12, 1));
        assert_eq!(patterns.peers.largest, [("peer 1".to_owned(), 7), ("peer 2".to_owned(), 4)]);
        assert_eq!(patterns.errors.largest[0].last, Micros(6));
        assert_eq!(Patterns::of(&[], Totals::default(), 5).errors, Top { largest: vec![], others: 0 });
    }

    proptest! {
        #[test]
        fn every_list_adds_up(groups in prop::collection::vec((0_u8..9, 0_u8..9, 1_i64..50), 0..40), most in 1_usize..12) {
            let groups: Vec<_> = groups.into_iter().map(|(t, p, n)| group(t, p, n)).collect();
            let patterns = Patterns::of(&groups, all(&groups), most);
            let sum = |top: &Top<(String, i64)>| top.largest.iter().map(|(_, n)| n).sum::<i64>() + top.others;
            let errors: i64 = patterns.errors.largest.iter().map(|e| e.count).sum();
            prop_assert_eq!(errors + patterns.errors.others, patterns.totals.all);
            prop_assert_eq!(sum(&patterns.peers), patterns.totals.all);
            prop_assert_eq!(sum(&patterns.operations), patterns.totals.all);
            prop_assert!(patterns.errors.largest.len() <= most);
        }
    }
}
