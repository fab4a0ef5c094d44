//! Between messages and the core: decoding with every input limit, and the case
//! as it is read.

pub(crate) mod dead_letters;
pub(crate) mod schedules;
pub(crate) mod tasks;

mod view;

pub(crate) use view::{
    case, definition, execution, history_event, json_bytes, listed, status_number, summary,
};

use crate::error::Error;
use probity_engine::{CaseKind, CaseState, Disposition};
use probity_proto::common;
use probity_proto::orchestrator as proto;
use probity_types::id::{CaseId, ExecutionId};
use probity_types::page;
use serde_json::Value as Json;
use std::time::Duration;

const MAX_DOCUMENTS: usize = 100;
const MAX_SUBJECT: usize = 200;
const MAX_NOTE: usize = 2_000;
const MAX_KEY: usize = 128;
const MAX_QUEUES: usize = 64;
/// Largest input of an execution, as JSON.
pub(crate) const MAX_INPUT: usize = 1 << 20;
/// Largest payload of a signal, as JSON.
pub(crate) const MAX_SIGNAL: usize = 64 << 10;
const LONGEST_WAIT: Duration = Duration::from_secs(300);

pub(crate) fn invalid(field: &str, why: impl Into<String>) -> Error {
    Error::Invalid { field: field.to_owned(), why: why.into() }
}

pub(crate) fn case_id(field: &str, name: &str) -> Result<CaseId, Error> {
    let id = name.strip_prefix("cases/").ok_or_else(|| invalid(field, "write it as cases/case_…"))?;
    id.parse().map_err(|e: probity_types::id::BadId| invalid(field, e.to_string()))
}

/// A case and its execution share their id.
pub(crate) fn execution_id(field: &str, name: &str) -> Result<ExecutionId, Error> {
    let id = name.strip_prefix("executions/").or_else(|| name.strip_prefix("workflows/"));
    let id = id.ok_or_else(|| invalid(field, "write it as executions/exec_…"))?;
    id.parse().map_err(|e: probity_types::id::BadId| invalid(field, e.to_string()))
}

/// A page size as it may be asked for.
pub(crate) fn page_size(number: i32) -> Result<i64, Error> {
    page::size(number).map_err(|_| invalid("page_size", "must not be negative"))
}

/// The token of a history page: a sequence number.
pub(crate) fn sequence_token(token: &str) -> Result<i64, Error> {
    if token.is_empty() {
        return Ok(0);
    }
    token.parse().map_err(|_| invalid("page_token", "is not from a page before"))
}

/// The token of a list of executions: the id of the last one shown.
pub(crate) fn id_token(token: &str) -> Result<Option<ExecutionId>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    token.parse().map(Some).map_err(|_| invalid("page_token", "is not from a page before"))
}

/// JSON of a caller; `null` when there is none.
pub(crate) fn json(field: &str, bytes: &[u8], most: usize) -> Result<Json, Error> {
    if bytes.len() > most {
        return Err(invalid(field, format!("has {} bytes; at most {most} are allowed", bytes.len())));
    }
    if bytes.is_empty() {
        return Ok(Json::Null);
    }
    serde_json::from_slice(bytes).map_err(|e| invalid(field, format!("is no JSON: {e}")))
}

/// How long a caller wants to wait; not at all when absent.
pub(crate) fn wait(duration: Option<&prost_types::Duration>) -> Result<Option<Duration>, Error> {
    let Some(duration) = duration else { return Ok(None) };
    match Duration::try_from(*duration) {
        Ok(wait) if wait <= LONGEST_WAIT => Ok(Some(wait).filter(|wait| !wait.is_zero())),
        _ => Err(invalid("wait", format!("must be from 0 to {} s", LONGEST_WAIT.as_secs()))),
    }
}

