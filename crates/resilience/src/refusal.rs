//! What a layer answers when it does not let a call through.
//!
//! A refused call has not reached its peer and has changed nothing. The refusal
//! also rides on the response as an extension, so that layers further out can
//! tell it from an answer of the peer: a retry budget is not charged for it.

use http::Response;
use probity_types::{Fault, FaultKind};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The domain of the codes in `google.rpc.ErrorInfo`.
const ERROR_DOMAIN: &str = "probity";

/// Why a call was not let through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The breaker of a peer is open.
    #[error("{name} failed too often of late, so calls to it are held back; try again in {retry_after:?}")]
    BreakerOpen {
        /// The breaker.
        name: Arc<str>,
        /// When the next probe may pass.
        retry_after: Duration,
    },
    /// All seats of a bulkhead are taken, and so is its queue.
    #[error("{name} has {limit} calls under way and takes no more; try again a little later")]
    BulkheadFull {
        /// The bulkhead.
        name: Arc<str>,
        /// Calls at once.
        limit: usize,
    },
    /// The adaptive limit is reached for calls of this importance.
    #[error(
        "{name} is at its limit of {limit} calls for those that are {criticality}; try again a little later"
    )]
    Shed {
        /// The limiter.
        name: Arc<str>,
        /// What it lets through now.
        limit: usize,
        /// How important the call was.
        criticality: &'static str,
    },
    /// No endpoint of a peer can be chosen.
    #[error("{name} has no endpoint that can be called; see its health checks and ejections")]
    NoEndpoint {
        /// The balancer.
        name: Arc<str>,
    },
    /// This instance takes no new work.
    #[error("this instance is stopping; call again to reach another one")]
    Stopping,
}

impl Refusal {
    /// The stable code, which has a page in `docs/errors`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BreakerOpen { .. } => "RES-0001",
            Self::BulkheadFull { .. } => "RES-0002",
            Self::Shed { .. } => "RES-0003",
            Self::NoEndpoint { .. } => "RES-0004",
            Self::Stopping => "RES-0005",
        }
    }

    /// Whether the peer is away or only busy.
    #[must_use]
    pub const fn kind(&self) -> FaultKind {
        match self {
            Self::BulkheadFull { .. } | Self::Shed { .. } => FaultKind::Overloaded,
            Self::BreakerOpen { .. } | Self::NoEndpoint { .. } | Self::Stopping => FaultKind::Unavailable,
        }
    }

    /// When to try again.
    #[must_use]
    pub const fn retry_after(&self) -> Duration {
        match self {
            Self::BreakerOpen { retry_after, .. } => *retry_after,
            Self::BulkheadFull { .. } | Self::Shed { .. } => Duration::from_millis(250),
            Self::NoEndpoint { .. } | Self::Stopping => Duration::from_secs(1),
        }
    }

    /// The gRPC status: UNAVAILABLE or RESOURCE_EXHAUSTED with `RetryInfo` and
    /// `ErrorInfo`.
    #[must_use]
    pub fn status(&self) -> Status {
        let (code, reason) = match self.kind() {
            FaultKind::Overloaded => (Code::ResourceExhausted, "OVERLOADED"),
            _ => (Code::Unavailable, "UNAVAILABLE"),
        };
        let metadata = HashMap::from([("kind".to_owned(), reason.to_owned())]);
        let mut details = ErrorDetails::with_error_info(self.code(), ERROR_DOMAIN, metadata);
        details.set_retry_info(Some(self.retry_after()));
        Status::with_error_details(code, self.to_string(), details)
    }

    /// The status as an answer that says it was made here.
    #[must_use]
    pub fn into_response(self) -> Response<Body> {
        let mut response = self.status().into_http();
        response.extensions_mut().insert(self);
        response
    }

    /// The refusal an answer was made from, if it did not come from the peer.
    #[must_use]
    pub fn of(response: &Response<Body>) -> Option<&Self> {
        response.extensions().get()
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.kind(), refusal.code(), refusal.to_string()).with_retry_after(refusal.retry_after())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_who_why_and_when() {
        let check = |refusal: Refusal, code, part: &str| {
            let status = refusal.status();
            assert_eq!(status.code(), code, "{refusal:?}");
            assert!(status.message().contains(part), "{}", status.message());
            let details = status.get_error_details();
            assert_eq!(details.error_info().map(|info| info.reason.as_str()), Some(refusal.code()));
            let after = details.retry_info().and_then(|info| info.retry_delay);
            assert_eq!(after, Some(refusal.retry_after()));
            let fault = Fault::from(refusal.clone());
            assert_eq!((fault.code, fault.retry_after), (refusal.code(), after));
            assert_eq!(Refusal::of(&refusal.clone().into_response()), Some(&refusal));
        };
        let name: Arc<str> = "intake".into();
        let retry_after = Duration::from_secs(42);
        check(
            Refusal::BreakerOpen { name: name.clone(), retry_after },
            Code::Unavailable,
            "try again in 42s",
        );
        check(Refusal::BulkheadFull { name: name.clone(), limit: 8 }, Code::ResourceExhausted, "8 calls");
        let shed = Refusal::Shed { name: name.clone(), limit: 8, criticality: "sheddable" };
        check(shed, Code::ResourceExhausted, "those that are sheddable");
        check(Refusal::NoEndpoint { name }, Code::Unavailable, "no endpoint");
        check(Refusal::Stopping, Code::Unavailable, "stopping");
        assert_eq!(Refusal::of(&Response::new(Body::empty())), None);
    }
}
