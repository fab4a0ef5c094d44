//! Why an event was not taken.

use crate::schema::InputError;

/// Why an event was refused; nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The case does not wait for a decision.
    #[error("it is {state} and does not wait for a person's decision; possible now: {possible}")]
    NotWaiting {
        /// Where it stands.
        state: String,
        /// What is possible.
        possible: String,
    },
    /// The execution has ended.
    #[error("it has ended as {state}; nothing can change it any more")]
    Ended {
        /// Where it stands.
        state: String,
    },
    /// There is no such step.
    #[error("there is no step {step:?}; there are {known}")]
    NoSuchStep {
        /// What was asked for.
        step: String,
        /// What there is.
        known: String,
    },
    /// The step has no incident.
    #[error("step {step:?} has no open incident, so there is nothing to retry, skip or edit")]
    NoIncident {
        /// The step.
        step: String,
    },
    /// It is being taken back already.
    #[error("it is already being taken back")]
    TakingBack,
    /// It is paused.
    #[error("it is paused; resume it first")]
    Paused,
    /// It is not paused.
    #[error("it is not paused, so there is nothing to resume")]
    NotPaused,
    /// This person may not decide.
    #[error("{actor} is not asked to decide step {step:?}; it is for {may}")]
    NotAssigned {
        /// Who tried.
        actor: String,
        /// The approval.
        step: String,
        /// Who may.
        may: String,
    },
    /// The same person must not decide twice over.
    #[error("{actor} may not decide step {step:?}, which wants other eyes: {why}")]
    FourEyes {
        /// Who tried.
        actor: String,
        /// The approval.
        step: String,
        /// What they had to do with it before.
        why: String,
    },
    /// The step does not ask people.
    #[error("step {step:?} does not wait for a decision, so there is nothing to delegate")]
    NoApproval {
        /// The step.
        step: String,
    },
    /// No step waits for such a signal, now or later.
    #[error("no step waits for the signal {name:?}; there are {known}")]
    NoSuchSignal {
        /// What was sent.
        name: String,
        /// What there is.
        known: String,
    },
    /// Too many signals came before their time.
    #[error("{waiting} signals wait to be taken already, which is the most; send it again later")]
    SignalsFull {
        /// How many wait.
        waiting: usize,
    },
    /// A text or a payload is too large.
    #[error("{what} has {size} bytes; at most {most} are allowed")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// How large it is.
        size: usize,
        /// How large it may be.
        most: usize,
    },
    /// A payload does not fit the schema of its signal.
    #[error("the payload of the signal {name:?} does not fit its schema: {}", list(faults))]
    BadPayload {
        /// The signal.
        name: String,
        /// What does not fit.
        faults: Vec<InputError>,
    },
    /// A value is not of the form it must have.
    #[error("{what} is {value:?}; {wanted}")]
    Malformed {
        /// What it is.
        what: &'static str,
        /// What was given.
        value: String,
        /// What is wanted.
        wanted: &'static str,
    },
}

fn list(faults: &[InputError]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
