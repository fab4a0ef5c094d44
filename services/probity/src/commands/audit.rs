//! `probity audit`: receipts, their verification, and the check of the log.

use crate::args::AuditCommand;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Output, plain};
use crate::proof::{self, Proved};
use crate::{output, values};
use anyhow::Context as _;
use probity_merkle::{KeySource, VerifierKey};
use probity_proto::audit::{
    CheckLogRequest, Checkpoint, GetCheckpointRequest, GetLogKeyRequest, GetReceiptRequest, LogKey,
};
use serde_json::json;
use std::path::Path;

/// Runs a command of the group that needs the platform.
pub(crate) async fn run(client: &Client, command: AuditCommand, out: Output) -> Result<(), Failure> {
    match command {
        AuditCommand::Receipt { id, out: file } => {
            receipt(client, &values::receipt_name(&id), file.as_deref(), out).await
        }
        AuditCommand::Verify { file, offline: _, key, key_file } => {
            let key = match pinned(key, key_file.as_deref())? {
                Some(key) => key,
                None => parse_key(&log_key(client).await?.verifier_key)?,
            };
            verify(&file, Some(&key), out)
        }
        AuditCommand::Check => check(client, out).await,
        AuditCommand::Checkpoint => checkpoint(client, out).await,
    }
}

/// `audit verify --offline`: no client, no network.
pub(crate) fn verify_offline(
    file: &Path,
    key: Option<String>,
    key_file: Option<&Path>,
    out: Output,
) -> Result<(), Failure> {
    verify(file, pinned(key, key_file)?.as_ref(), out)
}

/// The receipt of a case or entry, as JSON text.
pub(crate) async fn fetch_receipt(client: &Client, name: &str) -> Result<String, Failure> {
    let request = GetReceiptRequest { name: name.to_owned() };
    let call = |client: Client, request| async move { client.audit().get_receipt(request).await };
    Ok(client.call("get the receipt", None, request, call).await?.receipt)
}

/// The public key of the log.
pub(crate) async fn log_key(client: &Client) -> Result<LogKey, Failure> {
    let call = |client: Client, request| async move { client.audit().get_log_key(request).await };
    client.call("get the key of the log", None, GetLogKeyRequest {}, call).await
}

async fn receipt(client: &Client, name: &str, file: Option<&Path>, out: Output) -> Result<(), Failure> {
    let receipt = fetch_receipt(client, name).await?;
    let Some(file) = file else { return out.line(receipt) };
    std::fs::write(file, receipt).with_context(|| format!("{} cannot be written", file.display()))?;
    if out.is_json() {
        return out.json(&json!({ "name": name, "file": file.display().to_string() }));
    }
    out.line(format_args!("wrote the receipt of {name} to {}", file.display()))
}

fn pinned(key: Option<String>, file: Option<&Path>) -> Result<Option<VerifierKey>, Failure> {
    let text = match (key, file) {
        (Some(key), _) => key,
        (None, Some(file)) => super::read_text(file, 4_096)?,
        (None, None) => return Ok(None),
    };
    parse_key(&text).map(Some)
}

pub(crate) fn parse_key(text: &str) -> Result<VerifierKey, Failure> {
    text.trim().parse().map_err(|error| Failure::Usage(format!("the verifier key cannot be used: {error}")))
}

fn verify(file: &Path, key: Option<&VerifierKey>, out: Output) -> Result<(), Failure> {
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let proved = proof::verify(&bytes, key).with_context(|| format!("{} does not hold", file.display()))?;
    if out.is_json() { out.json(&proved.json()?) } else { print(&proved, out) }
}

fn print(proved: &Proved, out: Output) -> Result<(), Failure> {
    let head = &proved.verified.checkpoint;
    let count = proved.entries.len();
    out.line(format_args!(
        "verified: {count} entries of {} are in the log",
        plain(&proved.verified.claimed_subject)
    ))?;
    out.line(format_args!("  log       {} of size {}", plain(&head.origin), head.size))?;
    out.line(format_args!("  key       {} ({})", proved.verified.key, proved.verified.key_source))?;
    let total = proved.verified.claimed_total;
    if total > count as u64 {
        out.line(format_args!(
            "  cut       the log had {total} entries of it; this receipt proves the first {count}"
        ))?;
    }
    let mut table = output::table(&["INDEX", "TIME", "ACTION", "BY", "OUTCOME"]);
    for (index, entry) in &proved.entries {
        let time = probity_types::Micros(entry.time_us).to_string();
        table.add_row([
            index.to_string(),
            time,
            plain(&entry.action),
            plain(&entry.actor),
            plain(&entry.outcome),
        ]);
    }
    out.table(&table)?;
    if proved.verified.key_source == KeySource::Receipt {
        output::note(
            "note: the key came from the receipt itself; compare it with the log's (`probity audit checkpoint`) \
             or give --key",
        );
    }
    Ok(())
}

async fn check(client: &Client, out: Output) -> Result<(), Failure> {
    let call = |client: Client, request| async move { client.audit().check_log(request).await };
    let answer = client.call("check the log", None, CheckLogRequest {}, call).await?;
    if out.is_json() {
        out.json(&output::json("probity.audit.v1.CheckLogResponse", &answer)?)?;
    } else if answer.intact {
        out.line(format_args!(
            "intact: {} entries recomputed, the same as the checkpoint of size {}",
            answer.entries_checked, answer.tree_size
        ))?;
    } else {
        out.line(format_args!("NOT INTACT: {}", plain(&answer.problem)))?;
        if answer.first_bad_index >= 0 {
            out.line(format_args!("  first bad entry  entries/{}", answer.first_bad_index))?;
        }
        out.line(format_args!("  checked          {} of {}", answer.entries_checked, answer.tree_size))?;
    }
    if answer.intact { Ok(()) } else { Err(Failure::Refused) }
}

async fn checkpoint(client: &Client, out: Output) -> Result<(), Failure> {
    let call = |client: Client, request| async move { client.audit().get_checkpoint(request).await };
    let head: Checkpoint =
        client.call("get the checkpoint", None, GetCheckpointRequest::default(), call).await?;
    let key = log_key(client).await?;
    if out.is_json() {
        return out.json(&json!({
            "checkpoint": output::json("probity.audit.v1.Checkpoint", &head)?,
            "logKey": output::json("probity.audit.v1.LogKey", &key)?,
        }));
    }
    out.line(head.note.trim_end())?;
    out.line(format_args!("\nverifier key: {}", plain(&key.verifier_key)))
}
