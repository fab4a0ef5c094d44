//! Finding the columns by the names people give them.

use super::scan::Fields;
use any_ascii::any_ascii;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Id,
    Date,
    SupplierId,
    SupplierName,
    Amount,
    Currency,
    Invoice,
    Approver,
    Limit,
}

/// Names of columns without case, spaces and punctuation; the better name first.
const NAMES: [(Column, &[&str]); 9] = [
    (
        Column::Id,
        &[
            "paymentid",
            "paymentno",
            "paymentnumber",
            "paymentreference",
            "paymentref",
            "transactionid",
            "transactionno",
            "transactionnumber",
            "txnid",
            "voucherno",
            "vouchernumber",
            "voucher",
            "entryno",
            "reference",
            "ref",
            "id",
        ],
    ),
    (
        Column::Date,
        &[
            "paymentdate",
            "datepaid",
            "paidon",
            "paydate",
            "postingdate",
            "transactiondate",
            "valuedate",
            "bookingdate",
            "date",
            "datum",
            "fecha",
            "fechadepago",
            "datedepaiement",
            "zahlungsdatum",
            "buchungsdatum",
            "invoicedate",
        ],
    ),
    (
        Column::SupplierId,
        &[
            "supplierid",
            "suppliercode",
            "supplierno",
            "suppliernumber",
            "vendorid",
            "vendorcode",
            "vendorno",
            "vendornumber",
            "payeeid",
            "payeecode",
            "creditorid",
            "creditorno",
            "beneficiaryid",
            "lieferantennummer",
            "kreditorennummer",
            "idproveedor",
            "codefournisseur",
        ],
    ),
    (
        Column::SupplierName,
        &[
            "suppliername",
            "supplier",
            "vendorname",
            "vendor",
            "payeename",
            "payee",
            "beneficiaryname",
            "beneficiary",
            "creditorname",
            "creditor",
            "recipientname",
            "recipient",
            "merchant",
            "counterparty",
            "contractor",
            "company",
            "lieferant",
            "kreditor",
            "zahlungsempfanger",
            "empfanger",
            "fournisseur",
            "beneficiaire",
            "proveedor",
            "beneficiario",
        ],
    ),
    (
        Column::Amount,
        &[
            "amount",
            "paymentamount",
            "amountpaid",
            "paidamount",
            "grossamount",
            "totalamount",
            "amounttotal",
            "netamount",
            "invoiceamount",
            "total",
            "value",
            "sum",
            "betrag",
            "montant",
            "importe",
            "monto",
        ],
    ),
    (
        Column::Currency,
        &["currency", "currencycode", "ccy", "curr", "cur", "wahrung", "devise", "moneda", "divisa"],
    ),
    (
        Column::Invoice,
        &[
            "invoicenumber",
            "invoiceno",
            "invoiceid",
            "invoicereference",
            "invoiceref",
            "invoice",
            "invno",
            "inv",
            "billnumber",
            "billno",
            "documentnumber",
            "documentno",
            "rechnungsnummer",
            "rechnung",
            "rechnungsnr",
            "numerofacture",
            "nofacture",
            "facture",
            "numerofactura",
            "nofactura",
            "factura",
        ],
    ),
    (
        Column::Approver,
        &[
            "approver",
            "approvedby",
            "approvername",
            "approverid",
            "authorisedby",
            "authorizedby",
            "authoriser",
            "authorizer",
            "releasedby",
            "signedby",
            "genehmigtvon",
            "approuvepar",
            "aprobadopor",
        ],
    ),
    (
        Column::Limit,
        &[
            "approvallimit",
            "approverlimit",
            "authoritylimit",
            "approvalthreshold",
            "limit",
            "threshold",
            "genehmigungsgrenze",
        ],
    ),
];

/// Which column stands where.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    places: [Option<usize>; 9],
    names: Vec<String>,
    /// The currency the header gives the amounts, as in `Amount (EUR)`.
    pub(super) currency: Option<String>,
}

