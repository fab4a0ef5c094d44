//! `probity execution`: executions of workflows.

mod deeds;
mod picture;

use super::{json_bytes, many};
use crate::args::flows::{ExecutionCommand, Listed, Priority, StartArgs};
use crate::client::{Client, may_pass};
use crate::commands::case::fresh_key;
use crate::failure::Failure;
use crate::output::{self, Column, Output, plain, short, time, word};
use crate::values;
use comfy_table::{Cell, Color, Row, Table};
use futures::StreamExt as _;
use probity_proto::orchestrator::*;
use std::time::Instant;

const EXECUTION: &str = "probity.orchestrator.v1.Execution";
const EVENT: &str = "probity.orchestrator.v1.HistoryEvent";

/// Runs a command of the group.
pub(crate) async fn run(client: &Client, command: ExecutionCommand, out: Output) -> Result<(), Failure> {
    match command {
        ExecutionCommand::List(listed) => list(client, &listed, out).await,
        ExecutionCommand::Count { filter, by } => count(client, filter, by, out).await,
        ExecutionCommand::Get { id } => get(client, &name(&id), out).await,
        ExecutionCommand::Watch { id, after } => watch(client, &name(&id), after, out).await,
        ExecutionCommand::Start(args) => start(client, args, out).await,
        ExecutionCommand::History { id } => history(client, &name(&id), out).await,
        ExecutionCommand::Gantt { id, out: file } => picture::gantt(client, &name(&id), file, out).await,
        ExecutionCommand::Graph { id, language } => picture::graph(client, &name(&id), language, out).await,
        other => show(&deeds::run(client, other).await?, out),
    }
}

fn name(id: &str) -> String {
    values::name("executions", id)
}

pub(crate) const fn priority(priority: Priority) -> i32 {
    match priority {
        Priority::Low => probity_proto::orchestrator::Priority::Low as i32,
        Priority::Normal => probity_proto::orchestrator::Priority::Normal as i32,
        Priority::High => probity_proto::orchestrator::Priority::High as i32,
        Priority::Critical => probity_proto::orchestrator::Priority::Critical as i32,
    }
}

async fn list(client: &Client, listed: &Listed, out: Output) -> Result<(), Failure> {
    let page = async |page_token: String, page_size: i32| {
        let request = ListExecutionsRequest { page_size, page_token, filter: listed.filter.clone() };
        let call =
            |client: Client, request| async move { client.executions().list_executions(request).await };
        let page = client.call("list the executions", None, request, call).await?;
        Ok((page.executions, page.next_page_token))
    };
    many(listed.all, "no executions", out, table(), page, |e| output::json(EXECUTION, e), row).await
}

async fn count(client: &Client, filter: String, group_by: String, out: Output) -> Result<(), Failure> {
    let by = group_by.to_uppercase();
    let request = CountExecutionsRequest { filter, group_by };
    let call = |client: Client, request| async move { client.executions().count_executions(request).await };
    let counts = client.call("count the executions", None, request, call).await?;
    if out.is_json() {
        return out.json(&output::json("probity.orchestrator.v1.CountExecutionsResponse", &counts)?);
    }
    let mut table = output::table(&[by.as_str(), "EXECUTIONS"]);
    for (value, count) in &counts.groups {
        table.add_row([plain(&value.to_lowercase()), count.to_string()]);
    }
    table.add_row(["all".to_owned(), counts.total.to_string()]);
    out.table(&table)
}

async fn fetch(client: &Client, name: &str) -> Result<Execution, Failure> {
    let request = GetExecutionRequest { name: name.to_owned() };
    let call = |client: Client, request| async move { client.workflows().get_execution(request).await };
    client.call("get the execution", None, request, call).await
}

async fn get(client: &Client, name: &str, out: Output) -> Result<(), Failure> {
    let execution = fetch(client, name).await?;
    if out.is_json() { out.json(&output::json(EXECUTION, &execution)?) } else { print_whole(&execution, out) }
}

fn print_whole(execution: &Execution, out: Output) -> Result<(), Failure> {
    show(execution, out)?;
    let version = short(&execution.definition_version, 13);
    out.line(format_args!("\ndefinition  {} @ {version}", plain(&execution.definition)))?;
    out.line(format_args!("owner       {}", plain(&execution.owner)))?;
    for (label, text) in [("case", &execution.case), ("parent", &execution.parent)] {
        if !text.is_empty() {
            out.line(format_args!("{label:<11} {}", plain(text)))?;
        }
    }
    for (label, bytes) in [("input", &execution.input), ("output", &execution.output)] {
        if !bytes.is_empty() {
            out.line(format_args!("{label:<11} {}", short(&String::from_utf8_lossy(bytes), 400)))?;
        }
    }
    if execution.steps.is_empty() {
        return Ok(());
    }
    out.line("")?;
    let mut table = output::lines(&[
        ("STEP", Column::Whole),
        ("STATUS", Column::Whole),
        ("TRIES", Column::Whole),
        ("TOOK", Column::Whole),
        ("CALL", Column::CutFrom(50, 100)),
        ("OUTPUT OR ERROR", Column::Cut(70)),
    ]);
    for step in &execution.steps {
        let said = if step.error.is_empty() { &step.output } else { &step.error };
        table.add_row(output::one_line(vec![
            Cell::new(plain(&step.id)),
            Cell::new(word("STEP_STATUS_", step.status().as_str_name())).fg(picture::colour(step.status())),
            Cell::new(step.attempts),
            Cell::new(picture::took(step)),
            Cell::new(short(&step.call, 60)),
            Cell::new(short(said, 120)),
        ]));
    }
    out.table(&table)
}

