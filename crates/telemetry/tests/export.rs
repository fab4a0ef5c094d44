//! Spans reach a collector, each under the service it belongs to, and what is
//! left is sent when the guard goes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use probity_telemetry::span::{self, Rpc};
use probity_telemetry::{Error, TelemetryConfig, TraceContext};
use std::collections::BTreeMap;
use std::sync::mpsc;
use tonic::{Request, Response, Status};

struct Collector(mpsc::Sender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.send(request.into_inner()).map_err(|e| Status::internal(e.to_string()))?;
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Starts a collector on a free port; returns its URL and what it receives.
fn collector() -> (String, mpsc::Receiver<ExportTraceServiceRequest>) {
    let (send, receive) = mpsc::channel();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
            let server =
                tonic::transport::Server::builder().add_service(TraceServiceServer::new(Collector(send)));
            server.serve_with_incoming(incoming).await.unwrap();
        });
    });
    (url, receive)
}

/// Span name → (service, trace id) of everything received.
fn received(requests: &mpsc::Receiver<ExportTraceServiceRequest>) -> BTreeMap<String, (String, String)> {
    let mut spans = BTreeMap::new();
    for resource in requests.try_iter().flat_map(|r| r.resource_spans) {
        let attributes = resource.resource.unwrap().attributes;
        let name = attributes.into_iter().find(|a| a.key == "service.name").unwrap().value.unwrap().value;
        let Some(Value::StringValue(service)) = name else { panic!("service.name is no text") };
        for span in resource.scope_spans.into_iter().flat_map(|s| s.spans) {
            let id = span.trace_id.iter().map(|b| format!("{b:02x}")).collect();
            spans.insert(span.name, (service.clone(), id));
        }
    }
    spans
}

#[test]
fn each_service_of_a_process_has_its_spans_and_none_is_lost_at_the_end() {
    let (url, requests) = collector();
    let config =
        TelemetryConfig { otlp_endpoint: Some(url), log_filter: "off".to_owned(), ..Default::default() };
    let guard = probity_telemetry::init(&config).unwrap();
    assert!(matches!(probity_telemetry::init(&config), Err(Error::AlreadySetUp)));

    let caller = TraceContext::root(true);
    let outer = span::server("orchestrator", Rpc::from_path("/o.O/Open"), Some(&caller), "r1");
    outer.in_scope(|| {
        tracing::info_span!(target: "probity_orchestrator", "plain").in_scope(|| ());
        tracing::info_span!(target: "h2", "foreign").in_scope(|| ());
        let call = span::client("orchestrator", Rpc::from_path("/s.S/Classify"), "spam-detection");
        let sent = span::of(&call).unwrap();
        drop(span::server("spam-detection", Rpc::from_path("/s.S/Answer"), Some(&sent), "r1"));
    });
    drop(outer);
    let rest = span::server("gateway", Rpc::default(), Some(&caller), "r3");
    span::rename(&rest, Rpc::from_path("/o.O/GetCase"));
    drop(rest);
    let unsampled = TraceContext { sampled: false, ..TraceContext::root(false) };
    drop(span::server("orchestrator", Rpc::from_path("/o.O/NotSampled"), Some(&unsampled), "r2"));
    drop(span::work("intake", "sweep", None));
    tracing::info_span!(target: "probity_other", "ownerless").in_scope(|| ());
    drop(guard);

    let spans = received(&requests);
    let names: Vec<_> = spans.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["o.O/GetCase", "o.O/Open", "ownerless", "plain", "s.S/Answer", "s.S/Classify", "sweep"]
    );
    let check = |name: &str, service: &str, in_trace: bool| {
        let (got, trace) = &spans[name];
        assert_eq!(got, service, "{name}");
        assert_eq!(*trace == caller.trace_id_hex(), in_trace, "{name}");
    };
    check("o.O/Open", "orchestrator", true);
    check("plain", "orchestrator", true);
    check("s.S/Classify", "orchestrator", true);
    check("s.S/Answer", "spam-detection", true);
    check("sweep", "intake", false);
    check("ownerless", "probity", false);
}
