//! An execution in memory, with what its turns and calls need around it.

use crate::definitions::Definitions;
use crate::dispatch::Call;
use crate::domain::audit::StoredTurn;
use crate::error::Error;
use crate::store::Store;
use probity_engine::definition::Action;
use probity_engine::{Definition, Execution, Fact, Opening, Turn};
use probity_types::id::{CaseId, ExecutionId};
use probity_types::{Ctx, Micros};
use serde_json::Value as Json;
use std::sync::Arc;

/// More facts than a case can have: the journal is read in one go.
const ALL: i64 = 1_000_000;

pub(super) struct Live {
    pub(super) execution: Execution,
    pub(super) tenant: String,
    pub(super) created: Micros,
    request_id: String,
    trace_id: String,
}

impl Live {
    pub(super) fn open(
        definition: Arc<Definition>,
        opening: Opening,
        ctx: &Ctx,
        now: Micros,
    ) -> (Self, Turn) {
        let (execution, turn) = Execution::open(definition, opening, now);
        let live = Self {
            execution,
            tenant: ctx.tenant.clone(),
            created: now,
            request_id: ctx.request_id.clone(),
            trace_id: ctx.trace_id.clone(),
        };
        (live, turn)
    }

    /// Reads a case back from the journal.
    pub(super) async fn read(store: &Store, definitions: &Definitions, case: CaseId) -> Result<Self, Error> {
        let turns = store.turns(case, 0, ALL).await?;
        let broken = |why: &str| Error::Journal { case: case.to_string(), why: why.to_owned() };
        let first = turns.first().ok_or_else(|| broken("it is empty"))?;
        let Some(Fact::CaseOpened { definition, version, .. }) = first.facts.first() else {
            return Err(broken("it does not begin with the opening of the case"));
        };
        let definition = definitions.version(&first.tenant, definition, version).await?;
        let facts: Vec<(Micros, Fact)> =
            turns.iter().flat_map(|t| t.facts.iter().map(|f| (t.time, f.clone()))).collect();
        let execution =
            Execution::replay(definition, &facts).ok_or_else(|| broken("it cannot be replayed"))?;
        Ok(Self {
            execution,
            tenant: first.tenant.clone(),
            created: first.time,
            request_id: first.request_id.clone(),
            trace_id: first.trace_id.clone(),
        })
    }

    /// Who acts when no person does.
    pub(super) fn itself(&self) -> String {
        format!("definitions/{}", self.execution.definition.name)
    }

    pub(super) fn stored(
        &self,
        case: CaseId,
        first: i64,
        facts: Vec<Fact>,
        actor: &str,
        time: Micros,
    ) -> StoredTurn {
        StoredTurn {
            case: case.0,
            case_name: format!("cases/{case}"),
            tenant: self.tenant.clone(),
            time,
            actor: actor.to_owned(),
            request_id: self.request_id.clone(),
            trace_id: self.trace_id.clone(),
            first,
            facts,
        }
    }

    /// The call of a step, or of its compensation.
    pub(super) fn call(
        &self,
        case: CaseId,
        step: usize,
        attempt: u32,
        compensation: bool,
        input: Arc<Json>,
        key: &str,
    ) -> Option<Call> {
        let spec = self.execution.definition.steps.get(step)?;
        let call = match &spec.action {
            _ if compensation => spec.compensate.as_ref()?,
            Action::Call(call) => call,
            _ => return None,
        };
        Some(Call {
            tenant: self.tenant.clone(),
            owner: self.execution.opening.owner.clone(),
            owner_roles: self.execution.opening.owner_roles.clone(),
            request_id: self.request_id.clone(),
            method: call.target.name().to_owned(),
            input,
            key: format!("{}/{key}", ExecutionId(case.0)),
            timeout: spec.timeout,
            step,
            attempt,
            compensation,
        })
    }
}
