//! Everything that can go wrong here, and how a caller hears of it.

use probity_engine::{DefinitionError, Refusal};
use probity_types::{Fault, FaultKind, Violation};

/// The code of an execution that another replica has: nothing was written.
pub(crate) const ELSEWHERE: &str = "ORC-0013";

/// A failure of the orchestrator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A field of the request is wrong.
    #[error("{field}: {why}")]
    Invalid { field: String, why: String },
    /// There is no such case for this tenant.
    #[error("there is no case {0}")]
    NoCase(String),
    /// There is no such execution for this tenant.
    #[error("there is no execution {0}")]
    NoExecution(String),
    /// The input does not fit the schema of the definition.
    #[error("the input is refused: {}", .0.iter().map(|(at, why)| format!("{at}: {why}")).collect::<Vec<_>>().join("; "))]
    Input(Vec<(String, String)>),
    /// A definition of the other sort is needed.
    #[error("{0}")]
    WrongDefinition(String),
    /// Another replica owns the shard of the execution.
    #[error("another replica has this execution; try again")]
    Elsewhere(u8),
    /// There is no such definition for this tenant.
    #[error("there is no definition {0}")]
    NoDefinition(String),
    /// A definition was refused.
    #[error("the definition is refused: {0}")]
    Definition(DefinitionError),
    /// There is no such task for this tenant.
    #[error("there is no task {0}")]
    NoTask(String),
    /// There is no such schedule for this tenant.
    #[error("there is no schedule {0}")]
    NoSchedule(String),
    /// There is one of that name.
    #[error("there is a schedule {0} already; update it, or choose another id")]
    ScheduleExists(String),
    /// The tenant has as many schedules as it may have.
    #[error("this tenant has {0} schedules, and more are not allowed: delete one first")]
    SchedulesFull(i64),
    /// There is no such dead letter for this tenant.
    #[error("there is no dead letter {0}")]
    NoLetter(String),
    /// The dead letter is not open any more.
    #[error("the dead letter {name} is {state} and not open any more; nothing changed")]
    LetterClosed { name: String, state: &'static str },
    /// The tenant has as many open dead letters as it may have.
    #[error(
        "{open} dead letters of this tenant are open, and at most {capacity} may be: nothing new is started \
         until some are requeued or discarded; what runs goes on"
    )]
    LettersFull { open: i64, capacity: i64 },
    /// The core refused an event.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The lane is busy.
    #[error("too many requests wait to be stored; try again")]
    Busy,
    /// The lane is not running, or its store is away.
    #[error("cases cannot be changed right now; try again: {0}")]
    Away(String),
    /// Another process owns the lane now.
    #[error("another replica has taken over; try again")]
    Fenced,
    /// The journal holds something that cannot be read.
    #[error("the journal of {case} cannot be read: {why}")]
    Journal { case: String, why: String },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] probity_storage::Error),
}

impl From<DefinitionError> for Error {
    fn from(error: DefinitionError) -> Self {
        Self::Definition(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Invalid { field, why } => Self::invalid("ORC-0001", field, why),
            Error::NoCase(_) => Self::new(FaultKind::NotFound, "ORC-0002", text),
            Error::NoExecution(_) => Self::new(FaultKind::NotFound, "ORC-0010", text),
            Error::Input(errors) => {
                let mut fault = Self::new(FaultKind::Invalid, "ORC-0011", text);
                let named = |(at, description)| Violation { field: format!("input{at}"), description };
                fault.violations = errors.into_iter().map(named).collect();
                fault
            }
            Error::WrongDefinition(why) => Self::invalid("ORC-0012", "definition", why),
            Error::NoDefinition(_) => Self::new(FaultKind::NotFound, "ORC-0003", text),
            Error::NoTask(_) => Self::new(FaultKind::NotFound, "ORC-0045", text),
            Error::NoSchedule(_) => Self::new(FaultKind::NotFound, "ORC-0046", text),
            Error::ScheduleExists(_) => Self::new(FaultKind::Exists, "ORC-0047", text),
            Error::SchedulesFull(_) => Self::new(FaultKind::WrongState, "ORC-0048", text),
            Error::NoLetter(_) => Self::new(FaultKind::NotFound, "ORC-0040", text),
            Error::LettersFull { .. } => Self::new(FaultKind::Overloaded, "ORC-0041", text),
            Error::LetterClosed { .. } => Self::new(FaultKind::WrongState, "ORC-0042", text),
            Error::Definition(error) => {
                let field = if error.line == 0 {
                    "source".to_owned()
                } else {
                    format!("source:{}:{}", error.line, error.column)
                };
                Self::invalid("ORC-0004", field, error.message)
            }
            Error::Refused(Refusal::NoSuchStep { .. }) => Self::invalid("ORC-0005", "step", text),
            Error::Refused(
                Refusal::Malformed { .. }
                | Refusal::TooLarge { .. }
                | Refusal::BadPayload { .. }
                | Refusal::NoSuchSignal { .. },
            ) => Self::invalid("ORC-0001", "event", text),
            Error::Refused(Refusal::NotAssigned { .. } | Refusal::FourEyes { .. }) => {
                Self::new(FaultKind::Denied, "ORC-0006", text)
            }
            Error::Refused(_) => Self::new(FaultKind::WrongState, "ORC-0006", text),
            Error::Busy => Self::new(FaultKind::Overloaded, "ORC-0007", text),
            Error::Away(_) | Error::Fenced => Self::new(FaultKind::Unavailable, "ORC-0008", text),
            Error::Elsewhere(_) => Self::new(FaultKind::Unavailable, ELSEWHERE, text),
            Error::Journal { .. } => Self::new(FaultKind::Corrupt, "ORC-0009", text),
            Error::Store(error) => error.into(),
        }
    }
}