impl Columns {
    /// Reads a header row.
    ///
    /// # Errors
    /// Says which column is missing and how it may be called.
    pub(super) fn read(fields: &Fields) -> Result<Self, String> {
        let names: Vec<_> =
            (0..fields.len()).map(|n| fields.text(n).unwrap_or_default().to_owned()).collect();
        let amounts = names.iter().map(|name| with_currency(name));
        let bare: Vec<_> = amounts.map(|(name, currency)| (plain(&name), currency)).collect();
        let place = |column: Column| {
            let known = NAMES.iter().find(|(known, _)| *known == column).map(|(_, names)| *names)?;
            known.iter().find_map(|name| bare.iter().position(|(bare, _)| bare == name))
        };
        let places = NAMES.map(|(column, _)| place(column));
        let currency = places[Column::Amount as usize].and_then(|at| bare[at].1.clone());
        let columns = Self { places, names, currency };
        columns.check()?;
        Ok(columns)
    }

    fn check(&self) -> Result<(), String> {
        let need = |missing: bool, what: &str, name: &str| {
            if missing {
                let found = crate::domain::text::clean(&self.names.join(", "), 200);
                return Err(format!(
                    "the first line names no {what} column such as `{name}`; it names: {found}"
                ));
            }
            Ok(())
        };
        let nobody = self.place(Column::SupplierId).is_none() && self.place(Column::SupplierName).is_none();
        need(self.place(Column::Amount).is_none(), "amount", "amount")?;
        need(nobody, "supplier", "supplier_name")
    }

    /// Where a column stands.
    pub(super) const fn place(&self, column: Column) -> Option<usize> {
        self.places[column as usize]
    }

    /// How the file calls a column.
    pub(super) fn name(&self, column: Column) -> &str {
        self.place(column).and_then(|at| self.names.get(at)).map_or("", String::as_str)
    }

    /// How many columns there are.
    pub(super) fn count(&self) -> usize {
        self.names.len()
    }
}

/// Letters and digits of a name in lower-case ASCII.
fn plain(name: &str) -> String {
    let ascii = any_ascii(name);
    ascii.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Takes `(EUR)`, `[EUR]` or `in EUR` off the end of a name.
fn with_currency(name: &str) -> (String, Option<String>) {
    let trimmed = name.trim().trim_end_matches([')', ']']);
    let split = trimmed.rsplit_once(['(', '[']).or_else(|| trimmed.rsplit_once(" in "));
    match split {
        Some((rest, code)) if is_code(code.trim()) => (rest.to_owned(), Some(code.trim().to_owned())),
        _ => (name.to_owned(), None),
    }
}

fn is_code(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::payments::scan::Scanner;

    fn columns(header: &str) -> Result<Columns, String> {
        let mut fields = Fields::default();
        let _ = Scanner::new(header.as_bytes()).next(&mut fields);
        Columns::read(&fields)
    }

    #[test]
    fn columns_are_found_by_many_names() {
        let check = |header: &str, column: Column, place: Option<usize>| {
            assert_eq!(columns(header).unwrap().place(column), place, "{header} {column:?}");
        };
        check("id,date,supplier,amount", Column::Amount, Some(3));
        check("Payment ID;Date paid;Vendor Name;Amount Paid", Column::SupplierName, Some(2));
        check("Payment ID;Date paid;Vendor Name;Amount Paid", Column::Date, Some(1));
        check("VENDOR_NO,vendor-name,AMOUNT", Column::SupplierId, Some(0));
        check("Lieferant;Betrag;Währung;Rechnungsnummer", Column::Currency, Some(2));
        check("supplier,net_amount,amount", Column::Amount, Some(2));
        check("supplier,amount,Invoice No.", Column::Invoice, Some(2));
        check("supplier,amount,Approval limit,Approved by", Column::Limit, Some(2));
        check("supplier,amount,Approval limit,Approved by", Column::Approver, Some(3));
        check("supplier,amount,comment", Column::Invoice, None);
    }

    #[test]
    fn the_header_may_name_the_currency() {
        let check = |header: &str, code: Option<&str>| {
            assert_eq!(columns(header).unwrap().currency.as_deref(), code, "{header}");
        };
        check("supplier,Amount (EUR)", Some("EUR"));
        check("supplier,Amount in GBP", Some("GBP"));
        check("supplier,Amount [USD]", Some("USD"));
        check("supplier,amount", None);
    }

    #[test]
    fn missing_columns_are_named() {
        assert!(columns("id,date,supplier").is_err_and(|e| e.contains("amount") && e.contains("id, date")));
        assert!(columns("id,date,amount").is_err_and(|e| e.contains("supplier")));
        assert!(columns("17,2024-01-01,100").is_err());
    }
}
