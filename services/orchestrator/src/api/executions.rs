//! `ExecutionService`.

use super::history::{self, Events};
use super::{Forward, end};
use crate::convert;
use crate::definitions::Definitions;
use crate::error::Error;
use crate::lane::{self, Answer, Handle, Message, Start, answered};
use crate::store::{Store, View};
use probity_engine::{Event, Opening, What};
use probity_proto::orchestrator::execution_service_server::ExecutionService;
use probity_proto::orchestrator::{
    CancelExecutionRequest, Execution, ListExecutionHistoryRequest, ListHistoryResponse,
    StartExecutionRequest, WatchExecutionRequest,
};
use probity_runtime::{Call, status};
use probity_storage::idempotency::Scope;
use probity_types::id::ExecutionId;
use probity_types::{Ctx, Role};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

/// The handlers.
pub(crate) struct Executions {
    store: Store,
    lane: Handle,
    definitions: Definitions,
    forward: Forward,
}

impl Executions {
    pub(crate) const fn new(store: Store, lane: Handle, definitions: Definitions, forward: Forward) -> Self {
        Self { store, lane, definitions, forward }
    }

    async fn start(
        &self,
        ctx: &Ctx,
        key: Option<String>,
        request: StartExecutionRequest,
    ) -> Result<Execution, Error> {
        let name = convert::definition_name("definition", &request.definition)?;
        let definition = self.definitions.named(&ctx.tenant, &name).await?;
        if definition.is_case() {
            let why = format!("definitions/{name} ends in a verdict: open a case with it");
            return Err(Error::WrongDefinition(why));
        }
        let input = convert::json("input", &request.input, convert::MAX_INPUT)?;
        definition.check_input(&input).map_err(|errors| {
            Error::Input(errors.into_iter().map(|error| (error.pointer, error.message)).collect())
        })?;
        let wait = convert::wait(request.wait.as_ref())?;
        let opening = Opening {
            name: String::new(),
            what: What::Plain,
            input,
            priority: convert::priority(request.priority)?,
            owner: ctx.actor.clone(),
            owner_roles: ctx.roles.clone(),
            parent: None,
        };
        let key = convert::request_key(request.request_id.clone(), key)?;
        let scope = key.map(|key| scope(ctx, key, request));
        let (end, ended) = oneshot::channel();
        let start = |reply| {
            let end = wait.map(|_| end);
            Message::Start(Box::new(Start { ctx: ctx.clone(), opening, definition, scope, reply, end }))
        };
        match (self.lane.ask(start).await?, wait) {
            (Answer::View(view), None) => plain(view),
            (Answer::View(begun), Some(wait)) => {
                let over = Instant::now() + wait;
                match tokio::time::timeout_at(over, answered(ended)).await {
                    Ok(Ok(Answer::View(view))) => plain(view),
                    Ok(Ok(Answer::Before(_))) | Err(_) => self.now(ctx, begun, None).await,
                    // It moved to another replica, or is read back: it goes on.
                    Ok(Err(_)) => self.now(ctx, begun, Some(over)).await,
                }
            }
            (Answer::Before(id), None) => self.shown(ctx, id).await,
            (Answer::Before(id), Some(wait)) => {
                let over = Instant::now() + wait;
                let ended = self.lane.ask(|reply| Message::AwaitEnd { id, reply });
                if let Ok(Err(_)) = tokio::time::timeout_at(over, ended).await {
                    end::reached(&self.store, &ctx.tenant, id, over).await?;
                }
                self.shown(ctx, id).await
            }
        }
    }

    /// The execution as it stands when its end was waited for in vain, or at the
    /// latest then.
    async fn now(&self, ctx: &Ctx, begun: View, over: Option<Instant>) -> Result<Execution, Error> {
        let id = convert::execution_id("name", &plain(begun)?.name)?;
        if let Some(over) = over {
            end::reached(&self.store, &ctx.tenant, id, over).await?;
        }
        self.shown(ctx, id).await
    }

    /// The execution without its steps.
    async fn shown(&self, ctx: &Ctx, id: ExecutionId) -> Result<Execution, Error> {
        let view = self.store.view(&ctx.tenant, id).await?;
        match view {
            View::Plain(execution) => Ok(*execution),
            View::Case(_) => {
                let live = lane::read(&self.store, &self.definitions, id).await?;
                Ok(convert::summary(&live))
            }
        }
    }

    /// Checks that the caller may see it: those who only submit see their own.
    pub(super) async fn seen(&self, ctx: &Ctx, field: &str, name: &str) -> Result<ExecutionId, Error> {
        let id = convert::execution_id(field, name)?;
        let owner = match self.store.view(&ctx.tenant, id).await? {
            View::Case(case) => case.owner,
            View::Plain(execution) => execution.owner,
        };
        let all = ctx.roles.any_of(&[Role::Officer, Role::Auditor, Role::Operator, Role::Service]);
        if all || owner == ctx.actor { Ok(id) } else { Err(Error::NoExecution(id.to_string())) }
    }

