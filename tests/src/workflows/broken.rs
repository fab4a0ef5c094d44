//! A peer that breaks under load: its breaker opens, executions that ask it wait,
//! everything else goes on, and once it is back they end.

use super::driver::{Call, Line, Target};
use super::ours::Ours;
use http::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Who breaks.
const PEER: &str = "anti-corruption";
/// Whose breaker must open.
const BREAKER: &str = "orchestrator.anti-corruption";
/// How often an execution asks the peer.
const PACE: Duration = Duration::from_millis(100);
/// How long an answer is waited for once the peer is back.
const WAIT: &str = "60s";

/// An execution that asks the peer, and keeps asking.
const DEFINITION: &str = r#"
name: asks
steps:
  - id: classify
    call: probity.anticorruption.v1.AntiCorruptionService/ScreenName
    input: {name: "'Ivan Nadir'"}
    retry: {max_attempts: 1000, base: 200ms, cap: 2s}
"#;

/// What came of it.
#[derive(Debug)]
pub struct Broken {
    /// From the fault until the breaker was seen open.
    pub opened: Option<Duration>,
    /// Executions that asked while it was open or opening.
    pub asked: u64,
    /// How many of them ended well.
    pub done: u64,
    /// From the end of the fault until all had ended.
    pub recovered: Duration,
    /// What the first that did not end well said.
    pub first_error: String,
}

/// Breaks the peer `after` now, for `lasts`.
///
/// # Panics
/// When the platform refuses the definition, the fault or its end.
pub async fn broken(ours: &Ours, after: Duration, lasts: Duration) -> Broken {
    ours.as_admin(Method::POST, "/v1/definitions", &json!({"source": DEFINITION})).await;
    tokio::time::sleep(after).await;
    let fault = json!({"peer": PEER, "kind": "FAULT_KIND_KILL", "lasts": "600s"});
    ours.as_admin(Method::POST, "/monitoring/faults", &fault).await;
    let begun = Instant::now();
    let mut seen =
        Broken { opened: None, asked: 0, done: 0, recovered: Duration::ZERO, first_error: String::new() };
    let mut line = Line::new(&ours.target);
    while begun.elapsed() < lasts {
        match line.call(&ask(seen.asked, "")).await {
            Ok(_) => seen.asked += 1,
            Err(why) => seen.first_error = why,
        }
        if seen.opened.is_none() && is_open(ours).await {
            seen.opened = Some(begun.elapsed());
        }
        tokio::time::sleep(PACE).await;
    }
    ours.as_admin(Method::POST, "/monitoring/faults/clear", &json!({"peer": PEER})).await;
    let back = Instant::now();
    let reset = format!("/monitoring/circuit-breakers/{BREAKER}/reset");
    ours.as_admin(Method::POST, &reset, &json!({})).await;
    let wait = format!(r#","wait":"{WAIT}""#);
    for number in 0..seen.asked {
        match end(&ours.target, &ask(number, &wait)).await {
            Ok(()) => seen.done += 1,
            Err(why) if seen.first_error.is_empty() => seen.first_error = why,
            Err(_) => {}
        }
    }
    seen.recovered = back.elapsed();
    seen
}

fn ask(number: u64, wait: &str) -> Call {
    let body = format!(r#"{{"definition":"definitions/asks","input":{{}}{wait}}}"#);
    Call { method: Method::POST, path: "/v1/executions".to_owned(), key: Some(format!("asks{number}")), body }
}

async fn end(target: &Target, call: &Call) -> Result<(), String> {
    let body = Line::new(target).call(call).await?;
    let execution: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
    match execution["status"].as_str() {
        Some("EXECUTION_STATUS_COMPLETED") => Ok(()),
        status => Err(format!("{} is {status:?}", execution["name"])),
    }
}

async fn is_open(ours: &Ours) -> bool {
    let all = ours.as_admin(Method::GET, "/monitoring/circuit-breakers", &Value::Null).await;
    let mut breakers = all["circuitBreakers"].as_array().into_iter().flatten();
    breakers.any(|breaker| breaker["name"] == BREAKER && breaker["state"] == "CIRCUIT_BREAKER_STATE_OPEN")
}
