//! What the queue holds: tasks, and the leases under which they are given out.
//!
//! A payload is opaque here. What a task means, how often it is tried and where
//! its result goes is the owner's business.

use crate::Refusal;
use bytes::Bytes;
use probity_types::Micros;
use std::fmt;
use std::sync::Arc;

/// Longest name of a queue, in bytes: room for an owner's own mark before a name of 64.
pub const MAX_QUEUE_NAME: usize = 96;
/// Longest name of a tenant or a worker, in bytes.
pub const MAX_TENANT_NAME: usize = 128;
/// Longest concurrency key or unique key, in bytes.
pub const MAX_KEY: usize = 256;

/// The id of a task, chosen by its owner; the same for every offer of the same work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub [u8; 16]);

impl TaskId {
    /// A new id, ordered by the time it was made.
    #[must_use]
    pub fn new() -> Self {
        Self(*uuid::Uuid::now_v7().as_bytes())
    }
}

impl Default for TaskId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for TaskId {
    /// 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({self})")
    }
}

/// How soon a task is served beside others; see [`crate::scheduler`] for the bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// 1 place of 15.
    Low,
    /// 2 places of 15.
    #[default]
    Normal,
    /// 4 places of 15.
    High,
    /// 8 places of 15.
    Critical,
}

impl Priority {
    /// All four, the most urgent first.
    pub const ALL: [Self; 4] = [Self::Critical, Self::High, Self::Normal, Self::Low];

    /// 0 for critical up to 3 for low.
    #[must_use]
    pub const fn rank(self) -> usize {
        match self {
            Self::Critical => 0,
            Self::High => 1,
            Self::Normal => 2,
            Self::Low => 3,
        }
    }

    /// The priority of that [`rank`](Self::rank); low for everything above 3.
    #[must_use]
    pub const fn of_rank(rank: usize) -> Self {
        match rank {
            0 => Self::Critical,
            1 => Self::High,
            2 => Self::Normal,
            _ => Self::Low,
        }
    }
}

/// A piece of work for a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// The queue it waits in: 1 to 96 of `a-z A-Z 0-9 . _ -`.
    pub queue: Arc<str>,
    /// Whose it is: 1 to 128 bytes without control characters.
    pub tenant: Arc<str>,
    /// How soon it is served beside others.
    pub priority: Priority,
    /// Tasks of one tenant with the same key share a limit of how many run at
    /// once ([`crate::Policy::key_concurrency`]); 1 to 256 bytes.
    pub key: Option<Arc<str>>,
    /// While a task of this tenant with the same unique key is open in the queue,
    /// another one is not taken in; 1 to 256 bytes.
    pub unique: Option<Arc<str>>,
    /// Not given out before this time; at once when absent or past.
    pub not_before: Option<Micros>,
    /// What the worker gets, opaque to the queue.
    pub payload: Bytes,
}

impl Task {
    /// A task of normal priority that is ready at once, without keys.
    pub fn new(
        id: TaskId,
        queue: impl Into<Arc<str>>,
        tenant: impl Into<Arc<str>>,
        payload: impl Into<Bytes>,
    ) -> Self {
        Self {
            id,
            queue: queue.into(),
            tenant: tenant.into(),
            priority: Priority::default(),
            key: None,
            unique: None,
            not_before: None,
            payload: payload.into(),
        }
    }

    /// With another priority.
    #[must_use]
    pub const fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// With a concurrency key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// With a unique key.
    #[must_use]
    pub fn with_unique(mut self, unique: impl Into<Arc<str>>) -> Self {
        self.unique = Some(unique.into());
        self
    }

    /// Not given out before a time.
    #[must_use]
    pub const fn with_not_before(mut self, not_before: Micros) -> Self {
        self.not_before = Some(not_before);
        self
    }

    /// Checks names and sizes.
    ///
    /// # Errors
    /// [`Refusal::Name`] or [`Refusal::TooLarge`], with the field and what is allowed.
    pub fn check(&self, max_payload_bytes: usize) -> Result<(), Refusal> {
        check_queue_name(&self.queue)?;
        check_text("tenant", &self.tenant, MAX_TENANT_NAME)?;
        for (field, text) in [("key", &self.key), ("unique", &self.unique)] {
            text.as_ref().map_or(Ok(()), |text| check_text(field, text, MAX_KEY))?;
        }
        let size = self.payload.len();
        if size > max_payload_bytes {
            return Err(Refusal::TooLarge { size, limit: max_payload_bytes });
        }
        Ok(())
    }
}

