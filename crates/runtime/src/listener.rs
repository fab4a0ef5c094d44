//! The TCP side: one accept loop with every limit in one place.
//!
//! HTTP/1.1 and HTTP/2 without TLS on the same port (h2c), or HTTP/2 over mutual TLS
//! and nothing else ([`Secure`]).

use crate::call::RemoteAddr;
use crate::config::ServerConfig;
use crate::tls::Secure;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use probity_proto::{BoxError, BoxGrpcService};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::ServiceExt as _;

/// How long connections may take to end once the listener stops.
const CLOSE_LIMIT: Duration = Duration::from_secs(20);
/// Pause after an accept error such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

fn builder(config: &ServerConfig) -> Builder<TokioExecutor> {
    let header_timeout = Duration::from_millis(config.header_timeout_ms);
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size((config.max_header_bytes as usize).max(8 * 1024))
        .keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.max_concurrent_streams)
        .max_header_list_size(config.max_header_bytes)
        .max_pending_accept_reset_streams(32)
        .max_local_error_reset_streams(64)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

/// Accepts connections until `stop`, then ends them gracefully.
pub(crate) async fn serve(
    listener: TcpListener,
    config: ServerConfig,
    service: BoxGrpcService,
    secure: Option<Secure>,
    stop: CancellationToken,
) {
    let builder = Arc::new(builder(&config));
    let places = Arc::new(Semaphore::new(config.max_connections));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, addr, place)) = accepted else { continue };
        let (builder, service, watcher) = (builder.clone(), service.clone(), graceful.watcher());
        let secure = secure.clone().map(|secure| (secure, Duration::from_millis(config.header_timeout_ms)));
        tokio::spawn(async move {
            let service = hyper_service(service, addr);
            match secure {
                None => connection(&builder, stream, service, watcher).await,
                Some((secure, limit)) => match secure.accept(stream, limit).await {
                    Ok(stream) => connection(&builder, stream, service, watcher).await,
                    Err(error) => tracing::info!(%addr, %error, "a connection was refused"),
                },
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(CLOSE_LIMIT, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections were cut because they did not end in time");
    }
}

/// Serves one connection to its end.
async fn connection<I, S>(
    builder: &Builder<TokioExecutor>,
    stream: I,
    service: S,
    watcher: hyper_util::server::graceful::Watcher,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: hyper::service::Service<HyperRequest, Response = http::Response<Body>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
{
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "connection ended");
    }
}

/// The next connection with its place among the allowed ones. An accept error
/// is waited out rather than ending the loop.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, addr)) => {
            let _ = stream.set_nodelay(true);
            Some((stream, addr, place))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

type HyperRequest = http::Request<hyper::body::Incoming>;

fn hyper_service(
    service: BoxGrpcService,
    addr: SocketAddr,
) -> TowerToHyperService<
    impl tower::Service<
        HyperRequest,
        Response = http::Response<Body>,
        Error = std::convert::Infallible,
        Future: Send,
    > + Clone,
> {
    TowerToHyperService::new(service.map_request(move |mut request: HyperRequest| {
        request.extensions_mut().insert(RemoteAddr(addr));
        request.map(Body::new)
    }))
}
