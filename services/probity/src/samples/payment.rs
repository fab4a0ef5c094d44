//! Made-up payment files: CSV with a header, sorted by date.

use super::dice::{Dice, later, workday};
use super::words::{self, COMPANIES, Company};
use super::{Expected, Item};
use crate::kind::Kind;
use jiff::civil::{Date, date};
use rust_decimal::Decimal;
use std::collections::HashSet;

/// What can be wrong with a payment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plant {
    /// Nothing.
    Nothing,
    /// One bill paid in parts within a week, each below the approval limit.
    Split,
    /// Several payments to one supplier just below the approval limit.
    BelowLimit,
    /// One invoice paid twice.
    Duplicate,
    /// All of the above.
    All,
}

impl Plant {
    /// What the samples of a set rotate through.
    pub(super) const ROTATION: [Self; 5] =
        [Self::All, Self::Nothing, Self::Split, Self::BelowLimit, Self::Duplicate];

    /// The plant of a place in a mix.
    pub(super) const fn of_number(planted: bool, number: u64) -> Self {
        match (planted, number / 10 % 3) {
            (false, _) => Self::Nothing,
            (true, 0) => Self::Split,
            (true, 1) => Self::BelowLimit,
            (true, _) => Self::Duplicate,
        }
    }

    fn has(self, other: Self) -> bool {
        self == other || self == Self::All
    }
}

/// The approval limit that the corrupt stay below.
const LIMIT: i64 = 10_000;
/// Suppliers that get one middle-sized payment each, and so can split none.
const ONCE: usize = 100;
/// Suppliers that are used for what is planted, and for nothing else.
const PLANTED: usize = 10;

const WHAT: &[&str] = &[
    "office supplies",
    "building materials",
    "vehicle repair",
    "cleaning",
    "catering for a training day",
    "software maintenance",
    "printing",
    "transport",
    "electrical work",
    "garden work",
    "first-aid material",
];

#[derive(Debug)]
struct Row {
    day: Date,
    supplier: usize,
    invoice: String,
    amount: Decimal,
    approver: &'static str,
    what: &'static str,
}

const APPROVERS: &[&str] = &["a.castellow", "b.ingleby", "m.penhallow", "r.oxenford", "s.juniper"];

/// A payment file with that number and so many rows.
pub(super) fn item(dice: &mut Dice, number: u64, rows: u32, plant: Plant) -> Item {
    let (buyer, _) = words::buyer(dice);
    let mut file = File { rows: Vec::new(), expected: Expected::default(), amounts: HashSet::new() };
    file.plant(dice, plant);
    let rows = usize::try_from(rows).unwrap_or_default().saturating_sub(file.rows.len());
    file.fill(dice, rows);
    file.rows.sort_by_key(|row| row.day);
    let bytes = file.csv(number);
    Item {
        kind: Kind::Payment,
        filename: format!("payments-{number:03}.csv"),
        subject: format!("Payments of the {buyer}, {} rows", file.rows.len()),
        bytes,
        expected: file.expected,
    }
}

struct File {
    rows: Vec<Row>,
    expected: Expected,
    /// Supplier and amount, so that no honest payment looks like another.
    amounts: HashSet<(usize, Decimal)>,
}

impl File {
    fn plant(&mut self, dice: &mut Dice, plant: Plant) {
        if plant.has(Plant::Split) {
            self.split(dice);
        }
        if plant.has(Plant::BelowLimit) {
            self.below_limit(dice);
        }
        if plant.has(Plant::Duplicate) {
            self.duplicate(dice);
        }
    }

    /// Three parts on three days of one week, together well above the limit.
    fn split(&mut self, dice: &mut Dice) {
        let (supplier, approver) = (planted(0, dice), dice.pick(APPROVERS));
        let monday = later(date(2026, 2, 2), 7 * dice.between(0, 12));
        for part in 0..3 {
            let amount = Decimal::new(dice.between(380_001, 479_999), 2);
            self.push(dice, later(monday, part), supplier, amount, approver);
        }
        let name = Company::of(supplier).name;
        self.expected.plant("PAY-SPLIT", format!("three payments to {name} in the week of {monday}"));
    }

