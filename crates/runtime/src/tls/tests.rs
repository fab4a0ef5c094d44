//! Who gets in, who does not, and what happens when certificates change.

use super::*;
use crate::config::{ResilienceConfig, ServerConfig};
use crate::listener;
use crate::metrics::TlsMetrics;
use crate::peers::Peers;
use futures::future::join_all;
use http::Request;
use probity_proto::{BoxGrpcService, boxed};
use probity_testkit::eventually;
use probity_types::{Clock as _, SystemClock};
use prometheus::Registry;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tonic::body::Body;
use tonic::service::Routes;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::ServiceExt as _;

fn now() -> Micros {
    SystemClock.now()
}

fn development(dir: &Path, service: &str) -> Tls {
    development_at(dir, service, now())
}

/// A certificate as a clock that shows this would have it.
fn development_at(dir: &Path, service: &str, at: Micros) -> Tls {
    let config = TlsConfig { development: true, ..TlsConfig::default() };
    Tls::open(&config, dir, service, at).unwrap().unwrap()
}

/// Certificates of a service in files, as a cluster mounts them.
fn write_files(authority: &Path, service: &str, into: &Path) -> TlsConfig {
    let name = format!("{service}.probity.internal");
    let material = development::Authority::open(&authority.join("tls"), name).unwrap().issue(now()).unwrap();
    let pem = |kind: &str, der: &[u8]| {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        let lines: Vec<_> =
            text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
    };
    let write = |file: &str, text: String| -> PathBuf {
        std::fs::write(into.join(file), text).unwrap();
        into.join(file)
    };
    TlsConfig {
        certificate: Some(write("tls.crt", pem("CERTIFICATE", &material.chain[0]))),
        key: Some(write("tls.key", pem("PRIVATE KEY", material.key.secret_der()))),
        ca: Some(write("ca.crt", pem("CERTIFICATE", &material.authorities[0]))),
        reload_ms: 100,
        ..TlsConfig::default()
    }
}

struct Server {
    addr: SocketAddr,
    metrics: TlsMetrics,
    registry: Registry,
    stop: CancellationToken,
}

/// Intake, as far as its health service.
async fn serve(tls: Tls) -> Server {
    serve_with(tls, ServerConfig::default()).await
}

async fn serve_with(tls: Tls, config: ServerConfig) -> Server {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("", tonic_health::ServingStatus::Serving).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (registry, stop) = (Registry::new(), CancellationToken::new());
    let metrics = TlsMetrics::register(&registry).unwrap();
    let secure = Secure::new(tls, "intake", metrics.clone());
    let service = boxed("intake", Routes::new(health).prepare());
    tokio::spawn(listener::serve(listener, config, service, Some(secure), stop.clone()));
    Server { addr, metrics, registry, stop }
}

fn client(server: &Server, caller: &'static str, tls: Option<Tls>) -> BoxGrpcService {
    let remote = BTreeMap::from([("intake".to_owned(), format!("http://{}", server.addr))]);
    let peers = Peers::new(remote, ResilienceConfig::default());
    if let Some(tls) = tls {
        peers.secure(caller, tls);
    }
    peers.client(caller, "intake")
}

async fn asks(client: &BoxGrpcService) -> Result<(), tonic::Status> {
    let asked = HealthClient::new(client.clone()).check(HealthCheckRequest::default()).await;
    asked.map(|answer| assert_eq!(answer.into_inner().status, 1))
}

/// Passes connections on to a server and counts them.
async fn counted(to: SocketAddr) -> (SocketAddr, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, count) = (listener.local_addr().unwrap(), Arc::new(AtomicU32::new(0)));
    let counting = count.clone();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            counting.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut to = TcpStream::connect(to).await.unwrap();
                // Either side may end it.
                let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            });
        }
    });
    (addr, count)
}

#[tokio::test]
async fn a_connection_of_age_is_replaced_without_a_failed_call() {
    let dir = tempfile::tempdir().unwrap();
    let config = ServerConfig { max_connection_age_ms: 50, ..ServerConfig::default() };
    let server = serve_with(development(dir.path(), "intake"), config).await;
    let (addr, connections) = counted(server.addr).await;
    let through = Server { addr, ..server };
    let client = client(&through, "gateway", Some(development(dir.path(), "gateway")));
    let calls = async {
        while connections.load(Ordering::SeqCst) < 4 {
            asks(&client).await.unwrap();
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), calls).await.expect("connections are replaced");
    through.stop.cancel();
}

