//! `probity schedule`: executions that begin again and again.

use super::execution::priority;
use super::{json_bytes, many};
use crate::args::flows::{Listed, Overlap, ScheduleCommand, ScheduleRules};
use crate::client::Client;
use crate::commands::case::fresh_key;
use crate::failure::Failure;
use crate::output::{self, Column, Output, plain, short, time, word};
use crate::values;
use comfy_table::{Cell, Color, Row, Table};
use probity_proto::orchestrator::*;
use prost_types::FieldMask;

const SCHEDULE: &str = "probity.orchestrator.v1.Schedule";
const RUN: &str = "probity.orchestrator.v1.ScheduleRun";
/// Runs shown beside a schedule.
const LAST_RUNS: i32 = 5;

/// Runs a command of the group.
pub(crate) async fn run(client: &Client, command: ScheduleCommand, out: Output) -> Result<(), Failure> {
    match command {
        ScheduleCommand::List(listed) => list(client, &listed, out).await,
        ScheduleCommand::Get { id } => get(client, &name(&id), out).await,
        ScheduleCommand::Runs { id, listed } => runs(client, name(&id), &listed, out).await,
        ScheduleCommand::Preview { timing, zone, count } => preview(client, timing, zone, count, out).await,
        ScheduleCommand::Trigger { id, key } => {
            let request = TriggerScheduleRequest { name: name(&id), request_id: String::new() };
            let key = key.unwrap_or_else(fresh_key);
            let call = |c: Client, request| async move { c.schedules().trigger_schedule(request).await };
            let run = client.call("trigger the schedule", Some(&key), request, call).await?;
            if out.is_json() {
                return out.json(&output::json(RUN, &run)?);
            }
            let mut table = run_table();
            table.add_row(run_row(&run));
            out.table(&table)
        }
        other => show(&change(client, other).await?, out),
    }
}

fn name(id: &str) -> String {
    values::name("schedules", id)
}

async fn change(client: &Client, command: ScheduleCommand) -> Result<Schedule, Failure> {
    match command {
        ScheduleCommand::Create { id, definition, timing, rules } => {
            let (schedule, _) = written(Some(definition), Some(timing), rules)?;
            let request = CreateScheduleRequest { schedule_id: id, schedule: Some(schedule) };
            let call = |c: Client, request| async move { c.schedules().create_schedule(request).await };
            client.call("make the schedule", None, request, call).await
        }
        ScheduleCommand::Update { id, definition, timing, rules } => {
            let (schedule, paths) = written(definition, timing, rules)?;
            if paths.is_empty() {
                let why = "say what to change, such as --timing '@every 15m'";
                return Err(Failure::Usage(why.to_owned()));
            }
            let schedule = Some(Schedule { name: name(&id), ..schedule });
            let request = UpdateScheduleRequest { schedule, update_mask: Some(FieldMask { paths }) };
            let call = |c: Client, request| async move { c.schedules().update_schedule(request).await };
            client.call("change the schedule", None, request, call).await
        }
        ScheduleCommand::Pause { id } => {
            let request = PauseScheduleRequest { name: name(&id) };
            let call = |c: Client, request| async move { c.schedules().pause_schedule(request).await };
            client.call("pause the schedule", None, request, call).await
        }
        ScheduleCommand::Resume { id } => {
            let request = ResumeScheduleRequest { name: name(&id) };
            let call = |c: Client, request| async move { c.schedules().resume_schedule(request).await };
            client.call("resume the schedule", None, request, call).await
        }
        ScheduleCommand::Delete { id } => {
            let request = DeleteScheduleRequest { name: name(&id) };
            let call = |c: Client, request| async move { c.schedules().delete_schedule(request).await };
            client.call("delete the schedule", None, request, call).await
        }
        // What only reads is done elsewhere.
        _ => Err(Failure::Usage("this command changes nothing".to_owned())),
    }
}

