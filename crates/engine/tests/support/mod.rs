//! The contracts as a catalog, and definitions to run.
#![allow(dead_code)] // each file of tests uses its part

pub mod flows;
pub mod play;
pub mod world;

use probity_engine::definition::{Catalog, Definition, MethodSpec};
use probity_proto::access;
use probity_proto::prost_reflect::{DynamicMessage, SerializeOptions};
use std::sync::Arc;

/// The real contracts.
pub struct Contracts;

impl Catalog for Contracts {
    fn method(&self, name: &str) -> Option<MethodSpec> {
        let (service, method) = name.split_once('/')?;
        let service = probity_proto::pool().get_service_by_name(service)?;
        let method = service.methods().find(|m| m.name() == method)?;
        let access = access::method(&access::path(&method))?;
        let options = SerializeOptions::new()
            .stringify_64_bit_integers(false)
            .use_proto_field_name(true)
            .skip_default_fields(false);
        let blank = DynamicMessage::new(method.output());
        Some(MethodSpec {
            input: method.input(),
            output: method.output(),
            workflow_callable: access.workflow_callable,
            streaming: method.is_client_streaming() || method.is_server_streaming(),
            default_output: blank.serialize_with_options(serde_json::value::Serializer, &options).ok()?,
        })
    }

    fn callable(&self) -> Vec<String> {
        let callable = access::methods().filter(|(_, access)| access.workflow_callable);
        let mut names: Vec<_> = callable.map(|(path, _)| path.trim_start_matches('/').to_owned()).collect();
        names.sort();
        names
    }
}

/// Every kind of step, parallel branches and compensation.
pub const EVERYTHING: &str = r#"
name: everything
findings_from: investigate
steps:
  - id: documents
    state: pending
    call: probity.intake.v1.IntakeService/CheckDocuments
    input: {documents: case.documents, kind: case.kind}
    retry: {max_attempts: 4, base: 100ms, cap: 1s}
  - id: unusable
    needs: [documents]
    when: "!steps.documents.acceptable"
    fail: "'unusable: ' + steps.documents.reason"
  - id: triage
    state: investigating
    needs: [unusable]
    call: probity.spam.v1.SpamService/Classify
    input: {documents: case.documents}
    on_error: continue
    retry: quick
  - id: investigate
    state: investigating
    needs: [unusable]
    call: probity.anticorruption.v1.AntiCorruptionService/Investigate
    input: {case: case.name, kind: case.kind, documents: case.documents}
    retry: quick
  - id: cool_down
    needs: [triage]
    wait: {timer: 5s}
  - id: hold
    state: remediating
    needs: [investigate, cool_down]
    when: steps.investigate.finding_count > 0
    call: probity.orchestrator.v1.RemediationService/TakeAction
    input: {case: case.name, type: "'ACTION_TYPE_HOLD_PAYMENT'", reason: steps.investigate.summary}
    on_error: compensate
    retry: quick
    compensate:
      call: probity.orchestrator.v1.RemediationService/RevertAction
      input: {case: case.name, type: "'ACTION_TYPE_HOLD_PAYMENT'"}
  - id: tell
    state: remediating
    needs: [investigate]
    when: steps.investigate.finding_count > 0
    call: probity.orchestrator.v1.RemediationService/TakeAction
    input: {case: case.name, type: "'ACTION_TYPE_NOTIFY'"}
    compensate:
      call: probity.orchestrator.v1.RemediationService/RevertAction
      input: {case: case.name, type: "'ACTION_TYPE_NOTIFY'"}
  - id: decision
    needs: [hold, tell]
    when: steps.investigate.finding_count > 0
    wait:
      approval: {reason: steps.investigate.summary, required: "steps.investigate.finding_count > 5 ? 2 : 1"}
verdict:
  - when: steps.decision.disposition == 'CONFIRMED'
    outcome: confirmed
    reasons: "[steps.decision.note]"
  - when: steps.triage.band == 'BAND_SPAM'
    outcome: spam
    reasons: "[steps.triage.explanation]"
  - outcome: clear
    reasons: "[]"
"#;

/// A definition that must be right.
pub fn definition(source: &str) -> Arc<Definition> {
    match Definition::compile(source, &Contracts) {
        Ok(definition) => Arc::new(definition),
        Err(error) => panic!("{error}"),
    }
}
