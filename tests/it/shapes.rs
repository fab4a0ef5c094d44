//! One platform in two shapes and on two stores: the same load, the same checks.

use probity_cli::client::Client;
use probity_proto::orchestrator::{Case, CaseState};
use probity_testkit::Postgres;
use probity_tests::checker::{self, Stores};
use probity_tests::load::{Load, settle};
use probity_tests::sandbox::{Embedded, SERVICES, Separate};
use std::collections::BTreeMap;
use std::time::Duration;

const CASES: u64 = 30;
const LIMIT: Duration = Duration::from_secs(120);

/// Opens the load and waits until nothing moves any more.
async fn run(client: &Client) -> (BTreeMap<String, String>, BTreeMap<String, Case>) {
    let load = Load::new(3);
    let opened = futures::future::join_all((0..CASES).map(|number| load.open(client, number, LIMIT))).await;
    let acknowledged =
        (0..CASES).map(|n| format!("key {n}")).zip(opened.iter().map(|c| c.name.clone())).collect();
    let names: Vec<String> = opened.into_iter().map(|c| c.name).collect();
    (acknowledged, settle(client, &names, LIMIT).await)
}

/// What the generator planted is found, what it did not plant is not.
fn check_outcomes(acknowledged: &BTreeMap<String, String>, cases: &BTreeMap<String, Case>) {
    let load = Load::new(3);
    for number in 0..CASES {
        let item = load.item(number);
        let case = &cases[&acknowledged[&format!("key {number}")]];
        assert_ne!(case.state(), CaseState::Failed, "{}: {:?}", item.filename(), case.verdict);
        if item.expected().is_clean() {
            assert_eq!(case.state(), CaseState::Resolved, "{} is clean: {case:?}", item.filename());
        }
    }
    assert!(cases.values().any(|c| c.waiting.is_some()), "something must wait for a person");
    assert!(cases.values().any(|c| c.state() == CaseState::Resolved), "something must resolve by itself");
}

async fn check_stores(stores: &Stores, acknowledged: &BTreeMap<String, String>) {
    let report = checker::check(stores, acknowledged).await;
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.cases as u64, CASES);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_on_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let platform = Embedded::start(dir.path()).await;
    let (acknowledged, cases) = run(&platform.client()).await;
    check_outcomes(&acknowledged, &cases);
    platform.stop().await;
    check_stores(&Stores::sqlite(dir.path()), &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_a_service_on_sqlite_with_one_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut platform = Separate::start(dir.path(), BTreeMap::new()).await;
    let client = platform.client();
    platform.kill("anti-corruption").await;
    let load = Load::new(3);
    let first = load.open(&client, 0, LIMIT).await;
    platform.start_service("anti-corruption").await;
    let (acknowledged, cases) = run(&client).await;
    assert_eq!(acknowledged["key 0"], first.name, "the same key is the same case");
    check_outcomes(&acknowledged, &cases);
    platform.stop().await;
    check_stores(&Stores::sqlite(dir.path()), &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_a_service_on_postgresql() {
    let dir = tempfile::tempdir().unwrap();
    let (orchestrator, audit) = (Postgres::database(), Postgres::database());
    // the others share one database: each service has a schema of its own
    let shared = Postgres::database();
    let mut databases: BTreeMap<_, _> = SERVICES.iter().map(|name| (*name, shared.clone())).collect();
    databases.extend([("orchestrator", orchestrator.clone()), ("audit-aggregator", audit.clone())]);
    let mut platform = Separate::start(dir.path(), databases).await;
    let client = platform.client();
    let load = Load::new(3);
    let first = load.open(&client, 0, LIMIT).await;
    platform.kill("orchestrator").await;
    platform.start_service("orchestrator").await;
    let (acknowledged, cases) = run(&client).await;
    assert_eq!(acknowledged["key 0"], first.name, "the same key is the same case");
    check_outcomes(&acknowledged, &cases);
    platform.stop().await;
    let files = std::process::Command::new("find").arg(dir.path()).args(["-name", "*.db"]).output().unwrap();
    assert!(
        files.stdout.is_empty(),
        "a store is not in PostgreSQL: {}",
        String::from_utf8_lossy(&files.stdout)
    );
    check_stores(&Stores { orchestrator, audit }, &acknowledged).await;
}
