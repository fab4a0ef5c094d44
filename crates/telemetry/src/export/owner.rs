//! Finds the service a span belongs to, at its start.

use super::SERVICE;
use opentelemetry::trace::{Span as _, SpanId, TraceContextExt as _};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;

/// Gives a span that names no service the one of the span around it.
#[derive(Debug, Default)]
pub(super) struct OwnerProcessor {
    /// The owner of each span that has begun and not ended.
    open: Mutex<HashMap<SpanId, Value>>,
}

impl SpanProcessor for OwnerProcessor {
    fn on_start(&self, span: &mut Span, parent: &Context) {
        let id = span.span_context().span_id();
        let named = span.exported_data().and_then(|data| owner(&data).cloned());
        let mut open = self.open.lock();
        let inherited = || open.get(&parent.span().span_context().span_id()).cloned();
        if let Some(service) = named.clone().or_else(inherited) {
            open.insert(id, service.clone());
            if named.is_none() {
                span.set_attribute(KeyValue::new(SERVICE, service));
            }
        }
    }

    fn on_end(&self, span: SpanData) {
        self.open.lock().remove(&span.span_context.span_id());
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The service a span names.
pub(super) fn owner(span: &SpanData) -> Option<&Value> {
    span.attributes.iter().find(|pair| pair.key.as_str() == SERVICE).map(|pair| &pair.value)
}
