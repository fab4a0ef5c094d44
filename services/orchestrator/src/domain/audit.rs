//! From facts to audit events.

use probity_engine::Fact;
use probity_types::{AuditEvent, Micros};
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Largest detail of an event; larger answers are proved by their hash.
const MAX_DETAIL: usize = 8 * 1024;

/// One stored turn of a case.
#[derive(Debug, Clone)]
pub(crate) struct StoredTurn {
    /// The case.
    pub(crate) case: Uuid,
    /// `cases/<id>`.
    pub(crate) case_name: String,
    pub(crate) tenant: String,
    pub(crate) time: Micros,
    pub(crate) actor: String,
    pub(crate) request_id: String,
    pub(crate) trace_id: String,
    /// Sequence number of the first fact.
    pub(crate) first: i64,
    pub(crate) facts: Vec<Fact>,
}

impl StoredTurn {
    /// The audit events of the turn, in order. The event id follows from the case
    /// and the sequence number, so that a repeated relay gives the same ids.
    pub(crate) fn events(&self) -> impl Iterator<Item = AuditEvent> + '_ {
        (self.first..)
            .zip(&self.facts)
            .filter(|(_, fact)| fact.is_audited())
            .map(|(sequence, fact)| self.event(sequence, fact))
    }

    fn event(&self, sequence: i64, fact: &Fact) -> AuditEvent {
        let subject = match fact.step() {
            Some(step) => format!("{}/steps/{step}", self.case_name),
            None => self.case_name.clone(),
        };
        AuditEvent {
            event_id: Uuid::new_v5(&self.case, &sequence.to_be_bytes()),
            tenant: self.tenant.clone(),
            time: self.time,
            actor: self.actor.clone(),
            action: fact.kind().to_owned(),
            subject,
            case: self.case_name.clone(),
            outcome: outcome(fact).to_owned(),
            detail: detail(sequence, fact),
            request_id: self.request_id.clone(),
            trace_id: self.trace_id.clone(),
        }
    }
}

const fn outcome(fact: &Fact) -> &'static str {
    match fact {
        Fact::IncidentOpened { .. } => "failed",
        _ => "ok",
    }
}

/// The fact as JSON; a large answer is replaced by its hash and size.
fn detail(sequence: i64, fact: &Fact) -> String {
    let mut value = serde_json::to_value(fact).unwrap_or_default();
    if let Json::Object(fields) = &mut value {
        fields.insert("sequence".to_owned(), json!(sequence));
    }
    let text = value.to_string();
    if text.len() <= MAX_DETAIL {
        return text;
    }
    if let Json::Object(fields) = &mut value {
        for (_, field) in fields.iter_mut() {
            let written = field.to_string();
            if written.len() > MAX_DETAIL / 8 {
                let hash = hex::encode(Sha256::digest(written.as_bytes()));
                *field = json!({"sha256": hash, "size_bytes": written.len()});
            }
        }
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(facts: Vec<Fact>) -> StoredTurn {
        StoredTurn {
            case: Uuid::from_u128(7),
            case_name: "cases/case_7".into(),
            tenant: "t".into(),
            time: Micros(1),
            actor: "users/a".into(),
            request_id: "r".into(),
            trace_id: String::new(),
            first: 5,
            facts,
        }
    }

    #[test]
    fn bookkeeping_stays_out_and_ids_are_stable() {
        let turn = turn(vec![
            Fact::StepScheduled { step: "a".into(), item: None, attempt: 1, input: json!({}).into() },
            Fact::StepCompleted { step: "a".into(), item: None, attempt: 1, output: json!({"x": 1}).into() },
        ]);
        let events: Vec<_> = turn.events().collect();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].action, "step.completed");
        assert_eq!(events[0].subject, "cases/case_7/steps/a");
        assert!(events[0].detail.contains(r#""sequence":6"#));
        assert_eq!(turn.events().next().expect("again").event_id, events[0].event_id);
    }

    #[test]
    fn a_large_answer_is_proved_by_its_hash() {
        let output = json!({ "text": "x".repeat(100_000) }).into();
        let turn = turn(vec![Fact::StepCompleted { step: "a".into(), item: None, attempt: 1, output }]);
        let event = turn.events().next().expect("an event");
        assert!(event.detail.len() < 1_000 && event.detail.contains("sha256"), "{}", event.detail.len());
    }
}
