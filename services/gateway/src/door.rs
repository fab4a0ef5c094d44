//! One port for REST and gRPC. What arrives is told apart by its content type,
//! passes the same limits, the same identity and the same gates, and goes to the
//! same peers; only the form of requests and answers differs.

mod admission;
mod arrival;
mod backends;
mod body;
mod cache;
mod grpc;
mod index;
mod rating;
mod refusal;
mod rest;
mod site;
mod stream;
mod upload;
mod web;

pub(crate) use admission::CallerAddress;
pub(crate) use backends::Backends;
pub(crate) use rating::network;
pub(crate) use web::is_origin;

use crate::config::Config;
use crate::error::Error;
use crate::identity::Identity;
use crate::metrics::Metrics;
use crate::transcode::{Limits, Transcoder};
use admission::Gates;
use arrival::Arrival;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::Router;
use futures::FutureExt as _;
use http::HeaderMap;
use probity_proto::BoxGrpcService;
use probity_runtime::denials::Denials;
use probity_runtime::{Answered, Minter, Setup};
use refusal::Refusal;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The door with everything it needs to answer.
pub(crate) struct Door {
    config: Config,
    transcoder: Transcoder,
    site: site::Site,
    gates: Gates,
    backends: Backends,
    identity: Identity,
    denials: Denials,
    minter: Arc<Minter>,
    metrics: Metrics,
    rating: rating::Rating,
    stop: CancellationToken,
}

/// How a caller wants to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Rest,
    Grpc,
}

impl Door {
    /// A door over all contracts.
    ///
    /// # Errors
    /// When a rule of the contracts cannot be carried out.
    pub(crate) fn new(
        config: Config,
        setup: &Setup,
        own: &BoxGrpcService,
        identity: Identity,
        denials: Denials,
        metrics: Metrics,
    ) -> anyhow::Result<Self> {
        let pool = probity_proto::pool();
        let transcoder =
            Transcoder::new(pool, Limits { max_depth: config.max_nesting }).map_err(anyhow::Error::msg)?;
        let site = site::Site::new(&transcoder).map_err(anyhow::Error::msg)?;
        Ok(Self {
            transcoder,
            site,
            gates: Gates::of_contracts(),
            backends: Backends::new(setup, own),
            identity,
            denials,
            minter: setup.minter(),
            metrics,
            rating: rating::Rating::new(&config),
            stop: setup.stop_token(),
            config,
        })
    }

    /// Answers one request, whatever it is.
    async fn answer(&self, request: Request) -> Response {
        let started = Instant::now();
        let _active = self.metrics.http.begin();
        let (mut arrival, sound) = Arrival::read(&request, &self.config);
        let form = form_of(request.headers());
        let call = async {
            sound?;
            self.rate_address(&mut arrival)?;
            match form {
                Form::Rest => rest::serve(self, request, &mut arrival).await,
                Form::Grpc => grpc::serve(self, request, &mut arrival).await,
            }
        };
        let outcome = AssertUnwindSafe(call).catch_unwind().await;
        let outcome = outcome.unwrap_or_else(|_| Err(Error::Panicked(arrival.route.clone()).into()));
        let code = outcome.as_ref().err().map(Refusal::code);
        let mut response = outcome.unwrap_or_else(|refusal: Refusal| match form {
            Form::Rest => refusal.rest(&arrival),
            Form::Grpc => refusal.grpc(),
        });
        arrival.echo(response.headers_mut());
        self.metrics.http.observe(&arrival.route, response.status().as_u16(), started.elapsed());
        if arrival.is_routed() {
            response.extensions_mut().insert(Answered { method: arrival.route, code });
        }
        response
    }

    /// How long a call may take: the shorter of our limit and the caller's.
    fn timeout(&self, arrival: &Arrival, streaming: bool) -> Duration {
        let own = if streaming { self.config.stream_timeout_ms } else { self.config.request_timeout_ms };
        let own = Duration::from_millis(own);
        arrival.timeout.map_or(own, |asked| asked.min(own))
    }
}

/// gRPC says so in its content type; everything else is REST.
fn form_of(headers: &HeaderMap) -> Form {
    let kind = headers.get(http::header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    match kind.strip_prefix(b"application/grpc") {
        Some(rest) if rest.is_empty() || matches!(rest.first(), Some(b'+' | b';')) => Form::Grpc,
        _ => Form::Rest,
    }
}

/// The routes of the gateway: one handler for everything. The standard services
/// (health, reflection) are added beside it by the runtime.
pub(crate) fn router(door: Arc<Door>) -> Router {
    let cors = web::cors(&door.config);
    let router = Router::new().fallback(handle).with_state(door).layer(web::compression());
    match cors {
        Some(cors) => router.layer(cors),
        None => router,
    }
}

async fn handle(State(door): State<Arc<Door>>, request: Request<Body>) -> Response {
    if web::is_grpc_web(request.headers()) {
        return web::answer(door, request).await;
    }
    door.answer(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_tells_the_doors_apart() {
        let check = |kind: &str, expect: Form| {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::CONTENT_TYPE, kind.parse().expect("value"));
            assert_eq!(form_of(&headers), expect, "{kind}");
        };
        check("application/grpc", Form::Grpc);
        check("application/grpc+proto", Form::Grpc);
        check("application/grpc;charset=utf-8", Form::Grpc);
        check("application/grpc-web", Form::Rest);
        check("application/json", Form::Rest);
        check("", Form::Rest);
        assert_eq!(form_of(&HeaderMap::new()), Form::Rest);
    }
}
