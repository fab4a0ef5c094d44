//! `ExecutionService`.

mod deeds;
mod reads;
mod starts;

use super::Forward;
use super::history::{self, Events};
use crate::blobs::Blobs;
use crate::convert;
use crate::definitions::Definitions;
use crate::error::Error;
use crate::lane::Handle;
use crate::store::{Store, View};
use crate::views::Views;
use probity_proto::orchestrator::execution_service_server::ExecutionService;
use probity_proto::orchestrator::*;
use probity_runtime::{Call, status};
use probity_telemetry::span;
use probity_types::id::ExecutionId;
use probity_types::{Clock, Ctx, Role};
use std::sync::Arc;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

/// The handlers.
pub(crate) struct Executions {
    store: Store,
    views: Views,
    lane: Handle,
    definitions: Definitions,
    clock: Arc<dyn Clock>,
    forward: Forward,
    blobs: Blobs,
}

impl Executions {
    pub(crate) const fn new(
        store: Store,
        views: Views,
        lane: Handle,
        definitions: Definitions,
        clock: Arc<dyn Clock>,
        forward: Forward,
        blobs: Blobs,
    ) -> Self {
        Self { store, views, lane, definitions, clock, forward, blobs }
    }

    /// The execution without its steps.
    async fn shown(&self, ctx: &Ctx, id: ExecutionId) -> Result<Execution, Error> {
        self.views.view(&ctx.tenant, id).await.map(|view| convert::listed(id, view))
    }

    /// Checks that the caller may see it: those who only submit see their own.
    pub(super) async fn seen(&self, ctx: &Ctx, field: &str, name: &str) -> Result<ExecutionId, Error> {
        let id = convert::execution_id(field, name)?;
        let owner = match self.views.view(&ctx.tenant, id).await? {
            View::Case(case) => case.owner,
            View::Plain(execution) => execution.owner,
        };
        let all = ctx.roles.any_of(&[Role::Officer, Role::Auditor, Role::Operator, Role::Service]);
        if all || owner == ctx.actor { Ok(id) } else { Err(Error::NoExecution(id.to_string())) }
    }
}

#[tonic::async_trait]
impl ExecutionService for Executions {
    async fn start_execution(
        &self,
        request: Request<StartExecutionRequest>,
    ) -> Result<Response<Execution>, Status> {
        let (ctx, key) = (request.ctx()?.clone(), request.idempotency_key());
        let begins = span::begins("orchestrator", "execution", &ctx.trace_id);
        let execution = self.start(&ctx, key, request.get_ref().clone()).instrument(begins).await;
        let path = "/probity.orchestrator.v1.ExecutionService/StartExecution";
        self.forward.answer(&request, path, execution).await
    }

    async fn create_execution(
        &self,
        request: Request<CreateExecutionRequest>,
    ) -> Result<Response<Execution>, Status> {
        let (ctx, key) = (request.ctx()?.clone(), request.idempotency_key());
        let begins = span::begins("orchestrator", "execution", &ctx.trace_id);
        let execution = self.create(&ctx, key, request.get_ref().clone()).instrument(begins).await;
        let path = "/probity.orchestrator.v1.ExecutionService/CreateExecution";
        self.forward.answer(&request, path, execution).await
    }

    async fn run_execution(
        &self,
        request: Request<RunExecutionRequest>,
    ) -> Result<Response<Execution>, Status> {
        let execution = self.run(request.ctx()?, request.get_ref()).await;
        let path = "/probity.orchestrator.v1.ExecutionService/RunExecution";
        self.forward.answer(&request, path, execution).await
    }

    async fn list_executions(
        &self,
        request: Request<ListExecutionsRequest>,
    ) -> Result<Response<ListExecutionsResponse>, Status> {
        let page = self.list(request.ctx()?, request.get_ref()).await;
        Ok(Response::new(page.map_err(status)?))
    }

    async fn count_executions(
        &self,
        request: Request<CountExecutionsRequest>,
    ) -> Result<Response<CountExecutionsResponse>, Status> {
        let counts = self.count(request.ctx()?, request.get_ref()).await;
        Ok(Response::new(counts.map_err(status)?))
    }

    async fn render_execution(
        &self,
        request: Request<RenderExecutionRequest>,
    ) -> Result<Response<RenderExecutionResponse>, Status> {
        let picture = self.render(request.ctx()?, request.get_ref()).await;
        Ok(Response::new(picture.map_err(status)?))
    }

