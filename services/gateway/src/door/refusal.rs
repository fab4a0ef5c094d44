//! How a failure is answered: as a problem document (RFC 9457) over REST, as a
//! status over gRPC, with the same code, the same words and the same fields.

use super::arrival::Arrival;
use crate::error::Error;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use probity_runtime::problem::Problem;
use probity_runtime::status;
use probity_runtime::status::{fault_of, http_status};
use probity_types::{Fault, FaultKind};
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
        Error::Role(_) | Error::Inside | Error::OtherTenant(_) | Error::HomeKeys(_) => {
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

impl Refusal {
    /// The gRPC code, over REST too.
    pub(super) fn code(&self) -> i32 {
        self.status.code().into()
    }

    /// The failure as a problem document.
    pub(super) fn problem<'a>(&'a self, arrival: &'a Arrival) -> Problem<'a> {
        Problem::new(&self.fault, self.http, &arrival.request_id, &arrival.trace_id)
    }

    /// The answer over REST.
    pub(super) fn rest(self, arrival: &Arrival) -> Response {
        let problem = self.problem(arrival);
        let mut response = Response::new(Body::from(serde_json::to_vec(&problem).unwrap_or_default()));
        *response.headers_mut() = problem.headers();
        *response.status_mut() = self.http;
        let texts = [(header::ALLOW, self.allow.clone()), (header::WWW_AUTHENTICATE, self.challenge.clone())];
        for (name, text) in texts {
            if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }

    /// The answer over gRPC: trailers only.
    pub(super) fn grpc(self) -> Response {
        self.status.into_http::<Body>()
    }
}
