//! What people do to executions, to one or to many.

use super::Executions;
use crate::convert;
use crate::error::Error;
use crate::lane;
use probity_engine::{Event, StepStatus};
use probity_proto::orchestrator::{
    BatchAction, BatchExecutionsRequest, BatchExecutionsResponse, BatchRefusal, CancelExecutionRequest,
    DecideExecutionRequest, DelegateApprovalRequest, EditStepInputRequest, Execution, PauseExecutionRequest,
    RerunExecutionRequest, ResumeExecutionRequest, RetryStepRequest, SignalExecutionRequest,
};
use probity_runtime::status;
use probity_types::Ctx;
use probity_types::id::ExecutionId;
use tonic::Status;

/// How many executions one request may change.
const MAX_BATCH: i64 = 1_000;
const DEFAULT_BATCH: i64 = 100;

impl Executions {
    async fn person(&self, ctx: &Ctx, name: &str, event: Event) -> Result<Execution, Error> {
        let id = convert::execution_id("name", name)?;
        self.lane.person(ctx, id, event).await?;
        self.shown(ctx, id).await
    }

    pub(super) async fn pause(&self, ctx: &Ctx, request: &PauseExecutionRequest) -> Result<Execution, Error> {
        let reason = convert::reason("reason", &request.reason)?;
        self.person(ctx, &request.name, Event::Pause { actor: ctx.actor.clone(), reason }).await
    }

    pub(super) async fn resume(
        &self,
        ctx: &Ctx,
        request: &ResumeExecutionRequest,
    ) -> Result<Execution, Error> {
        self.person(ctx, &request.name, Event::Resume { actor: ctx.actor.clone() }).await
    }

    pub(super) async fn cancel(
        &self,
        ctx: &Ctx,
        request: &CancelExecutionRequest,
    ) -> Result<Execution, Error> {
        let reason = convert::reason("reason", &request.reason)?;
        self.person(ctx, &request.name, Event::Cancel { actor: ctx.actor.clone(), reason }).await
    }

    pub(super) async fn signal(
        &self,
        ctx: &Ctx,
        key: Option<String>,
        request: &SignalExecutionRequest,
    ) -> Result<Execution, Error> {
        self.seen(ctx, "name", &request.name).await?;
        let payload = convert::json("payload", &request.payload, convert::MAX_SIGNAL)?;
        self.blobs.admit(&ctx.tenant, "payload", &payload).await?;
        let id = convert::request_key(request.signal_id.clone(), key)?
            .unwrap_or_else(|| ExecutionId::new().0.to_string());
        let (actor, name) = (ctx.actor.clone(), request.signal.clone());
        self.person(ctx, &request.name, Event::Signal { actor, id, name, payload }).await
    }

    pub(super) async fn rerun(&self, ctx: &Ctx, request: &RerunExecutionRequest) -> Result<Execution, Error> {
        let reason = convert::reason("reason", &request.reason)?;
        let event = Event::Rerun { actor: ctx.actor.clone(), step: request.step.clone(), reason };
        self.person(ctx, &request.name, event).await
    }

    pub(super) async fn decide(
        &self,
        ctx: &Ctx,
        request: &DecideExecutionRequest,
    ) -> Result<Execution, Error> {
        let disposition = convert::disposition(request.disposition)?;
        let note = convert::note("note", &request.note)?;
        let event = Event::Decide { actor: ctx.actor.clone(), roles: ctx.roles.clone(), disposition, note };
        self.person(ctx, &request.name, event).await
    }

    pub(super) async fn delegate(
        &self,
        ctx: &Ctx,
        request: &DelegateApprovalRequest,
    ) -> Result<Execution, Error> {
        let event = Event::Delegate {
            actor: ctx.actor.clone(),
            roles: ctx.roles.clone(),
            to: request.to.clone(),
            step: request.step.clone(),
        };
        self.person(ctx, &request.name, event).await
    }

    pub(super) async fn edit(&self, ctx: &Ctx, request: &EditStepInputRequest) -> Result<Execution, Error> {
        let input = convert::json("input", &request.input, convert::MAX_INPUT)?;
        self.blobs.admit(&ctx.tenant, "input", &input).await?;
        let event = Event::EditInput { actor: ctx.actor.clone(), step: request.step.clone(), input };
        self.person(ctx, &request.name, event).await
    }

