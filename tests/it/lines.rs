//! Lines between services that are slow, narrow, sliced, torn or cut, by a proxy in
//! front of mutual TLS: calls take longer or fail, cases go on, and nobody else falls.
//! `make soak` cuts each line of the door for 30 s, both ways and one way.

use probity_proto::orchestrator::ListDefinitionsRequest;
use probity_testkit::eventually;
use probity_tests::chaos::{CASCADE, Chaos, LIMIT, peers, probe, probe_for, watch};
use probity_tests::load::{Load, settle};
use probity_tests::{Control, Line, Setup};
use std::time::{Duration, Instant};
use tonic_types::StatusExt;

/// How long a line is cut: 30 s in `make soak`.
fn cut_for() -> Duration {
    Duration::from_secs(if is_soak() { 30 } else { 6 })
}

fn is_soak() -> bool {
    std::env::var_os("PROBITY_ROUNDS").is_some()
}

/// Callers over a cut line give it up after this, which is long enough to count.
const PATIENCE: Duration = Duration::from_secs(2);
/// Callers at once.
const CALLERS: u64 = 8;

/// All lines of the door.
fn doors() -> Vec<(&'static str, &'static str)> {
    peers().into_iter().map(|peer| ("gateway", peer)).collect()
}

/// A platform whose door reaches everybody through proxies.
async fn platform(dir: &std::path::Path) -> Chaos {
    Chaos::with(dir, Setup { through: doors(), ..Setup::default() }).await
}

/// Calls a service with so many callers for a while; how long each call took, sorted,
/// and how many were not answered.
async fn measure(chaos: &Chaos, service: &str, during: Duration, control: &Control) -> (Vec<Duration>, u32) {
    let callers = (0..CALLERS).map(|_| async {
        let (mut times, mut failed, until) = (Vec::new(), 0, Instant::now() + during);
        while Instant::now() < until {
            let begun = control.now();
            failed += u32::from(probe_for(&chaos.client, service, Duration::from_secs(20)).await.is_err());
            times.push(control.since(begun));
        }
        (times, failed)
    });
    let all = futures::future::join_all(callers).await;
    let failed = all.iter().map(|(_, failed)| failed).sum();
    let mut times: Vec<_> = all.into_iter().flat_map(|(times, _)| times).collect();
    times.sort();
    (times, failed)
}

