//! What people made of findings: each time they said so, and how often they said
//! that a flag was wrong.

use super::findings::{COLUMNS, StoredFinding};
use super::{Request, Store, decode};
use crate::convert::{self, Dispose};
use crate::domain::rules;
use crate::error::Error;
use probity_filter::{Bind, Field, Filter, Schema};
use probity_proto::anticorruption as pb;
use probity_proto::time::timestamp;
use probity_storage::{Row, Tx, Value, args, outbox};
use probity_types::{AuditEvent, Micros};
use prost::Message as _;
use serde_json::json;
use std::sync::LazyLock;
use uuid::Uuid;

const RECORD: &str =
    "id, finding, rule, kind, severity, disposition, previous, note, disposed_by, time_us, current";

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let said = [("CONFIRMED", 1), ("FALSE_POSITIVE", 2), ("INCONCLUSIVE", 3)];
    let before = [("NONE", 0), ("CONFIRMED", 1), ("FALSE_POSITIVE", 2), ("INCONCLUSIVE", 3)];
    let kinds = [("TENDER", 1), ("PAYMENT", 2), ("MESSAGE", 3), ("REPORT", 4)];
    let severities = [("LOW", 1), ("MEDIUM", 2), ("HIGH", 3), ("CRITICAL", 4)];
    Schema::new("dispositions")
        .with(Field::ranks("disposition", "disposition", &said))
        .with(Field::ranks("previous", "previous", &before))
        .with(Field::text("rule", "rule"))
        .with(Field::ranks("kind", "kind", &kinds))
        .with(Field::ranks("severity", "severity", &severities))
        .with(Field::text("disposed_by", "disposed_by"))
        .with(Field::text("note", "note"))
        .with(Field::text("case", "case_name"))
        .with(Field::text("finding", "finding"))
        .with(Field::time("time", "time_us"))
        .with(Field::bool("current", "current"))
});

/// A disposition as it was stored: the finding with it, and what was new about it.
#[derive(Debug)]
pub(crate) struct Disposed {
    pub(crate) finding: pb::Finding,
    /// The rule, when this call changed what is said of the finding.
    pub(crate) changed: Option<String>,
}

/// How often people said what of the flags of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) rule: String,
    pub(crate) disposition: i32,
    pub(crate) count: i64,
}

impl Store {
    /// Sets what a person made of a finding.
    pub(crate) async fn dispose(
        &self,
        request: Request,
        work: Dispose,
        now: Micros,
    ) -> Result<Disposed, Error> {
        let stored = self.db.write(move |tx| {
            Box::pin(async move {
                if let Some(answer) = request.stored(tx).await? {
                    return Ok((answer, None));
                }
                let before = before(tx, &request, &work).await?;
                let changed = before.1;
                let finding =
                    if changed { record(tx, &request, &work, &before.0, now).await? } else { before.0 };
                let answer = convert::finding(work.case, &finding).encode_to_vec();
                request.store(tx, &answer, now).await?;
                Ok::<_, Error>((answer, changed.then_some(finding.rule)))
            })
        });
        let (answer, changed) = stored.await?;
        Ok(Disposed { finding: decode(&answer)?, changed })
    }

    /// What was said, newest first.
    pub(crate) async fn dispositions(
        &self,
        tenant: &str,
        filter: &str,
        token: &str,
        size: i64,
    ) -> Result<(Vec<pb::DispositionRecord>, String), Error> {
        let before = if token.is_empty() { vec![0xff; 16] } else { read_token(token)? };
        let wrong = |error: probity_filter::Error| Error::request("filter", error.caret());
        let filter = Filter::parse(filter).map_err(wrong)?;
        let sql = filter.check(&SCHEMA).map_err(wrong)?.sql(4);
        let text = format!(
            "SELECT {RECORD} FROM disposition WHERE tenant = $1 AND id < $2 AND {} ORDER BY id DESC LIMIT $3",
            sql.text
        );
        let mut arguments = args![tenant, before, size + 1];
        arguments.extend(sql.binds.into_iter().map(|bind| match bind {
            Bind::Int(number) => Value::from(number),
            Bind::Text(text) => Value::from(text),
        }));
        let mut rows = self.db.query(&text, arguments).await?;
        let size = usize::try_from(size).unwrap_or_default();
        let more = rows.len() > size;
        rows.truncate(size);
        let last = rows.last().filter(|_| more).map(|row| row.bytes(0)).transpose()?;
        let next = last.map_or_else(String::new, |id| format!("d.{}", hex::encode(id)));
        Ok((rows.iter().map(read).collect::<Result<_, _>>()?, next))
    }

    /// What is said of findings now, by all tenants.
    pub(crate) async fn all_disposition_counts(&self) -> Result<Vec<Count>, Error> {
        let sql = "SELECT rule, disposition, COUNT(*) FROM disposition
            WHERE current = 1 GROUP BY rule, disposition ORDER BY rule, disposition";
        self.db.query(sql, args![]).await?.iter().map(read_count).collect()
    }

