//! Many rows in one statement.

use super::{Outcome, ensure};
use crate::{Db, Error, Value, args, row};
use futures::future::join_all;

const INSERT: &str = "INSERT INTO item (tenant, id, n, x, t, b) VALUES ($1, $2, $3, $4, $5, $6)";
const UPSERT: &str = "INSERT INTO item (tenant, id, n) VALUES ($1, $2, $3)
    ON CONFLICT (tenant, id) DO UPDATE SET n = item.n + excluded.n";

/// What a row of `item` keeps beside its key.
type Columns<'a> = (i64, Option<f64>, Option<&'a str>, Option<&'a [u8]>);

/// How rows get in.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// As part of a transaction.
    Among,
    /// As all of it.
    Alone,
}

async fn many<const N: usize>(
    (db, way): (&Db, Way),
    sql: &'static str,
    rows: Vec<[Value; N]>,
) -> Result<u64, Error> {
    match way {
        Way::Among => db.write(move |tx| Box::pin(async move { tx.execute_many(sql, rows).await })).await,
        Way::Alone => db.write_rows(sql, rows).await,
    }
}

/// Rows, and the sum of their numbers.
async fn sums(db: &Db) -> Result<(i64, i64), Error> {
    let sql = "SELECT COUNT(*), CAST(COALESCE(SUM(n), 0) AS BIGINT) FROM item WHERE tenant = 'bulk'";
    let row = db.query_opt(sql, args![]).await?;
    row.map_or(Ok((0, 0)), |row| Ok((row.i64(0)?, row.i64(1)?)))
}

/// A statement of which PostgreSQL and SQLite think alike for `count` rows.
async fn stored(to: (&Db, Way), count: i64) -> Outcome {
    let db = to.0;
    many(
        to,
        "DELETE FROM item WHERE tenant = 'bulk' AND id IN (VALUES ($1))",
        (0..count).map(|id| row![id]).collect(),
    )
    .await?;
    let rows = (0..count).map(|id| row!["bulk", id, id, None::<f64>, format!("text {id}"), None::<&[u8]>]);
    let inserted = many(to, INSERT, rows.collect()).await?;
    ensure!(inserted == count.cast_unsigned(), "{inserted} of {count} rows were inserted");
    let sum = count * (count - 1) / 2;
    ensure!(sums(db).await? == (count, sum), "{count} rows were stored as {:?}", sums(db).await?);
    let changed = many(to, UPSERT, (0..count + 1).map(|id| row!["bulk", id, 1]).collect()).await?;
    ensure!(changed == count.cast_unsigned() + 1, "{changed} of {count} rows were upserted");
    ensure!(sums(db).await? == (count + 1, sum + count + 1), "the upsert left {:?}", sums(db).await?);
    let sql =
        "UPDATE item SET n = r.column2 FROM (VALUES ($1, $2)) AS r WHERE tenant = 'bulk' AND id = r.column1";
    let changed = many(to, sql, (0..count).map(|id| row![id, 3]).collect()).await?;
    ensure!(changed == count.cast_unsigned(), "{changed} of {count} rows were updated");
    ensure!(sums(db).await? == (count + 1, 3 * count + 1), "the update left {:?}", sums(db).await?);
    let ids = (0..count + 9).map(|id| row![id]).collect();
    let gone = many(to, "DELETE FROM item WHERE tenant = 'bulk' AND id IN (VALUES ($1))", ids).await?;
    ensure!(gone == count.cast_unsigned() + 1, "{gone} of {count} rows were deleted");
    Ok(())
}

