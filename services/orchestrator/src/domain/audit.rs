//! From facts to audit events.

use super::dead_letters::Change;
use super::standalone;
use probity_engine::Fact;
use probity_types::id::ExecutionId;
use probity_types::{AuditEvent, Micros};
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Largest detail of an event; larger answers are proved by their hash.
const MAX_DETAIL: usize = 8 * 1024;

/// One stored turn of an execution.
#[derive(Debug, Clone)]
pub(crate) struct StoredTurn {
    pub(crate) execution: ExecutionId,
    /// `cases/<id>`; empty when it runs without a case.
    pub(crate) case: String,
    pub(crate) tenant: String,
    pub(crate) time: Micros,
    pub(crate) actor: String,
    pub(crate) request_id: String,
    pub(crate) trace_id: String,
    /// Sequence number of the first fact.
    pub(crate) first: i64,
    pub(crate) facts: Vec<Fact>,
    /// The facts as they are stored.
    pub(crate) json: String,
    /// Hash over all facts of the execution up to here: see [`chain`].
    pub(crate) chain: [u8; 32],
    /// What it changes among the dead letters; empty when it was read back.
    pub(crate) letters: Vec<Change>,
    /// What it changes among the tasks of their own; nothing when it was read back.
    pub(crate) task: Option<standalone::Change>,
}

/// The running hash of a history: SHA-256 of the hash before it and the stored
/// facts of the turn. The last one stands in the audit log, so that the log proves
/// the whole history although it holds only its ends.
pub(crate) fn chain(before: &[u8; 32], facts: &str) -> [u8; 32] {
    Sha256::new().chain_update(before).chain_update(facts.as_bytes()).finalize().into()
}

impl StoredTurn {
    /// Sequence number of the last fact.
    pub(crate) fn last(&self) -> i64 {
        self.first + i64::try_from(self.facts.len()).unwrap_or(0) - 1
    }

    /// Whether taking back begins with it.
    pub(crate) fn takes_back(&self) -> bool {
        self.facts.iter().any(|fact| matches!(fact, Fact::CompensationStarted { .. }))
    }

    /// The audit events of the turn, in order. The event id follows from the
    /// execution and the sequence number, so that a repeated relay gives the same
    /// ids. Of a case every step is told; of an execution without one how it began
    /// and ended, what people did, and the hash of everything between.
    pub(crate) fn events(&self) -> impl Iterator<Item = AuditEvent> + '_ {
        (self.first..)
            .zip(&self.facts)
            .filter(|(_, fact)| self.is_audited(fact))
            .map(|(sequence, fact)| self.event(sequence, fact))
    }

    fn is_audited(&self, fact: &Fact) -> bool {
        fact.is_audited() && !(self.case.is_empty() && matches!(fact, Fact::StepCompleted { .. }))
    }

    fn event(&self, sequence: i64, fact: &Fact) -> AuditEvent {
        let name = match self.case.as_str() {
            "" => format!("executions/{}", self.execution),
            case => case.to_owned(),
        };
        let subject = match fact.step() {
            Some(step) => format!("{name}/steps/{step}"),
            None => name,
        };
        AuditEvent {
            event_id: event_id(self.execution, sequence, self.time),
            tenant: self.tenant.clone(),
            time: self.time,
            actor: self.actor.clone(),
            action: fact.kind().to_owned(),
            subject,
            case: self.case.clone(),
            outcome: outcome(fact).to_owned(),
            detail: self.detail(sequence, fact),
            request_id: self.request_id.clone(),
            trace_id: self.trace_id.clone(),
        }
    }

    fn detail(&self, sequence: i64, fact: &Fact) -> String {
        let mut value = serde_json::to_value(fact).unwrap_or_default();
        if let Json::Object(fields) = &mut value {
            fields.insert("sequence".to_owned(), json!(sequence));
            if matches!(fact, Fact::Ended { .. }) {
                fields.insert("history_sha256".to_owned(), json!(hex::encode(self.chain)));
            }
        }
        shorten(value)
    }
}

/// The id of a fact's event: the same each time it is sent, so that the log keeps
/// it once, and later than those before it, so that the log's index grows at its
/// end however long it is. A UUID of version 8 (RFC 9562, 5.8): 48 bits of
/// milliseconds, then a hash of the execution and the fact's number.
fn event_id(execution: ExecutionId, sequence: i64, time: Micros) -> Uuid {
    let mut bytes = Uuid::new_v5(&execution.0, &sequence.to_be_bytes()).into_bytes();
    let [_, _, millis @ ..] = (time.0 / 1_000).to_be_bytes();
    bytes[..6].copy_from_slice(&millis);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

const fn outcome(fact: &Fact) -> &'static str {
    match fact {
        Fact::IncidentOpened { .. } => "failed",
        _ => "ok",
    }
}

/// As JSON; a large answer is replaced by its hash and size.
fn shorten(mut value: Json) -> String {
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
pub(crate) mod tests {
    use super::*;
    use std::sync::Arc;

    /// A turn of an execution with one fact, of this number.
    pub(crate) fn turn_of(execution: ExecutionId, first: i64) -> Arc<StoredTurn> {
        let fact = Fact::StepScheduled { step: "a".into(), item: None, attempt: 1, input: json!({}).into() };
        Arc::new(StoredTurn { execution, first, ..turn(vec![fact]) })
    }

    fn turn(facts: Vec<Fact>) -> StoredTurn {
        StoredTurn {
            execution: ExecutionId(Uuid::from_u128(7)),
            case: "cases/case_7".into(),
            tenant: "t".into(),
            time: Micros(1),
            actor: "users/a".into(),
            request_id: "r".into(),
            trace_id: String::new(),
            first: 5,
            facts,
            json: String::new(),
            chain: [0; 32],
            letters: Vec::new(),
            task: None,
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
    fn ids_of_events_grow_with_time_and_differ() {
        let ids = (0..300i64)
            .map(|n| event_id(ExecutionId::new(), n % 3, Micros(1_700_000_000_000_000 + n * 1_000)));
        let ids: Vec<_> = ids.collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        let one = ExecutionId::new();
        let mut same_time: Vec<_> = (0..300).map(|n| event_id(one, n, Micros(1_000))).collect();
        same_time.sort_unstable();
        same_time.dedup();
        assert_eq!((same_time.len(), same_time[0].get_version_num()), (300, 8));
    }

    #[test]
    fn a_large_answer_is_proved_by_its_hash() {
        let output = json!({ "text": "x".repeat(100_000) }).into();
        let turn = turn(vec![Fact::StepCompleted { step: "a".into(), item: None, attempt: 1, output }]);
        let event = turn.events().next().expect("an event");
        assert!(event.detail.len() < 1_000 && event.detail.contains("sha256"), "{}", event.detail.len());
    }
}