    /// What is said of findings now, of what was said in a stretch of time.
    pub(crate) async fn disposition_counts(
        &self,
        tenant: &str,
        from: Micros,
        until: Micros,
    ) -> Result<Vec<Count>, Error> {
        let sql = "SELECT rule, disposition, COUNT(*) FROM disposition
            WHERE tenant = $1 AND current = 1 AND time_us >= $2 AND time_us < $3
            GROUP BY rule, disposition ORDER BY rule, disposition";
        let rows = self.db.query(sql, args![tenant, from.0, until.0]).await?;
        rows.iter().map(read_count).collect()
    }
}

fn read_count(row: &Row) -> Result<Count, Error> {
    let disposition = i32::try_from(row.i64(1)?).unwrap_or_default();
    Ok(Count { rule: row.text(0)?, disposition, count: row.i64(2)? })
}

/// The finding as it is, and whether what is said of it now is something else.
async fn before(tx: &mut Tx, request: &Request, work: &Dispose) -> Result<(StoredFinding, bool), Error> {
    // The row is written at once, so that two people who speak at the same time are
    // heard one after the other.
    let sql = format!(
        "UPDATE finding SET disposition = disposition
        WHERE tenant = $1 AND case_id = $2 AND finding_id = $3 RETURNING {COLUMNS}"
    );
    let ctx = &request.ctx;
    let row = args![&ctx.tenant, work.case.to_bytes(), work.finding.to_bytes()];
    let row = tx.query_opt(&sql, row).await?;
    let row = row.ok_or_else(|| Error::NotFound { name: convert::finding_name(work.case, work.finding) })?;
    let finding = StoredFinding::read(&row)?;
    let same = finding.disposition == work.disposition
        && finding.disposed_by == ctx.actor
        && finding.note == work.note;
    Ok((finding, !same))
}

/// Writes what is said now beside what was said before.
async fn record(
    tx: &mut Tx,
    request: &Request,
    work: &Dispose,
    before: &StoredFinding,
    now: Micros,
) -> Result<StoredFinding, Error> {
    let ctx = &request.ctx;
    let (case, finding) = (work.case.to_bytes(), work.finding.to_bytes());
    let sql = "UPDATE disposition SET current = 0
        WHERE tenant = $1 AND case_id = $2 AND finding_id = $3 AND current = 1";
    tx.execute(sql, args![&ctx.tenant, &case, &finding]).await?;
    let sql =
        "INSERT INTO disposition (tenant, id, case_id, finding_id, case_name, finding, rule, kind, severity,
            disposition, previous, note, disposed_by, time_us, current)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 1)";
    let name = convert::finding_name(work.case, work.finding);
    let row = args![
        &ctx.tenant,
        Uuid::now_v7(),
        &case,
        &finding,
        convert::case_name(work.case),
        &name,
        &before.rule,
        rules::find(&before.rule).map_or(0, |rule| convert::kind_number(rule.kind)),
        before.severity,
        work.disposition,
        before.disposition,
        &work.note,
        &ctx.actor,
        now
    ];
    tx.execute(sql, row).await?;
    let event = AuditEvent::new(ctx, now, "finding.disposed", name)
        .of_case(convert::case_name(work.case))
        .with_detail(&json!({
            "rule": before.rule,
            "disposition": disposition_name(work.disposition),
            "before": disposition_name(before.disposition),
            "note": work.note,
        }));
    outbox::append(tx, &event).await?;
    set(tx, request, work).await
}

async fn set(tx: &mut Tx, request: &Request, work: &Dispose) -> Result<StoredFinding, Error> {
    let sql = format!(
        "UPDATE finding SET disposition = $4, disposed_by = $5, disposition_note = $6
        WHERE tenant = $1 AND case_id = $2 AND finding_id = $3 RETURNING {COLUMNS}"
    );
    let (case, finding) = (work.case.to_bytes(), work.finding.to_bytes());
    let ctx = &request.ctx;
    let row = args![&ctx.tenant, case, finding, work.disposition, &ctx.actor, &work.note];
    match tx.query_opt(&sql, row).await? {
        Some(row) => StoredFinding::read(&row),
        None => Err(Error::NotFound { name: convert::finding_name(work.case, work.finding) }),
    }
}

fn disposition_name(number: i32) -> &'static str {
    pb::Disposition::try_from(number).map_or("", |disposition| disposition.as_str_name())
}

fn read_token(token: &str) -> Result<Vec<u8>, Error> {
    let id = token.strip_prefix("d.").and_then(|id| hex::decode(id).ok());
    id.filter(|id| id.len() == 16).ok_or(Error::PageToken)
}

fn read(row: &Row) -> Result<pb::DispositionRecord, Error> {
    let number = |at: usize| row.i64(at).map(|n| i32::try_from(n).unwrap_or_default());
    let id = Uuid::from_slice(&row.bytes(0)?)
        .map_err(|error| Error::Unreadable { what: "disposition", reason: error.to_string() })?;
    Ok(pb::DispositionRecord {
        name: format!("dispositions/{}", id.as_simple()),
        finding: row.text(1)?,
        rule: row.text(2)?,
        kind: number(3)?,
        severity: number(4)?,
        disposition: number(5)?,
        previous: number(6)?,
        note: row.text(7)?,
        disposed_by: row.text(8)?,
        time: Some(timestamp(row.i64(9)?)),
        current: row.bool(10)?,
    })
}
