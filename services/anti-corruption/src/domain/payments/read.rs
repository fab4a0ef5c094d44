//! Reading rows into the table. A row that cannot be used is refused with its
//! line, the column and the reason; the others are read.

use super::date::{self, Read, Style};
use super::header::{Column, Columns};
use super::scan::{Fields, Record, Scanner};
use super::table::{Row, Table};
use super::{amount, duplicates};
use crate::domain::{Document, Refusals, Rejection, Settings, name, text};
use rust_decimal::Decimal;
use std::rc::Rc;

/// What stands for a missing currency; ISO 4217 has it for just that.
const NO_CURRENCY: &str = "XXX";
const TOO_MANY_LIMITS: &str = "the rows give too many different limits: is this the right column?";

/// Why a row is refused: the column and the reason.
type Refused = (Column, String);

/// Reads the rows of all documents.
pub(super) fn table(documents: &[Document], settings: &Settings, refusals: &mut Refusals) -> Table {
    let mut table = Table::default();
    for (number, document) in (0..).zip(documents) {
        let file = File { number, document, settings };
        file.read(&mut table, refusals);
    }
    table
}

struct File<'f> {
    number: u32,
    document: &'f Document,
    settings: &'f Settings,
}

/// A row whose date depends on what the other rows say.
struct Undecided {
    row: usize,
    day_first: i32,
    month_first: i32,
}

/// What the dates of a file have told so far.
#[derive(Default)]
struct Dates {
    day_first: bool,
    month_first: bool,
    undecided: Vec<Undecided>,
}

impl File<'_> {
    fn refuse(&self, line: u32, field: &str, reason: String) -> Rejection {
        let field = text::clean(field, 80);
        Rejection { document: self.document.name.clone(), line: line.into(), field, reason }
    }

    fn read(&self, table: &mut Table, refusals: &mut Refusals) {
        let mut scanner = Scanner::new(&self.document.bytes);
        let mut fields = Fields::default();
        let columns = match self.header(&mut scanner, &mut fields) {
            Ok(columns) => columns,
            Err(rejection) => return refusals.item(rejection),
        };
        let first = table.rows.len();
        let mut dates = Dates::default();
        while let Some(record) = scanner.next(&mut fields) {
            if table.rows.len() >= self.settings.max_rows {
                return self.refuse_rest(&mut scanner, &mut fields, &record, refusals);
            }
            match record {
                Record::Bad { line, reason } => refusals.item(self.refuse(line, "", reason)),
                Record::Row { line, start, end } => {
                    let european = matches!(scanner.delimiter(), b';' | b'\t');
                    let row =
                        Cells { fields: &fields, columns: &columns, european, table, dates: &mut dates };
                    match row.read(self.number, line, (start, end)) {
                        Ok(row) => table.rows.push(row),
                        Err((column, reason)) => {
                            refusals.item(self.refuse(line, columns.name(column), reason));
                        }
                    }
                }
            }
        }
        self.decide_dates(table, first, dates, &columns, refusals);
    }

    fn header(&self, scanner: &mut Scanner<'_>, fields: &mut Fields) -> Result<Columns, Rejection> {
        let bytes = &self.document.bytes;
        if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
            return Err(self.refuse(0, "", "the document is UTF-16: save it as CSV in UTF-8".to_owned()));
        }
        match scanner.next(fields) {
            None => Err(self.refuse(0, "", "the document is empty".to_owned())),
            Some(Record::Bad { line, reason }) => Err(self.refuse(line, "", format!("the header: {reason}"))),
            Some(Record::Row { line, .. }) => {
                Columns::read(fields).map_err(|reason| self.refuse(line, "", reason))
            }
        }
    }

    /// Counts what is left when no more rows are taken.
    fn refuse_rest(
        &self,
        scanner: &mut Scanner<'_>,
        fields: &mut Fields,
        record: &Record,
        refusals: &mut Refusals,
    ) {
        let (Record::Bad { line, .. } | Record::Row { line, .. }) = record;
        let most = self.settings.max_rows;
        let reason = format!("only {most} rows of a case are read: this one and all after it were left out");
        refusals.item(self.refuse(*line, "", reason));
        while scanner.next(fields).is_some() {
            refusals.more_items(1);
        }
    }

    /// Settles the dates that can be read in two ways, or refuses their rows.
    fn decide_dates(
        &self,
        table: &mut Table,
        first: usize,
        dates: Dates,
        columns: &Columns,
        refusals: &mut Refusals,
    ) {
        let (day_first, month_first) = (dates.day_first, dates.month_first);
        if dates.undecided.is_empty() {
            return;
        }
        if day_first != month_first {
            for undecided in dates.undecided {
                let day = if day_first { undecided.day_first } else { undecided.month_first };
                table.rows[undecided.row].day = Some(day);
            }
            return;
        }
        let reason =
            "the date can be read as day/month or as month/day, and no other row tells: write 2024-03-01";
        for undecided in &dates.undecided {
            let line = table.rows[undecided.row].line;
            refusals.item(self.refuse(line, columns.name(Column::Date), reason.to_owned()));
        }
        let mut refused = dates.undecided.iter().map(|undecided| undecided.row).peekable();
        let mut kept = Vec::with_capacity(table.rows.len() - first);
        for (at, row) in (first..).zip(table.rows.drain(first..)) {
            if refused.next_if_eq(&at).is_none() {
                kept.push(row);
            }
        }
        table.rows.extend(kept);
    }
}

