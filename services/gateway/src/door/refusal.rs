//! How a failure is answered: as a problem document (RFC 9457) over REST, as a
//! status over gRPC, with the same code, the same words and the same fields.

use super::arrival::Arrival;
use crate::error::Error;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use probity_runtime::status;
use probity_runtime::status::{fault_of, http_status, reason};
use probity_types::{Fault, FaultKind};
use serde::Serialize;
use tonic::{Code, Status};

/// A failure about to be answered. What it says may be read by the caller: the
/// text of secret kinds has been logged and replaced.
#[derive(Debug)]
pub(super) struct Refusal {
    fault: Fault,
    status: Status,
    http: StatusCode,
    allow: Option<String>,
    challenge: Option<String>,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let (http, grpc) = (error.http_status(), error.grpc_code());
        let allow = match &error {
            Error::MethodNotAllowed(allowed) => {
                Some(allowed.iter().map(http::Method::as_str).collect::<Vec<_>>().join(", "))
            }
            _ => None,
        };
        let challenge = challenge(&error);
        let mut refusal = Self::from(Fault::from(error));
        if let Some(code) = grpc {
            refusal.status = with_code(&refusal.status, code);
        }
        refusal.http = http.unwrap_or(refusal.http);
        Self { allow, challenge, ..refusal }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::from(status(fault))
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        let fault = fault_of(&status);
        let http = http_status(fault.kind);
        let challenge = (fault.kind == FaultKind::Unauthenticated).then(|| BEARER.to_owned());
        Self { fault, status, http, allow: None, challenge }
    }
}

/// The scheme of RFC 6750.
const BEARER: &str = r#"Bearer realm="probity""#;

fn challenge(error: &Error) -> Option<String> {
    match error {
        Error::NoToken => Some(BEARER.to_owned()),
        Error::BadToken(why) => {
            Some(format!(r#"{BEARER}, error="invalid_token", error_description="{why}""#))
        }
        Error::Role(_) | Error::Inside | Error::OtherTenant(_) => {
            Some(format!(r#"{BEARER}, error="insufficient_scope""#))
        }
        _ => None,
    }
}

fn with_code(status: &Status, code: Code) -> Status {
    Status::with_details_and_metadata(
        code,
        status.message(),
        bytes::Bytes::copy_from_slice(status.details()),
        status.metadata().clone(),
    )
}

/// `application/problem+json`, RFC 9457, with what gRPC carries in its details.
#[derive(Debug, Serialize)]
pub(super) struct Problem<'a> {
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

impl Refusal {
    /// The gRPC code, over REST too.
    pub(super) fn code(&self) -> i32 {
        self.status.code().into()
    }

    /// The failure as a problem document.
    pub(super) fn problem<'a>(&'a self, arrival: &'a Arrival) -> Problem<'a> {
        let fields = self.fault.violations.iter();
        Problem {
            kind: format!("urn:probity:error:{}", self.fault.code),
            title: title(self.fault.kind),
            status: self.http.as_u16(),
            detail: &self.fault.message,
            code: self.fault.code,
            reason: reason(self.fault.kind),
            request_id: &arrival.request_id,
            trace_id: &arrival.trace_id,
            errors: fields.map(|v| FieldError { field: &v.field, description: &v.description }).collect(),
            retry_after: self.retry_after(),
        }
    }

    /// Whole seconds, rounded up, at least one.
    fn retry_after(&self) -> Option<u64> {
        self.fault
            .retry_after
            .map(|after| after.as_millis().div_ceil(1_000).max(1))
            .and_then(|s| u64::try_from(s).ok())
    }

    /// The answer over REST.
    pub(super) fn rest(self, arrival: &Arrival) -> Response {
        let body = serde_json::to_vec(&self.problem(arrival)).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.http;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let texts = [
            (header::ALLOW, self.allow.clone()),
            (header::WWW_AUTHENTICATE, self.challenge.clone()),
            (header::RETRY_AFTER, self.retry_after().map(|seconds| seconds.to_string())),
        ];
        for (name, text) in texts {
            if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
                headers.insert(name, value);
            }
        }
        response
    }

    /// The answer over gRPC: trailers only.
    pub(super) fn grpc(self) -> Response {
        self.status.into_http::<Body>()
    }
}

/// The name of a kind, for people.
pub(crate) const fn title(kind: FaultKind) -> &'static str {
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
