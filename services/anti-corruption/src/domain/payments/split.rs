//! PAY-SPLIT: one payment made in parts, each below the limit, together above.
//!
//! Suppliers that are paid often have such runs by chance. A run counts only
//! when it is unusual: when so many payments of that size within so few days
//! would be rare at the supplier's own pace and at that of the others.

use super::table::Row;
use super::{Case, Flag, lines, money};
use crate::domain::Severity;
use crate::domain::stats::poisson_tail;
use crate::domain::text::count;
use rust_decimal::Decimal;

/// A run is unusual when chance gives this many or fewer of its kind for the
/// supplier.
const UNUSUAL: f64 = 0.25;
/// It is clear when chance gives this many or fewer in the whole file.
const CLEAR: f64 = 1.0;
/// Most runs that are tried from one row, besides the longest.
const MAX_TRIED: usize = 50;
/// From which share of the limit parts look measured.
const MEASURED_SHARE: Decimal = Decimal::from_parts(80, 0, 0, false, 2);

/// How often payments of the size of a part happen, for comparison.
struct Pace {
    /// Such payments in the file.
    payments: usize,
    /// Suppliers that got them.
    suppliers: usize,
    /// Days from the first to the last.
    days: f64,
}

/// Looks for runs in the payments of every supplier.
pub(super) fn split(case: &mut Case<'_>) {
    let least = case.settings.payment.split_min_share;
    let part = |row: &Row| {
        let limit = case.limit(row);
        let smallest = limit.checked_mul(least).unwrap_or(limit);
        row.day.is_some() && row.amount < limit && row.amount >= smallest
    };
    let parts = case.table.sorted(part, |row| (row.supplier, row.currency, row.limit, row.day));
    let same = |a: &&Row, b: &&Row| (a.supplier, a.currency, a.limit) == (b.supplier, b.currency, b.limit);
    let groups: Vec<_> = parts.chunk_by(same).collect();
    let days = parts.iter().filter_map(|row| row.day);
    let span = days.clone().min().zip(days.max()).map_or(0, |(first, last)| last - first + 1);
    let pace = Pace { payments: parts.len(), suppliers: groups.len(), days: f64::from(span) };
    for group in groups {
        runs(case, group, &pace);
    }
}

/// The payments of one supplier that can be parts, in order of their days.
struct Parts<'g> {
    rows: &'g [&'g Row],
    /// What was paid before each row.
    before: Vec<Decimal>,
    limit: Decimal,
}