/// A schedule as it was typed, and the fields that were given.
fn written(
    definition: Option<String>,
    timing: Option<String>,
    rules: ScheduleRules,
) -> Result<(Schedule, Vec<String>), Failure> {
    let given = [
        ("definition", definition.is_some()),
        ("timing", timing.is_some()),
        ("input", rules.input.is_some()),
        ("time_field", rules.time_field.is_some()),
        ("zone", rules.zone.is_some()),
        ("overlap", rules.overlap.is_some()),
        ("catch_up", rules.catch_up.is_some()),
        ("jitter", rules.jitter.is_some()),
        ("max_runs", rules.max_runs.is_some()),
        ("priority", rules.priority.is_some()),
        ("note", rules.note.is_some()),
    ];
    let paths = given.iter().filter(|(_, given)| *given).map(|(field, _)| (*field).to_owned()).collect();
    let schedule = Schedule {
        definition: definition.map_or_else(String::new, |name| values::name("definitions", &name)),
        timing: timing.unwrap_or_default(),
        input: rules.input.as_deref().map(json_bytes).transpose()?.unwrap_or_default().into(),
        time_field: rules.time_field.unwrap_or_default(),
        zone: rules.zone.unwrap_or_default(),
        overlap: rules.overlap.map_or(0, overlap),
        catch_up: rules.catch_up.map(values::span),
        jitter: rules.jitter.map(values::span),
        max_runs: rules.max_runs.unwrap_or_default(),
        priority: rules.priority.map_or(0, priority),
        note: rules.note.unwrap_or_default(),
        ..Schedule::default()
    };
    Ok((schedule, paths))
}

const fn overlap(overlap: Overlap) -> i32 {
    match overlap {
        Overlap::Skip => ScheduleOverlap::Skip as i32,
        Overlap::BufferOne => ScheduleOverlap::BufferOne as i32,
        Overlap::AllowAll => ScheduleOverlap::AllowAll as i32,
        Overlap::CancelRunning => ScheduleOverlap::CancelRunning as i32,
    }
}

async fn list(client: &Client, listed: &Listed, out: Output) -> Result<(), Failure> {
    let page = async |page_token: String, page_size: i32| {
        let filter = listed.filter.clone();
        let request = ListSchedulesRequest { page_size, page_token, filter, order_by: String::new() };
        let call = |c: Client, request| async move { c.schedules().list_schedules(request).await };
        let page = client.call("list the schedules", None, request, call).await?;
        Ok((page.schedules, page.next_page_token))
    };
    many(listed.all, "no schedules", out, table(), page, |s| output::json(SCHEDULE, s), row).await
}

async fn get(client: &Client, name: &str, out: Output) -> Result<(), Failure> {
    let request = GetScheduleRequest { name: name.to_owned() };
    let call = |c: Client, request| async move { c.schedules().get_schedule(request).await };
    let schedule = client.call("get the schedule", None, request, call).await?;
    show(&schedule, out)?;
    if out.is_json() {
        return Ok(());
    }
    let catch_up = schedule.catch_up.map_or(0, |window| window.seconds);
    let skipped = format!("{} started, {} left out", schedule.started_runs, schedule.skipped_runs);
    let upcoming: Vec<_> = schedule.upcoming_times.iter().take(3).map(|at| time(Some(at))).collect();
    let rows = [
        ("overlap", word("SCHEDULE_OVERLAP_", schedule.overlap().as_str_name())),
        ("catch up", format!("{catch_up} s")),
        ("input", short(&String::from_utf8_lossy(&schedule.input), 400)),
        ("time field", plain(&schedule.time_field)),
        ("owner", plain(&schedule.owner)),
        ("runs", skipped),
        ("then", upcoming.join(", ")),
        ("note", plain(&schedule.note)),
    ];
    out.line("")?;
    for (label, text) in rows.iter().filter(|(_, text)| !text.is_empty()) {
        out.line(format_args!("{label:<11} {text}"))?;
    }
    let request =
        ListScheduleRunsRequest { parent: name.to_owned(), page_size: LAST_RUNS, ..Default::default() };
    let call = |c: Client, request| async move { c.schedules().list_schedule_runs(request).await };
    let page = client.call("list the runs", None, request, call).await?;
    let mut table = run_table();
    table.add_rows(page.runs.iter().map(run_row));
    if !page.runs.is_empty() {
        out.line("")?;
    }
    out.table(&table)
}

