//! What others wrote to find out whether a server does as it should: the cases of
//! gRPC's interoperability test, asked by grpc-go's client of a service that is
//! nothing but their answers, and h2spec's of our port.

mod service;

use probity_runtime::testing::Harness;
use probity_runtime::{CALLER_HEADER, Minter};
use probity_tests::peers;
use probity_types::{Role, SystemClock};
use service::{Taker, TestService};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

const CLIENT: &str = "google.golang.org/grpc/interop/client@v1.76.0";
const H2SPEC: &str = "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible";

/// Every case of the client but those that ask for credentials of one provider, for
/// ALTS, or for what only load balancers report (ORCA).
const CASES: [&str; 15] = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
    "pick_first_unary",
];

/// A tool of the cache; none, with the reason printed, where it cannot be had.
fn tool(test: &str, package: &str) -> Option<std::path::PathBuf> {
    peers::go_tool(package).map_err(|why| println!("{test} SKIPPED: {why}")).ok()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The caller token that lets pass what the platform itself asks.
fn caller_token(dir: &Path) -> String {
    let ctx = probity_runtime::testing::ctx("default", "users/go", &[Role::Officer]);
    let minter = Minter::open(&dir.join("keys"), "gateway", Arc::new(SystemClock)).expect("a minter");
    minter.mint(&ctx).expect("a caller token")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_interop_case_of_grpc_go_passes() {
    let Some(client) = tool("every_interop_case_of_grpc_go_passes", CLIENT) else { return };
    let harness = Harness::builder().start::<TestService>().await;
    let metadata = format!("{CALLER_HEADER}:{}", caller_token(harness.dir()));
    let mut wrong = Vec::new();
    for case in CASES {
        let mut command = Command::new(&client);
        command.args(["-server_host", "127.0.0.1", "-test_case", case, "-additional_metadata", &metadata]);
        command.args(["-server_port", &harness.addr().port().to_string()]);
        let ran = tokio::task::spawn_blocking(move || command.output()).await.unwrap().expect("the client");
        if !ran.status.success() {
            wrong.push(format!("{case}: {}", text(&ran)));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
    println!("interop cases of grpc-go that passed: {}", CASES.len());
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_without_a_token_gets_no_case_answered() {
    let test = "a_caller_without_a_token_gets_no_case_answered";
    let Some(client) = tool(test, CLIENT) else { return };
    let harness = Harness::builder().start::<TestService>().await;
    let mut command = Command::new(&client);
    command.args(["-server_host", "127.0.0.1", "-test_case", "empty_unary"]);
    command.args(["-server_port", &harness.addr().port().to_string()]);
    let ran = tokio::task::spawn_blocking(move || command.output()).await.unwrap().expect("the client");
    assert!(!ran.status.success() && text(&ran).contains("Unauthenticated"), "{}", text(&ran));
    harness.stop().await;
}

/// Cases of h2spec that are not met, and why.
const NOT_MET: [(&str, &str); 1] = [(
    "http2/3.5 Sends invalid connection preface",
    "the port speaks HTTP/1.1 too: what is no preface is a request of it, answered 400 and closed",
)];

#[tokio::test(flavor = "multi_thread")]
async fn the_port_speaks_http_2_as_h2spec_asks() {
    let Some(h2spec) = tool("the_port_speaks_http_2_as_h2spec_asks", H2SPEC) else { return };
    // Who answers before the request has ended reads no more of it, and offences in the rest
    // are passed over: h2spec asks a door that reads all of it.
    let harness = Harness::builder().start::<Taker>().await;
    let report = harness.dir().join("h2spec.xml");
    let mut command = Command::new(&h2spec);
    command.args(["-h", "127.0.0.1", "-p", &harness.addr().port().to_string(), "--timeout", "10"]);
    command.arg("--junit-report").arg(&report);
    let ran = tokio::task::spawn_blocking(move || command.output()).await.unwrap().expect("h2spec");
    let junit = std::fs::read_to_string(&report).unwrap_or_else(|error| panic!("{error}: {}", text(&ran)));
    let known: BTreeMap<_, _> = NOT_MET.into_iter().collect();
    let failed = failures(&junit);
    let unknown: Vec<_> = failed.iter().filter(|case| !known.contains_key(case.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:#?}\n{junit}");
    let cases = junit.matches("<testcase ").count();
    assert!(cases > 140, "{cases} cases: {junit}");
    println!("cases of h2spec: {cases}, {} not met", failed.len());
    failed.iter().for_each(|case| println!("  {case}: {}", known[case.as_str()]));
    harness.stop().await;
}

/// The cases of a JUnit report that failed: their section and what they ask.
fn failures(junit: &str) -> Vec<String> {
    let attribute = |tag: &str, name: &str| {
        let after = tag.split_once(&format!("{name}=\"")).map_or("", |(_, after)| after);
        after.split('"').next().unwrap_or_default().to_owned()
    };
    let cases = junit.split("<testcase ").skip(1);
    let failed = cases.filter(|case| {
        let body = case.split("</testcase>").next().unwrap_or_default();
        body.contains("<failure") || body.contains("<error")
    });
    failed.map(|case| format!("{} {}", attribute(case, "package"), attribute(case, "classname"))).collect()
}
