//! Messages to values and back, and every limit of the log's requests and answers.
//!
//! Entries arrive from outboxes: one that is refused stops its service's relay
//! until somebody looks. So only what could not be found or proved later is
//! refused; whether a detail is good JSON is the business of who says it.

use crate::appender::Appended;
use crate::domain::batch::NewEntry;
use crate::domain::check::CheckReport;
use crate::domain::page::{Filter, Logged};
use crate::error::Error;
use crate::log::{Consistency, Head, Inclusion};
use probity_merkle::{Receipt, VerifierKey, leaf_hash};
use probity_proto::audit as pb;
use probity_types::Ctx;
use probity_types::id::CaseId;
use prost::Message as _;
use std::fmt;
use uuid::Uuid;

/// Most entries in one request.
pub(crate) const MAX_ENTRIES: usize = 1_000;
/// Largest request: a full one with the largest details has half of it.
pub(crate) const MAX_APPEND_BYTES: usize = 48 * 1024 * 1024;
/// Largest page of entries, so that it stays below the 4 MiB that gRPC clients
/// take by default.
pub(crate) const MAX_PAGE_BYTES: usize = 3 * 1024 * 1024;
/// Largest receipt: below what `probity audit verify` reads.
pub(crate) const MAX_RECEIPT_BYTES: usize = 48 * 1024 * 1024;
/// Largest `detail` in bytes.
const MAX_DETAIL: usize = 16 * 1024;
/// Largest other field in bytes.
const MAX_FIELD: usize = 4 * 1024;

/// How an entry is named: `entries/<index>` or `entries/<event id>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EntryName {
    Index(u64),
    Event(Uuid),
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "entries/{index}"),
            Self::Event(event) => write!(f, "entries/{event}"),
        }
    }
}

/// Of what a receipt is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    Case(String),
    Entry(EntryName),
}

/// The name of the entry at an index.
pub(crate) fn entry_name(index: u64) -> String {
    EntryName::Index(index).to_string()
}

/// The entries of a request, said by the caller.
pub(crate) fn entries(ctx: &Ctx, request: pb::AppendRequest) -> Result<Vec<NewEntry>, Error> {
    if request.entries.len() > MAX_ENTRIES {
        return Err(Error::TooMany { count: request.entries.len() });
    }
    let sender = |(position, entry): (usize, pb::Entry)| {
        if ctx.actor.strip_prefix("services/") == Some(entry.service.as_str()) {
            return new_entry(position, entry);
        }
        let (service, caller) = (entry.service.chars().take(80).collect(), ctx.actor.clone());
        Err(Error::Impostor { position, service, caller })
    };
    request.entries.into_iter().enumerate().map(sender).collect()
}

fn new_entry(position: usize, mut entry: pb::Entry) -> Result<NewEntry, Error> {
    let wrong =
        |field: &str, reason: String| Error::Entry { field: format!("entries[{position}].{field}"), reason };
    let event_id =
        Uuid::try_parse(&entry.event_id).map_err(|_| wrong("event_id", "is no UUID".to_owned()))?;
    // One event, one text: it is part of what is hashed.
    entry.event_id = event_id.to_string();
    for (field, text, most) in fields(&entry) {
        if text.len() > most {
            return Err(wrong(field, format!("has {} bytes; at most {most} are kept", text.len())));
        }
    }
    for (field, text) in [("tenant", &entry.tenant), ("action", &entry.action)] {
        if text.is_empty() {
            return Err(wrong(field, "must not be empty".to_owned()));
        }
    }
    for (field, text) in [("tenant", &entry.tenant), ("action", &entry.action), ("case", &entry.case)] {
        if text.chars().any(char::is_control) {
            return Err(wrong(field, "must not hold control characters".to_owned()));
        }
    }
    let leaf = entry.encode_to_vec();
    Ok(NewEntry { event_id, tenant: entry.tenant, case: entry.case, action: entry.action, leaf })
}

fn fields(entry: &pb::Entry) -> [(&'static str, &str, usize); 10] {
    [
        ("tenant", &entry.tenant, MAX_FIELD),
        ("actor", &entry.actor, MAX_FIELD),
        ("action", &entry.action, MAX_FIELD),
        ("subject", &entry.subject, MAX_FIELD),
        ("case", &entry.case, MAX_FIELD),
        ("outcome", &entry.outcome, MAX_FIELD),
        ("detail", &entry.detail, MAX_DETAIL),
        ("service", &entry.service, MAX_FIELD),
        ("request_id", &entry.request_id, MAX_FIELD),
        ("trace_id", &entry.trace_id, MAX_FIELD),
    ]
}

/// The first column of a row that does not say what its leaf says.
pub(crate) fn misfiled(
    leaf: &[u8],
    event_id: &[u8],
    tenant: &str,
    case: &str,
    action: &str,
) -> Option<&'static str> {
    let Ok(entry) = pb::Entry::decode(leaf) else { return Some("format") };
    let event = Uuid::try_parse(&entry.event_id).ok();
    let columns = [
        ("event id", event.is_some_and(|event| event.as_bytes() == event_id)),
        ("tenant", entry.tenant == tenant),
        ("case", entry.case == case),
        ("action", entry.action == action),
    ];
    columns.into_iter().find(|(_, same)| !same).map(|(column, _)| column)
}

