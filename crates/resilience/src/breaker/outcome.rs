//! What the end of a call says about the peer.
//!
//! | end | says |
//! |---|---|
//! | OK | it works |
//! | UNAVAILABLE, UNKNOWN, INTERNAL, DATA_LOSS | it failed |
//! | DEADLINE_EXCEEDED after at least [`PATIENCE`] | it failed |
//! | DEADLINE_EXCEEDED sooner, CANCELLED | nothing: the caller did not wait |
//! | every other code | it works: it was there to refuse the caller's mistake, and a caller's quota is not the peer's health |

use crate::Deadline;
use crate::time::now;
use std::time::{Duration, Instant};
use tonic::{Code, Status};

/// A caller that gives less time than this and runs out of it has learned nothing
/// about the peer; else anybody could open a breaker with deadlines of 1 ms.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// How much sooner than ours the clock of a caller may run out.
const AHEAD: Duration = Duration::from_millis(100);

/// What the end of a call says about the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It works.
    Success,
    /// It failed.
    Failure,
    /// Nothing.
    Unknown,
}

/// What a gRPC status says that came after `took`.
#[must_use]
pub fn of_status(status: &Status, took: Duration) -> Outcome {
    match status.code() {
        Code::Unavailable | Code::Unknown | Code::Internal | Code::DataLoss => Outcome::Failure,
        Code::DeadlineExceeded if took >= PATIENCE => Outcome::Failure,
        Code::DeadlineExceeded | Code::Cancelled => Outcome::Unknown,
        _ => Outcome::Success,
    }
}

/// What it says that nobody waits for an answer any more: a failure when the peer
/// used up a deadline of at least [`PATIENCE`], else nothing. The caller's clock began
/// before ours, by the time its request took to come here: who leaves within [`AHEAD`] of
/// the deadline has waited until it was over.
pub(crate) fn given_up(deadline: Option<Deadline>, began: Instant) -> Outcome {
    let fair = now().saturating_duration_since(began) >= PATIENCE;
    let over = deadline.is_some_and(|deadline| deadline.remaining() <= AHEAD);
    if fair && over { Outcome::Failure } else { Outcome::Unknown }
}

/// What an HTTP status says: 5xx is a failure, but for 501 (not implemented) and
/// 505 (HTTP version), which are about the request.
#[must_use]
pub const fn of_http(status: u16) -> Outcome {
    match status {
        501 | 505 => Outcome::Success,
        500.. => Outcome::Failure,
        _ => Outcome::Success,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_of_the_caller_is_no_failure_of_the_peer() {
        use Outcome::{Failure, Success, Unknown};
        let check = |code, millis, expect| {
            let took = Duration::from_millis(millis);
            assert_eq!(of_status(&Status::new(code, "no"), took), expect, "{code:?} after {took:?}");
        };
        for code in [Code::Unavailable, Code::Unknown, Code::Internal, Code::DataLoss] {
            check(code, 0, Failure);
        }
        check(Code::DeadlineExceeded, 1_000, Failure);
        check(Code::DeadlineExceeded, 999, Unknown);
        check(Code::Cancelled, 5_000, Unknown);
        for code in [
            Code::Ok,
            Code::InvalidArgument,
            Code::NotFound,
            Code::AlreadyExists,
            Code::PermissionDenied,
            Code::Unauthenticated,
            Code::FailedPrecondition,
            Code::Aborted,
            Code::OutOfRange,
            Code::Unimplemented,
            Code::ResourceExhausted,
        ] {
            check(code, 5_000, Success);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_as_the_deadline_passes_has_waited() {
        let check = async |deadline_ms, waited_ms, expect| {
            let (deadline, began) = (Deadline::within(Duration::from_millis(deadline_ms)), now());
            tokio::time::advance(Duration::from_millis(waited_ms)).await;
            assert_eq!(given_up(Some(deadline), began), expect, "{waited_ms} of {deadline_ms} ms");
        };
        check(2_000, 2_000, Outcome::Failure).await;
        check(2_000, 1_900, Outcome::Failure).await;
        check(2_000, 1_899, Outcome::Unknown).await;
        check(999, 999, Outcome::Unknown).await;
        assert_eq!(given_up(None, now()), Outcome::Unknown);
    }

    #[test]
    fn http_statuses() {
        let check = |status, expect| assert_eq!(of_http(status), expect, "{status}");
        for fine in [200, 204, 302, 400, 401, 404, 409, 422, 429, 501, 505] {
            check(fine, Outcome::Success);
        }
        for failed in [500, 502, 503, 504, 599] {
            check(failed, Outcome::Failure);
        }
    }
}
