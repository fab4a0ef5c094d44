//! Policies and evaluations in the service's own tables.
//!
//! A policy's version, an evaluation, their audit events and the record of the
//! idempotency key are each written in one transaction. Nothing is ever updated
//! or deleted here.

use crate::domain::{CaseKind, Policy, PolicyName};
use crate::error::Error;
use probity_storage::idempotency::{self, Scope};
use probity_storage::{Db, Migration, Row, Tx, args, outbox};
use probity_types::id::{CaseId, EvaluationId};
use probity_types::{AuditEvent, Ctx, Micros};
use serde_json::json;
use std::sync::Arc;

/// The tables of this service.
pub const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "compliance", sql: include_str!("../migrations/0001_compliance.sql") }];

/// The store. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Store(Db);

/// A policy text that passed its check.
pub(crate) struct Draft {
    pub(crate) name: PolicyName,
    pub(crate) source: String,
    pub(crate) sha256: [u8; 32],
    pub(crate) kinds: Vec<CaseKind>,
    /// Version of the starter policy of this name, 0 when there is none.
    pub(crate) starter_version: i64,
}

/// How much a tenant may publish.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quota {
    pub(crate) policies: usize,
    pub(crate) total_bytes: i64,
}

/// An evaluation to keep.
pub(crate) struct Record {
    pub(crate) id: EvaluationId,
    pub(crate) case: CaseId,
    pub(crate) kind: CaseKind,
    pub(crate) decision: &'static str,
    pub(crate) input_sha256: [u8; 32],
    pub(crate) policies: Vec<String>,
    /// What the audit log keeps of it.
    pub(crate) detail: serde_json::Value,
    /// The encoded answer.
    pub(crate) response: Vec<u8>,
}

/// An evaluation that was kept.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) id: EvaluationId,
    pub(crate) response: Vec<u8>,
    pub(crate) created: Micros,
}

impl Store {
    pub(crate) const fn new(db: Db) -> Self {
        Self(db)
    }

    /// The newest versions of a tenant's own policies, by name, without their texts.
    pub(crate) async fn newest(&self, tenant: &str) -> Result<Vec<Policy>, Error> {
        let sql = "SELECT p.name, p.version, '', p.sha256, p.kinds, p.published_by, p.published_us
            FROM policy p WHERE p.tenant = $1 AND p.version =
                (SELECT MAX(q.version) FROM policy q WHERE q.tenant = p.tenant AND q.name = p.name)
            ORDER BY p.name";
        let rows = self.0.query(sql, args![tenant]).await?;
        rows.iter().map(policy).collect()
    }

    /// The text of a version.
    pub(crate) async fn source(
        &self,
        tenant: &str,
        name: &PolicyName,
        version: i64,
    ) -> Result<Option<Arc<str>>, Error> {
        let sql = "SELECT source FROM policy WHERE tenant = $1 AND name = $2 AND version = $3";
        let row = self.0.query_opt(sql, args![tenant, name.as_str(), version]).await?;
        Ok(row.map(|row| row.text(0)).transpose()?.map(Into::into))
    }

    /// One version of a tenant's own policy; the newest when none is named.
    pub(crate) async fn policy(
        &self,
        tenant: &str,
        name: &PolicyName,
        version: Option<i64>,
    ) -> Result<Option<Policy>, Error> {
        let sql = "SELECT name, version, source, sha256, kinds, published_by, published_us FROM policy
            WHERE tenant = $1 AND name = $2 AND (CAST($3 AS BIGINT) = 0 OR version = $3) ORDER BY version DESC LIMIT 1";
        let row = self.0.query_opt(sql, args![tenant, name.as_str(), version.unwrap_or(0)]).await?;
        row.as_ref().map(policy).transpose()
    }

    /// Publishes a version; answers its number. The text and kinds that are
    /// active already make no new one.
    pub(crate) async fn publish(
        &self,
        ctx: Ctx,
        draft: Draft,
        scope: Option<Scope>,
        quota: Quota,
        now: Micros,
    ) -> Result<i64, Error> {
        self.0
            .write(move |tx| Box::pin(async move { publish(tx, &ctx, &draft, scope, quota, now).await }))
            .await
    }

