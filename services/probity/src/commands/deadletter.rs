//! `probity deadletter`: steps that failed for good.

use super::{json_bytes, many};
use crate::args::flows::{DeadLetterCommand, Listed, Many};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Column, Output, plain, short, time, word};
use crate::values;
use anyhow::Context as _;
use comfy_table::{Cell, Color, Row, Table};
use futures::StreamExt as _;
use probity_proto::orchestrator::*;
use std::io::Write as _;
use std::path::PathBuf;

const LETTER: &str = "probity.orchestrator.v1.DeadLetter";

/// Runs a command of the group.
pub(crate) async fn run(client: &Client, command: DeadLetterCommand, out: Output) -> Result<(), Failure> {
    match command {
        DeadLetterCommand::List(listed) => list(client, &listed, out).await,
        DeadLetterCommand::Get { id } => get(client, &id, out).await,
        DeadLetterCommand::Review { id, note } => {
            let request = ReviewDeadLetterRequest { name: name(&id), note };
            let call = |c: Client, request| async move { c.dead_letters().review_dead_letter(request).await };
            show(&client.call("review the dead letter", None, request, call).await?, out)
        }
        DeadLetterCommand::Requeue { id, payload, many } => requeue(client, id, payload, many, out).await,
        DeadLetterCommand::Discard { id, reason, many } => discard(client, id, reason, many, out).await,
        DeadLetterCommand::Clear { older_than, dry_run } => clear(client, older_than, dry_run, out).await,
        DeadLetterCommand::Export { filter, out: file } => export(client, filter, file, out).await,
        DeadLetterCommand::Patterns { filter, top } => patterns(client, filter, top, out).await,
    }
}

fn name(id: &str) -> String {
    values::name("deadLetters", id)
}

async fn list(client: &Client, listed: &Listed, out: Output) -> Result<(), Failure> {
    let page = async |page_token: String, page_size: i32| {
        let filter = listed.filter.clone();
        let request = ListDeadLettersRequest { page_size, page_token, filter, order_by: String::new() };
        let call = |c: Client, request| async move { c.dead_letters().list_dead_letters(request).await };
        let page = client.call("list the dead letters", None, request, call).await?;
        Ok((page.dead_letters, page.next_page_token))
    };
    many(listed.all, "no dead letters", out, table(), page, |l| output::json(LETTER, l), row).await
}

async fn get(client: &Client, id: &str, out: Output) -> Result<(), Failure> {
    let request = GetDeadLetterRequest { name: name(id) };
    let call = |c: Client, request| async move { c.dead_letters().get_dead_letter(request).await };
    let letter = client.call("get the dead letter", None, request, call).await?;
    show(&letter, out)?;
    if out.is_json() {
        return Ok(());
    }
    let payload = String::from_utf8_lossy(&letter.payload);
    let rows = [
        ("operation", plain(&letter.operation)),
        ("error", plain(&letter.error)),
        ("definition", plain(&letter.definition)),
        ("case", plain(&letter.case)),
        ("attempts", format!("{}, failed for good {} times", letter.attempts, letter.failures)),
        ("first", time(letter.create_time.as_ref())),
        ("reviewer", plain(&letter.reviewer)),
        ("note", plain(&letter.note)),
        ("payload", short(&payload, 2_000)),
    ];
    out.line("")?;
    rows.iter()
        .filter(|(_, text)| !text.is_empty())
        .try_for_each(|(label, text)| out.line(format_args!("{label:<11} {text}")))
}

async fn requeue(
    client: &Client,
    id: Option<String>,
    payload: Option<String>,
    many: Many,
    out: Output,
) -> Result<(), Failure> {
    let Some(id) = id else {
        let Many { filter, limit, dry_run } = many;
        let filter = filter.unwrap_or_default();
        let request = BatchRequeueDeadLettersRequest { filter, limit, validate_only: dry_run };
        let call =
            |c: Client, request| async move { c.dead_letters().batch_requeue_dead_letters(request).await };
        let done = client.call("requeue the dead letters", None, request, call).await?;
        return told("requeued", &done, dry_run, out);
    };
    let payload = payload.as_deref().map(json_bytes).transpose()?.unwrap_or_default().into();
    let request = RequeueDeadLetterRequest { name: name(&id), payload };
    let call = |c: Client, request| async move { c.dead_letters().requeue_dead_letter(request).await };
    show(&client.call("requeue the dead letter", None, request, call).await?, out)
}

async fn discard(
    client: &Client,
    id: Option<String>,
    reason: String,
    many: Many,
    out: Output,
) -> Result<(), Failure> {
    let Some(id) = id else {
        let Many { filter, limit, dry_run } = many;
        let filter = filter.unwrap_or_default();
        let request = BatchDiscardDeadLettersRequest { filter, limit, validate_only: dry_run, reason };
        let call =
            |c: Client, request| async move { c.dead_letters().batch_discard_dead_letters(request).await };
        let done = client.call("discard the dead letters", None, request, call).await?;
        return told("discarded", &done, dry_run, out);
    };
    let request = DiscardDeadLetterRequest { name: name(&id), reason };
    let call = |c: Client, request| async move { c.dead_letters().discard_dead_letter(request).await };
    show(&client.call("discard the dead letter", None, request, call).await?, out)
}

