//! How long a call may take, told from caller to callee.
//!
//! A [`Deadline`] is a point in time. On the wire it travels as what is left of
//! it, in the gRPC header `grpc-timeout`, so that clocks need not agree. Inside a
//! process it travels with the task: a call made while answering another one has
//! no more time than is left there, whether its peer is local or remote.
//!
//! A task that is spawned does not inherit the deadline; wrap its future in
//! [`Deadline::scope`] when it should.

mod body;
mod layer;
mod wire;

pub use layer::{DeadlineFuture, DeadlineLayer, DeadlineService, Limits};
pub use wire::{GRPC_TIMEOUT, format_timeout, parse_timeout};
pub(crate) use wire::{HEADER as TIMEOUT_HEADER, write as write_timeout};

use std::future::Future;
use std::time::Duration;
use tokio::task::futures::TaskLocalFuture;
use tokio::time::Instant;

tokio::task_local! {
    static CURRENT: Deadline;
}

/// The point in time a call has to be over by. Also a request extension, for
/// handlers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline `timeout` from now.
    #[must_use]
    pub fn within(timeout: Duration) -> Self {
        Self::after(Instant::now(), timeout)
    }

    /// A deadline `timeout` after `now`.
    fn after(now: Instant, timeout: Duration) -> Self {
        // A century stands for more than a clock can hold.
        Self(now.checked_add(timeout).unwrap_or_else(|| now + Duration::from_secs(3_155_760_000)))
    }

    /// The deadline of the call this task is answering.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|deadline| *deadline).ok()
    }

    /// The point in time.
    #[must_use]
    pub const fn at(self) -> Instant {
        self.0
    }

    /// What is left; zero when it is over.
    #[must_use]
    pub fn remaining(self) -> Duration {
        self.left_at(Instant::now())
    }

    fn left_at(self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }

    /// True when no time is left.
    #[must_use]
    pub fn is_over(self) -> bool {
        self.remaining().is_zero()
    }

    /// True when there is time to wait that long and still do something.
    #[must_use]
    pub fn allows(self, wait: Duration) -> bool {
        wait < self.remaining()
    }

    /// Runs a future with this as the current deadline. It does not end the
    /// future; that is for [`DeadlineLayer`] or `tokio::time::timeout_at`.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        CURRENT.scope(self, future).await
    }

    fn around<F: Future>(self, future: F) -> TaskLocalFuture<Self, F> {
        CURRENT.scope(self, future)
    }

    /// Runs a function with this as the current deadline.
    fn enter<T>(self, function: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, function)
    }
}

/// The earlier of the deadlines there are.
pub(crate) fn earliest(deadlines: impl IntoIterator<Item = Option<Deadline>>) -> Option<Deadline> {
    deadlines.into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nested_work_sees_what_is_left() {
        assert_eq!(Deadline::current(), None);
        let outer = Deadline::within(Duration::from_secs(10));
        outer
            .scope(async {
                tokio::time::advance(Duration::from_secs(4)).await;
                assert_eq!(Deadline::current().map(Deadline::remaining), Some(Duration::from_secs(6)));
                assert!(outer.allows(Duration::from_secs(5)) && !outer.allows(Duration::from_secs(6)));
                tokio::time::advance(Duration::from_secs(7)).await;
                assert!(outer.is_over());
            })
            .await;
        assert_eq!(Deadline::current(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_wins_and_endless_is_far_away() {
        let near = Deadline::within(Duration::from_secs(1));
        let far = Deadline::within(Duration::MAX);
        assert_eq!(earliest([None, Some(far), Some(near)]), Some(near));
        assert_eq!(earliest([None, None]), None);
        assert!(far.remaining() > Duration::from_secs(86_400));
    }
}
