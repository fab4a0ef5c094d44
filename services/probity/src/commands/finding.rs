//! `probity case findings`, `dispose` and `rates`: the red flags of a case, and what
//! people make of them.

use crate::args::Disposition;
use crate::client::Client;
use crate::commands::case::fresh_key;
use crate::failure::Failure;
use crate::output::{self, Column, Output, plain, short, word};
use crate::values;
use comfy_table::{Cell, Color, Row, Table};
use probity_proto::anticorruption::{
    Disposition as Said, FalsePositiveRate, Finding, GetFalsePositiveRatesRequest, ListFindingsRequest,
    SetDispositionRequest,
};

const FINDING: &str = "probity.anticorruption.v1.Finding";

/// Lists the findings of a case.
pub(crate) async fn list(client: &Client, case: &str, out: Output) -> Result<(), Failure> {
    let parent = values::name("cases", case);
    let mut request = ListFindingsRequest { parent, page_size: 1_000, ..ListFindingsRequest::default() };
    let mut table = table();
    loop {
        let call = |client: Client, request| async move { client.findings().list_findings(request).await };
        let page = client.call("list the findings", None, request.clone(), call).await?;
        for finding in &page.findings {
            print(finding, &mut table, out)?;
        }
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    match (out.is_json(), table.is_empty()) {
        (true, _) => Ok(()),
        (false, true) => out.line("no findings"),
        (false, false) => out.table(&table),
    }
}

/// Says what a person made of findings of a case.
pub(crate) async fn dispose(
    client: &Client,
    case: &str,
    findings: &[String],
    said: Disposition,
    note: &str,
    out: Output,
) -> Result<(), Failure> {
    let disposition = match said {
        Disposition::Confirmed => Said::Confirmed,
        Disposition::FalsePositive => Said::FalsePositive,
        Disposition::Inconclusive => Said::Inconclusive,
    };
    let case = values::name("cases", case);
    let mut table = table();
    for finding in findings {
        let name = format!("{case}/{}", values::name("findings", finding));
        let request = SetDispositionRequest { name, disposition: disposition.into(), note: note.to_owned() };
        let call = |client: Client, request| async move { client.findings().set_disposition(request).await };
        let finding = client.call("record the disposition", Some(&fresh_key()), request, call).await?;
        print(&finding, &mut table, out)?;
    }
    if out.is_json() { Ok(()) } else { out.table(&table) }
}

/// Says how often the flags of each rule were wrong.
pub(crate) async fn rates(client: &Client, window: Option<i64>, out: Output) -> Result<(), Failure> {
    let request = GetFalsePositiveRatesRequest {
        window: window.map(values::span),
        ..GetFalsePositiveRatesRequest::default()
    };
    let call =
        |client: Client, request| async move { client.findings().get_false_positive_rates(request).await };
    let rates = client.call("get the false-positive rates", None, request, call).await?;
    if out.is_json() {
        return out.json(&output::json("probity.anticorruption.v1.FalsePositiveRates", &rates)?);
    }
    let mut table = output::table(&["RULE", "WRONG", "RIGHT", "NOT TOLD", "RATE"]);
    for rate in rates.rules.iter().chain(&rates.total) {
        table.add_row(rate_row(rate));
    }
    out.table(&table)
}

fn rate_row(rate: &FalsePositiveRate) -> [String; 5] {
    let of = if rate.of.is_empty() { "all".to_owned() } else { plain(&rate.of) };
    let share = rate.rate.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0));
    [of, rate.false_positives.to_string(), rate.confirmed.to_string(), rate.inconclusive.to_string(), share]
}

fn print(finding: &Finding, table: &mut Table, out: Output) -> Result<(), Failure> {
    if out.is_json() {
        return out.json_line(&output::json(FINDING, finding)?);
    }
    table.add_row(row(finding));
    Ok(())
}

fn table() -> Table {
    output::lines(&[
        ("FINDING", Column::Whole),
        ("RULE", Column::Whole),
        ("SEVERITY", Column::WholeFrom(100)),
        ("SAID", Column::Whole),
        ("BY", Column::CutFrom(24, 110)),
        ("WHAT", Column::Cut(60)),
    ])
}

fn row(finding: &Finding) -> Row {
    let id = finding.name.rsplit('/').next().unwrap_or(&finding.name);
    let what =
        if finding.disposition_note.is_empty() { &finding.explanation } else { &finding.disposition_note };
    output::one_line(vec![
        Cell::new(plain(id)),
        Cell::new(plain(&finding.rule)),
        Cell::new(word("SEVERITY_", finding.severity().as_str_name())),
        Cell::new(word("DISPOSITION_", finding.disposition().as_str_name()))
            .fg(colour(finding.disposition())),
        Cell::new(plain(&finding.disposed_by)),
        Cell::new(short(what, 120)),
    ])
}

const fn colour(said: Said) -> Color {
    match said {
        Said::Confirmed => Color::Red,
        Said::FalsePositive => Color::Green,
        Said::Inconclusive => Color::Yellow,
        Said::Unspecified => Color::Reset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_shares_or_nothing() {
        let check = |of: &str, wrong, right, expect: [&str; 5]| {
            let told = wrong + right;
            let rate = (told > 0).then(|| wrong as f64 / told as f64);
            let rate = FalsePositiveRate {
                of: of.into(),
                confirmed: right,
                false_positives: wrong,
                inconclusive: 2,
                rate,
            };
            assert_eq!(rate_row(&rate), expect);
        };
        check("R018", 1, 3, ["R018", "1", "3", "2", "25 %"]);
        check("", 0, 0, ["all", "0", "0", "2", "-"]);
    }
}
