//! `WorkflowService`.

use super::Forward;
use crate::convert;
use crate::definitions::Definitions;
use crate::error::Error;
use crate::lane::{self, Handle};
use crate::store::Store;
use probity_engine::Event;
use probity_proto::orchestrator::workflow_service_server::WorkflowService;
use probity_proto::orchestrator::{
    Definition, Execution, GetDefinitionRequest, GetExecutionRequest, ListDefinitionsRequest,
    ListDefinitionsResponse, RegisterDefinitionRequest, RetryStepRequest, SkipStepRequest,
};
use probity_runtime::{Call, status};
use probity_types::{Clock, Ctx};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The handlers.
pub(crate) struct Workflows {
    store: Store,
    lane: Handle,
    definitions: Definitions,
    clock: Arc<dyn Clock>,
    forward: Forward,
}

impl Workflows {
    pub(crate) const fn new(
        store: Store,
        lane: Handle,
        definitions: Definitions,
        clock: Arc<dyn Clock>,
        forward: Forward,
    ) -> Self {
        Self { store, lane, definitions, clock, forward }
    }

    async fn register(&self, ctx: &Ctx, request: &RegisterDefinitionRequest) -> Result<Definition, Error> {
        let compiled = self.definitions.compile(&request.source)?;
        let now = self.clock.now();
        let stored = if request.validate_only {
            Definitions::unstored(&ctx.tenant, &compiled, now)
        } else {
            self.definitions.register(ctx, compiled.clone(), now).await?
        };
        Ok(convert::definition(&stored, &compiled))
    }

    async fn definition(&self, ctx: &Ctx, request: &GetDefinitionRequest) -> Result<Definition, Error> {
        let name = convert::definition_name("name", &request.name)?;
        if request.version.is_empty() {
            let stored = self.definitions.newest(&ctx.tenant, &name).await?;
            let compiled = self.definitions.version(&ctx.tenant, &name, &stored.version).await?;
            return Ok(convert::definition(&stored, &compiled));
        }
        let compiled = self.definitions.version(&ctx.tenant, &name, &request.version).await?;
        let stored = self.store.definition(&ctx.tenant, &name, &request.version).await?;
        Ok(convert::definition(&stored, &compiled))
    }

    async fn list(&self, ctx: &Ctx) -> Result<ListDefinitionsResponse, Error> {
        let mut definitions = Vec::new();
        for stored in self.definitions.list(&ctx.tenant).await? {
            let compiled = self.definitions.version(&ctx.tenant, &stored.name, &stored.version).await?;
            definitions.push(convert::definition(&stored, &compiled));
        }
        Ok(ListDefinitionsResponse { definitions })
    }

    /// The execution as it was last committed.
    async fn execution(&self, ctx: &Ctx, name: &str) -> Result<Execution, Error> {
        let id = convert::execution_id("name", name)?;
        self.store.view(&ctx.tenant, id).await?;
        let live = lane::read(&self.store, &self.definitions, id).await?;
        Ok(convert::execution(&live))
    }

    async fn person(&self, ctx: &Ctx, name: &str, event: Event) -> Result<Execution, Error> {
        let id = convert::execution_id("name", name)?;
        self.lane.person(ctx, id, event).await?;
        self.execution(ctx, name).await
    }

    async fn retry(&self, ctx: &Ctx, request: &RetryStepRequest) -> Result<Execution, Error> {
        let event = Event::RetryStep { actor: ctx.actor.clone(), step: request.step.clone() };
        self.person(ctx, &request.name, event).await
    }

    async fn skip(&self, ctx: &Ctx, request: &SkipStepRequest) -> Result<Execution, Error> {
        let reason = convert::reason("reason", &request.reason)?;
        let event = Event::SkipStep { actor: ctx.actor.clone(), step: request.step.clone(), reason };
        self.person(ctx, &request.name, event).await
    }
}

#[tonic::async_trait]
impl WorkflowService for Workflows {
    async fn register_definition(
        &self,
        request: Request<RegisterDefinitionRequest>,
    ) -> Result<Response<Definition>, Status> {
        let definition = self.register(request.ctx()?, request.get_ref()).await;
        Ok(Response::new(definition.map_err(status)?))
    }

    async fn get_definition(
        &self,
        request: Request<GetDefinitionRequest>,
    ) -> Result<Response<Definition>, Status> {
        let definition = self.definition(request.ctx()?, request.get_ref()).await;
        Ok(Response::new(definition.map_err(status)?))
    }

    async fn list_definitions(
        &self,
        request: Request<ListDefinitionsRequest>,
    ) -> Result<Response<ListDefinitionsResponse>, Status> {
        let list = self.list(request.ctx()?).await;
        Ok(Response::new(list.map_err(status)?))
    }

    async fn get_execution(
        &self,
        request: Request<GetExecutionRequest>,
    ) -> Result<Response<Execution>, Status> {
        let execution = self.execution(request.ctx()?, &request.get_ref().name).await;
        Ok(Response::new(execution.map_err(status)?))
    }

    async fn retry_step(&self, request: Request<RetryStepRequest>) -> Result<Response<Execution>, Status> {
        let execution = self.retry(request.ctx()?, request.get_ref()).await;
        self.forward.answer(&request, "/probity.orchestrator.v1.WorkflowService/RetryStep", execution).await
    }

    async fn skip_step(&self, request: Request<SkipStepRequest>) -> Result<Response<Execution>, Status> {
        let execution = self.skip(request.ctx()?, request.get_ref()).await;
        self.forward.answer(&request, "/probity.orchestrator.v1.WorkflowService/SkipStep", execution).await
    }
}
