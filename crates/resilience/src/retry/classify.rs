//! Which failures are worth another try.
//!
//! | failure | again? |
//! |---|---|
//! | UNAVAILABLE | yes |
//! | of an instance that has stopped | yes, at once: another one answers |
//! | RESOURCE_EXHAUSTED with RetryInfo or pushback | yes, no sooner than asked |
//! | RESOURCE_EXHAUSTED without | no: a quota does not come back by asking |
//! | DEADLINE_EXCEEDED, CANCELLED | no: nobody waits for the answer any more |
//! | a code in [`Policy::codes`](super::Policy::codes) | yes |
//! | every other code | no: the same call fails the same way |
//! | HTTP 408, 429, 500, 502, 503, 504 | yes, no sooner than `Retry-After` asks |
//! | connection refused, reset, aborted, broken; a timeout of the transport | yes |

use super::Codes;
use probity_types::{Fault, FaultKind};
use std::io;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A callee's word on trying again, in milliseconds; negative means never.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// Codes of an instance that has stopped: of the runtime, and of this crate.
const STOPPED: [&str; 2] = ["RUN-0011", "RES-0005"];

/// Whether to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It would fail again.
    Final,
    /// It may succeed.
    Retry,
    /// It may succeed, no sooner than after this.
    RetryAfter(Duration),
}

/// A failure that says whether trying again may help.
pub trait Retryable {
    /// Whether to try again.
    fn verdict(&self) -> Verdict;
}

impl Retryable for Status {
    fn verdict(&self) -> Verdict {
        of_status(self)
    }
}

impl Retryable for Fault {
    fn verdict(&self) -> Verdict {
        match (self.kind, self.retry_after) {
            (FaultKind::Unavailable | FaultKind::Overloaded, Some(after)) => Verdict::RetryAfter(after),
            (FaultKind::Unavailable, None) => Verdict::Retry,
            _ => Verdict::Final,
        }
    }
}

impl Retryable for io::Error {
    fn verdict(&self) -> Verdict {
        use io::ErrorKind as Kind;
        match self.kind() {
            Kind::ConnectionRefused
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::NotConnected
            | Kind::BrokenPipe
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::TimedOut => Verdict::Retry,
            _ => Verdict::Final,
        }
    }
}

/// Whether to try again after an HTTP status; `asked` is what `Retry-After` says.
#[must_use]
pub const fn of_http(status: u16, asked: Option<Duration>) -> Verdict {
    match (status, asked) {
        (408 | 429 | 500 | 502 | 503 | 504, Some(asked)) => Verdict::RetryAfter(asked),
        (408 | 429 | 500 | 502 | 503 | 504, None) => Verdict::Retry,
        _ => Verdict::Final,
    }
}

/// Whether to try again after a status, where UNAVAILABLE is what is worth it.
#[must_use]
pub fn of_status(status: &Status) -> Verdict {
    of_status_with(status, Codes::UNAVAILABLE)
}

/// Whether to try again after a status. The server's word (`RetryInfo`,
/// `grpc-retry-pushback-ms`) counts for UNAVAILABLE, RESOURCE_EXHAUSTED and the
/// codes given.
#[must_use]
pub fn of_status_with(status: &Status, codes: Codes) -> Verdict {
    if has_stopped(status) {
        return Verdict::Retry;
    }
    let asked = match pushback(status) {
        Pushback::Never => return Verdict::Final,
        Pushback::After(wait) => Some(wait),
        Pushback::Nothing => status.get_details_retry_info().and_then(|info| info.retry_delay),
    };
    let worth_it = codes.contains(status.code());
    match (status.code(), asked) {
        (Code::Unavailable | Code::ResourceExhausted, Some(wait)) => Verdict::RetryAfter(wait),
        (_, Some(wait)) if worth_it => Verdict::RetryAfter(wait),
        (_, None) if worth_it => Verdict::Retry,
        _ => Verdict::Final,
    }
}

/// Whether an instance refused a call because it has stopped. Nothing was changed, and
/// it says nothing about the service: another instance of it answers.
#[must_use]
pub fn has_stopped(status: &Status) -> bool {
    let reason = || status.get_details_error_info().map(|info| info.reason);
    status.code() == Code::Unavailable && reason().is_some_and(|reason| STOPPED.contains(&reason.as_str()))
}

enum Pushback {
    Nothing,
    Never,
    After(Duration),
}