#[tokio::test]
async fn only_services_that_may_call_get_in() {
    let (dir, foreign) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = serve(development(dir.path(), "intake")).await;
    let check = async |caller: &'static str, tls: Option<Tls>, expect: bool| {
        let got = asks(&client(&server, caller, tls)).await;
        assert_eq!(got.is_ok(), expect, "{caller}: {got:?}");
    };
    check("gateway", Some(development(dir.path(), "gateway")), true).await;
    check("orchestrator", Some(development(dir.path(), "orchestrator")), true).await;
    check("gateway", None, false).await;
    check("gateway", Some(development(foreign.path(), "gateway")), false).await;
    // A service of the platform that has no business with intake.
    check("gateway", Some(development(dir.path(), "compliance-validator")), false).await;
    let refused = |reason: &str| server.metrics.refused.with_label_values(&[reason]).get();
    assert!(refused("handshake") >= 2 && refused("caller") >= 1);
    server.stop.cancel();
}

#[tokio::test]
async fn a_client_without_a_certificate_and_plain_text_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let tls = development(dir.path(), "intake");
    let server = serve(tls.clone()).await;
    let mut roots = RootCertStore::empty();
    for authority in files::certificates(&dir.path().join("tls/ca.pem")).unwrap() {
        roots.add(authority).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut bare = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    bare.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(server.addr).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(bare));
    let mut stream = connector.connect(tls.server_name("intake").unwrap(), stream).await.unwrap();
    // In TLS 1.3 the client hears of it when it reads.
    assert!(stream.read(&mut [0; 16]).await.is_err());
    let mut plain = TcpStream::connect(server.addr).await.unwrap();
    plain.write_all(b"GET /grpc.health.v1.Health/Check HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    server.stop.cancel();
}

#[tokio::test]
async fn a_peer_that_is_another_service_is_not_called() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(development(dir.path(), "spam-detection")).await;
    let status =
        asks(&client(&server, "gateway", Some(development(dir.path(), "gateway")))).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
    server.stop.cancel();
}

