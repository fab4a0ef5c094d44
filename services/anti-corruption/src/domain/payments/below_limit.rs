//! PAY-BELOW-LIMIT: unusually many payments just below an approval limit, for a
//! supplier, for an approver, or in the whole file.

use super::table::Row;
use super::{Case, Flag, lines, money};
use crate::domain::stats::{binomial_tail, poisson_tail};
use rust_decimal::Decimal;

/// How rare it must be by chance, for a supplier or an approver.
const RARE: f64 = 0.005;
/// How rare it must be by chance, for the whole file.
const VERY_RARE: f64 = 0.001;
/// Share of payments in the band that is expected when the others are too few
/// to tell.
const EXPECTED: f64 = 0.05;
/// Share that is expected at least, however few the others have there.
const EXPECTED_LEAST: f64 = 0.01;
/// From how many payments of others their share counts.
const ENOUGH_OTHERS: u32 = 100;
/// Fewest payments in the band for the whole file.
const MIN_IN_FILE: u32 = 10;
/// Where the band below the band begins, as a share of the limit below it.
const NEIGHBOUR_BANDS: i64 = 2;

/// How many payments there are, and how many of them in the band.
#[derive(Debug, Clone, Copy)]
struct Counts {
    all: u32,
    band: u32,
}

/// Measures suppliers, approvers and the file, each limit by itself.
pub(super) fn below_limit(case: &mut Case<'_>) {
    let table = case.table;
    let positive = |row: &Row| row.amount > Decimal::ZERO;
    let sorted = table.sorted(positive, |row| (row.currency, row.limit, row.supplier));
    for file in sorted.chunk_by(|a, b| (a.currency, a.limit) == (b.currency, b.limit)) {
        let whole = counts(case, file);
        if whole.band < case.settings.payment.just_below_min {
            continue;
        }
        for rows in file.chunk_by(|a, b| a.supplier == b.supplier) {
            let who =
                rows.first().map_or_else(String::new, |row| format!("supplier {}", table.supplier(row)));
            group(case, rows, whole, &who);
        }
        let mut approved: Vec<&Row> = file.iter().copied().filter(|row| row.approver.is_some()).collect();
        approved.sort_by_key(|row| (row.approver, row.document, row.line));
        for rows in approved.chunk_by(|a, b| a.approver == b.approver) {
            let approver = rows.first().and_then(|row| row.approver);
            let who =
                approver.map_or_else(String::new, |one| format!("approver {}", table.approvers.text(one)));
            group(case, rows, whole, &who);
        }
        neighbours(case, file, whole);
    }
}

fn in_band(case: &Case<'_>, row: &Row) -> bool {
    let limit = case.limit(row);
    let width = limit.checked_mul(case.settings.payment.just_below_share).unwrap_or_default();
    row.amount < limit && row.amount >= limit - width
}

