//! Values, statements and mistakes.

use super::{Failure, Outcome, ensure};
use crate::{Db, Error, Row, Value, args};

/// Stores one row and reads it back.
async fn store(db: &Db, id: i64, columns: Vec<Value>) -> Result<Row, Failure> {
    let sql = "INSERT INTO item (tenant, id, n, x, t, b) VALUES ('values', $5, $1, $2, $3, $4)";
    let mut row = columns;
    row.push(id.into());
    db.write(move |tx| Box::pin(async move { tx.execute(sql, row).await })).await?;
    let sql = "SELECT n, x, t, b FROM item WHERE tenant = $1 AND id = $2";
    let row = db.query_opt(sql, args!["values", id]).await?;
    row.ok_or_else(|| Failure("the row is not there".into()))
}

pub(super) async fn round_trip(db: &Db) -> Outcome {
    let all_bytes: Vec<u8> = (0..=255).collect();
    let long = "ü'\"\\;--\r\n\u{1F600}\u{202E}".repeat(10_000);
    let values: [(i64, f64, &str, &[u8]); 6] = [
        (0, 0.0, "", b""),
        (i64::MIN, f64::MIN, "a", b"\0"),
        (i64::MAX, f64::MAX, &long, &all_bytes),
        (-1, -0.1, "$1", b"' OR 1=1"),
        (9_007_199_254_740_993, f64::MIN_POSITIVE, "1", b"1"),
        (1, 1.0, "1.50", b"x"),
    ];
    for (id, (n, x, t, b)) in (0..).zip(values) {
        let row = store(db, id, args![n, x, t, b]).await?;
        ensure!(row.i64(0)? == n, "integer {n} came back as {}", row.i64(0)?);
        ensure!(row.f64(1)?.to_bits() == x.to_bits(), "float {x} came back as {}", row.f64(1)?);
        ensure!(row.text(2)? == t, "text {t:.40?} came back as {:.40?}", row.text(2)?);
        ensure!(row.bytes(3)? == b, "bytes {b:?} came back as {:?}", row.bytes(3)?);
        ensure!(row.bool(0)? == (n != 0), "{n} as a truth value");
    }
    Ok(())
}

pub(super) async fn nulls(db: &Db) -> Outcome {
    let none = args![None::<i64>, None::<f64>, None::<&str>, None::<&[u8]>];
    let row = store(db, 100, none).await?;
    ensure!(row.opt_i64(0)?.is_none() && row.opt_f64(1)?.is_none(), "a number instead of NULL");
    ensure!(row.opt_text(2)?.is_none() && row.opt_bytes(3)?.is_none(), "a value instead of NULL");
    ensure!(matches!(row.i64(0), Err(Error::Column { index: 0, .. })), "NULL was taken for an integer");
    ensure!(matches!(row.text(2), Err(Error::Column { index: 2, .. })), "NULL was taken for text");
    let row = store(db, 101, args![Some(7), Some(0.5), Some("t"), Some(b"b")]).await?;
    ensure!(row.opt_i64(0)? == Some(7) && row.opt_text(2)?.as_deref() == Some("t"), "{row:?}");
    ensure!(row.opt_f64(1)? == Some(0.5) && row.opt_bytes(3)?.as_deref() == Some(b"b"), "{row:?}");
    Ok(())
}

/// Upserts, `RETURNING`, counts, comparisons and row counts.
pub(super) async fn statements(db: &Db) -> Outcome {
    let row = db.query_opt("SELECT name FROM backend", args![]).await?;
    let name = row.map(|row| row.text(0)).transpose()?;
    ensure!(name.as_deref() == Some("it's one; of two"), "a migration stored {name:?}");
    let upsert = "INSERT INTO item (tenant, id, n) VALUES ('upsert', $1, $2)
        ON CONFLICT (tenant, id) DO UPDATE SET n = item.n + excluded.n RETURNING n";
    let sum = db
        .write(move |tx| {
            Box::pin(async move {
                tx.query_opt(upsert, args![1, 5]).await?;
                let row = tx.query_opt(upsert, args![1, 6]).await?;
                let changed =
                    tx.execute("UPDATE item SET t = 'x' WHERE tenant = $1", args!["upsert"]).await?;
                let missed = tx.execute("DELETE FROM item WHERE tenant = $1", args!["nobody"]).await?;
                Ok::<_, Error>((row.map(|row| row.i64(0)).transpose()?, changed, missed))
            })
        })
        .await?;
    ensure!(sum == (Some(11), 1, 0), "upsert, update and delete answered {sum:?}");
    let sql = "SELECT COUNT(*), CAST(SUM(n) AS BIGINT), MAX(n), 1, n = 11, n > 11 FROM item
        WHERE tenant = $1 GROUP BY n LIMIT $2";
    let row = db.query_opt(sql, args!["upsert", 1]).await?.ok_or_else(|| Failure("no row".into()))?;
    ensure!((row.i64(0)?, row.i64(1)?, row.i64(2)?, row.i64(3)?) == (1, 11, 11, 1), "{row:?}");
    ensure!(row.bool(4)? && !row.bool(5)? && row.len() == 6, "{row:?}");
    Ok(())
}

pub(super) async fn mistakes(db: &Db) -> Outcome {
    let answer = db.query("SELECT $1", args!["a\0b"]).await;
    ensure!(matches!(answer, Err(Error::NulInText)), "text with NUL answered {answer:?}");
    let answer = db.query("SELEKT 1", args![]).await;
    ensure!(matches!(answer, Err(Error::Statement { .. })), "bad SQL answered {answer:?}");
    let row = db.query_opt("SELECT t FROM item WHERE tenant = 'upsert'", args![]).await?;
    let answer = row.map(|row| row.i64(0));
    ensure!(matches!(answer, Some(Err(Error::Column { .. }))), "text read as integer answered {answer:?}");
    if cfg!(debug_assertions) {
        let answer = db.query("SELECT n FROM item WHERE id = $1 AND tenant = $2", args![1]).await;
        ensure!(matches!(answer, Err(Error::Arguments { .. })), "a missing argument answered {answer:?}");
    }
    Ok(())
}

pub(super) async fn read_only(db: &Db) -> Outcome {
    let answer = db.query("INSERT INTO item (tenant, id) VALUES ('reader', 1)", args![]).await;
    ensure!(answer.is_err(), "a reader stored a row");
    Ok(())
}