    /// Keeps an evaluation; answers the encoded answer that is kept for the key,
    /// which is an earlier one when the request was carried out before.
    pub(crate) async fn keep(
        &self,
        ctx: Ctx,
        record: Record,
        scope: Option<Scope>,
        now: Micros,
    ) -> Result<Vec<u8>, Error> {
        self.0.write(move |tx| Box::pin(async move { keep(tx, &ctx, record, scope, now).await })).await
    }

    /// The evaluations of a case before one, newest first.
    pub(crate) async fn evaluations(
        &self,
        tenant: &str,
        case: CaseId,
        before: Option<EvaluationId>,
        limit: i64,
    ) -> Result<Vec<Stored>, Error> {
        let sql = "SELECT id, response, created_us FROM evaluation
            WHERE tenant = $1 AND case_id = $2 AND id < $3 ORDER BY id DESC LIMIT $4";
        // No id is as large as 16 bytes of ones.
        let before = before.map_or_else(|| vec![0xff; 16], EvaluationId::to_bytes);
        let rows = self.0.query(sql, args![tenant, case.to_bytes(), before, limit]).await?;
        rows.iter().map(stored).collect()
    }
}

async fn publish(
    tx: &mut Tx,
    ctx: &Ctx,
    draft: &Draft,
    scope: Option<Scope>,
    quota: Quota,
    now: Micros,
) -> Result<i64, Error> {
    if let Some(scope) = &scope
        && let Some(answer) = idempotency::lookup(tx, scope).await?
    {
        return version_of(&answer);
    }
    let newest = newest(tx, &ctx.tenant, draft).await?;
    let version = match newest {
        Some((version, true)) => version,
        Some((version, false)) => {
            add(tx, ctx, draft, version.max(draft.starter_version) + 1, quota, now).await?
        }
        None => add(tx, ctx, draft, draft.starter_version + 1, quota, now).await?,
    };
    if let Some(scope) = scope {
        idempotency::record(tx, &scope, &version.to_be_bytes(), now).await?;
    }
    Ok(version)
}

fn version_of(answer: &[u8]) -> Result<i64, Error> {
    let bytes: Result<[u8; 8], _> = answer.try_into();
    bytes
        .map(i64::from_be_bytes)
        .map_err(|_| Error::Damaged { what: "answer", reason: format!("it has {} bytes", answer.len()) })
}

/// The newest version of the policy's name, and whether it is the same policy.
async fn newest(tx: &mut Tx, tenant: &str, draft: &Draft) -> Result<Option<(i64, bool)>, Error> {
    let sql = "SELECT version, sha256, kinds FROM policy WHERE tenant = $1 AND name = $2
        ORDER BY version DESC LIMIT 1";
    let Some(row) = tx.query_opt(sql, args![tenant, draft.name.as_str()]).await? else { return Ok(None) };
    let same = row.bytes(1)? == draft.sha256 && row.text(2)? == kinds_text(&draft.kinds);
    Ok(Some((row.i64(0)?, same)))
}

async fn add(
    tx: &mut Tx,
    ctx: &Ctx,
    draft: &Draft,
    version: i64,
    quota: Quota,
    now: Micros,
) -> Result<i64, Error> {
    check_quota(tx, &ctx.tenant, draft, quota).await?;
    let sql = "INSERT INTO policy
        (tenant, name, version, source, source_bytes, sha256, kinds, published_by, published_us)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let (name, kinds) = (draft.name.as_str(), kinds_text(&draft.kinds));
    let row = args![
        &ctx.tenant,
        name,
        version,
        &draft.source,
        bytes(&draft.source),
        draft.sha256,
        &kinds,
        &ctx.actor,
        now
    ];
    match tx.execute(sql, row).await {
        Err(error) if error.is_unique_violation() => {
            return Err(Error::PublishedMeanwhile { name: name.to_owned() });
        }
        other => other?,
    };
    let event =
        AuditEvent::new(ctx, now, "policy.published", format!("policies/{name}")).with_detail(&json!({
            "version": version, "sha256": hex::encode(draft.sha256), "kinds": kinds,
        }));
    outbox::append(tx, &event).await?;
    Ok(version)
}

