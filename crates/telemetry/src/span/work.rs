//! Work that goes on after the call that asked for it was answered, in another task,
//! in another process, or after a crash: its spans belong to the trace of that call,
//! and nothing but the id of the trace has to be stored for that.
//!
//! The ids of such spans follow from what they are of. [`begins`] leaves a span under
//! an id that anybody finds again; a [`step`] is its child and links to its attempt
//! before. An attempt that is made again after a crash has the id of the lost one, so
//! that what the peers did for that one stays below it.

use super::{begin, exported, remote};
use crate::TraceContext;
use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, Sampler, SamplingDecision, ShouldSample as _,
};
use parking_lot::Mutex;
use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::sync::{LazyLock, OnceLock};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Decisions remembered, for traces that others began.
const REMEMBERED: usize = 20_000;

/// The span below which the steps of a trace are, inside the current span: to be kept
/// while what goes on is made durable.
#[must_use]
pub fn begins(service: &str, name: &'static str, trace_id: &str) -> Span {
    let Some(trace) = read(trace_id) else { return super::work(service, name, None) };
    let here = super::current();
    let span = with_id(derived(trace, "", 0), || super::work(service, name, here.as_ref()));
    if let Some(context) = exported(&span).filter(|context| context.trace_id == trace) {
        DECIDED.lock().remember(trace, context.sampled);
    }
    span
}

/// The span of an attempt at a step, in the trace whose beginning was marked by
/// [`begins`]; `key` tells the steps of the trace apart, attempts count from 1.
#[must_use]
pub fn step(service: &str, name: &str, trace_id: &str, key: &str, attempt: u32) -> Span {
    let context = read(trace_id).map(|trace| TraceContext {
        trace_id: trace,
        span_id: derived(trace, "", 0),
        sampled: is_sampled(trace),
        state: String::new(),
    });
    let make = || {
        let span = tracing::info_span!(
            target: "probity::work",
            "work",
            "otel.name" = name,
            "otel.status_code" = Empty,
            "otel.status_description" = Empty,
            service,
            step = name,
            attempt,
            trace_id = Empty,
        );
        begin(&span, context.as_ref());
        span
    };
    let Some(context) = &context else { return make() };
    let span = with_id(derived(context.trace_id, key, attempt), make);
    if attempt > 1 {
        let before = derived(context.trace_id, key, attempt - 1);
        span.add_link(remote(&TraceContext { span_id: before, ..context.clone() }));
    }
    span
}

/// Says why an attempt failed.
pub fn failed(span: &Span, why: &str) {
    span.record("otel.status_code", "ERROR");
    span.record("otel.status_description", why);
}

fn read(trace_id: &str) -> Option<u128> {
    u128::from_str_radix(trace_id, 16).ok().filter(|id| *id != 0)
}

/// The id of a span: FNV-1a over what it is of, never zero.
fn derived(trace: u128, key: &str, attempt: u32) -> u64 {
    let bytes = trace.to_be_bytes().into_iter().chain(key.bytes()).chain(attempt.to_be_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
        | 1
}

// ------------------------------------------------------------------------- sampling

static RATIO: OnceLock<f64> = OnceLock::new();
static DECIDED: LazyLock<Mutex<Decided>> = LazyLock::new(Mutex::default);

/// What was decided for the latest traces.
#[derive(Default)]
struct Decided {
    sampled: HashMap<u128, bool>,
    order: VecDeque<u128>,
}

impl Decided {
    fn remember(&mut self, trace: u128, sampled: bool) {
        if self.sampled.insert(trace, sampled).is_some() {
            return;
        }
        self.order.push_back(trace);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.sampled.remove(&oldest);
        }
    }
}

/// Keeps the share of traces that is recorded, for those whose beginning this process
/// has not seen.
pub(crate) fn set_ratio(ratio: f64) {
    let _ = RATIO.set(ratio); // there is one exporter a process
}

