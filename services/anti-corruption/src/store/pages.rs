//! Reading lists page by page.
//!
//! A page token says where the last page ended. It only ever continues the list
//! of the case and tenant it is sent with, so there is nothing to forge.

use super::Store;
use super::findings::{COLUMNS, StoredFinding};
use crate::domain::Rejection;
use crate::error::Error;
use probity_storage::args;
use probity_types::id::CaseId;

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// Token of the next page; empty at the end.
    pub(crate) next: String,
    /// How many there are in all.
    pub(crate) total: i64,
}

/// Where a page of findings ends.
type FindingEnd = (i64, i64, Vec<u8>);

impl Store {
    /// Findings of a case, most serious first.
    pub(crate) async fn findings(
        &self,
        tenant: &str,
        case: CaseId,
        token: &str,
        size: i64,
    ) -> Result<Page<StoredFinding>, Error> {
        let (severity, position, id) = read_finding_token(token)?;
        let sql = format!(
            "SELECT {COLUMNS} FROM finding WHERE tenant = $1 AND case_id = $2 AND (severity < $3
                OR (severity = $3 AND (position > $4 OR (position = $4 AND finding_id > $5))))
            ORDER BY severity DESC, position, finding_id LIMIT $6"
        );
        let key = case.to_bytes();
        let rows = self.db.query(&sql, args![tenant, &key, severity, position, id, size + 1]).await?;
        let mut items = rows.iter().map(StoredFinding::read).collect::<Result<Vec<_>, _>>()?;
        let end = |last: &StoredFinding| {
            let (severity, position) = (last.severity, last.position);
            format!("f.{severity}.{position}.{}", hex::encode(last.id.to_bytes()))
        };
        let next = cut(&mut items, size, end);
        let sql = "SELECT (SELECT COUNT(*) FROM finding WHERE tenant = $1 AND case_id = $2) +
            (SELECT CAST(COALESCE(SUM(not_kept), 0) AS BIGINT) FROM investigation WHERE tenant = $1 AND case_id = $2)";
        Ok(Page { items, next, total: self.count(sql, tenant, case).await? })
    }

    /// Refused items of a case, in order.
    pub(crate) async fn rejections(
        &self,
        tenant: &str,
        case: CaseId,
        token: &str,
        size: i64,
    ) -> Result<Page<Rejection>, Error> {
        let after = read_rejection_token(token)?;
        let sql = "SELECT position, document, line, field, reason FROM rejection
            WHERE tenant = $1 AND case_id = $2 AND position > $3 ORDER BY position LIMIT $4";
        let rows = self.db.query(sql, args![tenant, case.to_bytes(), after, size + 1]).await?;
        let mut items = Vec::with_capacity(rows.len());
        for row in &rows {
            let line = u64::try_from(row.i64(2)?).unwrap_or_default();
            let (document, field, reason) = (row.text(1)?.into(), row.text(3)?, row.text(4)?);
            items.push((row.i64(0)?, Rejection { document, line, field, reason }));
        }
        let next = cut(&mut items, size, |(position, _)| format!("r.{position}"));
        let items = items.into_iter().map(|(_, rejection)| rejection).collect();
        let sql = "SELECT COUNT(*) FROM rejection WHERE tenant = $1 AND case_id = $2";
        Ok(Page { items, next, total: self.count(sql, tenant, case).await? })
    }

    async fn count(&self, sql: &str, tenant: &str, case: CaseId) -> Result<i64, Error> {
        let row = self.db.query_opt(sql, args![tenant, case.to_bytes()]).await?;
        row.map_or(Ok(0), |row| Ok(row.i64(0)?))
    }
}

/// Cuts what was read beyond the page; tells the token of the next page.
fn cut<T>(items: &mut Vec<T>, size: i64, end: impl Fn(&T) -> String) -> String {
    let size = usize::try_from(size).unwrap_or_default();
    if items.len() <= size {
        return String::new();
    }
    items.truncate(size);
    items.last().map(end).unwrap_or_default()
}

fn read_finding_token(token: &str) -> Result<FindingEnd, Error> {
    if token.is_empty() {
        return Ok((i64::MAX, 0, Vec::new()));
    }
    let mut parts = token.split('.');
    let (kind, severity, position, id) = (parts.next(), parts.next(), parts.next(), parts.next());
    let number = |text: Option<&str>| text.and_then(|text| text.parse().ok());
    match (kind, number(severity), number(position), id.and_then(|id| hex::decode(id).ok()), parts.next()) {
        (Some("f"), Some(severity), Some(position), Some(id), None) => Ok((severity, position, id)),
        _ => Err(Error::PageToken),
    }
}

fn read_rejection_token(token: &str) -> Result<i64, Error> {
    if token.is_empty() {
        return Ok(0);
    }
    token.strip_prefix("r.").and_then(|position| position.parse().ok()).ok_or(Error::PageToken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_back_or_refused() {
        let check = |token: &str, ok: bool| assert_eq!(read_finding_token(token).is_ok(), ok, "{token}");
        check("", true);
        check("f.3.17.00ff", true);
        check("f.3.17", false);
        check("f.3.17.zz", false);
        check("f.3.17.00.1", false);
        check("r.3", false);
        check("'; DROP TABLE finding", false);
        assert_eq!(read_rejection_token("r.9").unwrap(), 9);
        assert!(read_rejection_token("f.3.17.00ff").is_err());
    }

    #[test]
    fn a_page_is_cut_and_continued() {
        let mut items = vec![1, 2, 3];
        assert_eq!(cut(&mut items, 2, ToString::to_string), "2");
        assert_eq!(items, [1, 2]);
        assert_eq!(cut(&mut items, 2, ToString::to_string), "");
    }
}