impl<'g> Parts<'g> {
    fn new(case: &Case<'_>, rows: &'g [&'g Row]) -> Self {
        let mut before = vec![Decimal::ZERO];
        before.extend(rows.iter().scan(Decimal::ZERO, |sum, row| {
            *sum = sum.saturating_add(row.amount);
            Some(*sum)
        }));
        Self { rows, before, limit: rows.first().map_or(Decimal::MAX, |row| case.limit(row)) }
    }

    fn sum(&self, start: usize, end: usize) -> Decimal {
        self.before[end].saturating_sub(self.before[start])
    }

    /// The most unusual run that begins at a row, of those that are above the
    /// limit; of equals the longest.
    fn most_unusual(&self, start: usize, end: usize, pace: &Pace) -> Option<(usize, f64)> {
        let ends = (start + 2..=end).take(MAX_TRIED).chain((end > start + MAX_TRIED).then_some(end));
        let above = ends.filter(|end| self.sum(start, *end) > self.limit);
        let judged = above.map(|end| (end, chance(&self.rows[start..end], self.rows.len(), pace)));
        judged.reduce(|best, next| if next.1 <= best.1 { next } else { best })
    }
}

/// Walks through the payments of one supplier; a row belongs to one run only.
fn runs(case: &mut Case<'_>, group: &[&Row], pace: &Pace) {
    let window = i32::try_from(case.settings.payment.split_window_days).unwrap_or(i32::MAX);
    let parts = Parts::new(case, group);
    let (mut start, mut end) = (0, 0);
    while start < group.len() {
        while end < group.len() && day(group[end]).saturating_sub(day(group[start])) <= window {
            end += 1;
        }
        let found = parts.most_unusual(start, end, pace);
        match found.filter(|(_, chance)| chance * number(group.len()) <= UNUSUAL) {
            Some((end_of_run, chance)) => {
                let run = &group[start..end_of_run];
                let severity = severity(run, parts.limit, chance * number(pace.payments));
                flag(case, run, parts.limit, parts.sum(start, end_of_run), severity);
                start = end_of_run;
            }
            None => start += 1,
        }
    }
}

fn day(row: &Row) -> i32 {
    row.day.unwrap_or_default()
}

/// Days from the first to the last row of a run.
fn days(run: &[&Row]) -> i32 {
    run.first()
        .zip(run.last())
        .map_or(0, |(first, last)| day(last).saturating_sub(day(first)).saturating_add(1))
}

/// How serious a run is when chance gives so many of its kind in the file.
fn severity(run: &[&Row], limit: Decimal, in_file: f64) -> Severity {
    let measured = run.iter().all(|row| row.amount >= limit.checked_mul(MEASURED_SHARE).unwrap_or(limit));
    let equal = run.windows(2).all(|pair| pair[0].amount == pair[1].amount);
    let clear = run.len() > 2 && in_file <= CLEAR;
    if measured || equal || clear { Severity::Medium } else { Severity::Low }
}

/// Probability of so many payments in so few days, at the supplier's own pace
/// outside the run or that of the others, whichever is faster.
fn chance(run: &[&Row], of_supplier: usize, pace: &Pace) -> f64 {
    let (run, days) = (run.len(), f64::from(days(run)));
    let outside = pace.days - days;
    let own = if outside > 0.0 { number(of_supplier - run) / outside } else { 0.0 };
    let others = if pace.suppliers > 1 {
        number(pace.payments - of_supplier) / number(pace.suppliers - 1) / pace.days
    } else {
        0.0
    };
    let expected = own.max(others) * days;
    if number(run) <= 2.0 * expected {
        return 1.0;
    }
    poisson_tail(u32::try_from(run).unwrap_or(u32::MAX), expected)
}

fn number(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

fn flag(case: &mut Case<'_>, run: &[&Row], limit: Decimal, sum: Decimal, severity: Severity) {
    let Some(first) = run.first() else { return };
    let table = case.table;
    let currency = table.currency(first);
    let days = days(run);
    let approvers = run.iter().filter_map(|row| row.approver).collect::<std::collections::BTreeSet<_>>();
    let approver = match (approvers.len(), approvers.first()) {
        (1, Some(one)) => format!(" All were approved by {}.", table.approvers.text(*one)),
        _ => String::new(),
    };
    case.flag(Flag {
        rule: "PAY-SPLIT",
        severity: Some(severity),
        value: format!("{} in {}, {}", count(run.len(), "payment", "payments"), in_days(days), money(sum, currency)),
        threshold: format!("limit {}", money(limit, currency)),
        peer_group: case.peer_group(first),
        rows: run,
        explanation: format!(
            "{} was paid {} in {} parts within {} ({}), each below the limit of {} and together above it; so many in \
             so short a time is unusual here.{approver} Splitting keeps a payment away from those who would have to \
             approve it. Look at whether the parts belong to one order.",
            table.supplier(first),
            money(sum, currency),
            run.len(),
            in_days(days),
            lines(run),
            money(limit, currency),
        ),
    });
}

fn in_days(days: i32) -> String {
    count(usize::try_from(days).unwrap_or_default(), "day", "days")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::payments::testing::{check, outcome};
    use crate::domain::{Index, Settings};

    fn split(rows: &str, expect: &[(Severity, &[&str])]) {
        check("PAY-SPLIT", &format!("supplier,amount,date,currency\n{rows}"), expect);
    }

    #[test]
    fn parts_below_and_together_above() {
        let three = "A,4000,2024-03-01,EUR\nA,3500,2024-03-02,EUR\nA,4200,2024-03-04,EUR\n";
        split(three, &[(Severity::Medium, &["2", "3", "4"])]);
        split("A,9000,2024-03-01,EUR\nA,9500,2024-03-04,EUR\n", &[(Severity::Medium, &["2", "3"])]);
        split("A,6000,2024-03-01,EUR\nA,6000,2024-03-04,EUR\n", &[(Severity::Medium, &["2", "3"])]);
        split("A,6000,2024-03-01,EUR\nA,5000,2024-03-04,EUR\n", &[(Severity::Low, &["2", "3"])]);
        split("A,5000,2024-03-01,EUR\nA,5000,2024-03-04,EUR\n", &[]);
        split("A,9000,2024-03-01,EUR\nA,9500,2024-03-20,EUR\n", &[]);
        split("A,9000,2024-03-01,EUR\nB,9500,2024-03-01,EUR\n", &[]);
        split("A,9000,2024-03-01,EUR\nA,9500,2024-03-01,USD\n", &[]);
        split("A,9000,2024-03-01,EUR\nA,19500,2024-03-01,EUR\n", &[]);
        split("A,9900,2024-03-01,EUR\nA,150,2024-03-01,EUR\n", &[]);
        split("A,9000,,EUR\nA,9500,,EUR\n", &[]);
        split("A,-9000,2024-03-01,EUR\nA,9500,2024-03-01,EUR\n", &[]);
    }

    #[test]
    fn a_steady_pace_is_not_a_split() {
        let weekly: String = (0..50)
            .map(|week| {
                let date =
                    jiff::civil::date(2023, 1, 2).checked_add(jiff::Span::new().days(week * 7)).unwrap();
                format!("A,6000,{date},EUR\n")
            })
            .collect();
        split(&weekly, &[]);
        let burst = format!("{weekly}A,6100,2023-06-06,EUR\nA,6200,2023-06-06,EUR\nA,6300,2023-06-07,EUR\n");
        assert_eq!(
            crate::domain::payments::testing::rows(
                "PAY-SPLIT",
                &format!("supplier,amount,date,currency\n{burst}")
            )
            .len(),
            1
        );
    }

    #[test]
    fn a_row_may_bring_its_own_limit() {
        let csv = "supplier,amount,date,limit\nA,900,2024-03-01,1000\nA,950,2024-03-02,1000\nB,900,2024-03-01,\nB,950,2024-03-02,\n";
        check("PAY-SPLIT", csv, &[(Severity::Medium, &["2", "3"])]);
    }

    #[test]
    fn the_limit_may_depend_on_the_currency() {
        let mut settings = Settings::default();
        settings.payment.approval_limits.insert("JPY".to_owned(), Decimal::from(1_500_000));
        let csv = "supplier,amount,date,currency\nA,900000,2024-03-01,JPY\nA,900000,2024-03-02,JPY\n";
        assert_eq!(outcome(csv, &Index::default(), &settings).finding_count, 1);
        assert_eq!(outcome(csv, &Index::default(), &Settings::default()).finding_count, 0);
    }
}
