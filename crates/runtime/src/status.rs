//! The one table between [`Fault`] and the wire.
//!
//! A fault becomes a gRPC status with `google.rpc.ErrorInfo` (its stable code),
//! `BadRequest` and `RetryInfo` where they apply, and an HTTP status for the
//! REST door. Nothing else in the workspace maps errors to statuses.

use http::StatusCode;
use probity_types::{Fault, FaultKind, Violation};
use std::collections::HashMap;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The domain of the codes in `google.rpc.ErrorInfo`.
pub const ERROR_DOMAIN: &str = "probity";

/// What a caller is told when the real text is for operators only.
const SECRET_TEXT: &str = "something went wrong on our side; the request id leads to the log";

/// The gRPC code of a kind of fault.
#[must_use]
pub const fn grpc_code(kind: FaultKind) -> Code {
    match kind {
        FaultKind::Invalid | FaultKind::KeyReused => Code::InvalidArgument,
        FaultKind::Unauthenticated => Code::Unauthenticated,
        FaultKind::Denied => Code::PermissionDenied,
        FaultKind::NotFound => Code::NotFound,
        FaultKind::Exists => Code::AlreadyExists,
        FaultKind::Stale => Code::Aborted,
        FaultKind::WrongState => Code::FailedPrecondition,
        FaultKind::Overloaded => Code::ResourceExhausted,
        FaultKind::Timeout => Code::DeadlineExceeded,
        FaultKind::Unavailable => Code::Unavailable,
        FaultKind::Corrupt => Code::DataLoss,
        FaultKind::Internal => Code::Internal,
    }
}

