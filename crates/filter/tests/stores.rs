//! The law of this crate: a filter selects the same rows, in the same order, in memory, on
//! SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use probity_filter::{Bind, Filter, Order};
use probity_storage::{Db, DbConfig, Migration, Null, Value, args};
use probity_testkit::Postgres;
use proptest::collection::vec;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use support::{COLUMNS, Row, cell};

const TABLE: Migration = Migration {
    version: 1,
    name: "t",
    sql: "CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, owner TEXT, state TEXT NOT NULL, \
          priority BIGINT, attempts BIGINT NOT NULL, is_case BIGINT NOT NULL, created BIGINT NOT NULL, \
          ended BIGINT, lag BIGINT)",
};
const ROWS: usize = 80;
const FILTERS: usize = 400;
const ORDERS: [&str; 6] = [
    "",
    "create_time desc, attempts",
    "priority, lag desc",
    "priority desc, end_time",
    "case, lag, attempts desc",
    "end_time desc, create_time asc",
];

/// The same values in every run.
fn runner() -> TestRunner {
    TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]))
}

fn value(name: &str, bind: Option<Bind>) -> Value {
    match bind {
        Some(Bind::Int(value)) => Value::Int(value),
        Some(Bind::Text(value)) => Value::Text(value),
        None => Value::Null(if name == "owner" { Null::Text } else { Null::Int }),
    }
}

async fn store(db: &Db, rows: &[Row]) {
    let rows = rows.to_vec();
    db.write(|tx| {
        Box::pin(async move {
            for (id, row) in (0_i64..).zip(&rows) {
                let mut args = args![id];
                args.extend(COLUMNS.map(|name| value(name, cell(row)(name))));
                tx.execute("INSERT INTO t VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", args).await?;
            }
            Ok::<_, probity_storage::Error>(())
        })
    })
    .await
    .unwrap();
}

/// Asks a database. The first argument is the caller's own, so the filter's begin at `$2`.
async fn asked(db: &Db, filter: &Filter, order: &Order<'_>) -> Vec<i64> {
    let schema = support::schema();
    let sql = filter.check(&schema).unwrap().sql(2);
    let mut args = args![-1];
    args.extend(sql.binds.into_iter().map(|bind| value("", Some(bind))));
    let text = format!("SELECT t.id FROM t WHERE t.id > $1 AND {} ORDER BY {}", sql.text, order.sql("t.id"));
    let rows = db.query(&text, args).await.unwrap_or_else(|error| panic!("{filter}\n{text}\n{error}"));
    rows.iter().map(|row| row.i64(0).unwrap()).collect()
}

fn computed(rows: &[Row], filter: &Filter, order: &Order<'_>) -> Vec<i64> {
    let schema = support::schema();
    let predicate = filter.check(&schema).unwrap();
    let mut found: Vec<_> = (0_i64..).zip(rows).filter(|(_, row)| predicate.matches(&cell(row))).collect();
    found.sort_by(|(_, a), (_, b)| order.compare(&cell(a), &cell(b)));
    found.into_iter().map(|(id, _)| id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_selects_the_same_rows_everywhere() {
    let (dir, mut runner, schema) = (tempfile::tempdir().unwrap(), runner(), support::schema());
    let sqlite = Db::open(&DbConfig::sqlite(dir.path().join("a.db")), "x", &[TABLE]).await.unwrap();
    let config = DbConfig { url: Postgres::database(), ..DbConfig::default() };
    let postgres = Db::open(&config, "x", &[TABLE]).await.unwrap();
    let rows = vec(support::row(), ROWS).new_tree(&mut runner).unwrap().current();
    store(&sqlite, &rows).await;
    store(&postgres, &rows).await;
    let (mut some, mut orders) = (0, ORDERS.iter().cycle());
    for _ in 0..FILTERS {
        let text = support::filter().new_tree(&mut runner).unwrap().current();
        let filter = Filter::parse(&text).unwrap_or_else(|error| panic!("{}", error.caret()));
        let order = Order::parse(orders.next().unwrap(), &schema).unwrap();
        let expect = computed(&rows, &filter, &order);
        assert_eq!(asked(&sqlite, &filter, &order).await, expect, "SQLite: {text}");
        assert_eq!(asked(&postgres, &filter, &order).await, expect, "PostgreSQL: {text}");
        some += usize::from(!expect.is_empty() && expect.len() < ROWS);
    }
    assert!(some > FILTERS / 2, "only {some} of {FILTERS} filters select some rows and not all");
}