/// Counts the newest version of every other name.
async fn check_quota(tx: &mut Tx, tenant: &str, draft: &Draft, quota: Quota) -> Result<(), Error> {
    let sql = "SELECT COUNT(*), CAST(COALESCE(SUM(p.source_bytes), 0) AS BIGINT) FROM policy p
        WHERE p.tenant = $1 AND p.name <> $2 AND p.version =
            (SELECT MAX(q.version) FROM policy q WHERE q.tenant = p.tenant AND q.name = p.name)";
    let Some(row) = tx.query_opt(sql, args![tenant, draft.name.as_str()]).await? else { return Ok(()) };
    if usize::try_from(row.i64(0)?).is_ok_and(|others| others >= quota.policies) {
        return Err(Error::TooManyPolicies { limit: format!("{} policies", quota.policies) });
    }
    if row.i64(1)?.saturating_add(bytes(&draft.source)) > quota.total_bytes {
        return Err(Error::TooManyPolicies {
            limit: format!("{} bytes of active policies", quota.total_bytes),
        });
    }
    Ok(())
}

fn bytes(source: &str) -> i64 {
    i64::try_from(source.len()).unwrap_or(i64::MAX)
}

async fn keep(
    tx: &mut Tx,
    ctx: &Ctx,
    record: Record,
    scope: Option<Scope>,
    now: Micros,
) -> Result<Vec<u8>, Error> {
    if let Some(scope) = &scope
        && let Some(answer) = idempotency::lookup(tx, scope).await?
    {
        return Ok(answer);
    }
    let sql = "INSERT INTO evaluation
        (tenant, case_id, id, kind, decision, input_sha256, policies, response, created_us)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let row = args![
        &ctx.tenant,
        record.case.to_bytes(),
        record.id.to_bytes(),
        record.kind.as_str(),
        record.decision,
        record.input_sha256,
        record.policies.join(" "),
        &record.response,
        now,
    ];
    tx.execute(sql, row).await?;
    let event = AuditEvent::new(ctx, now, "case.evaluated", format!("evaluations/{}", record.id));
    outbox::append(tx, &event.of_case(format!("cases/{}", record.case)).with_detail(&record.detail)).await?;
    if let Some(scope) = scope {
        idempotency::record(tx, &scope, &record.response, now).await?;
    }
    Ok(record.response)
}

fn stored(row: &Row) -> Result<Stored, Error> {
    let id = EvaluationId::from_bytes(&row.bytes(0)?);
    let id = id.map_err(|e| Error::Damaged { what: "evaluation", reason: e.to_string() })?;
    Ok(Stored { id, response: row.bytes(1)?, created: Micros(row.i64(2)?) })
}

fn policy(row: &Row) -> Result<Policy, Error> {
    let damaged = |reason: String| Error::Damaged { what: "policy", reason };
    let sha256 = row.bytes(3)?;
    Ok(Policy {
        name: name(row, 0)?,
        version: row.i64(1)?,
        source: row.text(2)?.into(),
        sha256: sha256.try_into().map_err(|_| damaged("its hash has not 32 bytes".to_owned()))?,
        kinds: kinds_of(&row.text(4)?).ok_or_else(|| damaged("a kind of case is unknown".to_owned()))?,
        published_by: row.text(5)?,
        publish_time: Some(Micros(row.i64(6)?)),
    })
}

fn name(row: &Row, column: usize) -> Result<PolicyName, Error> {
    row.text(column)?.parse().map_err(|reason| Error::Damaged { what: "policy", reason })
}

fn kinds_text(kinds: &[CaseKind]) -> String {
    kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(" ")
}

fn kinds_of(text: &str) -> Option<Vec<CaseKind>> {
    text.split_whitespace().map(CaseKind::parse).collect()
}

#[cfg(test)]
mod tests;