    /// Four payments in four different weeks, so that they are no split.
    fn below_limit(&mut self, dice: &mut Dice) {
        let (supplier, approver) = (planted(1, dice), dice.pick(APPROVERS));
        let first = later(date(2026, 1, 12), 7 * dice.between(0, 8));
        for month in 0..4 {
            let amount = Decimal::new(LIMIT * 100 - dice.between(1_101, 19_999), 2);
            self.push(dice, workday(later(first, 17 * month), 0), supplier, amount, approver);
        }
        let name = Company::of(supplier).name;
        self.expected.plant("PAY-BELOW-LIMIT", format!("four payments to {name} just below {LIMIT} EUR"));
    }

    /// The same invoice twice, nine days apart, once with a slip in its number.
    fn duplicate(&mut self, dice: &mut Dice) {
        let (supplier, approver) = (planted(2, dice), dice.pick(APPROVERS));
        let first = workday(date(2026, 3, 2), dice.between(0, 40));
        let amount = dice.amount(700, 1_800);
        let invoice = format!("RE-2026-{:05}", dice.between(10_000, 99_999));
        let what = dice.pick(WHAT);
        for (day, invoice) in [(first, invoice.clone()), (workday(first, 9), invoice.replace('-', " "))] {
            self.amounts.insert((supplier, amount));
            self.rows.push(Row { day, supplier, invoice, amount, approver, what });
        }
        let name = Company::of(supplier).name;
        self.expected.plant("PAY-DUP-INVOICE", format!("invoice {invoice} of {name} paid twice"));
    }

    /// Honest payments: small ones, a few middle-sized to suppliers that get no
    /// other, and large ones above the limit.
    fn fill(&mut self, dice: &mut Dice, rows: usize) {
        let start = date(2026, 1, 5);
        for number in 0..rows {
            let days = i64::try_from(number * 170 / rows.max(1)).unwrap_or_default();
            let day = workday(start, days);
            let once = number % 10 == 9 && number / 10 < ONCE;
            let (supplier, low, high) = match (once, dice.chance(6)) {
                (true, _) => (PLANTED * 3 + number / 10, 2_100, 9_200),
                (false, large) => {
                    let first = PLANTED * 3 + ONCE;
                    let supplier = first + number.wrapping_mul(31) % (COMPANIES - first);
                    if large { (supplier, 10_400, 80_000) } else { (supplier, 45, 1_900) }
                }
            };
            let amount = self.new_amount(dice, supplier, low, high);
            let approver = dice.pick(APPROVERS);
            self.push(dice, day, supplier, amount, approver);
        }
    }

    fn new_amount(&mut self, dice: &mut Dice, supplier: usize, low: u32, high: u32) -> Decimal {
        loop {
            let amount = dice.amount(low, high);
            if self.amounts.insert((supplier, amount)) {
                return amount;
            }
        }
    }

    fn push(&mut self, dice: &mut Dice, day: Date, supplier: usize, amount: Decimal, approver: &'static str) {
        let invoice = format!("{}-{:06}", 2_000 + supplier, self.rows.len() * 7 + 1_003);
        let what = dice.pick(WHAT);
        self.rows.push(Row { day, supplier, invoice, amount, approver, what });
    }

    fn csv(&self, number: u64) -> Vec<u8> {
        let mut text = String::from(
            "payment_id,payment_date,supplier_id,supplier_name,invoice_number,amount,currency,approved_by,description\n",
        );
        for (at, row) in self.rows.iter().enumerate() {
            let company = Company::of(row.supplier);
            let line = [
                format!("P{number:04}-{:06}", at + 1),
                row.day.to_string(),
                company.register_id(),
                company.name,
                row.invoice.clone(),
                row.amount.to_string(),
                "EUR".to_owned(),
                row.approver.to_owned(),
                row.what.to_owned(),
            ]
            .join(",");
            text.push_str(&line);
            text.push('\n');
        }
        text.into_bytes()
    }
}

/// A supplier for the plant with that number.
fn planted(plant: usize, dice: &mut Dice) -> usize {
    plant * PLANTED + dice.distinct(PLANTED, 1).first().copied().unwrap_or_default()
}
