//! What transcoding costs. Ignored by default, because a figure only means
//! something in a release build: `cargo test --release -p probity-gateway -- --ignored --nocapture speed`.

use super::*;
use probity_proto::orchestrator;
use prost_reflect::prost::Message as _;
use std::time::Instant;

/// Most microseconds for a call with 2 KB each way.
const LIMIT_US: f64 = 60.0;
const ROUNDS: u32 = 5_000;

#[test]
#[ignore = "prints a figure that only means something in a release build"]
fn a_call_of_two_kilobytes() {
    let transcoder = Transcoder::new(probity_proto::pool(), Limits::default()).expect("routes");
    let documents: Vec<_> = (0..24).map(|i| format!("documents/{i:064x}")).collect();
    let body = serde_json::json!({"kind": "CASE_KIND_TENDER", "subject": "roads", "documents": documents});
    let body = bytes::Bytes::from(body.to_string());
    let case = orchestrator::Case { name: "cases/case_1".into(), documents, ..Default::default() };
    let reply = bytes::Bytes::from(case.encode_to_vec());
    let started = Instant::now();
    let mut written = 0;
    for _ in 0..ROUNDS {
        let found = transcoder.find(&Http::POST, "/v1/cases").unwrap_or_else(|miss| panic!("{miss:?}"));
        let request = transcoder.request(&found, &Parts { query: "", body: body.clone() }).expect("read");
        let mut out = Vec::with_capacity(reply.len() * 2);
        Reply::new(&found.rule.method, reply.clone()).write_json(&mut out).expect("json");
        written += request.len() + out.len();
    }
    let each = started.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS);
    println!(
        "{} bytes in, {} bytes out: {each:.1} µs a call ({written} bytes in all)",
        body.len(),
        reply.len()
    );
    assert!(cfg!(debug_assertions) || each <= LIMIT_US, "{each:.1} µs is over {LIMIT_US} µs");
}
