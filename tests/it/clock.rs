//! Row 13 of the fault matrix: the machine's clock is set wrong, again and again,
//! under a running platform. libfaketime stands between the process and the clock
//! that has a date; the one that only counts is left alone, as it is on a machine.

use futures::future::join_all;
use probity_client::Client;
use probity_proto::orchestrator::{ExecutionStatus, RegisterDefinitionRequest};
use probity_testkit::{Child, free_port};
use probity_tests::Embedded;
use probity_tests::sandbox::binary;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Each execution waits so long, and then once more.
const WAIT: Duration = Duration::from_secs(2);
const FLOW: &str = "name: waits\nsteps:\n  - id: once\n    wait: {timer: 2s}\n  - id: again\n    needs: [once]\n    wait: {timer: 2s}\n";
/// How late an execution may end: a second by the matrix, and what starting it, two
/// commits and the answer take on a crowded machine.
const LATE: Duration = Duration::from_secs(5);
/// Where the clock is put, half a second each: by an hour, by a day, to and fro.
const JUMPS: [&str; 12] = ["+1h", "+0", "-1h", "+0", "+1d", "+0", "-1d", "+0", "+1h", "-1h", "+1d", "-1d"];

fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    folders.map(|folder| folder.join("faketime/libfaketime.so.1")).find(|library| library.is_file())
}

/// `probity dev` whose clock a file decides.
async fn start(dir: &Path, clock: &Path, library: &Path) -> Embedded {
    let mut command = Command::new(binary("probity"));
    command
        .args(["dev", "--no-samples", "--port", &free_port().to_string(), "--data"])
        .arg(dir)
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", clock)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    Embedded::of(Child::spawn(command), dir).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_ends_no_timer_early() {
    let Some(library) = library() else {
        println!("skipped: libfaketime is not installed (Debian: apt-get install faketime)");
        return;
    };
    let (dir, clock) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(clock.path(), "+0").unwrap();
    let platform = start(dir.path(), clock.path(), &library).await;
    let admin = platform.client();
    let definition = RegisterDefinitionRequest { source: FLOW.to_owned(), validate_only: false };
    let (request, _) = admin.request(definition, None);
    admin.workflows().register_definition(request).await.expect("the definition");
    let token = std::fs::read_to_string(dir.path().join("token")).unwrap();
    let api = Client::connect(&platform.url, token.trim()).await.expect("a client");

    // Executions begin before, amid and after the jumps; calls are answered throughout.
    let one = |number: u64| {
        let api = api.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(100 * number)).await;
            let begun = Instant::now();
            let started = api.start("waits").input(&number).wait(Duration::from_secs(60)).send().await;
            (started.expect("an execution"), begun.elapsed())
        }
    };
    let jumps = async {
        for jump in JUMPS.iter().cycle().take(2 * JUMPS.len()) {
            std::fs::write(clock.path(), jump).unwrap();
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        std::fs::write(clock.path(), "+0").unwrap();
    };
    let (ended, ()) = tokio::join!(join_all((0..80).map(one)), jumps);
    let mut latest = Duration::ZERO;
    for (execution, took) in &ended {
        assert_eq!(execution.status(), ExecutionStatus::Completed, "{execution:?}");
        assert!(*took >= 2 * WAIT, "{} ended after {took:?}, early", execution.name);
        latest = latest.max(*took - 2 * WAIT);
    }
    println!("80 executions amid {} jumps: none early, the latest {latest:.2?} late", 2 * JUMPS.len());
    assert!(latest < LATE, "{latest:?}");
    platform.stop().await;
}