    /// One thing to all that a filter finds. Each is its own transaction, so that
    /// one that is refused keeps nobody else waiting.
    pub(super) async fn batch(
        &self,
        ctx: &Ctx,
        request: &BatchExecutionsRequest,
    ) -> Result<BatchExecutionsResponse, Error> {
        if request.filter.trim().is_empty() {
            return Err(convert::invalid(
                "filter",
                "say which executions; an empty filter finds all of them",
            ));
        }
        let limit = match i64::from(request.limit) {
            0 => DEFAULT_BATCH,
            n @ 1..=MAX_BATCH => n,
            _ => return Err(convert::invalid("limit", format!("must be from 1 to {MAX_BATCH}"))),
        };
        let mut found = self.store.executions(&ctx.tenant, &request.filter, None, limit + 1).await?;
        let more = i64::try_from(found.len()).unwrap_or(i64::MAX) > limit;
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let mut response = BatchExecutionsResponse {
            found: i32::try_from(found.len()).unwrap_or(i32::MAX),
            more,
            ..BatchExecutionsResponse::default()
        };
        let reason = match request.action() {
            BatchAction::Unspecified => {
                return Err(convert::invalid(
                    "action",
                    "say what to do: BATCH_ACTION_PAUSE, _RESUME, _CANCEL or _RETRY",
                ));
            }
            BatchAction::Resume | BatchAction::Retry => String::new(),
            _ => convert::reason("reason", &request.reason)?,
        };
        for (id, _) in found {
            match self.one_of_batch(ctx, id, request, &reason).await {
                Ok(()) => response.changed += 1,
                Err(refused) => {
                    let (name, reason) = (format!("executions/{id}"), refused.message().to_owned());
                    response.refused.push(BatchRefusal { name, reason });
                }
            }
        }
        Ok(response)
    }

    async fn one_of_batch(
        &self,
        ctx: &Ctx,
        id: ExecutionId,
        request: &BatchExecutionsRequest,
        reason: &str,
    ) -> Result<(), Status> {
        let (actor, reason) = (ctx.actor.clone(), reason.to_owned());
        let events = match request.action() {
            BatchAction::Pause => vec![Event::Pause { actor, reason }],
            BatchAction::Resume => vec![Event::Resume { actor }],
            BatchAction::Cancel => vec![Event::Cancel { actor, reason }],
            BatchAction::Retry => self.retries(ctx, id).await.map_err(status)?,
            BatchAction::Unspecified => Vec::new(),
        };
        if request.validate_only {
            return Ok(());
        }
        for event in events {
            self.wherever(ctx, id, event).await?;
        }
        Ok(())
    }

    /// Does it, or has the replica do it that has the execution.
    async fn wherever(&self, ctx: &Ctx, id: ExecutionId, event: Event) -> Result<(), Status> {
        let (name, one) = (format!("executions/{id}"), &self.forward);
        let own = self.lane.person(ctx, id, event.clone()).await.map(|_| Execution::default());
        let answer = match event {
            Event::Pause { reason, .. } => {
                let request = PauseExecutionRequest { name, reason };
                one.one(ctx, "/probity.orchestrator.v1.ExecutionService/PauseExecution", request, own).await
            }
            Event::Resume { .. } => {
                let request = ResumeExecutionRequest { name };
                one.one(ctx, "/probity.orchestrator.v1.ExecutionService/ResumeExecution", request, own).await
            }
            Event::Cancel { reason, .. } => {
                let request = CancelExecutionRequest { name, reason };
                one.one(ctx, "/probity.orchestrator.v1.ExecutionService/CancelExecution", request, own).await
            }
            Event::RetryStep { step, .. } => {
                let request = RetryStepRequest { name, step };
                one.one(ctx, "/probity.orchestrator.v1.WorkflowService/RetryStep", request, own).await
            }
            _ => own.map_err(status),
        };
        answer.map(drop)
    }

    /// A new attempt of every step that has an incident.
    async fn retries(&self, ctx: &Ctx, id: ExecutionId) -> Result<Vec<Event>, Error> {
        let live = lane::read(&self.store, &self.definitions, id).await?;
        let steps = live.execution.definition.steps.iter().zip(&live.execution.steps);
        let stuck = steps.filter(|(_, state)| state.status == StepStatus::Incident);
        let retry = |step: &str| Event::RetryStep { actor: ctx.actor.clone(), step: step.to_owned() };
        let events: Vec<_> = stuck.map(|(spec, _)| retry(&spec.id)).collect();
        if events.is_empty() {
            let why = probity_engine::Refusal::NoIncident { step: "any".to_owned() };
            return Err(Error::Refused(why));
        }
        Ok(events)
    }
}
