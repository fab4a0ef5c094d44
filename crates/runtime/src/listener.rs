//! The TCP side: one accept loop with every limit in one place.
//!
//! HTTP/1.1 and HTTP/2 without TLS on the same port (h2c), or HTTP/2 over mutual TLS
//! and nothing else ([`Secure`]).

use crate::call::RemoteAddr;
use crate::config::ServerConfig;
use crate::patient::Patient;
use crate::tls::Secure;
use futures::FutureExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use probity_proto::{BoxError, BoxGrpcService};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tower::ServiceExt as _;

/// How long connections may take to end once the listener stops.
const CLOSE_LIMIT: Duration = Duration::from_secs(20);
/// How long a connection lives that was waiting when the listener stopped: for the call
/// it was made for.
const LATE_MS: u64 = 500;
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
        .keep_alive_interval(Duration::from_secs(15))
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
    let stall = Duration::from_millis(config.write_stall_ms.max(1));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            // Who has come already is let in, and told that it is over.
            () = stop.cancelled() => match accept(&listener, &places).now_or_never() {
                Some(accepted) => accepted,
                None => break,
            },
        };
        let Some((stream, addr, place)) = accepted else { continue };
        let (builder, service, stop) = (builder.clone(), service.clone(), stop.clone());
        let begin = Duration::from_millis(config.header_timeout_ms);
        let secure = secure.clone();
        let late = stop.is_cancelled();
        let (age, stop) =
            if late { (LATE_MS, CancellationToken::new()) } else { (config.max_connection_age_ms, stop) };
        connections.spawn(async move {
            let service = hyper_service(service, addr);
            match secure {
                None => {
                    connection(&builder, Patient::new(stream, stall, begin), service, over(age, &stop)).await;
                }
                Some(secure) => match secure.accept(stream, begin).await {
                    Ok(stream) => {
                        let stream = Patient::new(stream, stall, begin);
                        connection(&builder, stream, service, over(age, &stop)).await;
                    }
                    Err(error) => tracing::info!(%addr, %error, "a connection was refused"),
                },
            }
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(CLOSE_LIMIT, connections.wait()).await.is_err() {
        tracing::warn!("connections were cut because they did not end in time");
    }
}

/// Returns when a connection should take no further calls: it is of age, or the
/// listener stops.
async fn over(age_ms: u64, stop: &CancellationToken) {
    if age_ms == 0 {
        return stop.cancelled().await;
    }
    // Those that began together do not come back together.
    let age = Duration::from_millis(age_ms).mul_f64(0.9 + 0.2 * fastrand::f64());
    let _ = tokio::time::timeout(age, stop.cancelled()).await;
}

/// Serves one connection to its end; once it is `over`, to the end of the calls
/// under way on it.
async fn connection<I, S>(
    builder: &Builder<TokioExecutor>,
    stream: I,
    service: S,
    over: impl Future<Output = ()>,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: hyper::service::Service<HyperRequest, Response = http::Response<Body>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
{
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = over => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// A listener of these settings that answers everything with nothing.
    async fn connect(config: ServerConfig) -> (TcpStream, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let answer =
            |_: http::Request<Body>| async { Ok::<_, Infallible>(http::Response::new(Body::empty())) };
        let service = BoxGrpcService::new(tower::service_fn(answer));
        tokio::spawn(serve(listener, config, service, None, stop.clone()));
        (TcpStream::connect(addr).await.expect("a connection"), stop)
    }

    async fn all(mut stream: TcpStream) -> Vec<u8> {
        let mut read = Vec::new();
        let end = stream.read_to_end(&mut read);
        tokio::time::timeout(Duration::from_secs(20), end).await.expect("it ends").expect("bytes");
        read
    }

    #[tokio::test]
    async fn a_connection_of_age_is_ended_after_its_calls() {
        let config = ServerConfig { max_connection_age_ms: 50, ..ServerConfig::default() };
        let (mut stream, _stop) = connect(config).await;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
        assert!(all(stream).await.starts_with(b"HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn headers_that_never_end_are_not_waited_for() {
        let config = ServerConfig { header_timeout_ms: 50, ..ServerConfig::default() };
        let (mut stream, _stop) = connect(config).await;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ").await.expect("sent");
        assert!(!all(stream).await.starts_with(b"HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn the_limits_of_http_2_are_announced() {
        let config =
            ServerConfig { max_concurrent_streams: 7, max_header_bytes: 9_000, ..ServerConfig::default() };
        let (mut stream, _stop) = connect(config).await;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("sent");
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.expect("a frame");
        assert_eq!(head[3], 4, "settings come first");
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut settings = vec![0; length];
        stream.read_exact(&mut settings).await.expect("settings");
        let value = |id: u8| {
            let of = settings.chunks(6).find(|setting| setting[..2] == [0, id]).expect("the setting");
            u32::from_be_bytes([of[2], of[3], of[4], of[5]])
        };
        assert_eq!((value(3), value(6)), (7, 9_000));
    }
}