    async fn history(
        &self,
        ctx: &Ctx,
        request: &ListExecutionHistoryRequest,
    ) -> Result<ListHistoryResponse, Error> {
        let id = self.seen(ctx, "parent", &request.parent).await?;
        history::page(&self.store, id, request.page_size, &request.page_token).await
    }

    async fn person(&self, ctx: &Ctx, name: &str, event: Event) -> Result<Execution, Error> {
        let id = convert::execution_id("name", name)?;
        self.lane.person(ctx, id, event).await?;
        self.shown(ctx, id).await
    }

    async fn cancel(&self, ctx: &Ctx, request: &CancelExecutionRequest) -> Result<Execution, Error> {
        let reason = convert::reason("reason", &request.reason)?;
        self.person(ctx, &request.name, Event::Cancel { actor: ctx.actor.clone(), reason }).await
    }
}

fn plain(view: View) -> Result<Execution, Error> {
    match view {
        View::Plain(execution) => Ok(*execution),
        View::Case(case) => Err(Error::NoExecution(case.name)),
    }
}

/// The same key must come with the same request; the key itself and how long the
/// caller wants to wait do not count.
fn scope(ctx: &Ctx, key: String, request: StartExecutionRequest) -> Scope {
    let body = StartExecutionRequest { request_id: String::new(), wait: None, ..request };
    Scope {
        tenant: ctx.tenant.clone(),
        operation: "StartExecution",
        key,
        body_sha256: Sha256::digest(body.encode_to_vec()).into(),
    }
}

#[tonic::async_trait]
impl ExecutionService for Executions {
    async fn start_execution(
        &self,
        request: Request<StartExecutionRequest>,
    ) -> Result<Response<Execution>, Status> {
        let (ctx, key) = (request.ctx()?.clone(), request.idempotency_key());
        Ok(Response::new(self.start(&ctx, key, request.into_inner()).await.map_err(status)?))
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
        // Subscribed before the first read, so that nothing falls between.
        let changed = self.lane.watch();
        let id = self.seen(request.ctx()?, "name", &request.get_ref().name).await.map_err(status)?;
        Ok(Response::new(history::watch(self.store.clone(), id, request.get_ref().after_sequence, changed)))
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

    async fn list_executions(
        &self,
        _: Request<probity_proto::orchestrator::ListExecutionsRequest>,
    ) -> Result<Response<probity_proto::orchestrator::ListExecutionsResponse>, Status> {
        Err(Status::unimplemented("soon"))
    }

    async fn count_executions(
        &self,
        _: Request<probity_proto::orchestrator::CountExecutionsRequest>,
    ) -> Result<Response<probity_proto::orchestrator::CountExecutionsResponse>, Status> {
        Err(Status::unimplemented("soon"))
    }

    async fn render_execution(
        &self,
        _: Request<probity_proto::orchestrator::RenderExecutionRequest>,
    ) -> Result<Response<probity_proto::orchestrator::RenderExecutionResponse>, Status> {
        Err(Status::unimplemented("soon"))
    }

    async fn pause_execution(
        &self,
        _: Request<probity_proto::orchestrator::PauseExecutionRequest>,
    ) -> Result<Response<probity_proto::orchestrator::Execution>, Status> {
        Err(Status::unimplemented("soon"))
    }

    async fn resume_execution(
        &self,
        _: Request<probity_proto::orchestrator::ResumeExecutionRequest>,
    ) -> Result<Response<probity_proto::orchestrator::Execution>, Status> {
        Err(Status::unimplemented("soon"))
    }

    async fn signal_execution(
        &self,
        _: Request<probity_proto::orchestrator::SignalExecutionRequest>,
    ) -> Result<Response<probity_proto::orchestrator::Execution>, Status> {
        Err(Status::unimplemented("soon"))
    }

    async fn rerun_execution(
        &self,
        _: Request<probity_proto::orchestrator::RerunExecutionRequest>,
    ) -> Result<Response<probity_proto::orchestrator::Execution>, Status> {
        Err(Status::unimplemented("soon"))
    }

    async fn fork_execution(
        &self,
        _: Request<probity_proto::orchestrator::ForkExecutionRequest>,
    ) -> Result<Response<probity_proto::orchestrator::Execution>, Status> {
        Err(Status::unimplemented("soon"))
    }

    async fn batch_executions(
        &self,
        _: Request<probity_proto::orchestrator::BatchExecutionsRequest>,
    ) -> Result<Response<probity_proto::orchestrator::BatchExecutionsResponse>, Status> {
        Err(Status::unimplemented("soon"))
    }
}