/// The cells of one row on their way into the table.
struct Cells<'r> {
    fields: &'r Fields,
    columns: &'r Columns,
    european: bool,
    table: &'r mut Table,
    dates: &'r mut Dates,
}

impl Cells<'_> {
    fn read(mut self, document: u32, line: u32, (start, end): (usize, usize)) -> Result<Row, Refused> {
        self.check_width()?;
        let (amount, in_cell) = amount::parse(self.needed(Column::Amount, "amount")?, self.european)
            .map_err(|reason| (Column::Amount, reason))?;
        let currency = self.currency(in_cell)?;
        let limit = self.limit()?;
        let day = self.day()?;
        let supplier = self.supplier()?;
        let invoice = duplicates::normalize(self.cell(Column::Invoice)?);
        let approver = self.cell(Column::Approver)?.to_owned();
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Ok(Row {
            document,
            line,
            start: offset(start),
            end: offset(end),
            amount,
            supplier,
            currency,
            invoice: invoice.map(|invoice| self.table.invoices.number(&invoice)),
            approver: (!approver.is_empty()).then(|| self.table.approvers.number(&approver)),
            limit,
            day,
        })
    }

    /// A row has as many cells as the header; empty ones at the end are let go.
    fn check_width(&self) -> Result<(), Refused> {
        let (expected, found) = (self.columns.count(), self.fields.len());
        let extra = (expected..found).any(|n| !self.fields.bytes(n).trim_ascii().is_empty());
        if found < expected || extra {
            return Err((
                Column::Amount,
                format!(
                    "the row has {found} columns, the header {expected}: quote cells that hold the separator"
                ),
            ));
        }
        Ok(())
    }

    fn cell(&self, column: Column) -> Result<&str, Refused> {
        let Some(place) = self.columns.place(column) else { return Ok("") };
        self.fields
            .text(place)
            .ok_or_else(|| (column, "the cell is not UTF-8: save the file as UTF-8".to_owned()))
    }

    fn needed(&self, column: Column, what: &str) -> Result<&str, Refused> {
        let cell = self.cell(column)?;
        if cell.is_empty() { Err((column, format!("the {what} is missing"))) } else { Ok(cell) }
    }

    fn currency(&mut self, in_cell: Option<String>) -> Result<u32, Refused> {
        let cell = self.cell(Column::Currency)?.to_ascii_uppercase();
        let code = match cell.as_str() {
            "" => in_cell.or_else(|| self.columns.currency.clone()).unwrap_or_else(|| NO_CURRENCY.to_owned()),
            "€" => "EUR".to_owned(),
            "£" => "GBP".to_owned(),
            _ => cell,
        };
        if code.len() != 3 || !code.bytes().all(|b| b.is_ascii_uppercase()) {
            let shown = text::clean(&code, 20);
            return Err((Column::Currency, format!("{shown:?} is no ISO 4217 code such as EUR")));
        }
        Ok(self.table.currencies.number(&code))
    }

    fn limit(&mut self) -> Result<Option<u32>, Refused> {
        let cell = self.cell(Column::Limit)?;
        if cell.is_empty() {
            return Ok(None);
        }
        let (limit, _) = amount::parse(cell, self.european).map_err(|reason| (Column::Limit, reason))?;
        if limit <= Decimal::ZERO {
            return Err((Column::Limit, "the approval limit must be above 0".to_owned()));
        }
        self.table.limit_number(limit).map(Some).ok_or_else(|| (Column::Limit, TOO_MANY_LIMITS.to_owned()))
    }

    fn day(&mut self) -> Result<Option<i32>, Refused> {
        let cell = self.cell(Column::Date)?;
        if cell.is_empty() {
            return Ok(None);
        }
        match date::parse(cell).map_err(|reason| (Column::Date, reason))? {
            Read::Day(day) => Ok(Some(day)),
            Read::Styled(day, style) => {
                self.dates.day_first |= style == Style::DayFirst;
                self.dates.month_first |= style == Style::MonthFirst;
                Ok(Some(day))
            }
            Read::Either { day_first, month_first } => {
                // If a later cell refuses the row, this entry must go with it.
                self.supplier()?;
                self.cell(Column::Invoice)?;
                self.cell(Column::Approver)?;
                let row = self.table.rows.len();
                self.dates.undecided.push(Undecided { row, day_first, month_first });
                Ok(None)
            }
        }
    }

    fn supplier(&mut self) -> Result<u32, Refused> {
        let id = self.cell(Column::SupplierId)?;
        let called = self.cell(Column::SupplierName)?;
        let shown = text::clean(if called.is_empty() { id } else { called }, 200);
        let key = if id.is_empty() { name::normalize(called) } else { format!("id {id}") };
        if key.is_empty() {
            let column = if called.is_empty() && self.columns.place(Column::SupplierName).is_none() {
                Column::SupplierId
            } else {
                Column::SupplierName
            };
            return Err((column, "the supplier is missing".to_owned()));
        }
        let number = self.table.supplier_keys.number(&key);
        let shown: Rc<str> = shown.into();
        if self.table.supplier_names.len() <= number as usize {
            self.table.supplier_names.push(Rc::clone(&shown));
        }
        let row = u32::try_from(self.table.rows.len()).unwrap_or(u32::MAX);
        self.table.spellings.entry(shown).or_insert(row);
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::payments::testing::outcome;
    use crate::domain::{Index, Settings};

    /// Rows read, and `line field` of the refused ones.
    fn check(csv: &str, read: u64, refused: &[&str]) {
        let outcome = outcome(csv, &Index::default(), &Settings::default());
        let found: Vec<_> = outcome.rejections.iter().map(|r| format!("{} {}", r.line, r.field)).collect();
        assert_eq!(found, refused, "{csv} {:?}", outcome.rejections);
        assert_eq!((outcome.items_read, outcome.items_refused), (read, refused.len() as u64), "{csv}");
    }

    #[test]
    fn rows_are_refused_one_by_one() {
        check(
            "supplier,amount\nA,1\nB,x\n,3\nD\nE,5,\nF,6,7\n",
            2,
            &["3 amount", "4 supplier", "5 amount", "7 amount"],
        );
        check("supplier,amount\nA,1\n\"B,2\nC,3\n", 2, &["3 "]);
        check("supplier;Betrag\nA;1,50\nB;1.250\n", 1, &["3 Betrag"]);
        check("supplier,amount,currency\nA,1,EUR\nB,2,EURO\nC,3,\n", 2, &["3 currency"]);
        check("supplier,amount,limit\nA,1,100\nB,2,0\nC,3,\n", 2, &["3 limit"]);
        check("supplier,amount,date\nA,1,2024-01-01\nB,2,tomorrow\nC,3,\n", 2, &["3 date"]);
        check("supplier_id,amount\n7,1\n,2\n", 1, &["3 supplier_id"]);
    }

    #[test]
    fn days_and_months_are_told_apart_or_refused() {
        check("supplier,amount,date\nA,1,03/04/2024\nB,2,31/04/2024\nC,3,31/12/2024\n", 2, &["3 date"]);
        check("supplier,amount,date\nA,1,03/04/2024\nC,3,12/31/2024\n", 2, &[]);
        check("supplier,amount,date\nA,1,03/04/2024\nB,2,2024-01-01\n", 1, &["2 date"]);
        check("supplier,amount,date\nA,1,03/04/2024\nB,2,13/01/2024\nC,3,01/13/2024\n", 2, &["2 date"]);
        check(
            "supplier,amount,date\n,1,03/04/2024\nB,2,03/04/2024\nC,2,5/6/2024\n",
            0,
            &["2 supplier", "3 date", "4 date"],
        );
    }

    #[test]
    fn documents_that_are_no_table_are_refused_as_a_whole() {
        check("", 0, &["0 "]);
        check("\n \n", 0, &["0 "]);
        check("a,b\n1,2\n", 0, &["1 "]);
        check("\"supplier,amount\nA,1\n", 0, &["1 "]);
        check("supplier,amount\n", 0, &[]);
    }

    #[test]
    fn no_more_rows_than_allowed() {
        let settings = Settings { max_rows: 2, ..Settings::default() };
        let outcome = outcome("supplier,amount\nA,1\nB,2\nC,3\nD,4\n", &Index::default(), &settings);
        assert_eq!((outcome.items_read, outcome.items_refused, outcome.rejections.len()), (2, 2, 1));
    }

    #[test]
    fn bytes_that_are_not_utf8_cost_their_row() {
        let documents = [crate::domain::Document {
            name: "documents/d".into(),
            bytes: b"supplier,amount\nM\xFCller,1\nB,2\n".to_vec().into(),
        }];
        let outcome =
            crate::domain::payments::investigate(&documents, &Index::default(), &Settings::default());
        assert_eq!((outcome.items_read, outcome.items_refused), (1, 1));
        assert!(outcome.rejections[0].reason.contains("UTF-8"));
    }
}
