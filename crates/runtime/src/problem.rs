//! Problem documents (RFC 9457): how a failure is told over plain HTTP, with the
//! same code, words and fields that gRPC carries in its details. The door answers
//! with them, and so does what refuses a call before the door has seen it.

use crate::status::reason;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use probity_types::{Fault, FaultKind};
use serde::Serialize;

/// `application/problem+json`.
#[derive(Debug, Serialize)]
pub struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    reason: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    trace_id: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

#[derive(Debug, Serialize)]
struct FieldError<'a> {
    field: &'a str,
    description: &'a str,
}

impl<'a> Problem<'a> {
    /// The document of a fault. Its text must be one that the caller may read:
    /// [`fault_of`](crate::fault_of) a status is.
    #[must_use]
    pub fn new(fault: &'a Fault, http: StatusCode, request_id: &'a str, trace_id: &'a str) -> Self {
        let fields = fault.violations.iter();
        Self {
            kind: format!("urn:probity:error:{}", fault.code),
            title: title(fault.kind),
            status: http.as_u16(),
            detail: &fault.message,
            code: fault.code,
            reason: reason(fault.kind),
            request_id,
            trace_id,
            errors: fields.map(|v| FieldError { field: &v.field, description: &v.description }).collect(),
            retry_after: retry_after(fault),
        }
    }

    /// The headers it goes with.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        headers
    }
}

/// Whole seconds to wait, rounded up, at least one.
fn retry_after(fault: &Fault) -> Option<u64> {
    let seconds = fault.retry_after.map(|after| after.as_millis().div_ceil(1_000).max(1));
    seconds.and_then(|seconds| u64::try_from(seconds).ok())
}

/// The name of a kind, for people.
#[must_use]
pub const fn title(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Invalid => "The request cannot be used",
        FaultKind::Unauthenticated => "Not authenticated",
        FaultKind::Denied => "Not allowed",
        FaultKind::NotFound => "Not found",
        FaultKind::Exists => "Already there",
        FaultKind::Stale => "Outdated",
        FaultKind::WrongState => "Not possible in this state",
        FaultKind::KeyReused => "Idempotency key used for something else",
        FaultKind::Overloaded => "Too much at once",
        FaultKind::Timeout => "Out of time",
        FaultKind::Unavailable => "Not available",
        FaultKind::Corrupt => "Stored data is damaged",
        FaultKind::Internal => "A mistake on our side",
    }
}
