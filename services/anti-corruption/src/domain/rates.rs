//! How often flags were wrong, from what people said of them.

use super::rules;
use std::collections::BTreeMap;

/// What people made of the flags of one sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Flags that were right.
    pub confirmed: i64,
    /// Flags that were wrong.
    pub false_positives: i64,
    /// Flags of which it could not be told.
    pub inconclusive: i64,
}

impl Tally {
    /// The share of wrong flags among those of which it could be told; nothing when
    /// there are none.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // a share is shown with a few digits
    pub fn rate(self) -> Option<f64> {
        let told = self.confirmed + self.false_positives;
        (told > 0).then(|| self.false_positives as f64 / told as f64)
    }

    /// How many people spoke of.
    #[must_use]
    pub const fn total(self) -> i64 {
        self.confirmed + self.false_positives + self.inconclusive
    }

    fn add(&mut self, said: Said, count: i64) {
        match said {
            Said::Confirmed => self.confirmed += count,
            Said::FalsePositive => self.false_positives += count,
            Said::Inconclusive => self.inconclusive += count,
        }
    }
}

/// What a person says of a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It was right.
    Confirmed,
    /// It was wrong.
    FalsePositive,
    /// It cannot be told.
    Inconclusive,
}

/// Tallies in all, by rule and by kind of case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rates {
    /// All together.
    pub total: Tally,
    /// By rule, those with the most dispositions first.
    pub rules: Vec<(String, Tally)>,
    /// By kind of case.
    pub kinds: Vec<(&'static str, Tally)>,
}

impl Rates {
    /// Adds up what was said of the flags of each rule. Every count is in the total,
    /// in one rule, and in one kind, unless the rule is none of ours any more.
    #[must_use]
    pub fn of<'a>(counts: impl IntoIterator<Item = (&'a str, Said, i64)>) -> Self {
        let (mut total, mut by_rule, mut by_kind) =
            (Tally::default(), BTreeMap::<&str, Tally>::new(), BTreeMap::<&'static str, Tally>::new());
        for (rule, said, count) in counts {
            total.add(said, count);
            by_rule.entry(rule).or_default().add(said, count);
            if let Some(rule) = rules::find(rule) {
                by_kind.entry(rule.kind.as_str()).or_default().add(said, count);
            }
        }
        let mut rules: Vec<_> = by_rule.into_iter().map(|(rule, tally)| (rule.to_owned(), tally)).collect();
        rules.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.total()));
        Self { total, rules, kinds: by_kind.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_told_is_counted_and_has_no_part_in_the_rate() {
        let check = |confirmed: i64, false_positives: i64, inconclusive: i64, expect: Option<f64>| {
            assert_eq!(Tally { confirmed, false_positives, inconclusive }.rate(), expect);
        };
        check(0, 0, 0, None);
        check(0, 0, 5, None);
        check(3, 1, 9, Some(0.25));
        check(0, 2, 0, Some(1.0));
    }

    #[test]
    fn counts_add_up() {
        let counts = [
            ("R018", Said::Confirmed, 3),
            ("R018", Said::FalsePositive, 1),
            ("PAY-SPLIT", Said::FalsePositive, 2),
            ("PAY-SPLIT", Said::Inconclusive, 1),
            ("GONE", Said::Confirmed, 1),
        ];
        let rates = Rates::of(counts);
        assert_eq!(rates.total, Tally { confirmed: 4, false_positives: 3, inconclusive: 1 });
        let rules: Vec<_> = rates.rules.iter().map(|(rule, tally)| (rule.as_str(), tally.total())).collect();
        assert_eq!(rules, [("R018", 4), ("PAY-SPLIT", 3), ("GONE", 1)]);
        let kinds: Vec<_> = rates.kinds.iter().map(|(kind, tally)| (*kind, tally.total())).collect();
        assert_eq!(kinds, [("payment", 3), ("tender", 4)]);
    }
}
