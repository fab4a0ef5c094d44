//! Something that happened and must be provable: what a service hands to the
//! audit log through its outbox.

use crate::{Ctx, Micros};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An audit event. Field for field it becomes `probity.audit.v1.Entry`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// Made where the event happened; the log keeps each id once.
    pub event_id: Uuid,
    /// The tenant it belongs to.
    pub tenant: String,
    /// When it happened.
    pub time: Micros,
    /// Who did it.
    pub actor: String,
    /// What happened, such as `document.stored` or `auth.denied`.
    pub action: String,
    /// On what, such as `documents/…`.
    pub subject: String,
    /// The case it belongs to (`cases/…`), or empty.
    pub case: String,
    /// `ok`, `denied` or `failed`.
    pub outcome: String,
    /// What else is to be proved, as compact JSON without secrets; at most 16 KiB.
    pub detail: String,
    /// The request it came from.
    pub request_id: String,
    /// The trace it belongs to, or empty.
    pub trace_id: String,
}

impl AuditEvent {
    /// A successful action of the caller in `ctx` at `time`.
    #[must_use]
    pub fn new(ctx: &Ctx, time: Micros, action: &str, subject: impl Into<String>) -> Self {
        Self {
            event_id: Uuid::now_v7(),
            tenant: ctx.tenant.clone(),
            time,
            actor: ctx.actor.clone(),
            action: action.to_owned(),
            subject: subject.into(),
            case: String::new(),
            outcome: "ok".to_owned(),
            detail: String::new(),
            request_id: ctx.request_id.clone(),
            trace_id: ctx.trace_id.clone(),
        }
    }

    /// Says which case it belongs to.
    #[must_use]
    pub fn of_case(mut self, case: impl Into<String>) -> Self {
        self.case = case.into();
        self
    }

    /// Adds what else is to be proved.
    #[must_use]
    pub fn with_detail(mut self, detail: &serde_json::Value) -> Self {
        self.detail = detail.to_string();
        self
    }

    /// Says how it ended when it did not end well: `denied` or `failed`.
    #[must_use]
    pub fn with_outcome(mut self, outcome: &str) -> Self {
        outcome.clone_into(&mut self.outcome);
        self
    }
}
