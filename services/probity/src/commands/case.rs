//! `probity case list`, `close` and `cancel`, and the row of a case in tables.

use crate::args::{CaseCommand, Disposition, ListArgs, State};
use crate::client::Client;
use crate::commands::{finding, show};
use crate::failure::Failure;
use crate::output::{self, Column, Output, plain, short, word};
use crate::{open, values};
use comfy_table::{Cell, Color, Row};
use probity_proto::orchestrator::{
    CancelCaseRequest, Case, CaseState, CloseCaseRequest, Disposition as Decision, ListCasesRequest, Outcome,
    WaitKind,
};

/// Runs a command of the group.
pub(crate) async fn run(client: &Client, command: CaseCommand, out: Output) -> Result<(), Failure> {
    match command {
        CaseCommand::Open(args) => open::run(client, args, out).await,
        CaseCommand::List(args) => list(client, &args, out).await,
        CaseCommand::Show { id, watch: false } => show::show(client, &values::name("cases", &id), out).await,
        CaseCommand::Show { id, watch: true } => show::watch(client, &values::name("cases", &id), out).await,
        CaseCommand::Close { id, disposition, note } => {
            close(client, &id, disposition, note.unwrap_or_default(), out).await
        }
        CaseCommand::Findings { id } => finding::list(client, &id, out).await,
        CaseCommand::Dispose { id, findings, disposition, note } => {
            finding::dispose(client, &id, &findings, disposition, &note.unwrap_or_default(), out).await
        }
        CaseCommand::Rates { window } => finding::rates(client, window, out).await,
        CaseCommand::Cancel { id, reason } => cancel(client, &id, reason, out).await,
    }
}

async fn list(client: &Client, args: &ListArgs, out: Output) -> Result<(), Failure> {
    let mut request = ListCasesRequest {
        kind: args.kind.map(|kind| kind.proto().into()).unwrap_or_default(),
        state: args.state.map(|state| case_state(state).into()).unwrap_or_default(),
        waiting: args.waiting,
        page_size: if args.all { 1_000 } else { 50 },
        ..ListCasesRequest::default()
    };
    let mut table = table();
    loop {
        let call = |client: Client, request| async move { client.cases().list_cases(request).await };
        let page = client.call("list the cases", None, request.clone(), call).await?;
        for case in &page.cases {
            if out.is_json() {
                out.json_line(&output::json("probity.orchestrator.v1.Case", case)?)?;
            } else {
                table.add_row(row(case));
            }
        }
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() || !args.all {
            break;
        }
    }
    if out.is_json() {
        return Ok(());
    }
    if table.is_empty() {
        return out.line("no cases");
    }
    out.table(&table)?;
    if request.page_token.is_empty() { Ok(()) } else { out.line("there are more; --all lists them all") }
}

async fn close(
    client: &Client,
    id: &str,
    disposition: Disposition,
    note: String,
    out: Output,
) -> Result<(), Failure> {
    let (decision, outcome) = match disposition {
        Disposition::Confirmed => (Decision::Confirmed, Outcome::Confirmed),
        Disposition::FalsePositive => (Decision::FalsePositive, Outcome::Unfounded),
        Disposition::Inconclusive => (Decision::Inconclusive, Outcome::Inconclusive),
    };
    let request = CloseCaseRequest { name: values::name("cases", id), disposition: decision.into(), note };
    let call = |client: Client, request| async move { client.cases().close_case(request).await };
    let case = client.call("close the case", Some(&fresh_key()), request, call).await?;
    // Closing again is answered with what was decided before, whatever that was.
    if let Some(verdict) = case.verdict.as_ref().filter(|verdict| verdict.outcome() != outcome) {
        let decided = word("OUTCOME_", verdict.outcome().as_str_name());
        let by = plain(&verdict.decided_by.join(", "));
        return Err(anyhow::anyhow!("{} was decided before: {decided}, by {by}", plain(&case.name)).into());
    }
    print(&case, out)
}

async fn cancel(client: &Client, id: &str, reason: String, out: Output) -> Result<(), Failure> {
    let request = CancelCaseRequest { name: values::name("cases", id), reason };
    let call = |client: Client, request| async move { client.cases().cancel_case(request).await };
    let case = client.call("cancel the case", Some(&fresh_key()), request, call).await?;
    print(&case, out)
}

/// A key for one run of a command: its own retries do nothing twice, the same
/// command typed again is a new wish.
pub(crate) fn fresh_key() -> String {
    format!("cli-{}", uuid::Uuid::now_v7())
}

fn print(case: &Case, out: Output) -> Result<(), Failure> {
    if out.is_json() {
        return out.json(&output::json("probity.orchestrator.v1.Case", case)?);
    }
    let mut table = table();
    table.add_row(row(case));
    out.table(&table)
}

