//! The spans of calls, and the trace they belong to.
//!
//! [`server`] and [`client`] make spans with the fields of the OpenTelemetry
//! semantic conventions for RPC. They work with and without an exporter: without
//! one, the trace context lives in the span itself, so that log lines and
//! outgoing requests carry it all the same.

mod work;

pub(crate) use work::{Ids, set_ratio};
pub use work::{begins, failed, step};

use crate::TraceContext;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use std::str::FromStr as _;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Registry;
use tracing_subscriber::registry::LookupSpan as _;

/// A gRPC method, from its HTTP/2 path `/package.Service/Method`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rpc<'a> {
    /// The full name of the gRPC service.
    pub service: &'a str,
    /// The method.
    pub method: &'a str,
}

impl<'a> Rpc<'a> {
    /// Splits a path; what is no gRPC path has both names empty.
    #[must_use]
    pub fn from_path(path: &'a str) -> Self {
        let (service, method) = path.strip_prefix('/').and_then(|p| p.split_once('/')).unwrap_or_default();
        Self { service, method }
    }
}

/// The span of a call this process answers as `service`, part of the caller's
/// trace or the beginning of one. Fields `tenant`, `case` and `execution` can be
/// recorded later, [`finish`] records the status.
///
/// A call that is no RPC yet has an empty [`Rpc`]; [`rename`] tells it later.
#[must_use]
pub fn server(service: &str, rpc: Rpc<'_>, caller: Option<&TraceContext>, request_id: &str) -> Span {
    let told = !rpc.service.is_empty();
    let name = if told { format!("{}/{}", rpc.service, rpc.method) } else { "http".to_owned() };
    let span = tracing::info_span!(
        target: "probity::rpc",
        "rpc",
        "otel.name" = name,
        "otel.kind" = "server",
        "otel.status_code" = Empty,
        "rpc.system" = "grpc",
        "rpc.service" = told.then_some(rpc.service),
        "rpc.method" = told.then_some(rpc.method),
        "rpc.grpc.status_code" = Empty,
        service,
        request_id,
        trace_id = Empty,
        tenant = Empty,
        case = Empty,
        execution = Empty,
    );
    begin(&span, caller);
    span
}

/// The span of a call this process makes as `service`, inside the current span; no span
/// in a trace that is not sampled, where nobody would see it: the callee's is a child of
/// the current one then.
#[must_use]
pub fn client(service: &str, rpc: Rpc<'_>, peer: &str) -> Span {
    let caller = current();
    if caller.as_ref().is_some_and(|caller| !caller.sampled) {
        return Span::none();
    }
    let span = tracing::info_span!(
        target: "probity::rpc",
        "call",
        "otel.name" = format_args!("{}/{}", rpc.service, rpc.method),
        "otel.kind" = "client",
        "otel.status_code" = Empty,
        "rpc.system" = "grpc",
        "rpc.service" = rpc.service,
        "rpc.method" = rpc.method,
        "rpc.grpc.status_code" = Empty,
        "peer.service" = peer,
        service,
        trace_id = Empty,
    );
    begin(&span, caller.as_ref());
    span
}

/// The span of background work or of a workflow step, which nobody called.
#[must_use]
pub fn work(service: &str, name: &'static str, caller: Option<&TraceContext>) -> Span {
    let span = tracing::info_span!(
        target: "probity::work",
        "work",
        "otel.name" = name,
        "otel.status_code" = Empty,
        service,
        request_id = Empty,
        trace_id = Empty,
        tenant = Empty,
        case = Empty,
        execution = Empty,
        step = Empty,
    );
    begin(&span, caller);
    span
}

/// Says which method a call turned out to be for: a REST path tells only once it is
/// routed, and a span that is named after it would carry ids in its name.
pub fn rename(span: &Span, rpc: Rpc<'_>) {
    // The name of a span that has begun is no field any more.
    span.context().span().update_name(format!("{}/{}", rpc.service, rpc.method));
    span.record("rpc.service", rpc.service);
    span.record("rpc.method", rpc.method);
}

/// Records how a call ended, by its gRPC status code.
pub fn finish(span: &Span, code: i32) {
    span.record("rpc.grpc.status_code", code);
    if is_failure(code) {
        span.record("otel.status_code", "ERROR");
    }
}

/// Codes that are the callee's failure, not the caller's mistake: UNKNOWN,
/// DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE and DATA_LOSS.
#[must_use]
pub const fn is_failure(code: i32) -> bool {
    matches!(code, 2 | 4 | 12 | 13 | 14 | 15)
}

/// The trace context of the current span, to send on.
#[must_use]
pub fn current() -> Option<TraceContext> {
    of(&Span::current())
}

/// The trace context of a span: the exporter's when there is one, else the one
/// kept by [`server`], [`client`] or [`work`] in it or a span around it.
#[must_use]
pub fn of(span: &Span) -> Option<TraceContext> {
    exported(span).or_else(|| kept(span))
}

