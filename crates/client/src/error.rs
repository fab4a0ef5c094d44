//! What can go wrong, in words for whoever runs the client.

use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Why something did not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address, a token or a setting cannot be used.
    #[error("{0}")]
    Setting(String),
    /// The platform cannot be reached.
    #[error("{endpoint} cannot be reached: {source}")]
    Connect {
        /// The address.
        endpoint: String,
        /// What the transport says.
        source: tonic::transport::Error,
    },
    /// A value cannot be written as JSON, or JSON does not fit a type.
    #[error("{what} {source}")]
    Json {
        /// Which value.
        what: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The platform refused the call.
    #[error("{}{}", .0.message(), code_of(.0).map(|code| format!(" [{code}]")).unwrap_or_default())]
    Status(Box<Status>),
}

impl Error {
    /// The status the platform answered with.
    #[must_use]
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Status(status) => Some(status),
            Self::Setting(_) | Self::Connect { .. } | Self::Json { .. } => None,
        }
    }

    /// The stable code of the failure, such as `ORC-0002`, with a page in the
    /// documentation.
    #[must_use]
    pub fn code(&self) -> Option<String> {
        self.status().and_then(code_of)
    }

    /// The id under which the platform's log knows the call.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.status()?.metadata().get(crate::transport::REQUEST_ID)?.to_str().ok()
    }

    /// Whether the same call may succeed later: nobody answered, or the platform
    /// is busy.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Connect { .. } => true,
            Self::Status(status) => again(status).is_some(),
            Self::Setting(_) | Self::Json { .. } => false,
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

fn code_of(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

/// A callee's word on trying again, in milliseconds; anything else means never
/// (gRPC proposal A6).
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// How long to wait at least before the same call is worth another try; `None`
/// when it is not. UNAVAILABLE is, and RESOURCE_EXHAUSTED when the platform says
/// when to come back: every other failure would happen again.
pub(crate) fn again(status: &Status) -> Option<Duration> {
    let asked = match status.metadata().get(PUSHBACK) {
        Some(value) => Some(value.to_str().ok()?.parse().ok().map(Duration::from_millis)?),
        None => status.get_details_retry_info().and_then(|info| info.retry_delay),
    };
    match status.code() {
        Code::Unavailable => Some(asked.unwrap_or_default()),
        Code::ResourceExhausted => asked,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    fn status(code: Code, pushback: Option<&'static str>, delay_ms: Option<u64>) -> Status {
        let mut details = ErrorDetails::new();
        if let Some(ms) = delay_ms {
            details.set_retry_info(Some(Duration::from_millis(ms)));
        }
        let mut status = Status::with_error_details(code, "no", details);
        if let Some(value) = pushback {
            status.metadata_mut().insert(PUSHBACK, value.parse().unwrap());
        }
        status
    }

    #[test]
    fn only_what_passes_by_itself_is_tried_again() {
        let check = |code, pushback, delay_ms, expect: Option<u64>| {
            let got = again(&status(code, pushback, delay_ms));
            assert_eq!(got, expect.map(Duration::from_millis), "{code:?} {pushback:?} {delay_ms:?}");
        };
        check(Code::Unavailable, None, None, Some(0));
        check(Code::Unavailable, None, Some(700), Some(700));
        check(Code::Unavailable, Some("250"), Some(700), Some(250));
        check(Code::Unavailable, Some("-1"), None, None);
        check(Code::Unavailable, Some("soon"), None, None);
        check(Code::ResourceExhausted, None, None, None);
        check(Code::ResourceExhausted, None, Some(700), Some(700));
        for code in [Code::Ok, Code::InvalidArgument, Code::DeadlineExceeded, Code::Aborted, Code::Internal] {
            check(code, None, Some(5), None);
        }
    }

    #[test]
    fn a_refusal_carries_its_code() {
        let details = ErrorDetails::with_error_info("ORC-0002", "probity", []);
        let error = Error::from(Status::with_error_details(Code::InvalidArgument, "no documents", details));
        assert_eq!(error.code().as_deref(), Some("ORC-0002"));
        assert_eq!(error.to_string(), "no documents [ORC-0002]");
        assert!(!error.may_pass());
        assert_eq!(Error::from(Status::internal("x")).to_string(), "x");
    }
}