/// What is no number counts as never, as the gRPC retry design has it.
fn pushback(status: &Status) -> Pushback {
    let Some(value) = status.metadata().get(PUSHBACK) else { return Pushback::Nothing };
    let millis = value.to_str().ok().and_then(|text| text.parse::<u64>().ok());
    millis.map_or(Pushback::Never, |millis| Pushback::After(Duration::from_millis(millis)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Refusal;
    use tonic_types::ErrorDetails;

    fn status(code: Code, pushback: Option<&'static str>, retry_info: Option<u64>) -> Status {
        let details = retry_info.map_or_else(ErrorDetails::new, |ms| {
            ErrorDetails::with_retry_info(Some(Duration::from_millis(ms)))
        });
        let mut status = Status::with_error_details(code, "no", details);
        if let Some(value) = pushback {
            status.metadata_mut().insert(PUSHBACK, value.parse().unwrap());
        }
        status
    }

    #[test]
    fn the_table_holds() {
        use Verdict::{Final, Retry, RetryAfter};
        let ms = Duration::from_millis;
        let check = |code, pushback, info, expect| {
            assert_eq!(status(code, pushback, info).verdict(), expect, "{code:?} {pushback:?} {info:?}");
        };
        check(Code::Unavailable, None, None, Retry);
        check(Code::Unavailable, None, Some(700), RetryAfter(ms(700)));
        check(Code::Unavailable, Some("250"), Some(700), RetryAfter(ms(250)));
        check(Code::Unavailable, Some("-1"), None, Final);
        check(Code::Unavailable, Some("soon"), None, Final);
        check(Code::ResourceExhausted, None, None, Final);
        check(Code::ResourceExhausted, None, Some(700), RetryAfter(ms(700)));
        check(Code::ResourceExhausted, Some("0"), None, RetryAfter(ms(0)));
        for code in 0..=16 {
            let code = Code::from_i32(code);
            if !matches!(code, Code::Unavailable | Code::ResourceExhausted) {
                check(code, None, Some(5), Final);
            }
        }
    }

    #[test]
    fn an_instance_that_has_stopped_is_not_waited_for() {
        let stopped = Refusal::Stopping.status();
        assert!(has_stopped(&stopped) && stopped.get_details_retry_info().is_some());
        assert_eq!(stopped.verdict(), Verdict::Retry);
        let away = Refusal::NoEndpoint { name: "peer".into() }.status();
        assert!(!has_stopped(&away) && matches!(away.verdict(), Verdict::RetryAfter(_)));
    }

    #[test]
    fn more_codes_can_be_worth_it() {
        let codes = Codes::of(&[Code::Aborted]);
        let check = |code, info, expect| assert_eq!(of_status_with(&status(code, None, info), codes), expect);
        check(Code::Aborted, None, Verdict::Retry);
        check(Code::Aborted, Some(5), Verdict::RetryAfter(Duration::from_millis(5)));
        check(Code::Unavailable, None, Verdict::Final);
        check(Code::Internal, None, Verdict::Final);
    }

    #[test]
    fn http_and_transport_failures() {
        for status in [408, 429, 500, 502, 503, 504] {
            assert_eq!(of_http(status, None), Verdict::Retry, "{status}");
            let asked = Duration::from_secs(7);
            assert_eq!(of_http(status, Some(asked)), Verdict::RetryAfter(asked), "{status}");
        }
        for status in [200, 301, 400, 401, 403, 404, 409, 422, 501, 505] {
            assert_eq!(of_http(status, Some(Duration::ZERO)), Verdict::Final, "{status}");
        }
        use io::ErrorKind as Kind;
        let check = |kind: Kind, expect| assert_eq!(io::Error::from(kind).verdict(), expect, "{kind}");
        for kind in [Kind::ConnectionRefused, Kind::ConnectionReset, Kind::TimedOut, Kind::BrokenPipe] {
            check(kind, Verdict::Retry);
        }
        for kind in [Kind::PermissionDenied, Kind::InvalidData, Kind::NotFound] {
            check(kind, Verdict::Final);
        }
    }

    #[test]
    fn faults_follow_the_same_table() {
        for kind in FaultKind::ALL {
            let again = matches!(kind, FaultKind::Unavailable | FaultKind::Overloaded);
            assert_eq!(Fault::new(kind, "TST-0001", "no").verdict() != Verdict::Final, again, "{kind:?}");
        }
    }
}