async fn runs(client: &Client, parent: String, listed: &Listed, out: Output) -> Result<(), Failure> {
    let page = async |page_token: String, page_size: i32| {
        let (parent, filter) = (parent.clone(), listed.filter.clone());
        let request =
            ListScheduleRunsRequest { parent, page_size, page_token, filter, order_by: String::new() };
        let call = |c: Client, request| async move { c.schedules().list_schedule_runs(request).await };
        let page = client.call("list the runs", None, request, call).await?;
        Ok((page.runs, page.next_page_token))
    };
    many(listed.all, "no runs yet", out, run_table(), page, |run| output::json(RUN, run), run_row).await
}

async fn preview(
    client: &Client,
    timing: String,
    zone: String,
    count: i32,
    out: Output,
) -> Result<(), Failure> {
    let schedule = Some(Schedule { timing, zone, ..Schedule::default() });
    let request = PreviewScheduleRequest { schedule, count, after: None };
    let call = |c: Client, request| async move { c.schedules().preview_schedule(request).await };
    let found = client.call("preview the timing", None, request, call).await?;
    if out.is_json() {
        return out.json(&output::json("probity.orchestrator.v1.PreviewScheduleResponse", &found)?);
    }
    found.times.iter().try_for_each(|at| out.line(format_args!("{} UTC", time(Some(at)))))
}

fn show(schedule: &Schedule, out: Output) -> Result<(), Failure> {
    if out.is_json() {
        return out.json(&output::json(SCHEDULE, schedule)?);
    }
    let mut table = table();
    table.add_row(row(schedule));
    out.table(&table)
}

fn table() -> Table {
    output::lines(&[
        ("SCHEDULE", Column::Whole),
        ("DEFINITION", Column::Cut(28)),
        ("TIMING", Column::Whole),
        ("ZONE", Column::WholeFrom(90)),
        ("NEXT (UTC)", Column::Whole),
        ("RUNS", Column::WholeFrom(90)),
        ("NOTE", Column::CutFrom(40, 120)),
    ])
}

fn row(schedule: &Schedule) -> Row {
    let next = match &schedule.next_run_time {
        _ if schedule.paused => Cell::new("paused").fg(Color::Yellow),
        None => Cell::new("over").fg(Color::DarkGrey),
        next => Cell::new(time(next.as_ref())),
    };
    let definition = schedule.definition.strip_prefix("definitions/").unwrap_or(&schedule.definition);
    output::one_line(vec![
        Cell::new(plain(schedule.name.strip_prefix("schedules/").unwrap_or(&schedule.name))),
        Cell::new(plain(definition)),
        Cell::new(plain(&schedule.timing)),
        Cell::new(plain(&schedule.zone)),
        next,
        Cell::new(schedule.started_runs),
        Cell::new(short(&schedule.note, 60)),
    ])
}

fn run_table() -> Table {
    output::lines(&[
        ("RUN (UTC)", Column::Whole),
        ("STATE", Column::Whole),
        ("WHY", Column::WholeFrom(100)),
        ("EXECUTION, OR WHY THERE IS NONE", Column::Cut(90)),
    ])
}

fn run_row(run: &ScheduleRun) -> Row {
    let colour = match run.state() {
        ScheduleRunState::Completed => Color::Green,
        ScheduleRunState::Failed | ScheduleRunState::Missed => Color::Red,
        ScheduleRunState::Running => Color::Cyan,
        ScheduleRunState::Cancelled => Color::DarkGrey,
        ScheduleRunState::Pending | ScheduleRunState::Unspecified => Color::Reset,
    };
    let execution = run.execution.strip_prefix("executions/").unwrap_or(&run.execution);
    let said = if execution.is_empty() { run.error.as_str() } else { execution };
    output::one_line(vec![
        Cell::new(time(run.run_time.as_ref())),
        Cell::new(word("SCHEDULE_RUN_STATE_", run.state().as_str_name())).fg(colour),
        Cell::new(if run.triggered { "triggered" } else { "its time" }),
        Cell::new(short(said, 140)),
    ])
}