/// What became of many. When some were refused, the command failed.
fn told(done: &str, batch: &BatchDeadLettersResponse, dry: bool, out: Output) -> Result<(), Failure> {
    if out.is_json() {
        out.json(&output::json("probity.orchestrator.v1.BatchDeadLettersResponse", batch)?)?;
    } else {
        let would = if dry { "would be " } else { "" };
        let count = if dry { batch.found } else { batch.changed };
        out.line(format_args!("{count} of {} {would}{done}", batch.found))?;
        for refusal in &batch.refused {
            out.line(format_args!("  {}: {}", plain(&refusal.name), plain(&refusal.reason)))?;
        }
        if batch.more {
            out.line("there are more; run it again, or raise --limit")?;
        }
    }
    if batch.refused.is_empty() { Ok(()) } else { Err(Failure::Refused) }
}

async fn clear(client: &Client, older: Option<i64>, dry: bool, out: Output) -> Result<(), Failure> {
    let request = ClearDiscardedRequest { older_than: older.map(values::span), validate_only: dry };
    let call = |c: Client, request| async move { c.dead_letters().clear_discarded(request).await };
    let done = client.call("delete the discarded letters", None, request, call).await?;
    if out.is_json() {
        return out.json(&output::json("probity.orchestrator.v1.ClearDiscardedResponse", &done)?);
    }
    let would = if dry { "would be " } else { "" };
    out.line(format_args!("{} {would}deleted", done.cleared))
}

async fn export(client: &Client, filter: String, file: Option<PathBuf>, out: Output) -> Result<(), Failure> {
    let (request, request_id) = client.endless_request(ExportDeadLettersRequest { filter }, None);
    let answer = client.dead_letters().export_dead_letters(request).await;
    let refused = |status| client.failure("export the dead letters", request_id.clone(), status);
    let mut letters = answer.map_err(refused)?.into_inner();
    let mut written = match &file {
        None => None,
        Some(path) => {
            let made = std::fs::File::create(path);
            let made = made.with_context(|| format!("{} cannot be written", path.display()))?;
            Some(std::io::BufWriter::new(made))
        }
    };
    let mut count = 0_u64;
    while let Some(letter) = letters.next().await {
        let letter = output::json(LETTER, &letter.map_err(refused)?)?;
        match &mut written {
            Some(file) => writeln!(file, "{letter}").context("the file cannot be written")?,
            None => out.json_line(&letter)?,
        }
        count += 1;
    }
    if let (Some(mut written), Some(file)) = (written, file) {
        written.flush().context("the file cannot be written")?;
        out.line(format_args!("{}: {count} dead letters", file.display()))?;
    }
    Ok(())
}

async fn patterns(client: &Client, filter: String, top: i32, out: Output) -> Result<(), Failure> {
    let request = GetDeadLetterPatternsRequest { filter, older_than: None, top };
    let call = |c: Client, request| async move { c.dead_letters().get_dead_letter_patterns(request).await };
    let found = client.call("look for patterns", None, request, call).await?;
    if out.is_json() {
        return out.json(&output::json("probity.orchestrator.v1.DeadLetterPatterns", &found)?);
    }
    let attention = found.attention.as_ref().map_or(0, |attention| attention.total);
    out.line(format_args!("{} dead letters, {} open, {attention} need attention", found.total, found.open))?;
    let mut errors = output::lines(&[
        ("COUNT", Column::Whole),
        ("CODE", Column::Whole),
        ("ERROR", Column::Cut(90)),
        ("LAST", Column::WholeFrom(100)),
    ]);
    for error in &found.errors {
        errors.add_row(output::one_line(vec![
            Cell::new(error.count),
            Cell::new(plain(&error.code)),
            Cell::new(short(&error.template, 140)),
            Cell::new(time(error.last_time.as_ref())),
        ]));
    }
    rest(&mut errors, found.other_errors);
    out.table(&errors)?;
    counts("PEER", &found.peers, found.other_peers, out)?;
    counts("OPERATION", &found.operations, found.other_operations, out)
}

fn rest(table: &mut Table, others: i64) {
    if others > 0 {
        table.add_row(vec![Cell::new(others), Cell::new("others")]);
    }
}

fn counts(of: &str, counts: &[DeadLetterCount], others: i64, out: Output) -> Result<(), Failure> {
    if counts.is_empty() {
        return Ok(());
    }
    let mut table = output::table(&["COUNT", of]);
    for count in counts {
        table.add_row(vec![Cell::new(count.count), Cell::new(plain(&count.value))]);
    }
    rest(&mut table, others);
    out.line("")?;
    out.table(&table)
}

fn show(letter: &DeadLetter, out: Output) -> Result<(), Failure> {
    if out.is_json() {
        return out.json(&output::json(LETTER, letter)?);
    }
    let mut table = table();
    table.add_row(row(letter));
    out.table(&table)
}

fn table() -> Table {
    output::lines(&[
        ("DEAD LETTER", Column::Whole),
        ("STATE", Column::Whole),
        ("PEER", Column::CutFrom(24, 100)),
        ("CODE", Column::WholeFrom(130)),
        ("ERROR", Column::Cut(60)),
        ("FAILED", Column::WholeFrom(150)),
    ])
}

fn row(letter: &DeadLetter) -> Row {
    let colour = match letter.state() {
        DeadLetterState::Failed => Color::Red,
        DeadLetterState::Reviewing => Color::Yellow,
        DeadLetterState::Requeued => Color::Green,
        DeadLetterState::Discarded | DeadLetterState::Unspecified => Color::DarkGrey,
    };
    output::one_line(vec![
        Cell::new(plain(letter.name.strip_prefix("deadLetters/").unwrap_or(&letter.name))),
        Cell::new(word("DEAD_LETTER_STATE_", letter.state().as_str_name())).fg(colour),
        Cell::new(plain(&letter.peer)),
        Cell::new(plain(&letter.code)),
        Cell::new(short(&letter.error, 120)),
        Cell::new(time(letter.open_time.as_ref())),
    ])
}