/// The name and the queues of a worker.
pub(crate) fn hello(hello: &proto::WorkerHello) -> Result<(String, Vec<String>), Error> {
    let name = hello.worker.trim();
    if name.is_empty() || name.len() > MAX_KEY || name.chars().any(char::is_control) {
        return Err(invalid("hello.worker", format!("must be a name of 1 to {MAX_KEY} bytes")));
    }
    if hello.queues.is_empty() || hello.queues.len() > MAX_QUEUES {
        return Err(invalid("hello.queues", format!("name 1 to {MAX_QUEUES} queues")));
    }
    for (at, queue) in hello.queues.iter().enumerate() {
        tasks::plain_name(&format!("hello.queues[{at}]"), queue)?;
    }
    Ok((name.to_owned(), hello.queues.clone()))
}

/// Code and message of a failed task, cut to what is stored.
pub(crate) fn task_failure(failure: &proto::TaskFailure) -> (String, String) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let code: String = failure.code.chars().filter(|c| plain(*c)).take(64).collect();
    let message: String = failure.message.chars().take(MAX_NOTE).collect();
    (if code.is_empty() { "ORC-0026".to_owned() } else { code }, message)
}

pub(crate) fn definition_name(field: &str, name: &str) -> Result<String, Error> {
    let name =
        name.strip_prefix("definitions/").ok_or_else(|| invalid(field, "write it as definitions/<name>"))?;
    if name.is_empty() || name.len() > 64 {
        return Err(invalid(field, "a name has 1 to 64 characters"));
    }
    Ok(name.to_owned())
}

pub(crate) fn kind(number: i32) -> Result<CaseKind, Error> {
    match common::CaseKind::try_from(number) {
        Ok(common::CaseKind::Tender) => Ok(CaseKind::Tender),
        Ok(common::CaseKind::Payment) => Ok(CaseKind::Payment),
        Ok(common::CaseKind::Message) => Ok(CaseKind::Message),
        Ok(common::CaseKind::Report) => Ok(CaseKind::Report),
        _ => Err(invalid(
            "kind",
            "must be one of CASE_KIND_TENDER, CASE_KIND_PAYMENT, CASE_KIND_MESSAGE, CASE_KIND_REPORT",
        )),
    }
}

pub(crate) const fn kind_number(kind: CaseKind) -> i32 {
    match kind {
        CaseKind::Tender => common::CaseKind::Tender as i32,
        CaseKind::Payment => common::CaseKind::Payment as i32,
        CaseKind::Message => common::CaseKind::Message as i32,
        CaseKind::Report => common::CaseKind::Report as i32,
    }
}

/// The number of a kind by its name in the store; 0 when it has none.
pub(crate) fn kind_named(name: &str) -> i32 {
    name.parse().map_or(0, kind_number)
}

pub(crate) const fn state_number(state: CaseState) -> i32 {
    match state {
        CaseState::Pending => proto::CaseState::Pending as i32,
        CaseState::Investigating => proto::CaseState::Investigating as i32,
        CaseState::Validating => proto::CaseState::Validating as i32,
        CaseState::Remediating => proto::CaseState::Remediating as i32,
        CaseState::Resolved => proto::CaseState::Resolved as i32,
        CaseState::Failed => proto::CaseState::Failed as i32,
        CaseState::Cancelled => proto::CaseState::Cancelled as i32,
    }
}

