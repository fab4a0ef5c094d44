//! Services that are killed, stand still, lose answers or are cut off: cases wait
//! and go on, and nobody falls with them. `make soak` runs it at full length.

use probity_cli::client::Client;
use probity_proto::monitoring::{
    CloseCircuitBreakerRequest, FaultKind, OpenCircuitBreakerRequest, ResetCircuitBreakerRequest,
};
use probity_testkit::eventually;
use probity_tests::Embedded;
use probity_tests::chaos::{CASCADE, Chaos, Fault, LIMIT, Scenario, clear, peers, probe, watch};
use probity_tests::load::{Load, settle};
use probity_tests::sandbox::binary;
use std::process::Command;
use std::time::{Duration, Instant};
use tonic_types::StatusExt as _;

/// How often chaos strikes: a few times, or as `PROBITY_ROUNDS` says.
fn rounds() -> u64 {
    std::env::var("PROBITY_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

const fn scenario(service: &'static str, fault: Fault, expectation: &'static str) -> Scenario {
    Scenario { service, fault, expectation }
}

const SCENARIOS: [Scenario; 12] = [
    scenario("spam-detection", Fault::Killed, "messages and reports wait"),
    scenario("anti-corruption", Fault::Killed, "investigations wait"),
    scenario("compliance-validator", Fault::Killed, "validations wait"),
    scenario("intake", Fault::Killed, "uploads wait, reading steps wait"),
    scenario("orchestrator", Fault::Killed, "cases are opened after it is back"),
    scenario("audit-aggregator", Fault::Killed, "cases go on, the log catches up"),
    scenario("anti-corruption", Fault::Stopped, "calls end by deadline, then wait"),
    scenario("compliance-validator", Fault::Injected(FaultKind::Slow, 100), "slower, nothing waits"),
    scenario("spam-detection", Fault::Injected(FaultKind::Error, 100), "answers lost, effects once"),
    scenario("intake", Fault::Injected(FaultKind::Error, 50), "half of the answers lost, then the breaker"),
    scenario("audit-aggregator", Fault::Injected(FaultKind::Partition, 100), "cases go on"),
    scenario("compliance-validator", Fault::Injected(FaultKind::Partition, 100), "validations wait"),
];

#[tokio::test(flavor = "multi_thread")]
async fn twelve_scenarios_recover() {
    let dir = tempfile::tempdir().unwrap();
    let mut chaos = Chaos::start(dir.path()).await;
    let (mut cases, mut recovered, mut cascades) = (0, 0, 0);
    println!(
        "service               fault                       failed  repeated  recovered  others away  time to recover  expected"
    );
    for (number, scenario) in SCENARIOS.iter().enumerate() {
        let first = number as u64 * 4;
        let outcome = scenario.run(&mut chaos, first..first + 4, Duration::from_secs(3)).await;
        println!(
            "{:<21} {:<27} {:>5.0}%  {:>8}  {:>6}/{:<2}  {:>8} ms  {:>12} ms  {}",
            scenario.service,
            format!("{:?}", scenario.fault),
            outcome.failed * 100.0,
            outcome.retries,
            outcome.recovered,
            outcome.cases,
            outcome.others.as_millis(),
            outcome.took.as_millis(),
            scenario.expectation,
        );
        cases += outcome.cases;
        recovered += outcome.recovered;
        cascades += usize::from(outcome.others > CASCADE);
        if matches!(scenario.fault, Fault::Injected(FaultKind::Error, 50)) {
            // A lost answer is asked for again; when enough are lost the breaker opens, and
            // the probes that it refuses fail. Which of both comes first is chance.
            assert!(outcome.retries > 0.0, "{}: no answer was lost", scenario.service);
        } else {
            assert!(outcome.failed > 0.5, "{}: the fault did not happen", scenario.service);
        }
    }
    println!("recovered {recovered} of {cases} cases in 12 scenarios, {cascades} cascades");
    assert!(recovered * 100 > cases * 97, "{recovered} of {cases}");
    assert_eq!(cascades, 0, "cascades");
    chaos.platform.stop().await;
}

/// The same numbers every time: which services fail in a round, and how.
fn draw(round: u64) -> Vec<(&'static str, Fault)> {
    let mut state = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let mut all = peers();
    // Two of six.
    (0..2)
        .map(|_| {
            let service = all.swap_remove(next(all.len()));
            let kinds = [FaultKind::Kill, FaultKind::Slow, FaultKind::Error, FaultKind::Partition];
            (service, Fault::Injected(kinds[next(kinds.len())], 100))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn chaos_takes_nobody_along() {
    let dir = tempfile::tempdir().unwrap();
    let mut chaos = Chaos::start(dir.path()).await;
    let (mut cascades, mut names) = (Vec::new(), Vec::new());
    let (mut slowest, mut worst, mut wall) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let load = Load::new(11);
    for round in 0..rounds() {
        let failing = draw(round);
        // Work for the services to call each other with.
        names.push(load.open(&chaos.client, round, LIMIT).await.name);
        for (service, fault) in &failing {
            chaos.begin(service, *fault).await;
        }
        let healthy = peers().into_iter().filter(|name| failing.iter().all(|(failing, _)| failing != name));
        let watched = healthy.map(|service| {
            let (client, control) = (chaos.client.clone(), chaos.control(service));
            async move { (service, watch(&client, service, Duration::from_secs(2), &control).await) }
        });
        for (service, seen) in futures::future::join_all(watched).await {
            worst = worst.max(seen.longest);
            wall = wall.max(seen.wall);
            if seen.longest > CASCADE {
                cascades.push((round, service, seen.longest, failing.clone()));
            }
        }
        clear(&chaos.client, "").await;
        slowest = slowest.max(chaos.all_reached().await);
    }
    println!(
        "{} rounds with 2 of 6 services failing: {} cascades, a healthy service away {} ms at worst ({} ms by the clock on the wall), all back after {} ms at worst",
        rounds(),
        cascades.len(),
        worst.as_millis(),
        wall.as_millis(),
        slowest.as_millis()
    );
    assert!(cascades.is_empty(), "{cascades:?}");
    // An answer that was lost is waited for as long as its step may take.
    settle(&chaos.client, &names, LIMIT + Duration::from_secs(300)).await;
    chaos.platform.stop().await;
}

async fn switch(client: &Client, name: &str, how: &str) {
    let name = name.to_owned();
    let monitoring = || client.monitoring();
    let done = match how {
        "open" => {
            let (request, _) = client.request(OpenCircuitBreakerRequest { name }, None);
            monitoring().open_circuit_breaker(request).await
        }
        "close" => {
            let (request, _) = client.request(CloseCircuitBreakerRequest { name }, None);
            monitoring().close_circuit_breaker(request).await
        }
        _ => {
            let (request, _) = client.request(ResetCircuitBreakerRequest { name }, None);
            monitoring().reset_circuit_breaker(request).await
        }
    };
    done.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_peer_gets_few_calls_more_and_an_open_breaker_answers_at_once() {
    const CALLS: u32 = 300;
    let dir = tempfile::tempdir().unwrap();
    let mut chaos = Chaos::start(dir.path()).await;
    // Held closed, so that the retry budget alone bounds what the peer gets.
    switch(&chaos.client, "gateway.anti-corruption", "close").await;
    chaos.begin("anti-corruption", Fault::Injected(FaultKind::Error, 50)).await;
    let before = chaos.counter("gateway", "call_retries_total").await;
    let mut failed = 0;
    for _ in 0..CALLS {
        failed += u32::from(probe(&chaos.client, "anti-corruption").await.is_err());
    }
    let retries = chaos.counter("gateway", "call_retries_total").await - before;
    let amplification = (f64::from(CALLS) + retries) / f64::from(CALLS);
    println!("50% errors: {failed} of {CALLS} calls failed, {amplification:.3} attempts a call");
    assert!(failed > CALLS / 4, "the fault must have happened: {failed}");
    assert!(amplification <= 1.2, "{amplification}");
    clear(&chaos.client, "anti-corruption").await;

    // An open breaker holds back this question too: it is asked before and after.
    let reached = async || chaos.calls("anti-corruption", "ListWatchlists").await;
    let before = reached().await;
    assert!(before > 0.0, "the calls before are counted");
    switch(&chaos.client, "gateway.anti-corruption", "open").await;
    let mut times = Vec::new();
    for _ in 0..300 {
        let begun = Instant::now();
        let refused = probe(&chaos.client, "anti-corruption").await.unwrap_err();
        times.push(begun.elapsed());
        let said = refused.get_error_details().error_info().map(|info| info.reason.clone());
        assert_eq!(said.as_deref(), Some("RES-0001"), "{refused:?}");
    }
    times.sort_unstable();
    println!(
        "an open breaker refuses through the door: {:?} in the middle, {:?} for 99%",
        times[150], times[297]
    );
    // A bound of time is for a machine that does nothing else.
    if std::env::var_os("PROBITY_ROUNDS").is_some() {
        assert!(times[150] <= Duration::from_millis(5), "{:?}", times[150]);
    }
    switch(&chaos.client, "gateway.anti-corruption", "reset").await;
    assert_eq!(reached().await, before, "an open breaker let calls through");
    assert!(chaos.open_breakers().await.is_empty());
    chaos.platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_from_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let platform = Embedded::start(dir.path()).await;
    let client = platform.client();
    let fault = |args: &[&str]| {
        let mut command = Command::new(binary("probity"));
        command.args(["dev", "fault"]).args(args).args(["--server", &platform.url, "--token-file"]);
        let output = command.arg(dir.path().join("token")).output().unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    };
    let (ok, text) = fault(&["kill", "compliance-validator", "--for", "5m"]);
    assert!(ok && text.contains("orchestrator") && text.contains("kill"), "{text}");
    let (ok, text) = fault(&["kill", "nobody"]);
    assert!(!ok && text.contains("there are gateway, orchestrator"), "{text}");
    let load = Load::new(5);
    let names = futures::future::join_all((0..4).map(|number| load.open(&client, number, LIMIT))).await;
    let names: Vec<_> = names.into_iter().map(|case| case.name).collect();
    let open =
        "circuit_breaker_state{peer=\"compliance-validator\",service=\"orchestrator\",state=\"open\"} 1";
    let shown = async || {
        use probity_proto::monitoring::{CircuitBreakerState, ListCircuitBreakersRequest};
        let (request, _) = client.request(ListCircuitBreakersRequest {}, None);
        let listed = client.monitoring().list_circuit_breakers(request).await.unwrap().into_inner();
        let wanted =
            listed.circuit_breakers.into_iter().find(|b| b.name == "orchestrator.compliance-validator");
        wanted.is_some_and(|b| b.state() != CircuitBreakerState::Closed)
    };
    eventually(LIMIT, async || if shown().await { Ok(()) } else { Err(open) }).await;
    let (ok, text) = fault(&["list"]);
    assert!(ok && text.contains("compliance-validator"), "{text}");
    let (ok, text) = fault(&["clear"]);
    assert!(ok && text.contains("no faults"), "{text}");
    let settled = settle(&client, &names, LIMIT).await;
    assert_eq!(settled.len(), 4);
    platform.stop().await;
}
