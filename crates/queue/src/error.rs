//! How the queue says no.
//!
//! A [`Refusal`] is about one task and leaves the others of the batch alone; an
//! [`Error`] is about the whole call. There are no error codes here: nobody
//! outside meets the queue, and its owner decides what a failure means.

use std::sync::Arc;
use std::time::Duration;

/// Why one task was not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// All queues together are full.
    #[error("the queues hold {capacity} open tasks, which is all they may; offer again when some are done")]
    Full {
        /// How many may be open.
        capacity: usize,
    },
    /// The queue is full.
    #[error("queue {queue} holds {capacity} open tasks, which is all it may; offer again when some are done")]
    QueueFull {
        /// Which queue.
        queue: Arc<str>,
        /// How many may be open in it.
        capacity: usize,
    },
    /// There are too many queues in use.
    #[error("queue {queue} would be one more than the {limit} queues allowed; use an existing one")]
    TooManyQueues {
        /// The new one.
        queue: Arc<str>,
        /// How many there may be.
        limit: usize,
    },
    /// The payload is too large.
    #[error(
        "the payload has {size} bytes; at most {limit} are kept: store it elsewhere and send a reference"
    )]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A name or key is not allowed.
    #[error("{field} {reason}")]
    Name {
        /// Which.
        field: &'static str,
        /// What is wrong and what would be right.
        reason: String,
    },
}

/// Why a call failed. It may have been carried out all the same: repeat it, as
/// every call of a queue may be repeated.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The server does not answer.
    #[error("the queue at {server} does not answer: {reason}")]
    Unavailable {
        /// Which server, without its password.
        server: Arc<str>,
        /// What was noticed.
        reason: Arc<str>,
    },
    /// The server did not answer in time.
    #[error("the queue at {server} did not answer within {limit:?}")]
    Timeout {
        /// Which server, without its password.
        server: Arc<str>,
        /// The limit.
        limit: Duration,
    },
    /// More calls wait than may.
    #[error("{limit} calls wait for the queue at {server}, which is all that may; try again later")]
    Overloaded {
        /// Which server, without its password.
        server: Arc<str>,
        /// How many may wait.
        limit: usize,
    },
    /// The server answered with something else than expected: a mistake of ours,
    /// or keys of somebody else under our prefix.
    #[error("the queue at {server} gave an answer that cannot be used: {reason}")]
    Answer {
        /// Which server, without its password.
        server: Arc<str>,
        /// What is wrong with it.
        reason: Arc<str>,
    },
    /// More items in one call than are carried out at once.
    #[error("the call has {given} items; at most {limit} are carried out at once: split it")]
    Batch {
        /// How many there were.
        given: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A request that cannot be carried out.
    #[error("{0}")]
    Request(#[from] Refusal),
    /// A setting is wrong.
    #[error("queue setting `{key}` {reason}")]
    Config {
        /// Which.
        key: &'static str,
        /// What is wrong and what would be right.
        reason: String,
    },
}

impl Error {
    /// True when the same call may succeed later without any change.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Timeout { .. } | Self::Overloaded { .. })
    }
}
