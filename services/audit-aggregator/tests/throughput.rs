//! How many entries a second the log takes on SQLite, over the whole in-process
//! path. Run: `cargo test --release -p probity-audit-aggregator --test throughput
//! -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, missing_docs)]

use probity_audit_aggregator::AuditAggregator;
use probity_proto::audit::audit_service_client::AuditServiceClient;
use probity_proto::audit::{AppendRequest, CheckLogRequest, Entry};
use probity_runtime::testing::{Harness, ctx};
use probity_types::{Ctx, Role};
use std::time::{Duration, Instant};
use uuid::Uuid;

const CALLERS: u64 = 4;
const REQUESTS: u64 = 10;
const ENTRIES: u64 = 500;

fn entry(n: u64) -> Entry {
    Entry {
        event_id: Uuid::now_v7().to_string(),
        tenant: "acme".to_owned(),
        time_us: 1_700_000_000_000_000,
        actor: "users/0198c0de-0000-7000-8000-000000000001".to_owned(),
        action: "case.transition".to_owned(),
        subject: format!("cases/case_{n:032x}"),
        case: format!("cases/case_{n:032x}"),
        outcome: "ok".to_owned(),
        detail: r#"{"from":"INVESTIGATING","to":"VALIDATING","step":"screen-suppliers","attempt":1}"#
            .to_owned(),
        service: "orchestrator".to_owned(),
        request_id: "0198c0de-0000-7000-8000-000000000002".to_owned(),
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
    }
}

fn rate(what: &str, entries: u64, took: Duration) {
    let rate = f64::from(u32::try_from(entries).unwrap()) / took.as_secs_f64();
    eprintln!("{what}: {entries} entries in {took:.2?}, {rate:.0} a second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn appends_a_second() {
    let harness = Harness::builder().start::<AuditAggregator>().await;
    let caller = |n: u64| {
        let service = Ctx::service("orchestrator", "platform", "request-1");
        let mut client = AuditServiceClient::new(harness.client_as(&service));
        let batch =
            move |at: u64| (0..ENTRIES).map(move |i| entry((n * REQUESTS + at) * 50 + i / 10)).collect();
        async move {
            for at in 0..REQUESTS {
                client.append(AppendRequest { entries: batch(at) }).await.unwrap();
            }
        }
    };
    let total = CALLERS * REQUESTS * ENTRIES;
    let started = Instant::now();
    futures::future::join_all((0..CALLERS).map(caller)).await;
    rate("append", total, started.elapsed());

    let started = Instant::now();
    let auditor = harness.client_as(&ctx("acme", "users/ada", &[Role::Auditor]));
    let report = AuditServiceClient::new(auditor).check_log(CheckLogRequest {}).await.unwrap().into_inner();
    assert!(report.intact, "{}", report.problem);
    rate("check", total, started.elapsed());
    harness.stop().await;
}
