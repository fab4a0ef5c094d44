//! The answers that are no success, as the door gives them.

use probity_runtime::problem::title;
use probity_runtime::status::reason;
use probity_types::FaultKind;
use serde_json::{Map, Value, json};

/// A failure that operations refer to.
pub(super) struct Failure {
    /// The name of its component.
    pub(super) name: &'static str,
    pub(super) status: u16,
    kind: FaultKind,
    code: &'static str,
    about: &'static str,
    detail: &'static str,
}

const fn failure(
    (status, name): (u16, &'static str),
    kind: FaultKind,
    code: &'static str,
    about: &'static str,
    detail: &'static str,
) -> Failure {
    Failure { name, status, kind, code, about, detail }
}

/// Every failure, by status.
#[rustfmt::skip] // a table
pub(super) const ALL: [Failure; 14] = [
    failure((400, "BadRequest"), FaultKind::Invalid, "GTW-0009",
        "The request cannot be used; `errors` names the fields.", "subject: 5 is not a string"),
    failure((401, "Unauthenticated"), FaultKind::Unauthenticated, "GTW-0014",
        "No bearer token, or one that is refused.", "this needs a bearer token in the authorization header"),
    failure((403, "Denied"), FaultKind::Denied, "GTW-0016",
        "The token has none of the roles the operation asks for.", "this needs one of the roles officer"),
    failure((404, "NotFound"), FaultKind::NotFound, "GTW-0001",
        "There is no such thing, or it belongs to another tenant.",
        "there is nothing at this path; /api/docs lists what there is"),
    failure((408, "TooSlow"), FaultKind::Timeout, "GTW-0013",
        "The body did not arrive in time.", "the body did not arrive in the time allowed for it"),
    failure((409, "Conflict"), FaultKind::Stale, "STO-0007",
        "It is there already, has changed meanwhile, or is in a state that forbids this; `reason` tells which.",
        "it has changed meanwhile; read it again"),
    failure((413, "TooLarge"), FaultKind::Invalid, "GTW-0006",
        "The body is too large.", "the body is larger than 1048576 bytes"),
    failure((414, "UriTooLong"), FaultKind::Invalid, "GTW-0004",
        "The path with its query is too long.", "the path with its query is longer than 8192 bytes"),
    failure((415, "WrongType"), FaultKind::Invalid, "GTW-0007",
        "The body is of a type or in a coding that is not read here.",
        "the body must be JSON in UTF-8: send content-type: application/json"),
    failure((422, "KeyReused"), FaultKind::KeyReused, "STO-0005",
        "The idempotency key was used for another request.", "this idempotency key belongs to another request"),
    failure((429, "TooMany"), FaultKind::Overloaded, "GTW-0026",
        "Too much at once; `retry_after` says when to come again.",
        "more than 10000 calls a second from this principal; come again in 1 ms"),
    failure((431, "HeadersTooLarge"), FaultKind::Invalid, "GTW-0005",
        "Too many or too long headers.", "the request has more than 100 headers or 24576 bytes of them"),
    failure((500, "Internal"), FaultKind::Internal, "GTW-0022",
        "A mistake on our side; the request id leads to the log.",
        "something went wrong on our side; the request id leads to the log"),
    failure((503, "Unavailable"), FaultKind::Unavailable, "RES-0001",
        "A service is away; `retry_after` says when to come again.", "orchestrator cannot be reached"),
];

/// The time a call may take is over. Apart from the others, because its example
/// has no code of the gateway's own.
pub(super) const TIMEOUT: Failure = failure(
    (504, "Timeout"),
    FaultKind::Timeout,
    "RUN-0001",
    "The time that the caller or the platform allows is over.",
    "the call took longer than it may",
);

/// The components for [`ALL`] and [`TIMEOUT`].
pub(super) fn responses() -> Value {
    let all = ALL.iter().chain([&TIMEOUT]);
    all.map(|failure| (failure.name.to_owned(), response(failure))).collect::<Map<_, _>>().into()
}

fn response(failure: &Failure) -> Value {
    let mut example = json!({
        "type": format!("urn:probity:error:{}", failure.code),
        "title": title(failure.kind),
        "status": failure.status,
        "detail": failure.detail,
        "code": failure.code,
        "reason": reason(failure.kind),
        "request_id": "3f6c2a9e0b7d4c51",
    });
    let mut headers = json!({
        "X-Request-ID": {"$ref": "#/components/headers/RequestId"},
        "X-Correlation-ID": {"$ref": "#/components/headers/CorrelationId"},
    });
    match failure.status {
        400 => example["errors"] = json!([{"field": "subject", "description": "5 is not a string"}]),
        401 => {
            headers["WWW-Authenticate"] = json!({"schema": {"type": "string"}, "description": "RFC 6750."})
        }
        429 | 503 => {
            example["retry_after"] = json!(1);
            headers["Retry-After"] = json!({"schema": {"type": "integer"}, "description": "Whole seconds."});
        }
        _ => {}
    }
    let content = json!({"schema": {"$ref": "#/components/schemas/Problem"}, "example": example});
    json!({
        "description": failure.about,
        "headers": headers,
        "content": {"application/problem+json": content},
    })
}

/// The problem document.
pub(super) fn schema() -> Value {
    let reasons: Vec<_> = FaultKind::ALL.into_iter().map(reason).collect();
    json!({
        "type": "object",
        "description": "What went wrong (RFC 9457). gRPC carries the same in google.rpc.ErrorInfo, BadRequest and RetryInfo.",
        "required": ["type", "title", "status", "detail", "code", "reason"],
        "properties": {
            "type": {"type": "string", "format": "uri", "description": "`urn:probity:error:` and the code."},
            "title": {"type": "string", "description": "The kind of failure, for people."},
            "status": {"type": "integer", "description": "The HTTP status."},
            "detail": {"type": "string", "description": "What went wrong, and what to do about it."},
            "code": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$", "description": "The stable code; each has a page in docs/errors."},
            "reason": {"type": "string", "enum": reasons, "description": "The kind of failure, for programs."},
            "request_id": {"type": "string", "description": "The id of the request, also in `X-Request-ID`."},
            "trace_id": {"type": "string", "description": "The id of the trace, when there is one."},
            "errors": {
                "type": "array",
                "description": "Which fields are to blame.",
                "items": {
                    "type": "object",
                    "required": ["field", "description"],
                    "properties": {"field": {"type": "string"}, "description": {"type": "string"}},
                },
            },
            "retry_after": {"type": "integer", "description": "Seconds after which it may be tried again."},
        },
    })
}
