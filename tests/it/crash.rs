//! SIGKILL in the middle of everything: nothing is lost, nothing is doubled.

use probity_cli::client::Client;
use probity_testkit::eventually;
use probity_tests::checker::{self, Stores};
use probity_tests::load::{Load, settle};
use probity_tests::sandbox::Embedded;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

const CASES: u64 = 200;
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
) -> BTreeMap<String, String> {
    let next = Arc::new(AtomicU64::new(0));
    let callers = (0..CALLERS).map(|_| {
        let (next, url, opened) = (next.clone(), url.clone(), opened.clone());
        tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= CASES {
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

#[tokio::test(flavor = "multi_thread")]
async fn ten_kills_amid_two_hundred_cases() {
    let dir = tempfile::tempdir().unwrap();
    let mut platform = Embedded::start(dir.path()).await;
    let (send, serving) = watch::channel(platform.client());
    let opened = Arc::new(AtomicU64::new(0));
    let opening = tokio::spawn(open_all(Load::new(11), serving, opened.clone()));
    let kills = kills();
    for kill in 0..kills {
        // Spread over the load: each kill comes after a further share of it.
        let share = CASES * (kill + 1) / (kills + 2);
        eventually(LIMIT, async || {
            let so_far = opened.load(Ordering::SeqCst);
            if so_far >= share { Ok(()) } else { Err(so_far) }
        })
        .await;
        platform.kill().await;
        platform = Embedded::start(dir.path()).await;
        send.send(platform.client()).unwrap();
    }
    let acknowledged = opening.await.unwrap();
    let names: Vec<String> = acknowledged.values().cloned().collect();
    settle(&platform.client(), &names, LIMIT).await;
    platform.stop().await;
    let report = checker::check(&Stores::sqlite(dir.path()), &acknowledged).await;
    println!("{} cases, {} facts, {} entries", report.cases, report.facts, report.entries);
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.cases as u64, CASES);
}
