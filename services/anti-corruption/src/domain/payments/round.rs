//! PAY-ROUND: a supplier whose payments are unusually often large round amounts.

use super::table::Row;
use super::{Case, Flag, lines};
use crate::domain::stats::binomial_tail;
use rust_decimal::Decimal;

/// Fewest round payments.
const MIN_ROUND: u32 = 5;
/// How rare it must be by chance.
const RARE: f64 = 0.001;
/// Share of round payments that is expected at least.
const EXPECTED_LEAST: f64 = 0.1;

/// Measures every supplier against all others.
pub(super) fn round(case: &mut Case<'_>) {
    let table = case.table;
    let rows = table.sorted(|row| row.amount > Decimal::ZERO, |row| (row.currency, row.supplier));
    for file in rows.chunk_by(|a, b| a.currency == b.currency) {
        let (all, all_round) = (number(file.len()), count_round(case, file));
        if all_round < MIN_ROUND {
            continue;
        }
        for of_supplier in file.chunk_by(|a, b| a.supplier == b.supplier) {
            let (own, own_round) = (number(of_supplier.len()), count_round(case, of_supplier));
            let others = f64::from(all_round - own_round) / f64::from((all - own).max(1));
            let rare = binomial_tail(own_round, own, others.max(EXPECTED_LEAST)) <= RARE;
            if own_round >= MIN_ROUND && rare {
                flag(case, of_supplier, own_round);
            }
        }
    }
}

fn is_round(case: &Case<'_>, row: &Row) -> bool {
    row.amount >= case.settings.payment.round_min && (row.amount % Decimal::ONE_THOUSAND).is_zero()
}

fn count_round(case: &Case<'_>, rows: &[&Row]) -> u32 {
    number(rows.iter().filter(|row| is_round(case, row)).count())
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn flag(case: &mut Case<'_>, rows: &[&Row], count: u32) {
    let Some(first) = rows.first() else { return };
    let round: Vec<&Row> = rows.iter().copied().filter(|row| is_round(case, row)).collect();
    let supplier = case.table.supplier(first).to_owned();
    case.flag(Flag {
        rule: "PAY-ROUND",
        severity: None,
        value: format!("{count} of {} payments are round", rows.len()),
        threshold: format!("multiples of 1,000 from {}, more than chance gives", case.settings.payment.round_min),
        peer_group: case.peer_group(first),
        rows: &round,
        explanation: format!(
            "{count} of {} payments to {supplier} are multiples of 1,000 ({}), far more than is usual in this file. \
             Real invoices are seldom round; round amounts can stand for invented ones or for advances. Look at the \
             invoices.",
            rows.len(),
            lines(&round),
        ),
    });
}

#[cfg(test)]
mod tests {
    use crate::domain::Severity;
    use crate::domain::payments::testing::check;

    #[test]
    fn round_amounts() {
        let csv = |amounts: &[&str]| {
            let rows: String = amounts.iter().map(|amount| format!("A,{amount}\n")).collect();
            format!("supplier,amount\n{rows}B,17.20\nC,99.10\n")
        };
        let all: &[&str] = &["2", "3", "4", "5", "6"];
        check("PAY-ROUND", &csv(&["12000", "15000", "11000", "20000", "13000.00"]), &[(Severity::Low, all)]);
        check("PAY-ROUND", &csv(&["12000", "15000", "11000", "20000"]), &[]);
        check("PAY-ROUND", &csv(&["12000", "15000", "11000", "20000", "13000.50"]), &[]);
        check("PAY-ROUND", &csv(&["0", "0", "0", "0", "0"]), &[]);
    }
}
