//! Findings.

use super::insert;
use crate::domain::{Evidence, Finding};
use crate::error::Error;
use probity_storage::{Row, Tx, Value, args};
use probity_types::Micros;
use probity_types::id::{CaseId, FindingId};
use serde_json::json;
use std::collections::HashMap;
use uuid::Uuid;

/// Columns in the order [`StoredFinding::read`] reads them.
pub(super) const COLUMNS: &str =
    "finding_id, severity, position, rule, value, threshold, peer_group, evidence,
    explanation, disposition, disposed_by, created_us, disposition_note";

/// The name space of identifiers made from what was found.
const NAMESPACE: Uuid = Uuid::from_u128(0x5d0f_6c1e_7b0a_4c53_9f27_8a41_3e92_d6b4);

/// Whose findings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key<'k> {
    pub(super) tenant: &'k str,
    pub(super) case: CaseId,
}

/// A finding as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredFinding {
    pub(crate) id: FindingId,
    pub(crate) severity: i32,
    pub(crate) position: i64,
    pub(crate) rule: String,
    pub(crate) value: String,
    pub(crate) threshold: String,
    pub(crate) peer_group: String,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) explanation: String,
    pub(crate) disposition: i32,
    pub(crate) disposed_by: String,
    pub(crate) created: Micros,
    pub(crate) note: String,
}

impl StoredFinding {
    pub(super) fn read(row: &Row) -> Result<Self, Error> {
        let id = FindingId::from_bytes(&row.bytes(0)?);
        let number = |n: i64| i32::try_from(n).unwrap_or_default();
        Ok(Self {
            id: id.map_err(|error| Error::Unreadable { what: "finding", reason: error.to_string() })?,
            severity: number(row.i64(1)?),
            position: row.i64(2)?,
            rule: row.text(3)?,
            value: row.text(4)?,
            threshold: row.text(5)?,
            peer_group: row.text(6)?,
            evidence: read_evidence(&row.text(7)?)?,
            explanation: row.text(8)?,
            disposition: number(row.i64(9)?),
            disposed_by: row.text(10)?,
            created: Micros(row.i64(11)?),
            note: row.text(12)?,
        })
    }
}

/// A place as JSON: document, locator and text.
type Place = (String, String, String);

fn write_evidence(evidence: &[Evidence]) -> String {
    let places: Vec<(&str, &str, &str)> =
        evidence.iter().map(|e| (&*e.document, e.locator.as_str(), e.text.as_str())).collect();
    json!(places).to_string()
}

fn read_evidence(text: &str) -> Result<Vec<Evidence>, Error> {
    let places: Vec<Place> = serde_json::from_str(text)
        .map_err(|error| Error::Unreadable { what: "evidence", reason: error.to_string() })?;
    let place = |(document, locator, text): Place| Evidence { document: document.into(), locator, text };
    Ok(places.into_iter().map(place).collect())
}

/// Stores findings. One that was found before keeps its identifier, its date and
/// what a person made of it.
pub(super) async fn upsert(
    tx: &mut Tx,
    key: Key<'_>,
    findings: &[Finding],
    now: Micros,
) -> Result<(), Error> {
    let mut seen: HashMap<Uuid, u32> = HashMap::new();
    let rows = (0_i64..).zip(findings).map(|(position, finding)| {
        let plain = identifier(key, finding, 0);
        let again = seen.entry(plain).or_default();
        let id = identifier(key, finding, *again);
        *again += 1;
        row(key, finding, id, position, now)
    });
    let rows = rows.collect();
    let into = "finding (tenant, case_id, finding_id, severity, position, rule, value, threshold, peer_group, evidence,
        explanation, disposition, disposed_by, disposition_note, created_us)";
    let then = "ON CONFLICT (tenant, case_id, finding_id) DO UPDATE SET severity = excluded.severity,
        position = excluded.position, threshold = excluded.threshold, peer_group = excluded.peer_group,
        evidence = excluded.evidence, explanation = excluded.explanation";
    insert(tx, into, then, rows).await
}

fn row(key: Key<'_>, finding: &Finding, id: Uuid, position: i64, now: Micros) -> Vec<Value> {
    args![
        key.tenant,
        key.case.to_bytes(),
        id,
        finding.severity.number(),
        position,
        finding.rule,
        &finding.value,
        &finding.threshold,
        &finding.peer_group,
        write_evidence(&finding.evidence),
        &finding.explanation,
        0,
        "",
        "",
        now
    ]
}

/// The identifier of what was found: the same finding has the same one in every
/// investigation of the case.
fn identifier(key: Key<'_>, finding: &Finding, again: u32) -> Uuid {
    let mut text = format!("{}\n{}\n{}\n{}\n{again}", key.tenant, key.case, finding.rule, finding.value);
    for evidence in &finding.evidence {
        text.push('\n');
        text.push_str(&evidence.document);
        text.push(' ');
        text.push_str(&evidence.locator);
    }
    Uuid::new_v5(&NAMESPACE, text.as_bytes())
}
