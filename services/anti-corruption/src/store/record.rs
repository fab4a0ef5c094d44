//! Storing an investigation: its findings, its refused items, its answer.

use super::findings::{self, Key};
use super::{Request, Store, decode, insert};
use crate::convert::{self, Investigate};
use crate::domain::{Outcome, Rejection};
use crate::error::Error;
use probity_proto::anticorruption::InvestigateResponse;
use probity_storage::{Tx, args, outbox};
use probity_types::{AuditEvent, Ctx, Micros};
use prost::Message as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Documents named in an audit event; the input's hash stands for all of them.
const MAX_AUDITED_DOCUMENTS: usize = 20;

/// An investigation that is to be stored.
pub(crate) struct Investigated {
    /// What was investigated.
    pub(crate) work: Investigate,
    /// What was found.
    pub(crate) outcome: Arc<Outcome>,
    /// The answer.
    pub(crate) response: InvestigateResponse,
    /// When.
    pub(crate) now: Micros,
}

impl Investigated {
    /// Hash of the kind and the documents.
    fn input(&self) -> [u8; 32] {
        let mut hash = Sha256::new().chain_update(self.work.kind.as_str());
        for document in &self.work.documents {
            hash = hash.chain_update(b"\n").chain_update(document);
        }
        hash.finalize().into()
    }

    fn event(&self, ctx: &Ctx, input: &[u8; 32]) -> AuditEvent {
        let outcome = &self.outcome;
        let mut rules: BTreeMap<&str, u64> = BTreeMap::new();
        for finding in &outcome.findings {
            *rules.entry(finding.rule).or_default() += 1;
        }
        let case = convert::case_name(self.work.case);
        AuditEvent::new(ctx, self.now, "findings.recorded", case.clone()).of_case(case).with_detail(&json!({
            "kind": self.work.kind.as_str(),
            "documents": self.work.documents.iter().take(MAX_AUDITED_DOCUMENTS).collect::<Vec<_>>(),
            "document_count": self.work.documents.len(),
            "input_sha256": hex::encode(input),
            "finding_count": outcome.finding_count,
            "max_severity": outcome.max_severity().map(|severity| severity.as_str()),
            "rules": rules,
            "items_read": outcome.items_read,
            "items_refused": outcome.items_refused,
            "watchlists_searched": outcome.facts.get("watchlists_searched"),
        }))
    }
}

impl Store {
    /// Stores an investigation with its answer and its audit event; answers what
    /// is stored for the key, should it have been carried out meanwhile.
    pub(crate) async fn record(
        &self,
        request: Request,
        investigated: Investigated,
        max_rejections: usize,
    ) -> Result<InvestigateResponse, Error> {
        let stored = self.db.write(move |tx| {
            Box::pin(async move {
                if let Some(answer) = request.stored(tx).await? {
                    return Ok(answer);
                }
                let answer = investigated.response.encode_to_vec();
                store(tx, &request.ctx, &investigated, max_rejections).await?;
                request.store(tx, &answer, investigated.now).await?;
                Ok::<_, Error>(answer)
            })
        });
        decode(&stored.await?)
    }
}

async fn store(
    tx: &mut Tx,
    ctx: &Ctx,
    investigated: &Investigated,
    max_rejections: usize,
) -> Result<(), Error> {
    let (work, outcome, now) = (&investigated.work, &investigated.outcome, investigated.now);
    let case = work.case.to_bytes();
    let input = investigated.input();
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let not_kept = outcome.finding_count.saturating_sub(outcome.findings.len() as u64);
    let sql = "INSERT INTO investigation (tenant, case_id, input, kind, finding_count, not_kept, items_read,
            items_refused, done_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (tenant, case_id, input) DO UPDATE SET finding_count = excluded.finding_count,
            not_kept = excluded.not_kept, items_read = excluded.items_read,
            items_refused = excluded.items_refused, done_us = excluded.done_us";
    let row = args![
        &ctx.tenant,
        &case,
        input,
        work.kind.as_str(),
        number(outcome.finding_count),
        number(not_kept),
        number(outcome.items_read),
        number(outcome.items_refused),
        now
    ];
    tx.execute(sql, row).await?;
    let key = Key { tenant: &ctx.tenant, case: work.case };
    findings::upsert(tx, key, &outcome.findings, now).await?;
    store_rejections(tx, &ctx.tenant, &case, input, &outcome.rejections, max_rejections).await?;
    Ok(outbox::append(tx, &investigated.event(ctx, &input)).await?)
}

/// Replaces what this input's investigation refused before; keeps the bound of a
/// case.
async fn store_rejections(
    tx: &mut Tx,
    tenant: &str,
    case: &[u8],
    input: [u8; 32],
    rejections: &[Rejection],
    most: usize,
) -> Result<(), Error> {
    let sql = "DELETE FROM rejection WHERE tenant = $1 AND case_id = $2 AND input = $3";
    tx.execute(sql, args![tenant, case, input]).await?;
    if rejections.is_empty() {
        return Ok(());
    }
    let sql = "SELECT COUNT(*), COALESCE(MAX(position), 0) FROM rejection WHERE tenant = $1 AND case_id = $2";
    let kept = tx.query_opt(sql, args![tenant, case]).await?;
    let (count, last) = kept.map_or(Ok((0, 0)), |row| Ok::<_, Error>((row.i64(0)?, row.i64(1)?)))?;
    let room = most.saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
    let row = |(position, rejection): (i64, &Rejection)| {
        let line = i64::try_from(rejection.line).unwrap_or(i64::MAX);
        let document = &*rejection.document;
        args![tenant, case, position, input, document, line, &rejection.field, &rejection.reason]
    };
    let rows = (last + 1..).zip(rejections).take(room).map(row).collect();
    let into = "rejection (tenant, case_id, position, input, document, line, field, reason)";
    insert(tx, into, "", rows).await
}