/// The name of an entry.
pub(crate) fn parse_entry_name(name: &str) -> Result<EntryName, Error> {
    let parse = |rest: &str| {
        let plain = !rest.starts_with('+') && i64::try_from(rest.parse::<u64>().ok()?).is_ok();
        plain.then(|| rest.parse().ok().map(EntryName::Index))?
    };
    let rest = name.strip_prefix("entries/");
    rest.and_then(|rest| parse(rest).or_else(|| Uuid::try_parse(rest).ok().map(EntryName::Event)))
        .ok_or_else(|| bad_name("name", name, "entry: `entries/<index>` or `entries/<event id>`"))
}

/// The subject of a receipt.
pub(crate) fn parse_subject(name: &str) -> Result<Subject, Error> {
    if name.starts_with("cases/") {
        return parse_case("name", name).map(Subject::Case);
    }
    parse_entry_name(name).map(Subject::Entry).map_err(|_| {
        bad_name("name", name, "case or entry: `cases/<id>`, `entries/<index>` or `entries/<event id>`")
    })
}

fn parse_case(field: &'static str, name: &str) -> Result<String, Error> {
    let id = name.strip_prefix("cases/").and_then(|id| id.parse::<CaseId>().ok());
    id.map(|id| format!("cases/{id}")).ok_or_else(|| bad_name(field, name, "case: `cases/<id>`"))
}

fn bad_name(field: &'static str, name: &str, expected: &'static str) -> Error {
    Error::Name { field, name: name.chars().take(80).collect(), expected }
}

/// Which entries a list shows.
pub(crate) fn filter(ctx: &Ctx, request: &pb::ListEntriesRequest) -> Result<Filter, Error> {
    let parent = &request.parent;
    let case = if parent.is_empty() { String::new() } else { parse_case("parent", parent)? };
    Ok(Filter { tenant: ctx.tenant.clone(), case, action: request.action.clone() })
}

/// An index: 0 is one.
pub(crate) fn index(field: &'static str, value: i64) -> Result<u64, Error> {
    u64::try_from(value).map_err(|_| Error::Range { field, reason: format!("{value} is below 0") })
}

/// A size that may be left out, which is 0.
pub(crate) fn size(field: &'static str, value: i64) -> Result<Option<u64>, Error> {
    index(field, value).map(|size| (size > 0).then_some(size))
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn base64(hashes: &[probity_merkle::Hash]) -> Vec<String> {
    hashes.iter().map(|hash| hash.to_base64()).collect()
}

pub(crate) fn appended(appended: &Appended) -> pb::AppendResponse {
    pb::AppendResponse {
        tree_size: signed(appended.tree_size),
        accepted: signed(appended.counts.accepted),
        duplicates: signed(appended.counts.duplicates),
    }
}

pub(crate) fn logged(entry: &Logged) -> Result<pb::LoggedEntry, Error> {
    let decoded = pb::Entry::decode(entry.leaf.as_slice());
    let decoded = decoded.map_err(|error| Error::damaged(format!("{}: {error}", entry_name(entry.index))))?;
    Ok(pb::LoggedEntry {
        name: entry_name(entry.index),
        index: signed(entry.index),
        entry: Some(decoded),
        leaf_hash: leaf_hash(&entry.leaf).to_string(),
    })
}

pub(crate) fn checkpoint(head: Head) -> pb::Checkpoint {
    pb::Checkpoint {
        tree_size: signed(head.checkpoint.size),
        root_hash: head.checkpoint.root.to_base64(),
        note: head.note,
    }
}

pub(crate) fn inclusion(proof: &Inclusion) -> pb::InclusionProof {
    pb::InclusionProof {
        index: signed(proof.index),
        tree_size: signed(proof.size),
        leaf_hash: proof.leaf.to_base64(),
        hashes: base64(&proof.proof),
    }
}

pub(crate) fn consistency(proof: &Consistency) -> pb::ConsistencyProof {
    pb::ConsistencyProof {
        first_size: signed(proof.first),
        second_size: signed(proof.second),
        hashes: base64(&proof.proof),
    }
}

pub(crate) fn receipt(receipt: &Receipt) -> Result<pb::Receipt, Error> {
    Ok(pb::Receipt {
        name: receipt.subject.clone(),
        entry_count: signed(receipt.entries.len() as u64),
        receipt: receipt.to_json().map_err(Error::damaged)?,
    })
}

pub(crate) fn report(report: CheckReport) -> pb::CheckLogResponse {
    pb::CheckLogResponse {
        intact: report.intact,
        entries_checked: signed(report.entries_checked),
        tree_size: signed(report.tree_size),
        first_bad_index: report.first_bad_index.map_or(-1, signed),
        problem: report.problem,
    }
}

pub(crate) fn key(key: &VerifierKey) -> pb::LogKey {
    pb::LogKey { verifier_key: key.to_string(), origin: key.name().to_owned() }
}