fn counts(case: &Case<'_>, rows: &[&Row]) -> Counts {
    let band = rows.iter().filter(|row| in_band(case, row)).count();
    Counts { all: number(rows.len()), band: number(band) }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// One supplier or approver against all others.
fn group(case: &mut Case<'_>, rows: &[&Row], whole: Counts, who: &str) {
    let own = counts(case, rows);
    let others = Counts { all: whole.all - own.all, band: whole.band - own.band };
    let expected = expected_share(others);
    if own.band < case.settings.payment.just_below_min || binomial_tail(own.band, own.all, expected) > RARE {
        return;
    }
    let band: Vec<&Row> = rows.iter().copied().filter(|row| in_band(case, row)).collect();
    let expected = format!("about {:.1} by chance", expected * f64::from(own.all));
    flag(case, &band, own, who, &expected);
}

/// The share of payments in the band to expect, from what the others do.
fn expected_share(others: Counts) -> f64 {
    let share = f64::from(others.band) / f64::from(others.all.max(1));
    share.max(if others.all >= ENOUGH_OTHERS { EXPECTED_LEAST } else { EXPECTED })
}

/// The band against the bands of the same width below it.
fn neighbours(case: &mut Case<'_>, rows: &[&Row], whole: Counts) {
    let share = case.settings.payment.just_below_share;
    let below = |row: &&&Row| {
        let limit = case.limit(row);
        let width = limit.checked_mul(share).unwrap_or_default();
        row.amount < limit - width && row.amount >= limit - width * Decimal::from(1 + NEIGHBOUR_BANDS)
    };
    let bands = f64::from(i32::try_from(NEIGHBOUR_BANDS).unwrap_or(1));
    let expected = (f64::from(number(rows.iter().filter(below).count())) / bands).max(1.0);
    if whole.band < MIN_IN_FILE || poisson_tail(whole.band, expected) > VERY_RARE {
        return;
    }
    let band: Vec<&Row> = rows.iter().copied().filter(|row| in_band(case, row)).collect();
    let expected = format!("about {expected:.1} by what is usual a little lower");
    flag(case, &band, whole, "the whole file", &expected);
}

fn flag(case: &mut Case<'_>, band: &[&Row], counts: Counts, who: &str, expected: &str) {
    let Some(first) = band.first() else { return };
    let currency = case.table.currency(first).to_owned();
    let limit = case.limit(first);
    let width = limit.checked_mul(case.settings.payment.just_below_share).unwrap_or_default();
    case.flag(Flag {
        rule: "PAY-BELOW-LIMIT",
        severity: None,
        value: format!("{} of {} payments just below {}", counts.band, counts.all, money(limit, &currency)),
        threshold: format!("{expected}; from {} to below {}", money(limit - width, &currency), money(limit, &currency)),
        peer_group: format!("currency={currency} {}", who.replacen(' ', "=", 1)),
        rows: band,
        explanation: format!(
            "for {who}, {} of {} payments lie just below the limit of {} ({}), where {expected} would be expected. \
             Amounts that gather below a limit are chosen to stay under it. Look at who sets these amounts and \
             whether the invoices were cut to fit.",
            counts.band,
            counts.all,
            money(limit, &currency),
            lines(band),
        ),
    });
}

#[cfg(test)]
mod tests {
    use crate::domain::Severity;
    use crate::domain::payments::testing::{check, rows};

    fn csv(rows: &[(&str, &str)]) -> String {
        let lines: String = rows.iter().map(|(who, amount)| format!("{who},{amount}\n")).collect();
        format!("supplier,amount\n{lines}")
    }

    #[test]
    fn a_supplier_that_stays_below() {
        let below = |list: &[(&str, &str)], expect: &[(Severity, &[&str])]| {
            check("PAY-BELOW-LIMIT", &csv(list), expect)
        };
        let all = Severity::Medium;
        below(&[("A", "9900"), ("A", "9990"), ("A", "9500")], &[(all, &["2", "3", "4"])]);
        below(
            &[("A", "9900"), ("A", "9990"), ("A", "9500"), ("A", "40"), ("B", "70")],
            &[(all, &["2", "3", "4"])],
        );
        below(&[("A", "9900"), ("A", "9990")], &[]);
        below(&[("A", "9900"), ("A", "9990"), ("A", "9499.99")], &[]);
        below(&[("A", "9900"), ("A", "9990"), ("A", "10000")], &[]);
        below(&[("A", "9900"), ("B", "9990"), ("C", "9950")], &[]);
        let mut many = vec![("A", "9900"), ("A", "9990"), ("A", "9500")];
        many.extend([("A", "100"); 30]);
        below(&many, &[]);
    }

    #[test]
    fn an_approver_and_the_whole_file() {
        let mut text = "supplier,amount,approved by\n".to_owned();
        for n in 0..12 {
            text.push_str(&format!("S{n},99{n:02},Kim\nT{n},{},Lee\n", 100 + n));
        }
        let found = rows("PAY-BELOW-LIMIT", &text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().all(|(_, rows)| rows.len() == 12));
    }

    #[test]
    fn an_even_spread_is_usual() {
        let mut text = "supplier,amount\n".to_owned();
        for n in 1..400 {
            text.push_str(&format!("S{},{}\n", n % 20, n * 50));
        }
        check("PAY-BELOW-LIMIT", &text, &[]);
    }
}
