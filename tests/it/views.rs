//! What is shown of cases: kept in memory by the replica that owns them, and never
//! older than what anybody was told.

use crate::scale::shared_by;
use probity_proto::orchestrator::{CancelCaseRequest, Case, CaseState, GetCaseRequest};
use probity_storage::{Db, DbConfig};
use probity_testkit::{Postgres, eventually};
use probity_tests::cluster::{Cluster, Doors, Start};
use probity_tests::load::{Load, is_settled};
use probity_tests::trial::LIMIT;
use rustix::process::Signal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Cases that wait for a person.
async fn waiting_cases(doors: &Doors) -> Vec<String> {
    let load = Load::new(5);
    let mut names = Vec::new();
    for number in 0..12 {
        let open = async || doors.open(0, load, number).await;
        names.push(eventually(LIMIT, open).await);
    }
    let mut waiting = Vec::new();
    for name in names {
        let settled = eventually(LIMIT, async || {
            let case = read(doors, 0, &name).await.map_err(|status| status.to_string())?;
            if is_settled(&case) { Ok(case) } else { Err(format!("{name} is {:?}", case.state())) }
        })
        .await;
        if settled.end_time.is_none() {
            waiting.push(name);
        }
    }
    assert!(waiting.len() >= 3, "too few cases wait for a person: {waiting:?}");
    waiting
}

async fn read(doors: &Doors, turn: usize, name: &str) -> Result<Case, tonic::Status> {
    let request = doors.request(GetCaseRequest { name: name.to_owned() }, None);
    Ok(doors.cases(turn).get_case(request).await?.into_inner())
}

/// Cancels a case and waits until what was done for it is taken back.
async fn cancel(doors: &Doors, turn: usize, name: &str) {
    eventually(LIMIT, async || {
        let request = CancelCaseRequest { name: name.to_owned(), reason: "a trial".to_owned() };
        doors.cases(turn).cancel_case(doors.request(request, None)).await.map(drop)
    })
    .await;
    eventually(LIMIT, async || match read(doors, turn, name).await {
        Ok(case) if case.state() == CaseState::Cancelled => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

const KEPT: &str = "cache_hits_total{cache=\"executions\"";

/// What is kept of cases is never older than what anybody was told: not while it
/// changes, and not by a replica that others have taken over from.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_a_case_as_it_was_before_an_answer() {
    let (dir, url) = (tempfile::tempdir().unwrap(), Postgres::database());
    let mut cluster = Cluster::start(dir.path(), Some(url.clone())).await;
    cluster.join(&Start::default()).await;
    let db = Db::open(&DbConfig { url, ..DbConfig::default() }, "orchestrator", &[]).await.unwrap();
    let doors = cluster.doors();
    let mut waiting = waiting_cases(&doors).await;
    for name in waiting.iter().chain(&waiting) {
        read(&doors, 0, name).await.unwrap();
    }
    assert!(cluster.metric(0, KEPT).await >= waiting.len() as f64, "they are read from memory");

    // Read without a pause while it is cancelled.
    let name = waiting.pop().unwrap();
    let told = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let (doors, name, told) = (doors.clone(), name.clone(), told.clone());
            tokio::spawn(async move {
                loop {
                    let must = told.load(Ordering::SeqCst);
                    let cancelled = read(&doors, 0, &name).await.unwrap().state() == CaseState::Cancelled;
                    assert!(cancelled || !must, "read as it was before somebody was told");
                    // Whoever reads it tells the others.
                    told.fetch_or(cancelled, Ordering::SeqCst);
                    if cancelled {
                        return;
                    }
                }
            })
        })
        .collect();
    cancel(&doors, 0, &name).await;
    told.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.unwrap();
    }

    // A replica stands still, another takes over and is told; then the first one is
    // asked, with everything it had kept.
    cluster.join(&Start::default()).await;
    shared_by(&db, 2).await;
    let doors = cluster.doors();
    for (turn, name) in waiting.iter().chain(&waiting).enumerate() {
        read(&doors, turn, name).await.unwrap();
        read(&doors, turn + 1, name).await.unwrap();
    }
    cluster.replica(0).signal(Signal::STOP);
    shared_by(&db, 1).await;
    for name in &waiting {
        cancel(&doors, 1, name).await;
    }
    let asked: Vec<_> = (0..10).flat_map(|_| waiting.clone()).collect();
    let asking = asked.iter().map(|name| {
        let (doors, name) = (doors.clone(), name.clone());
        tokio::spawn(async move { read(&doors, 0, &name).await })
    });
    let asking: Vec<_> = asking.collect();
    assert!(asking.iter().all(|asked| !asked.is_finished()));
    cluster.replica(0).signal(Signal::CONT);
    let mut answered = 0;
    for (name, answer) in asked.iter().zip(futures::future::join_all(asking).await) {
        if let Ok(case) = answer.unwrap() {
            answered += 1;
            assert_eq!(case.state(), CaseState::Cancelled, "{name} as it was before the other replica");
        }
    }
    assert!(answered > 0, "nobody was answered");
    cluster.stop().await;
}
