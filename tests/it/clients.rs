//! The examples in TypeScript and Go against a running platform: stubs generated
//! from the contracts, a workflow started, its result printed.

use crate::workers;
use probity_client::{Client, Task, Worker};
use probity_tests::peers::cache;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use tokio::sync::oneshot;

/// Folders for the clients in the cache, beside the contracts as in the
/// repository; what npm installs is kept between runs.
fn workshop(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository");
    let shop = cache("clients").join(name);
    let folder = shop.join("clients").join(name);
    std::fs::create_dir_all(&folder).expect("the cache folder");
    for (from, to) in
        [(root.join("proto"), shop.clone()), (root.join("clients").join(name), shop.join("clients"))]
    {
        let copied = Command::new("cp").arg("-R").arg(from).arg(to).status();
        assert!(
            copied.is_ok_and(|status| status.success()),
            "the client cannot be copied to {}",
            shop.display()
        );
    }
    folder
}

fn answers(program: &str, argument: &str) -> bool {
    Command::new(program).arg(argument).output().is_ok_and(|output| output.status.success())
}

/// Runs a program of the workshop; false, with the reason printed, when it fails.
fn prepared(test: &str, folder: &Path, program: &str, args: &[&str]) -> bool {
    let output = Command::new(program).args(args).current_dir(folder).output();
    match output {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            println!("{test} SKIPPED: {program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
            false
        }
        Err(error) => {
            println!("{test} SKIPPED: {program}: {error}");
            false
        }
    }
}

/// A platform with a worker for `screening`, and the starter run against it.
async fn starts(mut starter: Command) {
    let dir = tempfile::tempdir().unwrap();
    let (platform, token) = workers::platform(dir.path()).await;
    let api = Client::connect(&platform.url, &token).await.expect("a client");
    let screen = |task: Task| async move {
        let input: Value = task.input()?;
        let supplier = input["supplier"].as_str().unwrap_or_default().to_owned();
        Ok(json!({"listed": supplier.contains("Shell"), "supplier": supplier}))
    };
    let worker = Worker::new(api).queue("screening").handler("screen", screen);
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(worker.run(async move { drop(stopped.await) }));
    let server = platform.url.trim_start_matches("http://").to_owned();
    starter.args(["Shell Trading Ltd", &server]).env("PROBITY_TOKEN", &token);
    let done = tokio::task::spawn_blocking(move || starter.output()).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{text}{}", String::from_utf8_lossy(&done.stderr));
    let mut words = text.splitn(3, ' ');
    assert!(words.next().is_some_and(|name| name.starts_with("executions/")), "{text}");
    assert_eq!(words.next(), Some("EXECUTION_STATUS_COMPLETED"), "{text}");
    let result: Value = serde_json::from_str(words.next().unwrap_or_default()).expect("JSON");
    assert_eq!(result, json!({"supplier": "Shell Trading Ltd", "listed": true}));
    stop.send(()).expect("the worker runs");
    running.await.unwrap().expect("it was not refused");
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typescript_program_starts_a_workflow() {
    const TEST: &str = "a_typescript_program_starts_a_workflow";
    if !answers("node", "--version") || !answers("npm", "--version") {
        println!("{TEST} SKIPPED: there is no node with npm");
        return;
    }
    let folder = workshop("typescript");
    let install = ["install", "--silent", "--no-audit", "--no-fund"];
    if !prepared(TEST, &folder, "npm", &install) {
        return;
    }
    assert!(prepared(TEST, &folder, "npm", &["run", "-s", "generate"]), "the stubs");
    assert!(prepared(TEST, &folder, "npm", &["run", "-s", "check"]), "the types");
    let mut starter = Command::new(folder.join("node_modules/.bin/tsx"));
    starter.arg("examples/starter.ts").current_dir(&folder);
    starts(starter).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_go_program_starts_a_workflow() {
    const TEST: &str = "a_go_program_starts_a_workflow";
    if !answers("go", "version") || !answers("npm", "--version") {
        println!("{TEST} SKIPPED: there is no go, or no npm for buf");
        return;
    }
    let folder = workshop("go");
    let generate = ["exec", "--yes", "--package=@bufbuild/buf@1.75.0", "--", "buf", "generate"];
    let build = ["build", "-o", "starter", "./examples/starter"];
    if !prepared(TEST, &folder, "npm", &generate) || !prepared(TEST, &folder, "go", &build) {
        return;
    }
    starts(Command::new(folder.join("starter"))).await;
}
