//! `/monitoring/*` and `/health/*` of the admin port: what the `MonitoringService`
//! of each service of the process says, as JSON. Only looks; what belongs to a
//! tenant is not shown, because nobody says who asks.

use super::Monitor;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::future::join_all;
use probity_proto::monitoring::{
    DeepHealth, HealthStatus, Idempotency, ListCircuitBreakersResponse, Metrics, Performance, Unreachable,
};
use probity_proto::prost_reflect::DynamicMessage;
use prost::Message;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

/// The services of the process.
pub(crate) type Monitors = Arc<Vec<Arc<Monitor>>>;

/// How the names of metrics about dead letters begin.
const DEAD_LETTERS: &str = "dead_letter";

/// The routes.
pub(crate) fn routes(monitors: Monitors) -> Router {
    Router::new()
        .route("/monitoring/metrics", get(metrics))
        .route("/monitoring/performance", get(performance))
        .route("/monitoring/dlq", get(dead_letters))
        .route("/monitoring/circuit-breakers", get(circuit_breakers))
        .route("/monitoring/idempotency", get(idempotency))
        .route("/monitoring/health/deep", get(deep))
        .route("/health/live", get(async || Json(json!({ "live": true }))))
        .route("/health/ready", get(ready))
        .with_state(monitors)
}

#[derive(Debug, Deserialize)]
struct Wanted {
    #[serde(default)]
    prefix: String,
}

async fn metrics(State(all): State<Monitors>, Query(wanted): Query<Wanted>) -> Response {
    answer("Metrics", &samples(&all, &wanted.prefix))
}

async fn dead_letters(State(all): State<Monitors>) -> Response {
    answer("Metrics", &samples(&all, DEAD_LETTERS))
}

fn samples(all: &Monitors, prefix: &str) -> Metrics {
    let samples = all.iter().flat_map(|monitor| monitor.samples(prefix)).collect();
    Metrics { samples, unreachable: Vec::new() }
}

async fn performance(State(all): State<Monitors>) -> Response {
    let operations = all.iter().flat_map(|monitor| monitor.operations()).collect();
    answer("Performance", &Performance { operations, unreachable: Vec::new() })
}

async fn circuit_breakers(State(all): State<Monitors>) -> Response {
    let circuit_breakers = all.iter().flat_map(|monitor| monitor.circuit_breakers()).collect();
    let message = ListCircuitBreakersResponse { circuit_breakers, unreachable: Vec::new() };
    answer("ListCircuitBreakersResponse", &message)
}

async fn idempotency(State(all): State<Monitors>) -> Response {
    let mut message = Idempotency::default();
    for (monitor, found) in all.iter().zip(join_all(all.iter().map(|m| m.idempotency())).await) {
        match found {
            Ok(records) => message.services.extend(records),
            Err(fault) => message
                .unreachable
                .push(Unreachable { service: monitor.service().to_owned(), reason: fault.message }),
        }
    }
    answer("Idempotency", &message)
}

async fn deep(State(all): State<Monitors>) -> Response {
    let services = join_all(all.iter().map(|monitor| monitor.health())).await;
    let status = services.iter().map(|s| s.status).max().unwrap_or(HealthStatus::Healthy.into());
    answer("DeepHealth", &DeepHealth { status, services, ..Default::default() })
}

async fn ready(State(all): State<Monitors>) -> Response {
    let found = join_all(all.iter().map(|monitor| monitor.ready())).await;
    let problems: Vec<_> = found.into_iter().filter_map(Result::err).map(|fault| fault.message).collect();
    let code = if problems.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(json!({ "ready": problems.is_empty(), "problems": problems }))).into_response()
}

/// A message of the monitoring contract as the JSON it is in REST.
fn answer<M: Message>(name: &str, message: &M) -> Response {
    let found = probity_proto::pool().get_message_by_name(&format!("probity.monitoring.v1.{name}"));
    let shown = found.and_then(|kind| DynamicMessage::decode(kind, message.encode_to_vec().as_slice()).ok());
    match shown {
        Some(shown) => Json(shown).into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
