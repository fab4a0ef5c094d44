//! A PostgreSQL that is away or does not answer: callers are told so at once and when
//! to come again, nothing is let through unchecked, and all goes on when it is back.
//! `make soak` keeps it away for five minutes.

use probity_proto::orchestrator::{GetCaseRequest, ListCasesRequest};
use probity_testkit::{Postgres, eventually};
use probity_tests::chaos::{Chaos, LIMIT};
use probity_tests::load::{Load, settle};
use probity_tests::{Control, Setup};
use std::collections::BTreeMap;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// How long it is away.
fn away_for() -> Duration {
    Duration::from_secs(if std::env::var_os("PROBITY_ROUNDS").is_some() { 300 } else { 4 })
}

/// Between two callers.
const PACE: Duration = Duration::from_millis(50);
/// All goes on within this when it is back.
const BACK: Duration = Duration::from_secs(10);
/// A caller is told within this that it is away.
const TOLD: Duration = Duration::from_secs(1);

/// What callers were told.
#[derive(Debug, Default)]
struct Told {
    calls: u32,
    /// Answered, though the store is away.
    fine: u32,
    /// UNAVAILABLE, with the time to come again.
    later: u32,
    other: Vec<String>,
    slowest: Duration,
}

impl Told {
    fn add(&mut self, answer: Result<(), Status>, took: Duration) {
        self.calls += 1;
        self.slowest = self.slowest.max(took);
        match answer {
            Ok(()) => self.fine += 1,
            Err(status) if is_later(&status) => self.later += 1,
            Err(status) => {
                self.other.push(format!("{:?} {} after {took:?}", status.code(), status.message()))
            }
        }
    }
}

fn is_later(status: &Status) -> bool {
    let after = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
    status.code() == Code::Unavailable && after.is_some()
}

/// Reads and writes cases, one after the other, for a while.
async fn ask(chaos: &Chaos, known: &str, load: &Load, during: Duration, control: &Control) -> Told {
    let (mut told, begun) = (Told::default(), control.now());
    let (mut number, mut pace) = (1_000, tokio::time::interval(PACE));
    while control.since(begun) < during {
        pace.tick().await;
        let before = control.now();
        let (mut request, _) = chaos.client.request(GetCaseRequest { name: known.to_owned() }, None);
        request.set_timeout(Duration::from_secs(10));
        let read = chaos.client.cases().get_case(request).await.map(drop);
        told.add(read, control.since(before));
        let before = control.now();
        let written = load.try_open(&chaos.client, number).await.map(drop);
        told.add(written, control.since(before));
        number += 1;
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_said_within_a_second_and_nothing_passes() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Postgres::start());
    let databases = BTreeMap::from([("orchestrator", server.create())]);
    let chaos = Chaos::with(dir.path(), Setup { databases, ..Setup::default() }).await;
    let (load, control) = (Load::new(19), chaos.control("orchestrator"));
    let known = load.open(&chaos.client, 0, LIMIT).await.name;
    settle(&chaos.client, std::slice::from_ref(&known), LIMIT).await;

    server.kill();
    let told = ask(&chaos, &known, &load, away_for(), &control).await;
    println!("away: {} calls, {} told to come again, slowest {:?}", told.calls, told.later, told.slowest);
    assert!(told.other.is_empty() && told.fine == 0, "{told:?}");
    assert!(told.later >= 4 && told.slowest <= TOLD, "{told:?}");
    server.resume();
    let begun = control.now();
    let next = load.open(&chaos.client, 1, LIMIT).await.name;
    let back = control.since(begun);
    println!("away: a case is opened {back:?} after it is back");
    assert!(back <= BACK, "{back:?}");
    let settled = settle(&chaos.client, &[known.clone(), next.clone()], LIMIT).await;
    assert_eq!(settled.len(), 2);

    // All its connections are taken by questions that it does not answer.
    server.freeze();
    let reads = (0..12).map(|_| async {
        let before = control.now();
        let (mut request, _) = chaos.client.request(ListCasesRequest::default(), None);
        request.set_timeout(Duration::from_secs(4));
        let read = chaos.client.cases().list_cases(request).await.map(drop);
        (read, control.since(before))
    });
    let mut told = Told::default();
    let mut quick = 0;
    for (read, took) in futures::future::join_all(reads).await {
        quick += u32::from(read.as_ref().is_err_and(is_later) && took <= TOLD);
        told.add(read, took);
    }
    println!(
        "no connection left: {} calls, {} told to come again, {quick} within a second",
        told.calls, told.later
    );
    assert!(told.fine == 0 && quick >= 1, "{told:?}");
    server.thaw();
    let begun = control.now();
    eventually(LIMIT, async || {
        let (request, _) = chaos.client.request(GetCaseRequest { name: known.clone() }, None);
        chaos.client.cases().get_case(request).await.map(drop)
    })
    .await;
    println!("no connection left: a case is read {:?} after it goes on", control.since(begun));
    chaos.platform.stop().await;
}
