//! `probity up`: processes in the order of who calls whom, mutual TLS between them, one
//! that dies is started again, and an end in order.

use probity_cli::client::Client;
use probity_testkit::{Child, free_port};
use probity_tests::load::{Load, settle};
use probity_tests::sandbox::binary;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

fn up(dir: &Path, more: &[&str]) -> Child {
    let mut command = Command::new(binary("probity"));
    command.args(["up", "--port", "0", "--data"]).arg(dir).args(more);
    Child::spawn(command)
}

/// The process that a line about a service names.
fn process_of(line: &str) -> Pid {
    let number = line.rsplit(' ').next().and_then(|text| text.parse().ok());
    number.and_then(Pid::from_raw).unwrap_or_else(|| panic!("no process in {line:?}"))
}

/// Whether HTTP/2 in plain text is answered with its settings (RFC 9113, 3.4).
fn answers_without_tls(address: &str) -> bool {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    const SETTINGS: u8 = 4;
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(PREFACE).unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).is_ok() && head[3] == SETTINGS
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_go_through_processes_that_come_back_and_end_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut platform = up(dir.path(), &[]);
    let ready = platform.wait_for_line(LIMIT, |line| line.starts_with("READY ")).await;
    let url = ready.split_whitespace().nth(1).unwrap().to_owned();
    let token = std::fs::read_to_string(dir.path().join("token")).unwrap();
    let client = Client::with_token(&url, token.trim(), LIMIT).unwrap();
    let load = Load::new(3);
    let first = load.open(&client, 0, LIMIT).await.name;
    assert_eq!(settle(&client, std::slice::from_ref(&first), LIMIT).await.len(), 1);

    // Between services there is TLS and nothing else.
    let lines = platform.output();
    let line = |name: &str| lines.iter().find(|line| line.trim_start().starts_with(name)).unwrap().clone();
    let started = |name: &str| lines.iter().position(|line| line.trim_start().starts_with(name)).unwrap();
    assert!(
        started("audit-aggregator") < started("intake") && started("intake") < started("anti-corruption")
    );
    assert!(started("orchestrator") < started("gateway"));
    let intake = line("intake");
    let address = intake.split_whitespace().nth(1).unwrap().to_owned();
    assert!(!answers_without_tls(address.trim_start_matches("http://")), "{address} answers anybody");

    // One dies amid its work: it is back where it was, and cases go on.
    kill_process(process_of(&intake), Signal::KILL).unwrap();
    let again = platform
        .wait_for_line(LIMIT, |line| line.trim_start().starts_with("intake") && line.contains("ready again"))
        .await;
    assert_ne!(process_of(&again), process_of(&intake));
    let second = load.open(&client, 1, LIMIT).await.name;
    assert_eq!(settle(&client, &[second], LIMIT).await.len(), 1);

    let exit = platform.terminate(LIMIT).await;
    let all = exit.output.join("\n");
    assert!(exit.status.success(), "{all}");
    let stopped = |name: &str| {
        let stopped = |line: &String| line.trim_start().starts_with(name) && line.ends_with(" stopped");
        exit.output.iter().position(stopped).unwrap_or_else(|| panic!("{name} did not stop:\n{all}"))
    };
    assert!(stopped("gateway") < stopped("orchestrator") && stopped("intake") < stopped("audit-aggregator"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_behind_when_it_is_killed_or_cannot_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut platform = up(dir.path(), &[]);
    let mut lines = Vec::new();
    for service in ["intake", "gateway"] {
        let started = |line: &str| line.trim_start().starts_with(service) && line.contains("process");
        lines.push(platform.wait_for_line(LIMIT, started).await);
    }
    platform.wait_for_line(LIMIT, |line| line.starts_with("READY ")).await;
    platform.kill().await;
    for line in lines {
        let status = format!("/proc/{}/status", process_of(&line).as_raw_nonzero());
        let gone = async || match std::fs::read_to_string(&status) {
            Ok(text) if !text.contains("State:\tZ") => Err(format!("outlived what started it: {line}")),
            _ => Ok(()),
        };
        probity_testkit::eventually(LIMIT, gone).await;
    }

    let taken = std::net::TcpListener::bind(("127.0.0.1", free_port())).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut command = Command::new(binary("probity"));
    command.args(["up", "--port", &port, "--data"]).arg(dir.path());
    let exit = Child::spawn(command).wait(LIMIT).await;
    let said = exit.output.join("\n");
    assert!(!exit.status.success() && said.contains("gateway did not become ready"), "{said}");
    assert!(said.contains("cannot listen on"), "{said}");
}