    async fn list_execution_history(
        &self,
        request: Request<ListExecutionHistoryRequest>,
    ) -> Result<Response<ListHistoryResponse>, Status> {
        let page = self.history(request.ctx()?, request.get_ref()).await;
        Ok(Response::new(page.map_err(status)?))
    }

    type WatchExecutionStream = Events;

    async fn watch_execution(
        &self,
        request: Request<WatchExecutionRequest>,
    ) -> Result<Response<Self::WatchExecutionStream>, Status> {
        let (ctx, WatchExecutionRequest { name, after_sequence }) = (request.ctx()?, request.get_ref());
        // Before the first read, so that nothing falls between.
        let watch = self.lane.watch(convert::execution_id("name", name).map_err(status)?);
        self.seen(ctx, "name", name).await.map_err(status)?;
        Ok(Response::new(history::watch(self.store.clone(), *after_sequence, watch)))
    }

    async fn cancel_execution(
        &self,
        request: Request<CancelExecutionRequest>,
    ) -> Result<Response<Execution>, Status> {
        let execution = self.cancel(request.ctx()?, request.get_ref()).await;
        self.forward
            .answer(&request, "/probity.orchestrator.v1.ExecutionService/CancelExecution", execution)
            .await
    }

    async fn pause_execution(
        &self,
        request: Request<PauseExecutionRequest>,
    ) -> Result<Response<Execution>, Status> {
        let execution = self.pause(request.ctx()?, request.get_ref()).await;
        let path = "/probity.orchestrator.v1.ExecutionService/PauseExecution";
        self.forward.answer(&request, path, execution).await
    }

    async fn resume_execution(
        &self,
        request: Request<ResumeExecutionRequest>,
    ) -> Result<Response<Execution>, Status> {
        let execution = self.resume(request.ctx()?, request.get_ref()).await;
        let path = "/probity.orchestrator.v1.ExecutionService/ResumeExecution";
        self.forward.answer(&request, path, execution).await
    }

    async fn rerun_execution(
        &self,
        request: Request<RerunExecutionRequest>,
    ) -> Result<Response<Execution>, Status> {
        let execution = self.rerun(request.ctx()?, request.get_ref()).await;
        let path = "/probity.orchestrator.v1.ExecutionService/RerunExecution";
        self.forward.answer(&request, path, execution).await
    }

    async fn decide_execution(
        &self,
        request: Request<DecideExecutionRequest>,
    ) -> Result<Response<Execution>, Status> {
        let execution = self.decide(request.ctx()?, request.get_ref()).await;
        let path = "/probity.orchestrator.v1.ExecutionService/DecideExecution";
        self.forward.answer(&request, path, execution).await
    }

    async fn delegate_approval(
        &self,
        request: Request<DelegateApprovalRequest>,
    ) -> Result<Response<Execution>, Status> {
        let execution = self.delegate(request.ctx()?, request.get_ref()).await;
        let path = "/probity.orchestrator.v1.ExecutionService/DelegateApproval";
        self.forward.answer(&request, path, execution).await
    }

    async fn edit_step_input(
        &self,
        request: Request<EditStepInputRequest>,
    ) -> Result<Response<Execution>, Status> {
        let execution = self.edit(request.ctx()?, request.get_ref()).await;
        let path = "/probity.orchestrator.v1.ExecutionService/EditStepInput";
        self.forward.answer(&request, path, execution).await
    }

    async fn batch_executions(
        &self,
        request: Request<BatchExecutionsRequest>,
    ) -> Result<Response<BatchExecutionsResponse>, Status> {
        let execution = self.batch(request.ctx()?, request.get_ref()).await;
        Ok(Response::new(execution.map_err(status)?))
    }

    async fn signal_execution(
        &self,
        request: Request<SignalExecutionRequest>,
    ) -> Result<Response<Execution>, Status> {
        let key = request.idempotency_key();
        let execution = self.signal(request.ctx()?, key, request.get_ref()).await;
        let path = "/probity.orchestrator.v1.ExecutionService/SignalExecution";
        self.forward.answer(&request, path, execution).await
    }

    async fn fork_execution(
        &self,
        request: Request<ForkExecutionRequest>,
    ) -> Result<Response<Execution>, Status> {
        let (ctx, key) = (request.ctx()?.clone(), request.idempotency_key());
        let execution = self.fork(&ctx, key, request.get_ref().clone()).await;
        let path = "/probity.orchestrator.v1.ExecutionService/ForkExecution";
        self.forward.answer(&request, path, execution).await
    }
}