#[tokio::test]
async fn a_certificate_that_is_over_or_not_valid_yet_is_refused_on_both_sides() {
    const TRIES: u64 = 20;
    let (dir, two_days) = (tempfile::tempdir().unwrap(), Duration::from_hours(48));
    let right = serve(development(dir.path(), "intake")).await;
    let over = Micros(now().0 - i64::try_from(two_days.as_micros()).unwrap());
    for (at, what) in [(over, "over"), (now().plus(two_days), "not valid yet")] {
        let refused = || right.metrics.refused.with_label_values(&["handshake"]).get();
        let before = refused();
        for _ in 0..TRIES {
            let caller = Some(development_at(dir.path(), "gateway", at));
            assert!(asks(&client(&right, "gateway", caller)).await.is_err(), "a caller's is {what}");
        }
        eventually(Duration::from_secs(20), async || {
            let refused = refused() - before;
            if refused >= TRIES { Ok(()) } else { Err(refused) }
        })
        .await;
        let wrong = serve(development_at(dir.path(), "intake", at)).await;
        for _ in 0..TRIES {
            let caller = Some(development(dir.path(), "gateway"));
            assert!(asks(&client(&wrong, "gateway", caller)).await.is_err(), "the peer's is {what}");
        }
        wrong.stop.cancel();
    }
    asks(&client(&right, "gateway", Some(development(dir.path(), "gateway")))).await.unwrap();
    right.stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_under_load_fails_no_call() {
    let (dir, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = write_files(dir.path(), "intake", files.path());
    let tls = Tls::open(&config, dir.path(), "intake", now()).unwrap().unwrap();
    let server = serve(tls.clone()).await;
    let watch = tls.clone().watch(server.metrics.clone(), Arc::new(SystemClock), server.stop.clone());
    let watching = tokio::spawn(watch);
    let mine = development(dir.path(), "gateway");
    let done = Arc::new(AtomicBool::new(false));
    let drivers: Vec<_> = (0..8)
        .map(|number| {
            let (done, remote, mine) = (done.clone(), format!("http://{}", server.addr), mine.clone());
            tokio::spawn(async move {
                let (mut calls, mut failed) = (0_u64, Vec::new());
                while !done.load(Ordering::Relaxed) {
                    // Half of the calls come on connections of their own.
                    let peers = Peers::new(
                        BTreeMap::from([("intake".to_owned(), remote.clone())]),
                        ResilienceConfig::default(),
                    );
                    peers.secure("gateway", mine.clone());
                    let client = peers.client("gateway", "intake");
                    for _ in 0..if number % 2 == 0 { 1 } else { 50 } {
                        calls += 1;
                        failed.extend(asks(&client).await.err());
                    }
                }
                (calls, failed)
            })
        })
        .collect();
    let reloads = |outcome: &str| server.metrics.reloads.with_label_values(&[outcome]).get();
    for rotation in 1..=5 {
        write_files(dir.path(), "intake", files.path());
        probity_testkit::eventually(Duration::from_secs(20), async || {
            let seen = reloads("ok");
            if seen >= rotation { Ok(()) } else { Err(seen) }
        })
        .await;
    }
    let before = tls.expires();
    std::fs::write(files.path().join("tls.crt"), "nonsense").unwrap();
    probity_testkit::eventually(Duration::from_secs(20), async || {
        if reloads("failed") > 0 { Ok(()) } else { Err("no failed reload yet") }
    })
    .await;
    assert_eq!(tls.expires(), before, "what cannot be used changes nothing");
    done.store(true, Ordering::Relaxed);
    let results = join_all(drivers).await;
    let (mut calls, mut failed) = (0, Vec::new());
    for (number, errors) in results.into_iter().map(Result::unwrap) {
        calls += number;
        failed.extend(errors);
    }
    println!("{calls} calls over 5 rotations, {} failed", failed.len());
    assert!(failed.is_empty() && calls > 100, "{calls} calls, {failed:?}");
    let text = probity_telemetry::metrics::encode(&server.registry);
    assert!(text.contains("tls_certificate_expiry_timestamp_seconds"), "{text}");
    server.stop.cancel();
    watching.await.unwrap();
}

#[test]
fn what_is_made_here_is_made_anew_at_half_its_life() {
    let dir = tempfile::tempdir().unwrap();
    let tls = development(dir.path(), "intake");
    let (at, first) = (now(), tls.expires());
    assert!(!tls.reload(at).unwrap());
    assert!(!tls.reload(at.plus(development::LIFE / 2 - Duration::from_mins(1))).unwrap());
    assert!(tls.reload(at.plus(development::LIFE / 2 + Duration::from_mins(1))).unwrap());
    assert!(tls.expires() > first);
}

#[test]
fn parts_that_do_not_fit_are_refused_at_start() {
    let (dir, one, two) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = write_files(dir.path(), "intake", one.path());
    let other = write_files(dir.path(), "intake", two.path());
    let check = |config: &TlsConfig, at: Micros, part: &str| {
        let error = Tls::open(config, dir.path(), "intake", at).err().expect(part);
        assert!(format!("{error:#}").contains(part), "{error:#}");
    };
    assert!(Tls::open(&config, dir.path(), "intake", now()).unwrap().is_some());
    check(&TlsConfig { key: other.key, ..config.clone() }, now(), "do not belong together");
    check(
        &TlsConfig { key: config.certificate.clone(), ..config.clone() },
        now(),
        "is no private key in PEM",
    );
    check(&TlsConfig { ca: config.key.clone(), ..config.clone() }, now(), "has no certificate in it");
    check(
        &TlsConfig { ca: Some(PathBuf::from("/nowhere")), ..config.clone() },
        now(),
        "/nowhere cannot be read",
    );
    check(&config, now().plus(Duration::from_hours(48)), "expired at");
    assert!(Tls::open(&TlsConfig::default(), dir.path(), "intake", now()).unwrap().is_none());
}

#[tokio::test]
async fn services_that_start_together_share_one_authority() {
    let dir = tempfile::tempdir().unwrap();
    let opened = (0..8).map(|_| {
        let dir = dir.path().to_owned();
        tokio::task::spawn_blocking(move || development(&dir, "intake"))
    });
    let all = join_all(opened).await;
    let server = serve(development(dir.path(), "intake")).await;
    for tls in all {
        let tls = tls.unwrap();
        let _ = tls.expires();
    }
    let request = Request::builder().uri("/grpc.health.v1.Health/Check").body(Body::empty()).unwrap();
    let gateway = client(&server, "gateway", Some(development(dir.path(), "gateway")));
    assert!(gateway.oneshot(request).await.is_ok());
    server.stop.cancel();
}
