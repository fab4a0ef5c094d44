//! PAY-DUP-INVOICE: an invoice that was paid more than once.

use super::table::Row;
use super::{Case, Flag, lines, money};
use crate::domain::Severity;
use any_ascii::any_ascii;
use rust_decimal::Decimal;
use std::collections::HashMap;

/// Most neighbours of a row that are compared with it.
const MAX_NEIGHBOURS: usize = 50;

/// An invoice number without case, punctuation and leading zeros; `None` when it
/// has no digit, because then it is no number but a remark.
pub(super) fn normalize(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    for c in any_ascii(text).chars().filter(char::is_ascii_alphanumeric) {
        let after_digit = plain.ends_with(|last: char| last.is_ascii_digit());
        if c == '0' && !after_digit {
            // Kept only when nothing but zeros follows; see below.
            plain.push('\u{0}');
            continue;
        }
        if c.is_ascii_digit() && !after_digit {
            plain.truncate(plain.trim_end_matches('\u{0}').len());
        }
        plain.push(c.to_ascii_uppercase());
    }
    let plain = plain.replace('\u{0}', "0");
    plain.contains(|c: char| c.is_ascii_digit() && c != '0').then_some(plain)
}

/// Finds invoices paid twice: by their number, and by almost the same number
/// for the same amount at about the same time.
pub(super) fn invoices(case: &mut Case<'_>) {
    let table = case.table;
    let known = table.sorted(|row| row.invoice.is_some(), |row| (row.supplier, row.invoice));
    for group in known.chunk_by(|a, b| (a.supplier, a.invoice) == (b.supplier, b.invoice)) {
        same_number(case, group);
    }
    let paid = table.sorted(
        |row| row.invoice.is_some() && row.day.is_some() && row.amount > Decimal::ZERO,
        |row| (row.supplier, row.currency, row.amount, row.day),
    );
    let alike = |a: &&Row, b: &&Row| (a.supplier, a.currency, a.amount) == (b.supplier, b.currency, b.amount);
    for group in paid.chunk_by(alike) {
        almost_same_number(case, group);
    }
}

/// The payments of one invoice. What was paid back is taken off; payments of the
/// same amount are a duplicate, of different amounts perhaps instalments.
fn same_number(case: &mut Case<'_>, group: &[&Row]) {
    let standing = standing(group);
    let mut equal = standing.clone();
    equal.sort_by_key(|row| (row.currency, row.amount));
    let mut found = false;
    for same in equal.chunk_by(|a, b| (a.currency, a.amount) == (b.currency, b.amount)) {
        if same.len() > 1 {
            found = true;
            flag_same(case, same);
        }
    }
    if !found && standing.len() > 1 {
        flag_instalments(case, &standing);
    }
}

/// The payments that were not paid back.
fn standing<'r>(group: &[&'r Row]) -> Vec<&'r Row> {
    let mut back: HashMap<(u32, Decimal), usize> = HashMap::new();
    for row in group.iter().filter(|row| row.amount < Decimal::ZERO) {
        *back.entry((row.currency, -row.amount)).or_default() += 1;
    }
    let stands = |row: &&&'r Row| match back.get_mut(&(row.currency, row.amount)) {
        Some(left) if *left > 0 => {
            *left -= 1;
            false
        }
        _ => row.amount > Decimal::ZERO,
    };
    group.iter().filter(stands).copied().collect()
}

fn flag_same(case: &mut Case<'_>, rows: &[&Row]) {
    let Some(first) = rows.first() else { return };
    let (invoice, amount) = describe(case, first);
    let supplier = case.table.supplier(first).to_owned();
    case.flag(Flag {
        rule: "PAY-DUP-INVOICE",
        severity: None,
        value: format!("invoice {invoice} paid {} times, {amount} each", rows.len()),
        threshold: "1 payment for an invoice".to_owned(),
        peer_group: case.peer_group(first),
        rows,
        explanation: format!(
            "invoice {invoice} of {supplier} was paid {} times with {amount} ({}). Paying an invoice twice is a \
             mistake or a way to take money out. Look at who entered and approved the later payment, and ask for the \
             money back.",
            rows.len(),
            lines(rows),
        ),
    });
}