/// Makes a new span part of the caller's trace, or the beginning of one.
fn begin(span: &Span, caller: Option<&TraceContext>) {
    if let Some(caller) = caller {
        // Fails when there is no exporter; the context is kept below then.
        let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(remote(caller)));
    }
    let context = exported(span).unwrap_or_else(|| {
        let context = caller.map_or_else(|| TraceContext::root(false), TraceContext::child);
        keep(span, context.clone());
        context
    });
    span.record("trace_id", context.trace_id_hex());
}

fn remote(context: &TraceContext) -> SpanContext {
    let flags = if context.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    let state = TraceState::from_str(&context.state).unwrap_or_default();
    SpanContext::new(TraceId::from(context.trace_id), SpanId::from(context.span_id), flags, true, state)
}

fn exported(span: &Span) -> Option<TraceContext> {
    let context = span.context();
    let span = context.span();
    let known = span.span_context();
    known.is_valid().then(|| TraceContext {
        trace_id: u128::from_be_bytes(known.trace_id().to_bytes()),
        span_id: u64::from_be_bytes(known.span_id().to_bytes()),
        sampled: known.is_sampled(),
        state: known.trace_state().header(),
    })
}

struct Kept(TraceContext);

fn keep(span: &Span, context: TraceContext) {
    span.with_subscriber(|(id, dispatch)| {
        if let Some(span) = dispatch.downcast_ref::<Registry>().and_then(|registry| registry.span(id)) {
            span.extensions_mut().insert(Kept(context));
        }
    });
}

fn kept(span: &Span) -> Option<TraceContext> {
    span.with_subscriber(|(id, dispatch)| {
        let span = dispatch.downcast_ref::<Registry>()?.span(id)?;
        span.scope().find_map(|span| span.extensions().get::<Kept>().map(|kept| kept.0.clone()))
    })?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LogFormat;
    use crate::log::{LogLayer, filter};
    use opentelemetry::trace::TracerProvider as _;
    use std::sync::Arc;
    use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

    const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const RPC: Rpc<'static> = Rpc { service: "probity.spam.v1.SpamService", method: "Classify" };

    fn quiet() -> LogLayer {
        LogLayer::new("test", LogFormat::Json, Arc::new(|_| ()))
    }

    fn without_exporter(work: impl FnOnce()) {
        let subscriber = tracing_subscriber::registry().with(quiet().with_filter(filter("off").unwrap()));
        tracing::subscriber::with_default(subscriber, work);
    }

    fn with_exporter(work: impl FnOnce()) {
        let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let subscriber =
            tracing_subscriber::registry().with(quiet().with_filter(filter("off").unwrap())).with(layer);
        tracing::subscriber::with_default(subscriber, work);
    }

    /// What must hold with and without an exporter.
    fn one_trace_from_caller_to_callee() {
        let caller: TraceContext = CALLER.parse().unwrap();
        let span = server("spam-detection", RPC, Some(&caller), "r1");
        let here = of(&span).unwrap();
        assert_eq!(here.trace_id, caller.trace_id);
        assert_ne!(here.span_id, caller.span_id);
        assert!(here.sampled);
        let _entered = span.enter();
        let plain = tracing::info_span!("inner").entered();
        assert_eq!(current().map(|c| c.trace_id), Some(caller.trace_id));
        let call = client("spam-detection", RPC, "intake");
        let sent = of(&call).unwrap();
        assert_eq!(sent.trace_id, caller.trace_id);
        assert_ne!(sent.span_id, here.span_id);
        drop(plain);
    }

    #[test]
    fn a_call_stays_in_the_trace_of_its_caller() {
        without_exporter(one_trace_from_caller_to_callee);
        with_exporter(one_trace_from_caller_to_callee);
    }

    #[test]
    fn a_call_in_a_trace_that_nobody_sees_has_no_span_of_its_own() {
        let unseen = || {
            let caller: TraceContext = CALLER.replace("-01", "-00").parse().unwrap();
            let span = server("spam-detection", RPC, Some(&caller), "r1");
            let _entered = span.enter();
            assert!(client("spam-detection", RPC, "intake").is_none());
            assert_eq!(current().map(|c| (c.trace_id, c.sampled)), Some((caller.trace_id, false)));
        };
        without_exporter(unseen);
        with_exporter(unseen);
    }

    #[test]
    fn a_call_without_a_trace_begins_one() {
        let begins = || {
            let (one, two) = (server("gateway", RPC, None, "r1"), server("gateway", RPC, None, "r2"));
            let ids: Vec<_> = [&one, &two].map(|s| of(s).unwrap().trace_id).into();
            assert!(ids[0] != 0 && ids[0] != ids[1]);
        };
        without_exporter(begins);
        with_exporter(begins);
    }

    #[test]
    fn nothing_is_current_without_a_subscriber() {
        assert_eq!(current(), None);
    }

    #[test]
    fn paths_are_split() {
        let check = |path, service, method| assert_eq!(Rpc::from_path(path), Rpc { service, method });
        check("/a.B/C", "a.B", "C");
        check("/nothing", "", "");
        check("", "", "");
    }
}