/// Checks the name of a queue.
///
/// # Errors
/// [`Refusal::Name`], with what is allowed.
pub fn check_queue_name(name: &str) -> Result<(), Refusal> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=MAX_QUEUE_NAME).contains(&name.len()) && name.bytes().all(fine) {
        return Ok(());
    }
    let reason = format!("must be 1 to {MAX_QUEUE_NAME} of a-z, A-Z, 0-9, '.', '_' and '-'");
    Err(Refusal::Name { field: "queue", reason })
}

/// Checks the name of a tenant or worker, or a key.
pub(crate) fn check_text(field: &'static str, text: &str, limit: usize) -> Result<(), Refusal> {
    if !(1..=limit).contains(&text.len()) {
        let reason = format!("has {} bytes; it must have 1 to {limit}", text.len());
        return Err(Refusal::Name { field, reason });
    }
    if text.chars().any(char::is_control) {
        return Err(Refusal::Name { field, reason: "must not contain control characters".to_owned() });
    }
    Ok(())
}

/// The number of a lease. It rises with every lease of a queue and goes on rising
/// when the queue has lost everything, because it is never below the time in
/// microseconds: an answer under an old number is told apart for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseNumber(pub u64);

/// What a worker needs to speak of a task it was given.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Held {
    /// The queue it came from.
    pub queue: Arc<str>,
    /// Which task.
    pub id: TaskId,
    /// Under which lease.
    pub lease: LeaseNumber,
}

/// A task given to a worker for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The task.
    pub task: Task,
    /// Fences late answers.
    pub number: LeaseNumber,
    /// When it ends unless it is extended.
    pub expires: Micros,
    /// How often the queue has given the task out, this time included; at least 1.
    /// It is a hint: a queue that lost its memory counts from 1 again.
    pub delivery: u32,
}

impl Lease {
    /// The task and the lease as later calls name them.
    #[must_use]
    pub fn held(&self) -> Held {
        Held { queue: Arc::clone(&self.task.queue), id: self.task.id, lease: self.number }
    }
}

/// What became of an offered task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// It waits in the queue now.
    Accepted,
    /// It is there already, by its id or by its unique key; the id of the one
    /// that is there. Nothing was changed.
    Open(TaskId),
}

/// Where an open task stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It could be given out, limits permitting.
    Ready,
    /// Others with its key are ahead of it.
    Blocked,
    /// Its time has not come.
    Delayed {
        /// When it comes.
        until: Micros,
    },
    /// A worker has it.
    Leased {
        /// Which worker.
        worker: Arc<str>,
        /// When its lease ends.
        expires: Micros,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_names_and_sizes_are_refused_with_the_field() {
        let good = || Task::new(TaskId([0; 16]), "default", "acme", "x");
        let check = |task: Task, expect: &str| {
            let text = task.check(4).err().map_or_else(String::new, |refusal| refusal.to_string());
            assert!(text.starts_with(expect) && text.is_empty() == expect.is_empty(), "{text}");
        };
        check(good(), "");
        check(Task { queue: "".into(), ..good() }, "queue must be 1 to 96");
        check(Task { queue: "a b".into(), ..good() }, "queue must be");
        check(Task { queue: "q".repeat(97).into(), ..good() }, "queue must be");
        check(Task { tenant: "".into(), ..good() }, "tenant has 0 bytes");
        check(Task { tenant: "a\0b".into(), ..good() }, "tenant must not contain control");
        check(good().with_key("k".repeat(257)), "key has 257 bytes");
        check(good().with_unique(""), "unique has 0 bytes");
        check(Task { payload: "12345".into(), ..good() }, "the payload has 5 bytes; at most 4");
    }

    #[test]
    fn ranks_round_trip_and_the_urgent_come_first() {
        for (rank, priority) in Priority::ALL.into_iter().enumerate() {
            assert_eq!((priority.rank(), Priority::of_rank(rank)), (rank, priority));
        }
        assert!(Priority::Critical > Priority::Low);
    }
}