fn flag_instalments(case: &mut Case<'_>, rows: &[&Row]) {
    let Some(first) = rows.first() else { return };
    let (invoice, _) = describe(case, first);
    let supplier = case.table.supplier(first).to_owned();
    case.flag(Flag {
        rule: "PAY-DUP-INVOICE",
        severity: Some(Severity::Low),
        value: format!("invoice {invoice} paid {} times, different amounts", rows.len()),
        threshold: "1 payment for an invoice".to_owned(),
        peer_group: case.peer_group(first),
        rows,
        explanation: format!(
            "invoice {invoice} of {supplier} was paid {} times with different amounts ({}). These can be instalments; \
             check that together they do not exceed the invoice.",
            rows.len(),
            lines(rows),
        ),
    });
}

/// Payments of one amount to one supplier, in order of their days.
fn almost_same_number(case: &mut Case<'_>, group: &[&Row]) {
    let window = i64::from(case.settings.payment.duplicate_window_days);
    for (n, row) in group.iter().enumerate() {
        let near = |other: &&&Row| days_between(row, other) <= window;
        for other in group[n + 1..].iter().take(MAX_NEIGHBOURS).take_while(near) {
            let (a, b) = (invoice_text(case, row), invoice_text(case, other));
            if let Some(how) = almost_equal(&a, &b) {
                flag_almost(case, &[row, other], how);
            }
        }
    }
}

fn days_between(a: &Row, b: &Row) -> i64 {
    a.day.zip(b.day).map_or(i64::MAX, |(a, b)| (i64::from(b) - i64::from(a)).abs())
}

fn flag_almost(case: &mut Case<'_>, rows: &[&Row; 2], how: &str) {
    let [first, second] = rows;
    let (invoice, amount) = describe(case, first);
    let other = invoice_text(case, second);
    let supplier = case.table.supplier(first).to_owned();
    case.flag(Flag {
        rule: "PAY-DUP-INVOICE",
        severity: Some(Severity::Medium),
        value: format!("invoices {invoice} and {other}, {amount} each"),
        threshold: format!("different numbers or amounts within {} days", case.settings.payment.duplicate_window_days),
        peer_group: case.peer_group(first),
        rows,
        explanation: format!(
            "{supplier} was paid {amount} twice for invoices whose numbers differ only by {how} ({invoice} and \
             {other}; {}). A changed number lets the same invoice through a check for duplicates. Compare the two \
             invoices.",
            lines(rows),
        ),
    });
}

fn invoice_text(case: &Case<'_>, row: &Row) -> String {
    row.invoice.map_or_else(String::new, |invoice| case.table.invoices.text(invoice).to_owned())
}

fn describe(case: &Case<'_>, row: &Row) -> (String, String) {
    (invoice_text(case, row), money(row.amount, case.table.currency(row)))
}

/// How two different invoice numbers are almost equal. Counting on (1001, 1002)
/// is not: that is how invoices are numbered.
fn almost_equal(a: &str, b: &str) -> Option<&'static str> {
    if a == b || a.len() < 3 || b.len() < 3 {
        return None;
    }
    if confusable(a) == confusable(b) {
        return Some("letters and digits that look alike");
    }
    if is_transposed(a.as_bytes(), b.as_bytes()) {
        return Some("two neighbours changing places");
    }
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    let letter = long.strip_prefix(short).or_else(|| long.strip_suffix(short));
    if letter.is_some_and(|rest| rest.len() == 1 && rest.bytes().all(|b| b.is_ascii_alphabetic())) {
        return Some("a letter at the end or the beginning");
    }
    is_stutter(short.as_bytes(), long.as_bytes()).then_some("a digit that is repeated")
}

fn confusable(text: &str) -> String {
    let fold = |c| match c {
        'O' | 'Q' => '0',
        'I' | 'L' => '1',
        'S' => '5',
        'B' => '8',
        'Z' => '2',
        other => other,
    };
    text.chars().map(fold).collect()
}

fn is_transposed(a: &[u8], b: &[u8]) -> bool {
    let Some(at) = a.iter().zip(b).position(|(x, y)| x != y) else { return false };
    a.len() == b.len()
        && at + 1 < a.len()
        && a[at] == b[at + 1]
        && a[at + 1] == b[at]
        && a[at + 2..] == b[at + 2..]
}