async fn start(client: &Client, args: StartArgs, out: Output) -> Result<(), Failure> {
    let request = StartExecutionRequest {
        definition: values::name("definitions", &args.definition),
        input: args.input.as_deref().map(json_bytes).transpose()?.unwrap_or_default().into(),
        priority: priority(args.priority),
        request_id: String::new(),
        wait: args.wait.map(values::span),
    };
    let key = args.key.unwrap_or_else(fresh_key);
    let call = |client: Client, request| async move { client.executions().start_execution(request).await };
    let execution = client.call("start the execution", Some(&key), request, call).await?;
    if out.is_json() || args.wait.is_none() {
        return show(&execution, out);
    }
    print_whole(&fetch(client, &execution.name).await?, out)
}

async fn history(client: &Client, parent: &str, out: Output) -> Result<(), Failure> {
    let mut table = events();
    let mut request = ListExecutionHistoryRequest {
        parent: parent.to_owned(),
        page_size: 1_000,
        page_token: String::new(),
    };
    loop {
        let call = |client: Client, request| async move {
            client.executions().list_execution_history(request).await
        };
        let page = client.call("list the history", None, request.clone(), call).await?;
        for event in &page.events {
            if out.is_json() {
                out.json_line(&output::json(EVENT, event)?)?;
            } else {
                table.add_row(event_row(event));
            }
        }
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    if out.is_json() { Ok(()) } else { out.table(&table) }
}

fn events() -> Table {
    output::lines(&[
        ("#", Column::Whole),
        ("TIME", Column::Whole),
        ("WHAT", Column::Whole),
        ("STEP", Column::Cut(24)),
        ("WHO", Column::CutFrom(24, 110)),
        ("REASON", Column::Cut(70)),
    ])
}

fn event_row(event: &HistoryEvent) -> Row {
    output::one_line(vec![
        Cell::new(event.sequence),
        Cell::new(time(event.time.as_ref())),
        Cell::new(plain(&event.r#type)),
        Cell::new(plain(&event.step)),
        Cell::new(plain(&event.actor)),
        Cell::new(short(&event.reason, 120)),
    ])
}

/// Prints events until the execution ends; goes on after what was printed when the
/// connection breaks.
async fn watch(client: &Client, name: &str, mut after: i64, out: Output) -> Result<(), Failure> {
    let mut quiet_since = Instant::now();
    loop {
        let message = WatchExecutionRequest { name: name.to_owned(), after_sequence: after };
        let (request, request_id) = client.endless_request(message, None);
        let status = match client.executions().watch_execution(request).await {
            Err(status) => status,
            Ok(answer) => {
                let mut events = answer.into_inner();
                loop {
                    match events.next().await {
                        None => return Ok(()),
                        Some(Err(status)) => break status,
                        Some(Ok(event)) => {
                            (after, quiet_since) = (event.sequence, Instant::now());
                            tell(&event, out)?;
                        }
                    }
                }
            }
        };
        if !may_pass(&status) || quiet_since.elapsed() > client.retry_for() {
            return Err(client.failure("watch the execution", request_id, status));
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

fn tell(event: &HistoryEvent, out: Output) -> Result<(), Failure> {
    if out.is_json() {
        return out.json_line(&output::json(EVENT, event)?);
    }
    let (at, what) = (time(event.time.as_ref()), plain(&event.r#type));
    let text = format!("{at}  {what:<24} {:<20} {}", plain(&event.step), short(&event.reason, 100));
    out.line(text.trim_end())
}

/// An execution in a row, or as JSON.
fn show(execution: &Execution, out: Output) -> Result<(), Failure> {
    if out.is_json() {
        return out.json(&output::json(EXECUTION, execution)?);
    }
    let mut table = table();
    table.add_row(row(execution));
    out.table(&table)
}

fn table() -> Table {
    output::lines(&[
        ("EXECUTION", Column::Whole),
        ("DEFINITION", Column::Cut(28)),
        ("STATUS", Column::Whole),
        ("PRIORITY", Column::WholeFrom(130)),
        ("STARTED", Column::WholeFrom(100)),
        ("WAITS FOR, OR WHY IT ENDED", Column::CutFrom(60, 90)),
    ])
}

fn row(execution: &Execution) -> Row {
    let waiting = execution.waiting.as_ref().map(|waiting| waiting.reason.as_str());
    let said = waiting.filter(|reason| !reason.is_empty()).unwrap_or(&execution.end_reason);
    let status = word("EXECUTION_STATUS_", execution.status().as_str_name());
    let status = if execution.paused { format!("{status}, paused") } else { status };
    let definition = execution.definition.strip_prefix("definitions/").unwrap_or(&execution.definition);
    output::one_line(vec![
        Cell::new(plain(execution.name.strip_prefix("executions/").unwrap_or(&execution.name))),
        Cell::new(plain(definition)),
        Cell::new(status).fg(colour(execution.status())),
        Cell::new(word("PRIORITY_", execution.priority().as_str_name())),
        Cell::new(time(execution.create_time.as_ref())),
        Cell::new(short(said, 120)),
    ])
}

const fn colour(status: ExecutionStatus) -> Color {
    match status {
        ExecutionStatus::Completed => Color::Green,
        ExecutionStatus::Failed | ExecutionStatus::Incident => Color::Red,
        ExecutionStatus::Waiting | ExecutionStatus::Compensating => Color::Yellow,
        ExecutionStatus::Cancelled => Color::DarkGrey,
        ExecutionStatus::Pending | ExecutionStatus::Running | ExecutionStatus::Unspecified => Color::Reset,
    }
}
