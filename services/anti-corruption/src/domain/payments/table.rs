//! The rows of a case in memory: about 90 bytes each, texts kept once.

use rust_decimal::Decimal;
use std::collections::HashMap;
use std::rc::Rc;

/// A payment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// Number of the document.
    pub(super) document: u32,
    /// Line it starts in.
    pub(super) line: u32,
    /// Its bytes in the document.
    pub(super) start: u32,
    /// Their end.
    pub(super) end: u32,
    /// What was paid; negative for what came back.
    pub(super) amount: Decimal,
    /// Who was paid.
    pub(super) supplier: u32,
    /// In what.
    pub(super) currency: u32,
    /// For which invoice.
    pub(super) invoice: Option<u32>,
    /// Who approved.
    pub(super) approver: Option<u32>,
    /// The row's own limit, in [`Table::limits`].
    pub(super) limit: Option<u32>,
    /// When.
    pub(super) day: Option<i32>,
}

/// Texts, each kept once.
#[derive(Debug, Default)]
pub(super) struct Texts {
    numbers: HashMap<Rc<str>, u32>,
    texts: Vec<Rc<str>>,
}

impl Texts {
    /// The number of a text.
    pub(super) fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        let text: Rc<str> = text.into();
        self.texts.push(Rc::clone(&text));
        self.numbers.insert(text, number);
        number
    }

    /// The text of a number.
    pub(super) fn text(&self, number: u32) -> &str {
        self.texts.get(number as usize).map_or("", |text| text)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }
}

/// All rows of a case.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The rows in order.
    pub(super) rows: Vec<Row>,
    /// What tells suppliers apart: their number, else their normalised name.
    pub(super) supplier_keys: Texts,
    /// How suppliers are called, by number: the first name that was given.
    pub(super) supplier_names: Vec<Rc<str>>,
    /// Every different way a supplier was written, with a row that has it.
    pub(super) spellings: HashMap<Rc<str>, u32>,
    /// ISO 4217 codes; `XXX` when no currency is given.
    pub(super) currencies: Texts,
    /// Invoice numbers, normalised.
    pub(super) invoices: Texts,
    /// Who approves.
    pub(super) approvers: Texts,
    /// Limits that rows give.
    pub(super) limits: Vec<Decimal>,
    limit_numbers: HashMap<Decimal, u32>,
}

/// Most different limits that rows may give.
const MAX_LIMITS: usize = 10_000;

impl Table {
    /// Currency code of a row.
    pub(super) fn currency(&self, row: &Row) -> &str {
        self.currencies.text(row.currency)
    }

    /// Name of a row's supplier.
    pub(super) fn supplier(&self, row: &Row) -> &str {
        self.supplier_names.get(row.supplier as usize).map_or("", |name| name)
    }

    /// The number of a limit; nothing when there are too many.
    pub(super) fn limit_number(&mut self, limit: Decimal) -> Option<u32> {
        if let Some(number) = self.limit_numbers.get(&limit) {
            return Some(*number);
        }
        let number = u32::try_from(self.limits.len()).ok().filter(|_| self.limits.len() < MAX_LIMITS)?;
        self.limits.push(limit);
        self.limit_numbers.insert(limit, number);
        Some(number)
    }

    /// How many suppliers there are.
    pub(super) fn supplier_count(&self) -> usize {
        self.supplier_keys.len()
    }

    /// The rows that `wanted` wants, sorted by `key`, then by document and line.
    pub(super) fn sorted<K: Ord>(&self, wanted: impl Fn(&Row) -> bool, key: impl Fn(&Row) -> K) -> Vec<&Row> {
        let mut rows: Vec<_> = self.rows.iter().filter(|row| wanted(row)).collect();
        rows.sort_by(|a, b| {
            key(a).cmp(&key(b)).then_with(|| (a.document, a.line).cmp(&(b.document, b.line)))
        });
        rows
    }
}