pub(crate) fn documents(names: &[String]) -> Result<Vec<String>, Error> {
    if names.is_empty() || names.len() > MAX_DOCUMENTS {
        return Err(invalid(
            "documents",
            format!("there are {}; 1 to {MAX_DOCUMENTS} are allowed", names.len()),
        ));
    }
    let is_hash = |text: &str| {
        text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    for (index, name) in names.iter().enumerate() {
        if !name.strip_prefix("documents/").is_some_and(is_hash) {
            let why = "write it as documents/<sha256 in lower-case hex>, as UploadDocument answered";
            return Err(invalid(&format!("documents[{index}]"), why));
        }
    }
    Ok(names.to_vec())
}

/// One line of text without control characters.
pub(crate) fn subject(text: &str) -> Result<String, Error> {
    let long = text.chars().count();
    if long > MAX_SUBJECT {
        return Err(invalid("subject", format!("has {long} characters; at most {MAX_SUBJECT} are allowed")));
    }
    if text.chars().any(char::is_control) {
        return Err(invalid("subject", "must be one line without control characters"));
    }
    Ok(text.to_owned())
}

/// A note of a person; line breaks are fine.
pub(crate) fn note(field: &str, text: &str) -> Result<String, Error> {
    let long = text.chars().count();
    if long > MAX_NOTE {
        return Err(invalid(field, format!("has {long} characters; at most {MAX_NOTE} are allowed")));
    }
    if text.contains('\0') {
        return Err(invalid(field, "must not contain NUL"));
    }
    Ok(text.to_owned())
}

pub(crate) fn reason(field: &str, text: &str) -> Result<String, Error> {
    if text.trim().is_empty() {
        return Err(invalid(field, "say why"));
    }
    note(field, text)
}

pub(crate) fn priority(number: i32) -> Result<u8, Error> {
    match proto::Priority::try_from(number) {
        Ok(proto::Priority::Unspecified | proto::Priority::Normal) => Ok(2),
        Ok(proto::Priority::Low) => Ok(1),
        Ok(proto::Priority::High) => Ok(3),
        Ok(proto::Priority::Critical) => Ok(4),
        Err(_) => Err(invalid(
            "priority",
            "must be one of PRIORITY_LOW, PRIORITY_NORMAL, PRIORITY_HIGH, PRIORITY_CRITICAL",
        )),
    }
}

pub(crate) fn request_key(field: String, metadata: Option<String>) -> Result<Option<String>, Error> {
    let key = Some(field).filter(|k| !k.is_empty()).or(metadata);
    match key {
        Some(key) if key.len() > MAX_KEY => {
            Err(invalid("request_id", format!("at most {MAX_KEY} characters are allowed")))
        }
        Some(key) if key.chars().any(char::is_control) => {
            Err(invalid("request_id", "must not contain control characters"))
        }
        other => Ok(other),
    }
}

pub(crate) fn disposition(number: i32) -> Result<Disposition, Error> {
    match proto::Disposition::try_from(number) {
        Ok(proto::Disposition::Confirmed) => Ok(Disposition::Confirmed),
        Ok(proto::Disposition::FalsePositive) => Ok(Disposition::FalsePositive),
        Ok(proto::Disposition::Inconclusive) => Ok(Disposition::Inconclusive),
        _ => Err(invalid(
            "disposition",
            "must be one of DISPOSITION_CONFIRMED, DISPOSITION_FALSE_POSITIVE, DISPOSITION_INCONCLUSIVE",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold() {
        let refused = |error: Result<(), Error>, field: &str| match error {
            Err(Error::Invalid { field: found, .. }) => assert_eq!(found, field),
            other => panic!("{field}: {other:?}"),
        };
        let hash = format!("documents/{}", "a".repeat(64));
        assert!(documents(std::slice::from_ref(&hash)).is_ok());
        refused(documents(&[]).map(drop), "documents");
        refused(documents(&vec![hash.clone(); 101]).map(drop), "documents");
        refused(documents(&[hash, "documents/../x".into()]).map(drop), "documents[1]");
        refused(subject("a\nb").map(drop), "subject");
        refused(subject(&"ä".repeat(201)).map(drop), "subject");
        assert!(subject(&"ä".repeat(200)).is_ok());
        refused(kind(0).map(drop), "kind");
        refused(kind(99).map(drop), "kind");
        refused(priority(99).map(drop), "priority");
        refused(disposition(0).map(drop), "disposition");
        refused(reason("reason", " ").map(drop), "reason");
        refused(request_key("x".repeat(129), None).map(drop), "request_id");
        refused(case_id("name", "case_1").map(drop), "name");
        refused(case_id("name", "cases/case_1").map(drop), "name");
        refused(execution_id("name", "cases/x").map(drop), "name");
        refused(page_size(-1).map(drop), "page_size");
        assert_eq!(page_size(-1).unwrap_err().to_string(), "page_size: must not be negative");
    }
}
