//! What can go wrong at the door itself. What a service refuses is passed on as
//! the service said it.

use crate::domain::access::Denied;
use crate::domain::token::Refused;
use crate::transcode;
use http::{Method, StatusCode};
use probity_types::{Fault, FaultKind, Role};
use std::time::Duration;
use tonic::Code;

/// An error of the gateway.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing is at this path.
    #[error("there is nothing at this path; /api/docs lists what there is")]
    NoRoute,
    /// The path is there for other methods.
    #[error("this path takes {}", methods(.0))]
    MethodNotAllowed(Vec<Method>),
    /// Path or query are not well-formed.
    #[error("the path or the query cannot be read: {0}")]
    Encoding(String),
    /// The request line is too long.
    #[error("the path with its query is longer than {0} bytes")]
    UriTooLong(usize),
    /// Too many or too long headers.
    #[error("the request has more than {count} headers or {bytes} bytes of them")]
    HeadersTooLarge {
        /// Most headers.
        count: usize,
        /// Most bytes.
        bytes: usize,
    },
    /// The body is too large.
    #[error("the body is larger than {0} bytes")]
    BodyTooLarge(u64),
    /// The body is of a type or an encoding that is not read here.
    #[error("{0}")]
    MediaType(&'static str),
    /// The body is no JSON we read.
    #[error("the body is not JSON that can be read here: {0}")]
    Json(String),
    /// A field of the body is wrong.
    #[error("{field}: {description}")]
    Field {
        /// Its path.
        field: String,
        /// What is wrong.
        description: String,
    },
    /// A query parameter is wrong.
    #[error("{field}: {description}")]
    Parameter {
        /// Its name.
        field: String,
        /// What is wrong.
        description: String,
    },
    /// A body where none belongs.
    #[error("this method takes no body; send its fields in the path and the query")]
    UnexpectedBody,
    /// The client went away or stopped sending.
    #[error("the body ended before its end")]
    BodyBroken,
    /// The client sends too slowly.
    #[error("the body did not arrive in the time allowed for it")]
    BodyTooSlow,
    /// No bearer token.
    #[error("this needs a bearer token in the authorization header")]
    NoToken,
    /// A bearer token that is refused.
    #[error("{0}")]
    BadToken(#[from] Refused),
    /// None of the roles the method asks for.
    #[error("this needs one of the roles {}", roles(.0))]
    Role(Vec<Role>),
    /// Not for callers from outside.
    #[error("this method is for the platform's own services and not for callers from outside")]
    Inside,
    /// An administrator of one tenant asks for a token of another.
    #[error("only administrators of the tenant {0} may issue tokens for other tenants")]
    OtherTenant(String),
    /// Somebody of another tenant switches what serves all tenants.
    #[error("breakers and faults are those of all tenants: only operators of the tenant {0} may switch them")]
    NotHome(String),
    /// The service that has a breaker cannot be asked.
    #[error("{service} cannot be asked for its circuit breakers: {reason}")]
    NotAsked {
        /// The service.
        service: String,
        /// Why not.
        reason: String,
    },
    /// A header cannot be used.
    #[error("the header {name} {why}")]
    Header {
        /// Its name.
        name: &'static str,
        /// What is wrong, and what would be right.
        why: &'static str,
    },
    /// A field of a request for a token.
    #[error("{field}: {why}")]
    Grant {
        /// The field.
        field: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A peer answered with something that is not its contract.
    #[error("{service} sent an answer that cannot be read: {why}")]
    PeerAnswer {
        /// The RPC.
        service: String,
        /// What is wrong with it.
        why: String,
    },
    /// A handler of ours panicked.
    #[error("the gateway failed while it answered {0}")]
    Panicked(String),
    /// A token could not be made.
    #[error("a token cannot be encoded")]
    Encode(#[source] serde_json::Error),
    /// A header of a call inside could not be made.
    #[error("the header {0} of a call inside cannot be made")]
    OwnHeader(&'static str),
    /// A caller asks too often.
    #[error("more than {per_second} calls a second from this {whose}; come again in {} ms", after.as_millis().max(1))]
    TooMany {
        /// Address, principal or tenant.
        whose: &'static str,
        /// What it may ask each second.
        per_second: u32,
        /// When the next call may come.
        after: Duration,
    },
    /// The gateway stops while a stream is open.
    #[error("the gateway is shutting down; ask again from where you are")]
    Stopping,
    /// A login with a wrong password, or of an account that is not there or disabled.
    #[error("the account or the password is wrong")]
    Login,
    /// A refresh token whose session is over.
    #[error("the session has ended; log in again")]
    SessionOver,
    /// An account of that name is there.
    #[error("there is an account {0} already; change it, or give it a password")]
    AccountExists(String),
    /// No account of that name is there.
    #[error("there is no account {0}")]
    NoAccount(String),
    /// More logins at once than passwords can be hashed.
    #[error("too many logins are under way; try again")]
    LoginsBusy,
    /// Too many failed logins.
    #[error("too many failed logins for this {whose}; try again in {} s", after.as_secs().max(1))]
    Attempts {
        /// Account or address.
        whose: &'static str,
        /// When the next one may come.
        after: Duration,
    },
    /// A field of a request about accounts and sessions.
    #[error("{field}: {why}")]
    Account {
        /// The field.
        field: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Keys belong to the administrators of the home tenant.
    #[error(
        "keys sign the tokens of all tenants: only administrators of the tenant {0} may see and rotate them"
    )]
    HomeKeys(String),
    /// An administrator would lock themselves out.
    #[error("nobody disables their own account or takes their own role of an administrator: ask another one")]
    OwnAccount,
    /// A password could not be hashed.
    #[error("a password cannot be hashed: {0}")]
    Hash(String),
    /// There is no randomness.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
    /// The store did not do as asked.
    #[error(transparent)]
    Store(#[from] probity_storage::Error),
}

fn methods(allowed: &[Method]) -> String {
    allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
}

fn roles(needed: &[Role]) -> String {
    needed.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ")
}

impl Error {
    /// The kind and the stable code.
    fn key(&self) -> (FaultKind, &'static str) {
        match self {
            Self::NoRoute => (FaultKind::NotFound, "GTW-0001"),
            Self::MethodNotAllowed(_) => (FaultKind::Invalid, "GTW-0002"),
            Self::Encoding(_) => (FaultKind::Invalid, "GTW-0003"),
            Self::UriTooLong(_) => (FaultKind::Invalid, "GTW-0004"),
            Self::HeadersTooLarge { .. } => (FaultKind::Invalid, "GTW-0005"),
            Self::BodyTooLarge(_) => (FaultKind::Invalid, "GTW-0006"),
            Self::MediaType(_) => (FaultKind::Invalid, "GTW-0007"),
            Self::Json(_) => (FaultKind::Invalid, "GTW-0008"),
            Self::Field { .. } => (FaultKind::Invalid, "GTW-0009"),
            Self::Parameter { .. } => (FaultKind::Invalid, "GTW-0010"),
            Self::UnexpectedBody => (FaultKind::Invalid, "GTW-0011"),
            Self::BodyBroken => (FaultKind::Invalid, "GTW-0012"),
            Self::BodyTooSlow => (FaultKind::Timeout, "GTW-0013"),
            Self::NoToken => (FaultKind::Unauthenticated, "GTW-0014"),
            Self::BadToken(_) => (FaultKind::Unauthenticated, "GTW-0015"),
            Self::Role(_) => (FaultKind::Denied, "GTW-0016"),
            Self::Inside => (FaultKind::Denied, "GTW-0017"),
            Self::OtherTenant(_) => (FaultKind::Denied, "GTW-0018"),
            Self::Header { .. } => (FaultKind::Invalid, "GTW-0019"),
            Self::Grant { .. } => (FaultKind::Invalid, "GTW-0020"),
            Self::PeerAnswer { .. } => (FaultKind::Internal, "GTW-0021"),
            Self::Panicked(_) => (FaultKind::Internal, "GTW-0022"),
            Self::Encode(_) => (FaultKind::Internal, "GTW-0023"),
            Self::OwnHeader(_) => (FaultKind::Internal, "GTW-0024"),
            Self::NotHome(_) => (FaultKind::Denied, "GTW-0040"),
            Self::NotAsked { .. } => (FaultKind::Unavailable, "GTW-0041"),
            Self::Stopping => (FaultKind::Unavailable, "GTW-0025"),
            Self::TooMany { .. } => (FaultKind::Overloaded, "GTW-0026"),
            Self::Login => (FaultKind::Unauthenticated, "GTW-0027"),
            Self::SessionOver => (FaultKind::Unauthenticated, "GTW-0028"),
            Self::AccountExists(_) => (FaultKind::Exists, "GTW-0029"),
            Self::NoAccount(_) => (FaultKind::NotFound, "GTW-0030"),
            Self::LoginsBusy => (FaultKind::Overloaded, "GTW-0031"),
            Self::Attempts { .. } => (FaultKind::Overloaded, "GTW-0032"),
            Self::Account { .. } => (FaultKind::Invalid, "GTW-0033"),
            Self::HomeKeys(_) => (FaultKind::Denied, "GTW-0034"),
            Self::OwnAccount => (FaultKind::WrongState, "GTW-0035"),
            Self::Hash(_) => (FaultKind::Internal, "GTW-0036"),
            Self::Random(_) => (FaultKind::Internal, "GTW-0037"),
            Self::Store(error) => (error.kind(), error.code()),
        }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.key().1
    }

    /// The HTTP status, where HTTP has a finer one than the kind has.
    #[must_use]
    pub const fn http_status(&self) -> Option<StatusCode> {
        match self {
            Self::MethodNotAllowed(_) => Some(StatusCode::METHOD_NOT_ALLOWED),
            Self::UriTooLong(_) => Some(StatusCode::URI_TOO_LONG),
            Self::HeadersTooLarge { .. } => Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
            Self::BodyTooLarge(_) => Some(StatusCode::PAYLOAD_TOO_LARGE),
            Self::MediaType(_) => Some(StatusCode::UNSUPPORTED_MEDIA_TYPE),
            Self::BodyTooSlow => Some(StatusCode::REQUEST_TIMEOUT),
            _ => None,
        }
    }

    /// The gRPC code, where gRPC has a finer one than the kind has.
    #[must_use]
    pub const fn grpc_code(&self) -> Option<Code> {
        match self {
            Self::NoRoute | Self::MethodNotAllowed(_) => Some(Code::Unimplemented),
            _ => None,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let (kind, code) = error.key();
        match error {
            Error::Field { field, description } | Error::Parameter { field, description } => {
                Self::invalid(code, field, description)
            }
            Error::Grant { field, why } | Error::Account { field, why } => Self::invalid(code, field, why),
            Error::Store(error) => error.into(),
            Error::Encode(source) => Self::new(kind, code, "a token cannot be encoded").with_source(source),
            Error::TooMany { after, .. } | Error::Attempts { after, .. } => {
                Self::new(kind, code, error.to_string()).with_retry_after(after)
            }
            other => Self::new(kind, code, other.to_string()),
        }
    }
}

impl From<transcode::Fault> for Error {
    fn from(fault: transcode::Fault) -> Self {
        match fault {
            transcode::Fault::Encoding(why) => Self::Encoding(why),
            transcode::Fault::Json(why) => Self::Json(why),
            transcode::Fault::Field { field, description } => Self::Field { field, description },
            transcode::Fault::Parameter { field, description } => Self::Parameter { field, description },
            transcode::Fault::UnexpectedBody => Self::UnexpectedBody,
        }
    }
}

impl From<transcode::Miss> for Error {
    fn from(miss: transcode::Miss) -> Self {
        match miss {
            transcode::Miss::Path => Self::NoRoute,
            transcode::Miss::Method(allowed) => Self::MethodNotAllowed(allowed),
            transcode::Miss::Encoding(why) => Self::Encoding(why),
        }
    }
}

impl From<Denied> for Error {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Role(roles) => Self::Role(roles),
            Denied::Inside => Self::Inside,
        }
    }
}