/// True when `long` is `short` with one of its digits twice.
fn is_stutter(short: &[u8], long: &[u8]) -> bool {
    if long.len() != short.len() + 1 {
        return false;
    }
    let at = short.iter().zip(long).position(|(x, y)| x != y).unwrap_or(short.len());
    at > 0 && long[at].is_ascii_digit() && long[at] == long[at - 1] && long[at + 1..] == short[at..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::payments::testing::check;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_normalised() {
        let check =
            |text: &str, expect: Option<&str>| assert_eq!(normalize(text).as_deref(), expect, "{text}");
        check("INV-0012", Some("INV12"));
        check("inv 12", Some("INV12"));
        check("2024/0007", Some("20240007"));
        check("0007/2024", Some("72024"));
        check("RE 100", Some("RE100"));
        check("A0", None);
        check("A00B1", Some("A00B1"));
        check("n/a", None);
        check("000", None);
        check("", None);
        check("10010", Some("10010"));
    }

    #[test]
    fn almost_equal_numbers() {
        let check = |a: &str, b: &str, expect: bool| {
            assert_eq!(almost_equal(a, b).is_some(), expect, "{a} {b}");
            assert_eq!(almost_equal(b, a).is_some(), expect, "{b} {a}");
        };
        check("INV1001", "INV1OO1", true);
        check("INV1023", "INV1032", true);
        check("INV1001", "INV1001A", true);
        check("INV1001", "INV10001", true);
        check("INV1001", "INV1002", false);
        check("INV1001", "INV2001", false);
        check("INV1001", "INV1001", false);
        check("INV1001", "INV10012", false);
        check("12", "21", false);
    }

    const HEADER: &str = "supplier,amount,date,invoice\n";

    #[test]
    fn the_same_invoice_twice() {
        let dup = |rows: &str, expect: &[(Severity, &[&str])]| {
            check("PAY-DUP-INVOICE", &format!("{HEADER}{rows}"), expect)
        };
        dup("A,100,2024-01-01,INV-7\nA,100,2024-02-01,inv 007\n", &[(Severity::High, &["2", "3"])]);
        dup(
            "A,100,2024-01-01,INV-7\nA,100,2024-06-01,INV-7\nA,100,2024-09-01,INV7\n",
            &[(Severity::High, &["2", "3", "4"])],
        );
        dup("A,100,2024-01-01,INV-7\nB,100,2024-01-01,INV-7\n", &[]);
        dup("A,100,2024-01-01,INV-7\nA,50,2024-02-01,INV-7\n", &[(Severity::Low, &["2", "3"])]);
        dup("A,100,2024-01-01,INV-7\nA,-100,2024-01-02,INV-7\nA,100,2024-01-03,INV-7\n", &[]);
        dup("A,100,2024-01-01,rent\nA,100,2024-02-01,rent\n", &[]);
        dup("A,100,2024-01-01,\nA,100,2024-01-01,\n", &[]);
        dup("A Ltd,100,2024-01-01,7\nA LIMITED,100,2024-01-01,7\n", &[(Severity::High, &["2", "3"])]);
    }

    #[test]
    fn almost_the_same_invoice() {
        let dup = |rows: &str, expect: &[(Severity, &[&str])]| {
            check("PAY-DUP-INVOICE", &format!("{HEADER}{rows}"), expect)
        };
        dup("A,100,2024-01-01,INV-1023\nA,100,2024-01-09,INV-1032\n", &[(Severity::Medium, &["2", "3"])]);
        dup("A,100,2024-01-01,INV-1023\nA,100,2024-01-09,INV-1024\n", &[]);
        dup("A,100,2024-01-01,INV-1023\nA,100,2024-06-09,INV-1032\n", &[]);
        dup("A,100,2024-01-01,INV-1023\nA,101,2024-01-09,INV-1032\n", &[]);
        dup("A,100,,INV-1023\nA,100,,INV-1032\n", &[]);
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in "[A-Za-z0-9/ -]{0,14}") {
            if let Some(once) = normalize(&text) {
                prop_assert_eq!(normalize(&once), Some(once));
            }
        }
    }
}
