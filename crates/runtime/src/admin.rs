//! The read-only admin port: `/livez`, `/readyz`, `/startupz`, `/metrics`,
//! `/monitoring/*`, `/health/*`.
//!
//! What changes something is an RPC with a role; nothing here changes anything.
//! `/readyz` answers for the process's own stores and drain state, never for a
//! peer: one dead peer must not unready its callers.

use crate::monitoring::{self, admin::Monitors};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus::Registry;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What the admin port serves.
pub(crate) struct Process {
    pub(crate) monitors: Monitors,
    /// Metrics of the process itself, once for all its services.
    pub(crate) registry: Registry,
}

type All = State<Arc<Process>>;

pub(crate) async fn serve(listener: TcpListener, process: Arc<Process>, stop: CancellationToken) {
    let monitoring = monitoring::admin::routes(process.monitors.clone());
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/startupz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(process)
        .merge(monitoring);
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(%error, "the admin port ended");
    }
}

async fn ready(State(process): All) -> Response {
    let mut services = serde_json::Map::new();
    let mut code = StatusCode::OK;
    for service in process.monitors.iter() {
        let problem = service.problem().await;
        if problem.is_some() {
            code = StatusCode::SERVICE_UNAVAILABLE;
        }
        services.insert(service.service().to_owned(), Value::from(problem.unwrap_or("ready")));
    }
    (code, Json(json!({ "ready": code == StatusCode::OK, "services": services }))).into_response()
}

async fn metrics(State(process): All) -> Response {
    let text = probity_telemetry::metrics::encode_all(
        process.monitors.iter().map(|m| m.registry()).chain([&process.registry]),
    );
    ([(header::CONTENT_TYPE, probity_telemetry::metrics::TEXT_FORMAT)], text).into_response()
}
