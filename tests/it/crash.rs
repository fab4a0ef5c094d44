//! SIGKILL in the middle of everything, another release in the middle of everything:
//! nothing is lost, nothing is doubled.

use probity_cli::client::Client;
use probity_storage::{Db, DbConfig, args};
use probity_testkit::eventually;
use probity_tests::checker::{self, Stores};
use probity_tests::load::{Load, settle};
use probity_tests::sandbox::{Embedded, SERVICES, binary};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Cases of a release and another.
const CASES: u64 = 200;
/// Cases for each kill: more than callers, or those that are slow to open would be beaten
/// by quick ones each time, and never be opened.
const CASES_A_KILL: u64 = 20;

/// Kills: ten, or as `PROBITY_ROUNDS` says.
fn kills() -> u64 {
    std::env::var("PROBITY_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

const CALLERS: usize = 16;
const LIMIT: Duration = Duration::from_secs(240);

/// Opens every item by `CALLERS` callers, whoever serves at the moment.
async fn open_all(
    load: Load,
    url: watch::Receiver<Client>,
    opened: Arc<AtomicU64>,
    cases: u64,
) -> BTreeMap<String, String> {
    let next = Arc::new(AtomicU64::new(0));
    let callers = (0..CALLERS).map(|_| {
        let (next, url, opened) = (next.clone(), url.clone(), opened.clone());
        tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= cases {
                    return mine;
                }
                let name = open_somewhere(load, number, &url).await;
                opened.fetch_add(1, Ordering::SeqCst);
                mine.push((format!("key {number}"), name));
            }
        })
    });
    let mut all = BTreeMap::new();
    for caller in futures::future::join_all(callers).await {
        all.extend(caller.unwrap());
    }
    all
}

/// Tries whichever process serves now, until one has answered.
async fn open_somewhere(load: Load, number: u64, serving: &watch::Receiver<Client>) -> String {
    let until = Instant::now() + LIMIT;
    loop {
        let client = serving.borrow().clone();
        let attempt = tokio::time::timeout(Duration::from_secs(5), load.try_open(&client, number)).await;
        match attempt {
            Ok(Ok(case)) => return case.name,
            refused => assert!(Instant::now() < until, "item {number}: {refused:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Spreads what is done over the load: each comes after a further share of it.
async fn a_share(opened: &AtomicU64, cases: u64, turn: u64, turns: u64) {
    let share = cases * (turn + 1) / (turns + 2);
    eventually(LIMIT, async || {
        let so_far = opened.load(Ordering::SeqCst);
        if so_far >= share { Ok(()) } else { Err(so_far) }
    })
    .await;
}

/// Everything ended, and the checker finds nothing wrong.
async fn all_is_well(platform: Embedded, acknowledged: &BTreeMap<String, String>, cases: u64) {
    let names: Vec<String> = acknowledged.values().cloned().collect();
    settle(&platform.client(), &names, LIMIT).await;
    let dir = platform.dir.clone();
    platform.stop().await;
    let report = checker::check(&Stores::sqlite(&dir), acknowledged).await;
    println!("{} cases, {} facts, {} entries", report.cases, report.facts, report.entries);
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.cases as u64, cases);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_kills_amid_two_hundred_cases() {
    let dir = tempfile::tempdir().unwrap();
    let mut platform = Embedded::start(dir.path()).await;
    let (send, serving) = watch::channel(platform.client());
    let opened = Arc::new(AtomicU64::new(0));
    let (kills, cases) = (kills(), kills() * CASES_A_KILL);
    let opening = tokio::spawn(open_all(Load::new(11), serving, opened.clone(), cases));
    for kill in 0..kills {
        a_share(&opened, cases, kill, kills).await;
        platform.kill().await;
        platform = Embedded::start(dir.path()).await;
        send.send(platform.client()).unwrap();
    }
    all_is_well(platform, &opening.await.unwrap(), cases).await;
}

/// The program of the release before this one: `PROBITY_PREVIOUS` names it. Without one
/// it is this program on stores that a later one has been at.
fn previous() -> Option<PathBuf> {
    std::env::var_os("PROBITY_PREVIOUS").map(PathBuf::from)
}

/// Leaves the stores as a later release would, whose migrations add something.
async fn a_later_release_was_here(dir: &Path) {
    for name in SERVICES {
        let file = dir.join(name).join(format!("{name}.db"));
        if !file.is_file() {
            continue;
        }
        let config = DbConfig { url: format!("sqlite:{}", file.display()), ..DbConfig::default() };
        let db = Db::open(&config, &name.replace('-', "_"), &[]).await.unwrap();
        let later = db.write(|tx| {
            Box::pin(async move {
                tx.execute("CREATE TABLE IF NOT EXISTS of_a_later_release (a BIGINT)", args![]).await?;
                let row = "INSERT INTO probity_migration (component, version, name, sha256, applied_us)
                    VALUES ('service', 1000, 'later', 'not known here', 0) ON CONFLICT DO NOTHING";
                tx.execute(row, args![]).await
            })
        });
        assert_eq!(later.await.map_err(|error: probity_storage::Error| error.to_string()), Ok(1));
        db.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_release_and_back_amid_two_hundred_cases() {
    let dir = tempfile::tempdir().unwrap();
    let (this, before) = (binary("probity"), previous());
    let first = before.as_deref().unwrap_or(&this);
    println!("before this release: {}", first.display());
    let mut platform = Embedded::start_program(first, dir.path()).await;
    let (send, serving) = watch::channel(platform.client());
    let opened = Arc::new(AtomicU64::new(0));
    let opening = tokio::spawn(open_all(Load::new(27), serving, opened.clone(), CASES));
    // There, back, and there again: each finds what the other was in the middle of.
    for turn in 0..3 {
        a_share(&opened, CASES, turn, 3).await;
        platform.stop().await;
        if before.is_none() && turn == 0 {
            a_later_release_was_here(dir.path()).await;
        }
        let next = if turn % 2 == 0 { &this } else { first };
        platform = Embedded::start_program(next, dir.path()).await;
        send.send(platform.client()).unwrap();
    }
    all_is_well(platform, &opening.await.unwrap(), CASES).await;
}
