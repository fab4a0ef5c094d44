//! `probity case show`: everything the platform knows about one case.

use super::case::{self, is_final, outlook, state};
use crate::client::{Client, may_pass};
use crate::failure::Failure;
use crate::output::{self, Output, plain, short, time, word};
use comfy_table::Cell;
use futures::StreamExt as _;
use probity_proto::anticorruption::{
    Finding, ListFindingsRequest, ListFindingsResponse, ListRejectionsRequest, ListRejectionsResponse,
};
use probity_proto::compliance::{Evaluation, ListEvaluationsRequest};
use probity_proto::orchestrator::{
    Action, Case, GetCaseRequest, HistoryEvent, ListActionsRequest, ListHistoryRequest, WatchCaseRequest,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Items asked for at a time.
const PAGE: i32 = 1_000;

/// Characters of a reason in tables; the findings and `-o json` have all of it.
const REASON: usize = 120;

/// A case with all that belongs to it.
struct Dossier {
    case: Case,
    findings: ListFindingsResponse,
    rejections: ListRejectionsResponse,
    actions: Vec<Action>,
    evaluations: Vec<Evaluation>,
    history: Vec<HistoryEvent>,
}

/// Prints a case.
pub(crate) async fn show(client: &Client, name: &str, out: Output) -> Result<(), Failure> {
    let dossier = read(client, name).await?;
    if out.is_json() { out.json(&dossier.json()?) } else { dossier.print(out) }
}

/// The case alone.
pub(crate) async fn get(client: &Client, name: &str) -> Result<Case, Failure> {
    let request = GetCaseRequest { name: name.to_owned() };
    let call = |client: Client, request| async move { client.cases().get_case(request).await };
    client.call("get the case", None, request, call).await
}

async fn read(client: &Client, name: &str) -> Result<Dossier, Failure> {
    let parent = || name.to_owned();
    let case = get(client, name).await?;
    let findings = ListFindingsRequest { parent: parent(), page_size: PAGE, ..Default::default() };
    let call = |client: Client, request| async move { client.findings().list_findings(request).await };
    let findings = client.call("list the findings", None, findings, call).await?;
    let rejections = ListRejectionsRequest { parent: parent(), page_size: PAGE, ..Default::default() };
    let call = |client: Client, request| async move { client.findings().list_rejections(request).await };
    let rejections = client.call("list what was refused", None, rejections, call).await?;
    let actions = ListActionsRequest { parent: parent(), page_size: PAGE, ..Default::default() };
    let call = |client: Client, request| async move { client.actions().list_actions(request).await };
    let actions = client.call("list the actions", None, actions, call).await?.actions;
    let evaluations = ListEvaluationsRequest { parent: parent(), page_size: PAGE, ..Default::default() };
    let call = |client: Client, request| async move { client.compliance().list_evaluations(request).await };
    let evaluations = client.call("list the evaluations", None, evaluations, call).await?.evaluations;
    let history = history(client, name).await?;
    Ok(Dossier { case, findings, rejections, actions, evaluations, history })
}

async fn history(client: &Client, name: &str) -> Result<Vec<HistoryEvent>, Failure> {
    let mut request = ListHistoryRequest { parent: name.to_owned(), page_size: PAGE, ..Default::default() };
    let mut events = Vec::new();
    loop {
        let call = |client: Client, request| async move { client.cases().list_history(request).await };
        let page = client.call("list the history", None, request.clone(), call).await?;
        events.extend(page.events);
        if page.next_page_token.is_empty() {
            return Ok(events);
        }
        request.page_token = page.next_page_token;
    }
}

impl Dossier {
    fn json(&self) -> anyhow::Result<Value> {
        Ok(json!({
            "case": output::json("probity.orchestrator.v1.Case", &self.case)?,
            "findings": all("probity.anticorruption.v1.Finding", &self.findings.findings)?,
            "findingCount": self.findings.total_size,
            "rejections": all("probity.common.v1.Rejection", &self.rejections.rejections)?,
            "rejectionCount": self.rejections.total_size,
            "actions": all("probity.orchestrator.v1.Action", &self.actions)?,
            "evaluations": all("probity.compliance.v1.Evaluation", &self.evaluations)?,
            "history": all("probity.orchestrator.v1.HistoryEvent", &self.history)?,
        }))
    }

    fn print(&self, out: Output) -> Result<(), Failure> {
        head(&self.case, out)?;
        findings(&self.findings, out)?;
        rejections(&self.rejections, out)?;
        actions(&self.actions, out)?;
        for evaluation in &self.evaluations {
            evaluated(evaluation, out)?;
        }
        let mut table = output::table(&["TIME", "EVENT", "STEP", "BY", "WHAT"]);
        for event in &self.history {
            table.add_row(event_cells(event));
        }
        section(out, "History", &table)
    }
}

fn all<M: prost::Message>(name: &str, messages: &[M]) -> anyhow::Result<Vec<Value>> {
    messages.iter().map(|message| output::json(name, message)).collect()
}

fn section(out: Output, title: &str, table: &comfy_table::Table) -> Result<(), Failure> {
    if table.is_empty() {
        return Ok(());
    }
    out.line(format_args!("\n{title}"))?;
    out.table(table)
}

fn head(case: &Case, out: Output) -> Result<(), Failure> {
    out.line(plain(&case.name))?;
    let mut lines = vec![
        ("subject", plain(&case.subject)),
        ("kind", word("CASE_KIND_", case.kind().as_str_name())),
        ("state", state(case)),
        ("opened", format!("{} by {}", time(case.create_time.as_ref()), plain(&case.owner))),
        ("runs on", format!("{} @ {}", plain(&case.definition), short(&case.definition_version, 13))),
        ("execution", plain(&case.execution)),
        ("documents", case.documents.iter().map(|d| plain(d)).collect::<Vec<_>>().join(", ")),
    ];
    if let Some(waiting) = &case.waiting {
        let kind = word("WAIT_KIND_", waiting.kind().as_str_name());
        lines.insert(
            3,
            ("waits for", format!("{kind} at {}: {}", plain(&waiting.step), plain(&waiting.reason))),
        );
        if waiting.required > 1 {
            let agreed = plain(&waiting.agreed.join(", "));
            lines.insert(
                4,
                ("agreed", format!("{} of {} people {agreed}", waiting.agreed.len(), waiting.required)),
            );
        }
    }
    if let Some(verdict) = &case.verdict {
        lines.insert(3, ("verdict", word("OUTCOME_", verdict.outcome().as_str_name())));
        lines.insert(4, ("decided by", plain(&verdict.decided_by.join(", "))));
        lines.extend(verdict.reasons.iter().map(|reason| ("reason", plain(reason))));
        lines.push(("note", plain(&verdict.note)));
    }
    for (label, text) in lines.iter().filter(|(_, text)| !text.is_empty()) {
        out.line(format_args!("  {label:<10} {text}"))?;
    }
    Ok(())
}

fn findings(findings: &ListFindingsResponse, out: Output) -> Result<(), Failure> {
    let mut table = output::table(&["RULE", "SEVERITY", "VALUE", "THRESHOLD", "WHAT AND WHERE"]);
    for finding in &findings.findings {
        table.add_row(vec![
            Cell::new(plain(&finding.rule)),
            Cell::new(word("SEVERITY_", finding.severity().as_str_name())),
            Cell::new(plain(&finding.value)),
            Cell::new(plain(&finding.threshold)),
            Cell::new(explained(finding)),
        ]);
    }
    section(out, &format!("Findings ({})", findings.total_size), &table)
}

fn explained(finding: &Finding) -> String {
    const MOST: usize = 5;
    let mut lines = vec![plain(&finding.explanation)];
    if !finding.peer_group.is_empty() {
        lines.push(format!("among {}", plain(&finding.peer_group)));
    }
    let places = finding.evidence.iter().take(MOST);
    lines.extend(places.map(|place| format!("at {}: {}", plain(&place.locator), short(&place.text, 120))));
    if finding.evidence.len() > MOST {
        lines.push(format!("and {} places more (-o json has them)", finding.evidence.len() - MOST));
    }
    lines.join("\n")
}

fn rejections(rejections: &ListRejectionsResponse, out: Output) -> Result<(), Failure> {
    const MOST: usize = 20;
    let mut table = output::table(&["LINE", "FIELD", "REASON"]);
    for rejection in rejections.rejections.iter().take(MOST) {
        table.add_row([rejection.line.to_string(), plain(&rejection.field), plain(&rejection.reason)]);
    }
    let shown = table.row_count();
    section(out, &format!("Refused or set aside ({shown} of {})", rejections.total_size), &table)
}

fn actions(actions: &[Action], out: Output) -> Result<(), Failure> {
    let mut table = output::table(&["ACTION", "STANDS", "TAKEN", "WHY"]);
    for action in actions {
        table.add_row(vec![
            word("ACTION_TYPE_", action.r#type().as_str_name()),
            if action.active { "yes" } else { "taken back" }.to_owned(),
            time(action.create_time.as_ref()),
            short(&action.reason, REASON),
        ]);
    }
    section(out, "Actions", &table)
}

fn evaluated(evaluation: &Evaluation, out: Output) -> Result<(), Failure> {
    let Some(result) = &evaluation.result else { return Ok(()) };
    let decision = word("DECISION_", result.decision().as_str_name());
    out.line(format_args!("\nPolicies say {decision}: {}", short(&result.summary, REASON)))?;
    let mut table = output::table(&["POLICY", "RULE", "ASKS FOR", "WHY"]);
    for reason in &result.reasons {
        table.add_row(vec![
            plain(&reason.policy),
            plain(&reason.rule),
            word("DECISION_", reason.decision().as_str_name()),
            short(&reason.message, REASON),
        ]);
    }
    out.table(&table)
}

fn event_cells(event: &HistoryEvent) -> Vec<String> {
    let step =
        if event.attempt > 1 { format!("{} #{}", event.step, event.attempt) } else { event.step.clone() };
    vec![time(event.time.as_ref()), plain(&event.r#type), plain(&step), plain(&event.actor), what(event)]
}

fn what(event: &HistoryEvent) -> String {
    let state = |name: &str| word("CASE_STATE_", name);
    let reason = short(&event.reason, REASON);
    if event.to_state == 0 {
        return reason;
    }
    let from = state(event.from_state().as_str_name());
    let to = state(event.to_state().as_str_name());
    format!("{from} → {to}{}{reason}", if reason.is_empty() { "" } else { ": " })
}

/// Prints what happens to a case until it is final, then the case. A broken
/// connection is made again, and goes on where it broke.
pub(crate) async fn watch(client: &Client, name: &str, out: Output) -> Result<(), Failure> {
    let mut last = 0;
    let mut silent_since = Instant::now();
    loop {
        let before = last;
        let result = follow(client, name, &mut last, out).await;
        if last > before {
            silent_since = Instant::now();
        }
        match result {
            Ok(()) => {
                let case = get(client, name).await?;
                if is_final(&case) {
                    return finish(&case, out);
                }
            }
            Err(Failure::Call(call))
                if may_pass(&call.status) && silent_since.elapsed() < client.retry_for() => {}
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn follow(client: &Client, name: &str, last: &mut i64, out: Output) -> Result<(), Failure> {
    const WHAT: &str = "watch the case";
    let message = WatchCaseRequest { name: name.to_owned(), after_sequence: *last };
    let (request, id) = client.endless_request(message, None);
    let stream = client.cases().watch_case(request).await;
    let mut stream = stream.map_err(|status| client.failure(WHAT, id.clone(), status))?.into_inner();
    while let Some(event) = stream.next().await {
        let event = event.map_err(|status| client.failure(WHAT, id.clone(), status))?;
        *last = event.sequence;
        if out.is_json() {
            out.json_line(&output::json("probity.orchestrator.v1.HistoryEvent", &event)?)?;
        } else {
            out.line(event_cells(&event).join("  "))?;
        }
    }
    Ok(())
}

fn finish(case: &Case, out: Output) -> Result<(), Failure> {
    if out.is_json() {
        return out.json_line(&output::json("probity.orchestrator.v1.Case", case)?);
    }
    out.line(format_args!("{}: {}, {}", plain(&case.name), case::state(case), outlook(case)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_proto::anticorruption::Evidence;
    use probity_proto::orchestrator::CaseState;

    #[test]
    fn events_read_as_sentences() {
        let event = HistoryEvent {
            from_state: CaseState::Pending.into(),
            to_state: CaseState::Investigating.into(),
            reason: "documents\nchecked".into(),
            step: "check".into(),
            attempt: 2,
            ..HistoryEvent::default()
        };
        assert_eq!(what(&event), "pending → investigating: documents checked");
        assert_eq!(event_cells(&event)[2], "check #2");
        assert_eq!(what(&HistoryEvent { reason: "r".into(), ..HistoryEvent::default() }), "r");
    }

    #[test]
    fn evidence_is_shown_up_to_a_point() {
        let evidence =
            |n: usize| Evidence { locator: format!("row {n}"), text: "t".into(), ..Evidence::default() };
        let finding = Finding {
            explanation: "e".into(),
            evidence: (1..=7).map(evidence).collect(),
            ..Finding::default()
        };
        let text = explained(&finding);
        assert!(
            text.contains("at row 5: t") && !text.contains("row 6") && text.contains("2 places more"),
            "{text}"
        );
    }
}