fn p99(times: &[Duration]) -> Duration {
    times[(times.len() * 99 / 100).min(times.len() - 1)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_line_costs_time_and_no_effect_is_lost_or_doubled() {
    const SERVICE: &str = "orchestrator";
    let dir = tempfile::tempdir().unwrap();
    let chaos = platform(dir.path()).await;
    let (load, control) = (Load::new(13), chaos.control(SERVICE));
    let during = Duration::from_secs(if is_soak() { 30 } else { 3 });
    let (baseline, _) = measure(&chaos, SERVICE, during, &control).await;
    let ms = Duration::from_millis;
    // What a call may take beside what it takes on a good line, where that is bounded.
    let lines = [
        (Line::Late(ms(200)), Some(ms(1_200))),
        (Line::Late(ms(2_000)), Some(ms(8_000))),
        (Line::Narrow(64 << 10), Some(ms(18_000))),
        (Line::Sliced(7), Some(ms(1_200))),
        (Line::Torn, None),
    ];
    println!("{:<16} {:>6} {:>7} {:>9} {:>9} {:>9}", "line", "calls", "failed", "p50", "p99", "back");
    let mut names = Vec::new();
    for (number, (line, most)) in lines.into_iter().enumerate() {
        let (proxy, number) = (chaos.platform.proxy("gateway", SERVICE), number as u64);
        let carried = proxy.carried();
        proxy.set(line);
        // The same case twice, with the same key, while the line is bad.
        let opened = async {
            (load.open(&chaos.client, number, LIMIT).await, load.open(&chaos.client, number, LIMIT).await)
        };
        let measured = async {
            let measured = measure(&chaos, SERVICE, during, &control).await;
            if line == Line::Torn {
                proxy.set(Line::Clear); // nothing is ever opened over it
            }
            measured
        };
        let ((first, again), (times, failed)) = tokio::join!(opened, measured);
        assert_eq!(first.name, again.name, "{line:?}: the same key is the same case");
        names.push(first.name);
        proxy.set(Line::Clear);
        let ended = Instant::now();
        eventually(LIMIT, async || probe(&chaos.client, SERVICE).await).await;
        println!(
            "{:<16} {:>6} {failed:>7} {:>6} ms {:>6} ms {:>6} ms",
            format!("{line:?}"),
            times.len(),
            times[times.len() / 2].as_millis(),
            p99(&times).as_millis(),
            ended.elapsed().as_millis()
        );
        match most {
            Some(most) => {
                assert!(proxy.carried() > carried, "{line:?}: nothing passed the proxy");
                assert_eq!(failed, 0, "{line:?}");
                assert!(p99(&times) <= p99(&baseline) + most, "{line:?}: {:?}", p99(&times));
            }
            None => assert!(failed > 0, "{line:?}: the fault did not happen"),
        }
    }
    let settled = settle(&chaos.client, &names, LIMIT).await;
    assert_eq!(settled.len(), lines.len());
    chaos.platform.stop().await;
}

/// Calls the orchestrator for a while: how many were answered, and how many the door
/// answered because there was no seat.
async fn ask(chaos: &Chaos, during: Duration) -> (u32, u32) {
    let (mut answered, mut refused, until) = (0, 0, Instant::now() + during);
    while Instant::now() < until {
        let (request, _) = chaos.client.request(ListDefinitionsRequest::default(), None);
        match chaos.client.workflows().list_definitions(request).await {
            Ok(_) => answered += 1,
            Err(status) => {
                let reason = status.get_error_details().error_info().map(|info| info.reason.clone());
                assert_eq!(reason.as_deref(), Some("RES-0002"), "{status:?}");
                refused += 1;
            }
        }
    }
    (answered, refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_line_has_no_more_calls_under_way_than_there_are_seats() {
    const SEATS: u32 = 8;
    let dir = tempfile::tempdir().unwrap();
    let bulkhead = |field, value: u32| (field, value.to_string());
    let env = vec![
        bulkhead("PROBITY_RESILIENCE__BULKHEAD__MAX_CONCURRENT", SEATS),
        bulkhead("PROBITY_RESILIENCE__BULKHEAD__MAX_WAITING", SEATS),
        bulkhead("PROBITY_RESILIENCE__BULKHEAD__MAX_WAIT_MS", 200),
    ];
    let chaos = Chaos::with(dir.path(), Setup { through: doors(), env, ..Setup::default() }).await;
    let during = Duration::from_secs(if is_soak() { 30 } else { 5 });
    chaos.platform.proxy("gateway", "orchestrator").set(Line::Late(Duration::from_secs(1)));
    let callers = futures::future::join_all((0..6 * SEATS).map(|_| ask(&chaos, during)));
    let most = async {
        let (mut most, until) = (0.0_f64, Instant::now() + during);
        while Instant::now() < until {
            most = most.max(chaos.platform.metric("gateway", "rpc_client_active_requests", "").await);
        }
        most
    };
    let others = peers().into_iter().filter(|peer| *peer != "orchestrator");
    let away = futures::future::join_all(others.map(|service| {
        let (client, control) = (chaos.client.clone(), chaos.control(service));
        async move { watch(&client, service, during, &control).await.longest }
    }));
    let (asked, most, away) = tokio::join!(callers, most, away);
    let answered: u32 = asked.iter().map(|(answered, _)| answered).sum();
    let refused: u32 = asked.iter().map(|(_, refused)| refused).sum();
    let away = away.into_iter().max().unwrap_or_default();
    println!(
        "{} callers, {SEATS} seats: {answered} calls answered, {refused} refused, {most} under way at most",
        asked.len()
    );
    // Each of the others is asked once at a time by its watcher, which counts, too.
    let elsewhere = peers().len() - 1;
    assert!(most <= f64::from(SEATS) + elsewhere as f64, "{most} calls under way");
    assert!(answered > 0 && refused > 0, "{answered} answered, {refused} refused");
    assert!(away <= CASCADE, "another service was away for {away:?}");
    chaos.platform.stop().await;
}

/// Callers of a service over a cut line until the door refuses to call it: how long
/// that took.
async fn until_refused(chaos: &Chaos, service: &str, control: &Control) -> Duration {
    let begun = control.now();
    let caller = || async {
        loop {
            let answer = probe_for(&chaos.client, service, PATIENCE).await;
            let details = answer.as_ref().err().map(StatusExt::get_error_details);
            let refused =
                details.and_then(|details| details.error_info().map(|info| info.reason == "RES-0001"));
            if refused == Some(true) {
                return control.since(begun);
            }
            assert!(answer.is_err(), "{service}: the line is not cut");
        }
    };
    let callers = futures::future::select_all((0..CALLERS).map(|_| Box::pin(caller())));
    tokio::time::timeout(LIMIT, callers).await.expect("the breaker opens").0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_line_opens_the_breaker_and_heals_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let chaos = platform(dir.path()).await;
    let load = Load::new(17);
    let (cuts, edges) = ([Line::Cut, Line::CutTo, Line::CutFrom], doors());
    let all: Vec<_> = edges.iter().flat_map(|edge| cuts.iter().map(move |cut| (*edge, *cut))).collect();
    // Short: each way once, on lines of different services.
    let all: Vec<_> = if is_soak() { all } else { vec![all[0], all[4], all[8]] };
    println!("{:<32} {:<8} {:>9} {:>9} {:>12}", "line", "cut", "refused", "healed", "others away");
    let mut names = Vec::new();
    for (number, ((caller, callee), line)) in all.into_iter().enumerate() {
        let control = chaos.control(callee);
        let proxy = chaos.platform.proxy(caller, callee);
        proxy.set(line);
        let cut = async {
            let refused = until_refused(&chaos, callee, &control).await;
            eventually(LIMIT, async || if control.now() >= cut_for() { Ok(()) } else { Err(control.now()) })
                .await;
            refused
        };
        let others = peers().into_iter().filter(|peer| *peer != callee);
        let watched = futures::future::join_all(others.map(|service| {
            let (client, control) = (chaos.client.clone(), chaos.control(service));
            async move { watch(&client, service, cut_for(), &control).await.longest }
        }));
        let opening = async {
            let opened = load.open(&chaos.client, number as u64, LIMIT).await;
            opened.name
        };
        let cut = async {
            let refused = cut.await;
            proxy.set(Line::Clear);
            let begun = control.now();
            eventually(LIMIT, async || probe(&chaos.client, callee).await).await;
            (refused, control.since(begun))
        };
        let ((refused, healed), away, name) = tokio::join!(cut, watched, opening);
        names.push(name);
        let away = away.into_iter().max().unwrap_or_default();
        println!(
            "{:<32} {:<8} {:>6} ms {:>6} ms {:>9} ms",
            format!("{caller} to {callee}"),
            format!("{line:?}"),
            refused.as_millis(),
            healed.as_millis(),
            away.as_millis()
        );
        assert!(refused <= Duration::from_secs(5), "{caller} to {callee}, {line:?}: {refused:?}");
        assert!(healed <= Duration::from_secs(10), "{caller} to {callee}, {line:?}: {healed:?}");
        assert!(away <= CASCADE, "{caller} to {callee}, {line:?}: another service was away for {away:?}");
    }
    let settled = settle(&chaos.client, &names, LIMIT + Duration::from_secs(300)).await;
    assert_eq!(settled.len(), names.len());
    chaos.platform.stop().await;
}