pub(super) async fn rows(db: &Db) -> Outcome {
    for way in [Way::Among, Way::Alone] {
        for count in [0, 1, 2, 999, 1_000, 2_345] {
            stored((db, way), count).await?;
        }
    }
    let long = "ü'\"\\{},NULL\r\n\u{1F600}".repeat(100);
    let values: [Columns<'_>; 4] = [
        (i64::MIN, Some(f64::MAX), Some(""), Some(b"")),
        (i64::MAX, Some(-0.1), Some(&long), Some(b"\0\xff")),
        (0, None, Some("NULL"), None),
        (1, Some(0.0), None, Some(b"{}")),
    ];
    let rows = (0..).zip(values).map(|(id, (n, x, t, b))| row!["bulk", id, n, x, t, b]).collect();
    many((db, Way::Alone), INSERT, rows).await?;
    let stored = db.query("SELECT n, x, t, b FROM item WHERE tenant = 'bulk' ORDER BY id", args![]).await?;
    ensure!(stored.len() == values.len(), "{} rows came back", stored.len());
    for (row, (n, x, t, b)) in stored.iter().zip(values) {
        let got = (row.i64(0)?, row.opt_f64(1)?, row.opt_str(2)?, row.opt_blob(3)?);
        ensure!(got == (n, x, t, b), "{:?} came back as {got:?}", (n, x, t, b));
    }
    Ok(())
}

/// Both databases refuse the same, and nothing of what was refused is stored.
pub(super) async fn mistakes(db: &Db) -> Outcome {
    for way in [Way::Among, Way::Alone] {
        refused((db, way)).await?;
    }
    Ok(())
}

async fn refused(to: (&Db, Way)) -> Outcome {
    let db = to.0;
    let before = sums(db).await?;
    let fine = || row!["bulk", 100, 1];
    let answer = many(to, UPSERT, vec![fine(), row!["bulk", "101", 1]]).await;
    ensure!(matches!(answer, Err(Error::Rows { .. })), "another type answered {answer:?}");
    let answer = many(to, UPSERT, vec![fine(), row!["a\0b", 101, 1]]).await;
    ensure!(matches!(answer, Err(Error::NulInText)), "text with NUL answered {answer:?}");
    let answer = many(to, "DELETE FROM item WHERE id = $1", vec![row![100]]).await;
    ensure!(matches!(answer, Err(Error::Rows { .. })), "a statement without a row answered {answer:?}");
    let plain = "INSERT INTO item (tenant, id, n) VALUES ($1, $2, $3)";
    let answer = many(to, plain, vec![fine(), row!["bulk", 0, 1]]).await;
    ensure!(answer.as_ref().is_err_and(Error::is_unique_violation), "a key that exists answered {answer:?}");
    if cfg!(debug_assertions) {
        let answer = many(to, UPSERT, vec![fine(), fine()]).await;
        ensure!(matches!(answer, Err(Error::Rows { .. })), "a row met twice answered {answer:?}");
    }
    ensure!(sums(db).await? == before, "something of it was stored");
    Ok(())
}

/// Those who come together are committed together, one by one as ever.
pub(super) async fn together(db: &Db) -> Outcome {
    const COUNT: i64 = 200;
    let before = db.stats();
    let insert = |id: i64| {
        let row = |id| row!["together", id, 1];
        // Every fifth has a key that is taken, behind one that is not.
        let rows = if id % 5 == 4 { vec![row(COUNT + id), row(id - 1)] } else { vec![row(id)] };
        db.write_rows("INSERT INTO item (tenant, id, n) VALUES ($1, $2, $3)", rows)
    };
    let answers = join_all((0..COUNT).map(insert)).await;
    for (id, answer) in (0..).zip(&answers) {
        let fits = match answer {
            Ok(1) => id % 5 != 4,
            Err(error) => id % 5 == 4 && error.is_unique_violation(),
            Ok(_) => false,
        };
        ensure!(fits, "operation {id} answered {answer:?}");
    }
    let rows = db.query("SELECT id FROM item WHERE tenant = 'together' ORDER BY id", args![]).await?;
    let stored: Result<Vec<_>, _> = rows.iter().map(|row| row.i64(0)).collect();
    let expected: Vec<_> = (0..COUNT).filter(|id| id % 5 != 4).collect();
    ensure!(stored? == expected, "other rows are stored");
    let (operations, transactions) =
        (db.stats().operations - before.operations, db.stats().transactions - before.transactions);
    ensure!(operations == expected.len() as u64, "{operations} operations were counted");
    ensure!(transactions < operations / 4, "{operations} operations took {transactions} transactions");
    Ok(())
}
