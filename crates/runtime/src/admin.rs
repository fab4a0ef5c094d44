//! The read-only admin port: `/livez`, `/readyz`, `/startupz`, `/metrics`.
//!
//! What changes something is an RPC with a role; nothing here changes anything.
//! `/readyz` answers for the process's own stores and drain state, never for a
//! peer: one dead peer must not unready its callers. What goes badly while the
//! service answers is told there and changes nothing else.

use crate::server::Inbound;
use crate::service::Degraded;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use probity_storage::Db;
use prometheus::Registry;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A store that does not answer in this time is not ready.
const STORE_LIMIT: Duration = Duration::from_secs(2);

/// One service of the process, as the admin port sees it.
pub(crate) struct Hosted {
    pub(crate) name: &'static str,
    pub(crate) registry: Registry,
    pub(crate) stores: Vec<Db>,
    pub(crate) inbound: Arc<Inbound>,
    /// What goes badly although it answers.
    pub(crate) degraded: Option<Degraded>,
}

impl Hosted {
    async fn problem(&self) -> Option<&'static str> {
        if self.inbound.is_draining() {
            return Some("draining");
        }
        for store in &self.stores {
            let answer = tokio::time::timeout(STORE_LIMIT, store.query("SELECT 1", Vec::new())).await;
            if !matches!(answer, Ok(Ok(_))) {
                return Some("its store does not answer");
            }
        }
        None
    }

    /// In a word for people.
    fn standing(&self, problem: Option<&str>) -> String {
        let degraded = || self.degraded.as_ref()?().map(|why| format!("degraded: {why}"));
        problem.map(str::to_owned).or_else(degraded).unwrap_or_else(|| "ready".to_owned())
    }
}

/// What the admin port serves.
pub(crate) struct Process {
    pub(crate) hosted: Vec<Hosted>,
    /// Metrics of the process itself, once for all its services.
    pub(crate) registry: Registry,
}

type All = State<Arc<Process>>;

pub(crate) async fn serve(listener: TcpListener, process: Arc<Process>, stop: CancellationToken) {
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/startupz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(process);
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(%error, "the admin port ended");
    }
}

async fn ready(State(process): All) -> Response {
    let mut services = serde_json::Map::new();
    let mut code = StatusCode::OK;
    for service in &process.hosted {
        let problem = service.problem().await;
        if problem.is_some() {
            code = StatusCode::SERVICE_UNAVAILABLE;
        }
        services.insert(service.name.to_owned(), Value::from(service.standing(problem)));
    }
    (code, Json(json!({ "ready": code == StatusCode::OK, "services": services }))).into_response()
}

async fn metrics(State(process): All) -> Response {
    let text = probity_telemetry::metrics::encode_all(
        process.hosted.iter().map(|h| &h.registry).chain([&process.registry]),
    );
    ([(header::CONTENT_TYPE, probity_telemetry::metrics::TEXT_FORMAT)], text).into_response()
}
