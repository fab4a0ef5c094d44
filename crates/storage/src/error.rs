//! How a store fails, and what that means to a caller.
//!
//! Causes are kept for the log; only the sentences here reach a caller.

mod class;

use class::Class;
use probity_types::{Fault, FaultKind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What a driver or the machine said: for the log.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Why an operation on a store failed. Cheap to clone: one lost commit is
/// reported to every operation that was in it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The database does not answer or has cut the connection.
    #[error("the database {database} does not answer")]
    Unavailable {
        /// Which database, without its password.
        database: Arc<str>,
        /// Why.
        source: Cause,
    },
    /// No connection or no place in the queue became free in time.
    #[error("too much work waits for the database {database}")]
    Overloaded {
        /// Which database.
        database: Arc<str>,
    },
    /// The connection was lost while the commit was under way.
    #[error("the connection to {database} was lost during the commit; it may have succeeded")]
    OutcomeUnknown {
        /// Which database.
        database: Arc<str>,
        /// Why.
        source: Cause,
    },
    /// An operation took longer than `statement_timeout_ms`.
    #[error("the operation on {database} took longer than {limit:?}")]
    Timeout {
        /// Which database.
        database: Arc<str>,
        /// The limit.
        limit: Duration,
    },
    /// Stored data is damaged.
    #[error("the database {database} is damaged")]
    Corrupt {
        /// Which database.
        database: Arc<str>,
        /// What was noticed.
        source: Cause,
    },
    /// There is no space left.
    #[error("the database {database} has no space left")]
    Full {
        /// Which database.
        database: Arc<str>,
        /// What was noticed.
        source: Cause,
    },
    /// Another transaction was in the way; the same operation may succeed now.
    #[error("another transaction on {database} was in the way")]
    Conflict {
        /// Which database.
        database: Arc<str>,
        /// What was noticed.
        source: Cause,
    },
    /// A row with this key exists already.
    #[error("a row with this key exists already ({constraint})")]
    Unique {
        /// The constraint or the columns.
        constraint: String,
        /// What was noticed.
        source: Cause,
    },
    /// The database refused a statement: a mistake of ours.
    #[error("the database refused a statement")]
    Statement {
        /// Why.
        source: Cause,
    },
    /// A statement and its arguments do not fit: a mistake of ours.
    #[error("the statement {sql:?} takes {wanted} arguments, {given} were given")]
    Arguments {
        /// The statement.
        sql: String,
        /// The highest placeholder in it.
        wanted: usize,
        /// How many arguments there were.
        given: usize,
    },
    /// The rows of one statement do not fit each other or the statement: a mistake of ours.
    #[error("the statement {sql:?} cannot take these rows: {reason}")]
    Rows {
        /// The statement.
        sql: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// A column does not hold what the code expects: a mistake of ours.
    #[error("column {index} ({name}) is no {wanted}: {found}")]
    Column {
        /// Place in the row, from 0.
        index: usize,
        /// Its name.
        name: String,
        /// What was expected.
        wanted: &'static str,
        /// What was there.
        found: String,
    },
    /// An operation ignored a failed statement; nothing of it was stored.
    #[error("a write went on after a failed statement; nothing of it was stored")]
    Ignored {
        /// The failure that was ignored.
        source: Arc<Error>,
    },
    /// An operation panicked; nothing of it was stored.
    #[error("a write panicked: {message}")]
    Panicked {
        /// What it said.
        message: String,
    },
    /// The idempotency key was used before with another body.
    #[error("the idempotency key {key:?} was used before with another request")]
    KeyReused {
        /// The key.
        key: String,
    },
    /// A request with the same idempotency key is being carried out right now.
    #[error("a request with the idempotency key {key:?} is being carried out; try again")]
    KeyInUse {
        /// The key.
        key: String,
    },
    /// Text with a NUL character, which PostgreSQL cannot keep.
    #[error("text must not contain the NUL character (U+0000)")]
    NulInText,
    /// An audit event over the limit.
    #[error("the detail of audit event {action:?} has {size} bytes; at most {limit} are kept")]
    EventTooLarge {
        /// Its action.
        action: String,
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// A stored record cannot be read back.
    #[error("a stored {what} cannot be read: {reason}")]
    Unreadable {
        /// What it is.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// Another process owns the file.
    #[error(
        "{path} is in use by another process (its lock {path}.lock is held); stop that one or give this one another file",
        path = path.display()
    )]
    Locked {
        /// The database file.
        path: PathBuf,
    },
    /// A file cannot be opened.
    #[error("{path} cannot be opened: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Arc<std::io::Error>,
    },
    /// The migrations do not fit the database.
    #[error("migration {version} ({name}) of {component}: {reason}")]
    Migration {
        /// Whose migration.
        component: String,
        /// Its version.
        version: i64,
        /// Its name.
        name: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A setting is wrong.
    #[error("database setting `{key}` {reason}")]
    Config {
        /// The setting.
        key: &'static str,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// The store is closing.
    #[error("the store {database} is closing")]
    Closed {
        /// Which database.
        database: Arc<str>,
    },
}

impl Error {
    /// What PostgreSQL or its driver reports.
    pub(crate) fn from_postgres(database: &Arc<str>, error: sqlx::Error) -> Self {
        Self::sorted(class::postgres(&error), database, Arc::new(error))
    }

    /// What SQLite reports.
    pub(crate) fn from_sqlite(database: &Arc<str>, error: rusqlite::Error) -> Self {
        Self::sorted(class::sqlite(&error), database, Arc::new(error))
    }

    fn sorted(class: Class, database: &Arc<str>, source: Cause) -> Self {
        let database = Arc::clone(database);
        match class {
            Class::Lost => Self::Unavailable { database, source },
            Class::Damaged => Self::Corrupt { database, source },
            Class::Full => Self::Full { database, source },
            Class::InTheWay => Self::Conflict { database, source },
            Class::Unique(constraint) => Self::Unique { constraint, source },
            Class::Refused => Self::Statement { source },
        }
    }

    /// An answer that did not come, or a connection that is gone.
    pub(crate) fn unavailable(database: &Arc<str>, kind: std::io::ErrorKind) -> Self {
        Self::Unavailable { database: Arc::clone(database), source: cause(kind) }
    }

    /// What it means when a commit ends with it: whoever loses the connection there
    /// cannot know what the other side did.
    pub(crate) fn of_commit(self) -> Self {
        match self {
            Self::Unavailable { database, source } => Self::OutcomeUnknown { database, source },
            Self::Timeout { database, .. } => {
                Self::OutcomeUnknown { database, source: cause(std::io::ErrorKind::BrokenPipe) }
            }
            other => other,
        }
    }

    /// True when the connection it happened on must not be used again.
    pub(crate) const fn is_lost(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::OutcomeUnknown { .. } | Self::Timeout { .. })
    }

    /// True when a row with this key exists already.
    #[must_use]
    pub const fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Unique { .. })
    }

    /// The stable code of this error; each has a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "STO-0001",
            Self::Overloaded { .. } => "STO-0002",
            Self::OutcomeUnknown { .. } => "STO-0003",
            Self::Corrupt { .. } | Self::Unreadable { .. } => "STO-0004",
            Self::KeyReused { .. } => "STO-0005",
            Self::Unique { .. } => "STO-0006",
            Self::Conflict { .. } | Self::KeyInUse { .. } => "STO-0007",
            Self::Full { .. } => "STO-0008",
            Self::Statement { .. } | Self::Arguments { .. } | Self::Rows { .. } | Self::Column { .. } => {
                "STO-0009"
            }
            Self::Ignored { .. } | Self::Panicked { .. } => "STO-0010",
            Self::Locked { .. } | Self::File { .. } => "STO-0011",
            Self::Migration { .. } => "STO-0012",
            Self::Config { .. } => "STO-0013",
            Self::Closed { .. } => "STO-0014",
            Self::NulInText => "STO-0015",
            Self::Timeout { .. } => "STO-0016",
            Self::EventTooLarge { .. } => "STO-0017",
        }
    }

    /// The kind of fault this is to a caller.
    #[must_use]
    pub const fn kind(&self) -> FaultKind {
        match self {
            Self::Unavailable { .. }
            | Self::OutcomeUnknown { .. }
            | Self::Conflict { .. }
            | Self::KeyInUse { .. }
            | Self::Full { .. }
            | Self::Locked { .. }
            | Self::File { .. }
            | Self::Closed { .. } => FaultKind::Unavailable,
            Self::Overloaded { .. } => FaultKind::Overloaded,
            Self::Timeout { .. } => FaultKind::Timeout,
            Self::Corrupt { .. } | Self::Unreadable { .. } => FaultKind::Corrupt,
            Self::KeyReused { .. } => FaultKind::KeyReused,
            Self::Unique { .. } => FaultKind::Exists,
            Self::NulInText => FaultKind::Invalid,
            Self::Statement { .. }
            | Self::Arguments { .. }
            | Self::Rows { .. }
            | Self::Column { .. }
            | Self::Ignored { .. }
            | Self::Panicked { .. }
            | Self::Migration { .. }
            | Self::Config { .. }
            | Self::EventTooLarge { .. } => FaultKind::Internal,
        }
    }

    /// The sentence for a caller, who need not know where the data is.
    fn message(&self) -> String {
        match self {
            Self::Unavailable { .. } | Self::Locked { .. } | Self::File { .. } => {
                "the store does not answer; try again".into()
            }
            Self::OutcomeUnknown { .. } => {
                "the outcome is unknown; send the same request with the same idempotency key again".into()
            }
            Self::Overloaded { .. } => "too much work is waiting; try again later".into(),
            Self::Timeout { .. } => "the store took too long; try again".into(),
            Self::Conflict { .. } => "another operation was in the way; try again".into(),
            Self::Full { .. } => "the store has no space left; try again later".into(),
            Self::Closed { .. } => "the service is stopping; try again".into(),
            Self::Unique { .. } => "it exists already".into(),
            other => other.to_string(),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error.code(), error.message()).with_source(error)
    }
}

/// A cause in the words of the machine.
pub(crate) fn cause(kind: std::io::ErrorKind) -> Cause {
    Arc::new(std::io::Error::from(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_never_reads_where_the_data_is() {
        let database: Arc<str> = "postgres://db.internal/x".into();
        for error in [
            Error::Unavailable {
                database: Arc::clone(&database),
                source: cause(std::io::ErrorKind::BrokenPipe),
            },
            Error::Overloaded { database: Arc::clone(&database) },
            Error::Closed { database },
        ] {
            let fault = Fault::from(error);
            assert!(!fault.message.contains("internal"), "{fault}");
            assert!(fault.kind.is_transient() && fault.retry_after.is_some(), "{fault}");
        }
    }
}
