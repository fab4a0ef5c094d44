//! The store against a model: whatever the operations and however they meet,
//! each is stored as a whole or not at all, and events follow their rows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use futures::future::{BoxFuture, join_all};
use probity_storage::{Db, DbConfig, Error, Migration, Tx, args, outbox};
use probity_types::{AuditEvent, Ctx, Micros};
use proptest::prelude::*;
use std::collections::BTreeMap;

const TABLE: Migration = Migration {
    version: 1,
    name: "t",
    sql: "CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, n BIGINT NOT NULL)",
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Well,
    Refuses,
    BadSql,
    Panics,
}

/// Adds `n` to some rows, appends as many events, then ends somehow.
#[derive(Debug, Clone)]
struct Op {
    rows: Vec<i64>,
    n: i64,
    end: End,
}

fn op() -> impl Strategy<Value = Op> {
    let end = prop_oneof![
        6 => Just(End::Well), 1 => Just(End::Refuses), 1 => Just(End::BadSql), 1 => Just(End::Panics)
    ];
    (prop::collection::vec(0..6_i64, 0..4), 1..100_i64, end).prop_map(|(rows, n, end)| Op { rows, n, end })
}

fn run(tx: &mut Tx, op: Op, label: String) -> BoxFuture<'_, Result<(), Error>> {
    Box::pin(async move {
        for row in &op.rows {
            let sql =
                "INSERT INTO t (id, n) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET n = t.n + excluded.n";
            tx.execute(sql, args![*row, op.n]).await?;
            let ctx = Ctx::service("x", "acme", "r");
            outbox::append(tx, &AuditEvent::new(&ctx, Micros(op.n), "t.added", label.as_str())).await?;
        }
        match op.end {
            End::Well => Ok(()),
            End::Refuses => Err(Error::NulInText),
            End::BadSql => tx.execute("NOT SQL", args![]).await.map(drop),
            End::Panics => std::panic::resume_unwind(Box::new("on purpose")),
        }
    })
}

/// Runs the groups one after the other, the operations of a group together.
async fn check(groups: Vec<Vec<Op>>, max_batch: usize) {
    let dir = tempfile::tempdir().unwrap();
    let config = DbConfig { max_batch, ..DbConfig::sqlite(dir.path().join("a.db")) };
    let db = Db::open(&config, "x", &[TABLE]).await.unwrap();
    let mut rows = BTreeMap::<i64, i64>::new();
    let mut events = Vec::new();
    for (g, group) in groups.into_iter().enumerate() {
        let labelled = group.iter().cloned().enumerate().map(|(n, op)| (op, format!("{g}.{n}")));
        let answers = join_all(labelled.map(|(op, label)| db.write(move |tx| run(tx, op, label)))).await;
        for (n, (op, answer)) in group.iter().zip(answers).enumerate() {
            assert_eq!(answer.is_ok(), op.end == End::Well, "{op:?} {answer:?}");
            if op.end == End::Well {
                op.rows.iter().for_each(|row| *rows.entry(*row).or_default() += op.n);
                events.extend(op.rows.iter().map(|_| format!("{g}.{n}")));
            }
        }
    }
    let stored = db.query("SELECT id, n FROM t", args![]).await.unwrap();
    let stored: BTreeMap<_, _> =
        stored.iter().map(|row| (row.i64(0).unwrap(), row.i64(1).unwrap())).collect();
    assert_eq!(stored, rows);
    let pending = outbox::pending(&db, 0, 10_000).await.unwrap();
    assert_eq!(pending.iter().map(|(_, event)| event.subject.clone()).collect::<Vec<_>>(), events);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn stored_as_a_whole_or_not_at_all(
        groups in prop::collection::vec(prop::collection::vec(op(), 1..12), 1..5),
        max_batch in 1..16_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(groups, max_batch));
    }
}
