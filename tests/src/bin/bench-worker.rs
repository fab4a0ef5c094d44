//! The worker of `make bench-workflows`: a process of its own, made with the
//! public client. `PROBITY_TOKEN=… bench-worker SERVER EFFECTS`.
//!
//! Each step answers about 200 bytes of JSON. When the input asks for it, every
//! attempt leaves a line `key,execution,step` in the file EFFECTS.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a tool for the terminal

use probity_client::{Client, Failure, Task, Worker};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    case: String,
    #[serde(default)]
    delay_ms: u64,
    #[serde(default)]
    log: bool,
}

#[derive(Serialize)]
struct Output {
    step: String,
    case: String,
    ok: bool,
    score: u32,
    pad: &'static str,
}

/// 140 characters.
const PAD: &str = concat!(
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
);

async fn step(task: Task, effects: Arc<File>) -> Result<Output, Failure> {
    let input: Input = task.input()?;
    if input.log {
        let line = format!("{},{},{}\n", task.idempotency_key(), task.execution(), task.step());
        (&*effects).write_all(line.as_bytes())?;
    }
    if input.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(input.delay_ms)).await;
    }
    Ok(Output { step: task.step().to_owned(), case: input.case, ok: true, score: 42, pad: PAD })
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut args = std::env::args().skip(1);
    let (server, effects) = (args.next().expect("SERVER"), args.next().expect("EFFECTS"));
    let effects = Arc::new(OpenOptions::new().append(true).create(true).open(effects).expect("EFFECTS"));
    let token = std::env::var("PROBITY_TOKEN").expect("PROBITY_TOKEN");
    let client = Client::connect(&server, &token).await.expect("the platform");
    let mut worker = Worker::new(client).name("bench").queue("bench").concurrency(4_096);
    for kind in ["triage", "anticorruption", "compliance", "audit"] {
        let effects = effects.clone();
        worker = worker.handler(kind, move |task| step(task, effects.clone()));
    }
    println!("READY");
    let mut end = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).expect("signals");
    let summary = worker
        .run(async move {
            let _ = end.recv().await;
        })
        .await
        .expect("the worker's work");
    println!("{summary:?}");
}