/// As it was decided when the trace began. After a restart it is decided again by the
/// same rule over the id; only a caller outside that had chosen otherwise is overruled.
fn is_sampled(trace: u128) -> bool {
    if let Some(sampled) = DECIDED.lock().sampled.get(&trace) {
        return *sampled;
    }
    let Some(ratio) = RATIO.get() else { return false };
    let kind = opentelemetry::trace::SpanKind::Internal;
    let rule = Sampler::TraceIdRatioBased(*ratio);
    let result = rule.should_sample(None, TraceId::from(trace), "", &kind, &[], &[]);
    result.decision == SamplingDecision::RecordAndSample
}

// ------------------------------------------------------------------------------ ids

thread_local! {
    static NEXT: Cell<Option<SpanId>> = const { Cell::new(None) };
}

/// Gives the span that `make` makes this id.
fn with_id(id: u64, make: impl FnOnce() -> Span) -> Span {
    NEXT.set(Some(SpanId::from(id)));
    let span = make();
    NEXT.set(None);
    span
}

/// Random ids, but for spans whose id is known before.
#[derive(Debug, Default)]
pub(crate) struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        self.0.new_trace_id()
    }

    fn new_span_id(&self) -> SpanId {
        NEXT.take().unwrap_or_else(|| self.0.new_span_id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::{Rpc, server};
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
    use std::sync::Arc;
    use tracing_subscriber::layer::SubscriberExt as _;

    #[derive(Debug, Clone, Default)]
    struct Kept(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Kept {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().extend(batch);
            Ok(())
        }
    }

    /// What is exported while `work` runs.
    fn spans(work: impl FnOnce()) -> Vec<SpanData> {
        let kept = Kept::default();
        let provider = SdkTracerProvider::builder()
            .with_id_generator(Ids::default())
            .with_simple_exporter(kept.clone())
            .build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
        kept.0.lock().clone()
    }

    #[test]
    fn steps_are_children_of_the_beginning_and_attempts_are_linked() {
        let caller = TraceContext::root(true);
        let trace = caller.trace_id_hex();
        let found = spans(|| {
            let call = server("orchestrator", Rpc::from_path("/o.O/Open"), Some(&caller), "r");
            drop(call.in_scope(|| begins("orchestrator", "execution", &trace)));
            drop(call);
            failed(&step("orchestrator", "investigate", &trace, "e/investigate", 1), "it is away");
            drop(step("orchestrator", "investigate", &trace, "e/investigate", 2));
            drop(step("orchestrator", "validate", &trace, "e/validate", 1));
        });
        let names: Vec<_> = found.iter().map(|span| span.name.as_ref()).collect();
        assert_eq!(names, ["execution", "o.O/Open", "investigate", "investigate", "validate"]);
        assert!(found.iter().all(|span| span.span_context.trace_id() == TraceId::from(caller.trace_id)));
        let (beginning, first, second) = (&found[0], &found[2], &found[3]);
        assert_eq!(beginning.parent_span_id, found[1].span_context.span_id());
        for step in &found[2..] {
            assert_eq!(step.parent_span_id, beginning.span_context.span_id());
        }
        assert_eq!(second.links.links[0].span_context.span_id(), first.span_context.span_id());
        assert!(first.links.links.is_empty());
    }

    #[test]
    fn an_attempt_that_is_made_again_has_the_id_of_the_lost_one() {
        let caller = TraceContext::root(true);
        DECIDED.lock().remember(caller.trace_id, true);
        let trace = caller.trace_id_hex();
        let found = spans(|| {
            drop(step("orchestrator", "a", &trace, "e/a", 3));
            drop(step("orchestrator", "a", &trace, "e/a", 3));
            drop(step("orchestrator", "b", &trace, "e/b", 3));
        });
        let ids: Vec<_> = found.iter().map(|span| span.span_context.span_id()).collect();
        assert!(ids[0] == ids[1] && ids[1] != ids[2], "{ids:?}");
    }

    #[test]
    fn a_trace_that_is_not_recorded_has_no_steps() {
        let caller = TraceContext::root(false);
        DECIDED.lock().remember(caller.trace_id, false);
        assert!(spans(|| drop(step("orchestrator", "a", &caller.trace_id_hex(), "e/a", 1))).is_empty());
        // Without a trace there is one of its own.
        assert_eq!(spans(|| drop(step("orchestrator", "a", "", "e/a", 1))).len(), 1);
    }
}
