//! The log on both databases: what every test here does, it does on SQLite and
//! on a PostgreSQL server of its own.

mod append;
mod memory;
mod reading;
mod tamper;

use crate::appender::{Appended, Appender};
use crate::convert;
use crate::domain::batch::NewEntry;
use crate::domain::check::CheckReport;
use crate::error::Error;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::store::{MIGRATIONS, Store};
use ed25519_dalek::SigningKey;
use probity_merkle::NoteSigner;
use probity_proto::audit as pb;
use probity_storage::{Backend, Db, DbConfig, Value};
use probity_testkit::{Postgres, eventually};
use probity_types::{Ctx, ManualClock, Micros};
use prometheus::Registry;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Where a log of a test is kept.
struct Place {
    config: DbConfig,
    signer: Arc<NoteSigner>,
    _dir: tempfile::TempDir,
}

/// A log that runs.
struct Running {
    db: Db,
    log: Log,
    appender: Appender,
}

/// Runs a test on SQLite and on PostgreSQL.
async fn on_both(test: impl AsyncFn(&Place)) {
    let dir = || tempfile::tempdir().unwrap();
    let sqlite = dir();
    let config = DbConfig::sqlite(sqlite.path().join("log.db"));
    test(&Place { config, signer: signer(1), _dir: sqlite }).await;
    let config = DbConfig { url: Postgres::database(), ..DbConfig::default() };
    test(&Place { config, signer: signer(1), _dir: dir() }).await;
}

fn signer(seed: u8) -> Arc<NoteSigner> {
    Arc::new(NoteSigner::new("log.example/test", SigningKey::from_bytes(&[seed; 32])).unwrap())
}

impl Place {
    /// Other tests of this process start programs, and one that is being started
    /// holds on to every lock for a moment, that of a file just closed too.
    async fn open(&self) -> Running {
        let open = async || Db::open(&self.config, "audit-aggregator", MIGRATIONS).await;
        self.run(eventually(Duration::from_secs(10), open).await)
    }

    /// A second appender on the same log: on PostgreSQL with connections of its
    /// own, as another process has them; a SQLite file has one owner.
    async fn beside(&self, first: &Running) -> Running {
        match first.db.backend() {
            Backend::Postgres => self.open().await,
            Backend::Sqlite => self.run(first.db.clone()),
        }
    }

    fn run(&self, db: Db) -> Running {
        let store = Store::new(db.clone());
        let clock = Arc::new(ManualClock::at(Micros(1_700_000_000_000_000)));
        let metrics = Metrics::new(&Registry::new()).unwrap();
        let appender = Appender::start(store.clone(), self.signer.clone(), clock, metrics);
        Running { db, log: Log::new(store, self.signer.verifier_key().clone()), appender }
    }

    /// A log with a checkpoint after each of these numbers of entries.
    async fn with_batches(&self, sizes: &[u64]) -> Running {
        let running = self.open().await;
        let mut from = 0;
        for size in sizes {
            running.append(from..from + size).await.unwrap();
            from += size;
        }
        running
    }

    async fn check(&self, running: &Running) -> CheckReport {
        crate::check(&running.db, self.signer.verifier_key()).await.unwrap()
    }
}

impl Running {
    async fn append(&self, ids: impl IntoIterator<Item = u64>) -> Result<Appended, Error> {
        self.appender.append(entries(ids)).await
    }

    async fn size(&self) -> u64 {
        self.log.head(None).await.unwrap().checkpoint.size
    }

    async fn execute(&self, sql: &str, args: Vec<Value>) -> u64 {
        let sql = sql.to_owned();
        let write = self.db.write(move |tx| Box::pin(async move { tx.execute(&sql, args).await }));
        write.await.unwrap_or_else(|error: probity_storage::Error| panic!("{error:?}"))
    }

    async fn bytes(&self, sql: &str, args: Vec<Value>) -> Vec<u8> {
        self.db.query_opt(sql, args).await.unwrap().unwrap().bytes(0).unwrap()
    }

    /// Ends the writer, as a process that stops does.
    async fn close(self) {
        self.db.close().await;
    }
}

/// Entry `n`; every tenth is of another tenant, and each of one of five cases.
fn entry(n: u64) -> pb::Entry {
    pb::Entry {
        event_id: Uuid::from_u128(u128::from(n)).to_string(),
        tenant: if n % 10 == 9 { "umbra" } else { "acme" }.to_owned(),
        time_us: 1_700_000_000_000_000,
        actor: "users/ada".to_owned(),
        action: if n.is_multiple_of(2) { "case.opened" } else { "case.transition" }.to_owned(),
        subject: case(n % 5),
        case: case(n % 5),
        outcome: "ok".to_owned(),
        detail: format!("{{\"n\":{n}}}"),
        service: "orchestrator".to_owned(),
        request_id: format!("request-{n}"),
        trace_id: String::new(),
    }
}

fn case(n: u64) -> String {
    format!("cases/case_{n:032x}")
}

fn entries(ids: impl IntoIterator<Item = u64>) -> Vec<NewEntry> {
    let ctx = Ctx::service("orchestrator", "platform", "");
    let entries: Vec<_> = ids.into_iter().map(entry).collect();
    // The limit is one of requests; tests may take larger batches.
    let request = |chunk: &[pb::Entry]| convert::entries(&ctx, pb::AppendRequest { entries: chunk.to_vec() });
    entries.chunks(convert::MAX_ENTRIES).flat_map(|chunk| request(chunk).unwrap()).collect()
}
