//! A load for trials: executions and cases with keys, opened again and again until
//! each is acknowledged, whatever happens to the replicas meanwhile.

use crate::checker::{self, Report, Stores};
use crate::cluster::Doors;
use crate::load::Load;
use probity_proto::orchestrator::{Execution, ExecutionStatus};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Callers at once.
const CALLERS: u64 = 8;
/// How long anything may take on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(120);
const AGAIN: Duration = Duration::from_millis(50);

/// What a trial opens.
#[derive(Debug, Clone)]
pub struct Work {
    /// Executions; number by number under the same key.
    pub executions: std::ops::Range<u64>,
    /// Every so manieth number is a case as well.
    pub case_every: u64,
}

/// A load that is being opened.
pub struct Drive {
    doors: watch::Sender<Doors>,
    opened: Arc<AtomicU64>,
    callers: Vec<tokio::task::JoinHandle<Vec<(String, String)>>>,
}

impl Drive {
    /// Begins to open.
    #[must_use]
    pub fn start(doors: Doors, work: &Work) -> Self {
        let opened = Arc::new(AtomicU64::new(0));
        let next = Arc::new(AtomicU64::new(work.executions.start));
        let (send, receive) = watch::channel(doors);
        let callers = (0..CALLERS)
            .map(|_| tokio::spawn(call(receive.clone(), work.clone(), next.clone(), opened.clone())))
            .collect();
        Self { doors: send, opened, callers }
    }

    /// From now on these are the doors.
    pub fn through(&self, doors: Doors) {
        self.doors.send_replace(doors);
    }

    /// How many were acknowledged so far.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::SeqCst)
    }

    /// Waits until everything is acknowledged: names by key.
    pub async fn finish(self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for caller in self.callers {
            all.extend(caller.await.expect("a caller"));
        }
        all
    }
}

async fn call(
    doors: watch::Receiver<Doors>,
    work: Work,
    next: Arc<AtomicU64>,
    opened: Arc<AtomicU64>,
) -> Vec<(String, String)> {
    let mut mine = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::SeqCst);
        if number >= work.executions.end {
            return mine;
        }
        mine.push((format!("execution {number}"), until_told(&doors, number, None).await));
        opened.fetch_add(1, Ordering::SeqCst);
        if number.is_multiple_of(work.case_every) {
            mine.push((format!("case {number}"), until_told(&doors, number, Some(Load::new(11))).await));
            opened.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Each attempt at another door, as callers behind a load balancer.
async fn until_told(doors: &watch::Receiver<Doors>, number: u64, load: Option<Load>) -> String {
    let until = Instant::now() + LIMIT;
    for turn in usize::try_from(number).unwrap_or(0).. {
        let now = doors.borrow().clone();
        let answer = match load {
            Some(load) => now.open(turn, load, number).await,
            None => now.execute(turn, number).await,
        };
        match answer {
            Ok(name) => return name,
            Err(status) => assert!(Instant::now() < until, "number {number}: {status:?}"),
        }
        tokio::time::sleep(AGAIN).await;
    }
    String::new()
}

/// Waits until nothing moves by itself any more: everything has ended or waits for
/// a person.
///
/// # Panics
/// When something still moves after [`LIMIT`].
pub async fn settle(doors: &Doors, acknowledged: &BTreeMap<String, String>) -> BTreeMap<String, Execution> {
    let until = Instant::now() + LIMIT;
    let mut settled = BTreeMap::new();
    for (turn, (key, name)) in acknowledged.iter().enumerate() {
        loop {
            let seen = doors.look(turn, name).await;
            match seen {
                Ok(execution) if is_settled(&execution) => {
                    settled.insert(key.clone(), execution);
                    break;
                }
                seen => assert!(Instant::now() < until, "{key} ({name}) is not settled: {seen:?}"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
    settled
}

fn is_settled(execution: &Execution) -> bool {
    let status = execution.status();
    execution.end_time.is_some() || matches!(status, ExecutionStatus::Waiting | ExecutionStatus::Incident)
}

/// Reads the stores of stopped services.
pub async fn check(dir: &Path, database: Option<&str>, acknowledged: &BTreeMap<String, String>) -> Report {
    let files = Stores::sqlite(dir);
    let orchestrator = database.map_or_else(|| files.orchestrator.clone(), ToOwned::to_owned);
    checker::check(&Stores { orchestrator, audit: files.audit }, acknowledged).await
}
