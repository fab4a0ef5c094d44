//! Spans over OTLP/gRPC, each under the service it belongs to.
//!
//! One process may hold several services. A span belongs to the service its
//! `service` field names, else to that of the span around it, else to the
//! configured one; a collector then sees each service under its own resource.

mod owner;
mod route;

use crate::{Error, TelemetryConfig};
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, Tracer};
use owner::OwnerProcessor;
use route::RoutedExporter;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tracing::{Level, Metadata, Subscriber};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::filter::{FilterFn, Filtered};
use tracing_subscriber::layer::Layer as _;
use tracing_subscriber::registry::LookupSpan;

/// The span attribute that names the owner.
pub(crate) const SERVICE: &str = "service";

/// A running exporter.
#[derive(Debug)]
pub(crate) struct Exporter {
    provider: SdkTracerProvider,
    timeout: Duration,
    /// The connection lives on a runtime of its own: sending what is left must
    /// work while the main runtime is shutting down or blocked.
    runtime: Option<tokio::runtime::Runtime>,
}

type Filtering = fn(&Metadata<'_>) -> bool;
type SpanLayer<S> = Filtered<OpenTelemetryLayer<S, Tracer>, FilterFn<Filtering>, S>;

impl Exporter {
    /// The layer that hands spans to the exporter.
    pub(crate) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> SpanLayer<S> {
        let layer = tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("probity"))
            .with_location(false)
            .with_threads(false)
            .with_target(false);
        layer.with_filter(FilterFn::new(is_ours as Filtering))
    }

    /// Sends what is not sent yet.
    pub(crate) fn flush(&self) {
        if let Err(error) = self.provider.force_flush() {
            tracing::warn!(%error, "spans could not be sent");
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown_with_timeout(self.timeout) {
            tracing::warn!(%error, "spans could not be sent");
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Our own spans and events from info up. Those of libraries stay out: the
/// exporter's own connection would trace itself.
fn is_ours(meta: &Metadata<'_>) -> bool {
    *meta.level() <= Level::INFO && meta.target().starts_with("probity")
}

/// Checks an endpoint and makes it ready to connect.
pub(crate) fn endpoint(text: &str) -> Result<Endpoint, Error> {
    let refuse = |reason: &str| Error::Endpoint { endpoint: text.to_owned(), reason: reason.to_owned() };
    let uri: http::Uri = text.trim().parse().map_err(|_| refuse("not a URL"))?;
    match uri.scheme_str() {
        Some("http") => Ok(Endpoint::from(uri)),
        Some("https") => {
            Err(refuse("spans are sent without TLS; use a collector on this host or in the service mesh"))
        }
        _ => Err(refuse("the scheme is missing")),
    }
}

/// Starts an exporter to `url`. The connection is made with the first spans.
pub(crate) fn start(config: &TelemetryConfig, url: &str) -> Result<Exporter, Error> {
    let timeout = Duration::from_millis(config.export_timeout_ms);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("otlp")
        .enable_all()
        .build()?;
    let channel = connect(&runtime, endpoint(url)?, timeout);
    let exporter = RoutedExporter::new(&config.service, channel, timeout)?;
    let batch = BatchConfigBuilder::default().with_scheduled_delay(Duration::from_secs(1)).build();
    let batches = BatchSpanProcessor::builder(exporter).with_batch_config(batch).build();
    crate::span::set_ratio(config.sample_ratio);
    let provider = SdkTracerProvider::builder()
        .with_id_generator(crate::span::Ids::default())
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample_ratio))))
        .with_resource(resource(&config.service))
        .with_span_processor(OwnerProcessor::default())
        .with_span_processor(batches)
        .build();
    Ok(Exporter { provider, timeout, runtime: Some(runtime) })
}

fn connect(runtime: &tokio::runtime::Runtime, endpoint: Endpoint, timeout: Duration) -> Channel {
    let _inside = runtime.enter();
    endpoint.connect_timeout(timeout).timeout(timeout).connect_lazy()
}

/// What a collector shows a service under.
fn resource(service: &str) -> Resource {
    Resource::builder()
        .with_service_name(service.to_owned())
        .with_attribute(KeyValue::new("service.namespace", "probity"))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}