/// The HTTP status of a kind of fault.
#[must_use]
pub const fn http_status(kind: FaultKind) -> StatusCode {
    match kind {
        FaultKind::Invalid => StatusCode::BAD_REQUEST,
        FaultKind::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
        FaultKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        FaultKind::Denied => StatusCode::FORBIDDEN,
        FaultKind::NotFound => StatusCode::NOT_FOUND,
        FaultKind::Exists | FaultKind::Stale | FaultKind::WrongState => StatusCode::CONFLICT,
        FaultKind::Overloaded => StatusCode::TOO_MANY_REQUESTS,
        FaultKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        FaultKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        FaultKind::Corrupt | FaultKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The stable name of a kind, the `reason` of problem documents.
#[must_use]
pub const fn reason(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Invalid => "INVALID",
        FaultKind::Unauthenticated => "UNAUTHENTICATED",
        FaultKind::Denied => "DENIED",
        FaultKind::NotFound => "NOT_FOUND",
        FaultKind::Exists => "EXISTS",
        FaultKind::Stale => "STALE",
        FaultKind::WrongState => "WRONG_STATE",
        FaultKind::KeyReused => "KEY_REUSED",
        FaultKind::Overloaded => "OVERLOADED",
        FaultKind::Timeout => "TIMEOUT",
        FaultKind::Unavailable => "UNAVAILABLE",
        FaultKind::Corrupt => "CORRUPT",
        FaultKind::Internal => "INTERNAL",
    }
}

fn kind_of(reason: &str) -> Option<FaultKind> {
    FaultKind::ALL.into_iter().find(|kind| self::reason(*kind) == reason)
}

/// The gRPC status of a failure. Secret kinds are logged here, once, and their
/// text is replaced.
pub fn status(error: impl Into<Fault>) -> Status {
    let fault = error.into();
    let message = if fault.kind.is_secret() {
        tracing::error!(code = fault.code, error = %chain(&fault), "request failed");
        SECRET_TEXT.to_owned()
    } else {
        if fault.source.is_some() {
            tracing::warn!(code = fault.code, error = %chain(&fault), "request refused");
        }
        fault.message.clone()
    };
    let metadata = HashMap::from([("kind".to_owned(), reason(fault.kind).to_owned())]);
    let mut details = ErrorDetails::with_error_info(fault.code, ERROR_DOMAIN, metadata);
    for violation in &fault.violations {
        details.add_bad_request_violation(&violation.field, &violation.description);
    }
    if let Some(after) = fault.retry_after {
        details.set_retry_info(Some(after));
    }
    Status::with_error_details(grpc_code(fault.kind), message, details)
}

fn chain(fault: &Fault) -> String {
    let mut text = fault.to_string();
    let mut source = std::error::Error::source(fault);
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// The fault behind a peer's status: with the peer's code, fields and waiting
/// time where it sent them, else with a kind guessed from the gRPC code.
#[must_use]
pub fn fault_of(status: &Status) -> Fault {
    let details = status.get_error_details();
    let info = details.error_info();
    let kind = info
        .and_then(|info| info.metadata.get("kind"))
        .and_then(|reason| kind_of(reason))
        .unwrap_or_else(|| kind_of_code(status.code()));
    let mut fault = Fault::new(kind, "RUN-0001", status.message());
    if let Some(info) = info {
        fault.code = intern(&info.reason);
    }
    if let Some(request) = details.bad_request() {
        fault.violations.extend(
            request
                .field_violations
                .iter()
                .map(|v| Violation { field: v.field.clone(), description: v.description.clone() }),
        );
    }
    if let Some(delay) = details.retry_info().and_then(|info| info.retry_delay) {
        fault.retry_after = Some(delay.min(Duration::from_secs(3600)));
    }
    fault
}

const fn kind_of_code(code: Code) -> FaultKind {
    match code {
        Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented => FaultKind::Invalid,
        Code::Unauthenticated => FaultKind::Unauthenticated,
        Code::PermissionDenied => FaultKind::Denied,
        Code::NotFound => FaultKind::NotFound,
        Code::AlreadyExists => FaultKind::Exists,
        Code::Aborted => FaultKind::Stale,
        Code::FailedPrecondition => FaultKind::WrongState,
        Code::ResourceExhausted => FaultKind::Overloaded,
        Code::DeadlineExceeded | Code::Cancelled => FaultKind::Timeout,
        Code::Unavailable => FaultKind::Unavailable,
        Code::DataLoss => FaultKind::Corrupt,
        Code::Ok | Code::Unknown | Code::Internal => FaultKind::Internal,
    }
}

/// Codes are few and fixed, so each distinct text is kept once for the life of
/// the process; what does not look like one of ours is not kept at all.
fn intern(code: &str) -> &'static str {
    use parking_lot::Mutex;
    use std::collections::HashSet;
    static CODES: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    const MOST: usize = 1_000;
    let plain =
        code.len() == 8 && code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-');
    if !plain {
        return "RUN-0001";
    }
    let mut guard = CODES.lock();
    let codes = guard.get_or_insert_default();
    match codes.get(code) {
        Some(known) => known,
        None if codes.len() < MOST => {
            let kept: &'static str = Box::leak(code.to_owned().into_boxed_str());
            codes.insert(kept);
            kept
        }
        None => "RUN-0001",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_wire() {
        for kind in FaultKind::ALL {
            let back = fault_of(&status(Fault::new(kind, "TST-0001", "why")));
            assert_eq!(back.kind, kind);
            assert_eq!(back.code, "TST-0001");
            assert_eq!(back.message == "why", !kind.is_secret(), "{kind:?}");
        }
    }

    #[test]
    fn fields_and_waiting_time_survive_the_wire() {
        let fault =
            Fault::invalid("TST-0002", "documents[2]", "is missing").with_retry_after(Duration::from_secs(7));
        let back = fault_of(&status(fault));
        assert_eq!(back.violations[0].field, "documents[2]");
        assert_eq!(back.retry_after, Some(Duration::from_secs(7)));
    }

    #[test]
    fn a_foreign_status_keeps_its_meaning() {
        let check = |code: Code, kind: FaultKind| assert_eq!(fault_of(&Status::new(code, "x")).kind, kind);
        check(Code::Unavailable, FaultKind::Unavailable);
        check(Code::NotFound, FaultKind::NotFound);
        check(Code::Unknown, FaultKind::Internal);
        check(Code::Unimplemented, FaultKind::Invalid);
    }
}
