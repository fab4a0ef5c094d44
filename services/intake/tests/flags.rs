//! Flags that end at once: `--migrate`, as the job before an upgrade runs it, and
//! `--probe`, as a supervisor of containers does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::process::{Command, Output};

fn migrate(folder: &std::path::Path) -> Output {
    let program = env!("CARGO_BIN_EXE_probity-intake");
    Command::new(program).args(["--migrate", "--data-dir"]).arg(folder).output().expect("started")
}

#[test]
fn tables_are_made_and_nothing_is_served() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let output = migrate(folder.path());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("READY"));
    }
    assert!(folder.path().join("intake/intake.db").metadata().unwrap().len() > 0);
}

#[test]
fn a_store_that_cannot_be_opened_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("intake/intake.db")).unwrap();
    let output = migrate(folder.path());
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("the store of intake cannot be opened"));
}

#[test]
fn a_service_that_does_not_run_is_not_ready() {
    // A port that was free a moment ago, so that nobody answers on it.
    let port = probity_testkit::free_port();
    let program = env!("CARGO_BIN_EXE_probity-intake");
    let output = Command::new(program)
        .args(["--probe", "--admin-listen", &format!("127.0.0.1:{port}")])
        .output()
        .expect("started");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains(&format!("127.0.0.1:{port} does not answer")), "{text}");
}