/// An empty table of cases.
pub(crate) fn table() -> comfy_table::Table {
    output::lines(&[
        ("CASE", Column::Whole),
        ("KIND", Column::Whole),
        ("STATE", Column::Whole),
        ("FLAGS", Column::WholeFrom(90)),
        ("SUBJECT", Column::Cut(40)),
        ("VERDICT OR WAITING", Column::CutFrom(80, 110)),
        ("OPENED", Column::WholeFrom(150)),
    ])
}

/// The row of a case.
pub(crate) fn row(case: &Case) -> Row {
    output::one_line(vec![
        Cell::new(plain(case.name.strip_prefix("cases/").unwrap_or(&case.name))),
        Cell::new(word("CASE_KIND_", case.kind().as_str_name())),
        Cell::new(state(case)).fg(colour(case)),
        Cell::new(case.finding_count),
        Cell::new(short(&case.subject, 48)),
        Cell::new(outlook(case)),
        Cell::new(output::time(case.create_time.as_ref())),
    ])
}

/// The state of a case in a word.
pub(crate) fn state(case: &Case) -> String {
    word("CASE_STATE_", case.state().as_str_name())
}

/// True when nothing more happens to the case.
pub(crate) fn is_final(case: &Case) -> bool {
    matches!(case.state(), CaseState::Resolved | CaseState::Failed | CaseState::Cancelled)
}

/// How a case ended, or what it waits for.
pub(crate) fn outlook(case: &Case) -> String {
    if let Some(verdict) = &case.verdict {
        let outcome = word("OUTCOME_", verdict.outcome().as_str_name());
        let reason = short(verdict.reasons.first().map_or("", String::as_str), 70);
        return labelled(&outcome, &reason);
    }
    let Some(waiting) = &case.waiting else { return String::new() };
    let reason = short(&waiting.reason, 70);
    match waiting.kind() {
        WaitKind::Approval if waiting.required > 1 => {
            labelled(&format!("waits, {} of {} agreed", waiting.agreed.len(), waiting.required), &reason)
        }
        WaitKind::Approval => labelled("waits", &reason),
        WaitKind::Incident => labelled(&format!("incident at {}", plain(&waiting.step)), &reason),
        WaitKind::Place => labelled("waits for a place", &reason),
        WaitKind::Unspecified => String::new(),
    }
}

/// A word before its reason, unless the reason begins with it.
fn labelled(label: &str, reason: &str) -> String {
    if reason.is_empty() || reason.starts_with(label) {
        return if reason.is_empty() { label.to_owned() } else { reason.to_owned() };
    }
    format!("{label}: {reason}")
}

/// The colour of a case's state.
pub(crate) fn colour(case: &Case) -> Color {
    match case.state() {
        CaseState::Resolved => Color::Green,
        CaseState::Failed => Color::Red,
        CaseState::Cancelled => Color::DarkGrey,
        _ if case.waiting.is_some() => Color::Yellow,
        _ => Color::Reset,
    }
}

const fn case_state(state: State) -> CaseState {
    match state {
        State::Pending => CaseState::Pending,
        State::Investigating => CaseState::Investigating,
        State::Validating => CaseState::Validating,
        State::Remediating => CaseState::Remediating,
        State::Resolved => CaseState::Resolved,
        State::Failed => CaseState::Failed,
        State::Cancelled => CaseState::Cancelled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_proto::orchestrator::{Verdict, Waiting};

    #[test]
    fn the_outlook_is_one_line() {
        let waiting = |kind: WaitKind, required, agreed: &[&str]| Case {
            waiting: Some(Waiting {
                kind: kind.into(),
                step: "triage".into(),
                reason: "two\nlines".into(),
                required,
                agreed: agreed.iter().map(ToString::to_string).collect(),
            }),
            ..Case::default()
        };
        let check = |case: Case, expect: &str| assert_eq!(outlook(&case), expect);
        check(Case::default(), "");
        check(waiting(WaitKind::Approval, 1, &[]), "waits: two lines");
        check(waiting(WaitKind::Approval, 2, &["users/a"]), "waits, 1 of 2 agreed: two lines");
        check(waiting(WaitKind::Incident, 0, &[]), "incident at triage: two lines");
        let verdict = Verdict { outcome: 1, reasons: vec!["no red flags".into()], ..Verdict::default() };
        let text = outlook(&Case { verdict: Some(verdict), ..Case::default() });
        assert_eq!(text, "clear: no red flags");
        assert_eq!(labelled("spam", "spam: 99%"), "spam: 99%");
        assert_eq!(labelled("clear", ""), "clear");
    }
}
