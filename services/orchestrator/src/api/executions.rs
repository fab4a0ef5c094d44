//! `ExecutionService`.

use super::history::{self, Events};
use crate::convert;
use crate::definitions::Definitions;
use crate::error::Error;
use crate::lane::{self, Answer, Handle, Message, Start, answered};
use crate::store::{GroupBy, Store, View};
use probity_engine::{Event, Opening, What, render};
use probity_proto::orchestrator::execution_service_server::ExecutionService;
use probity_proto::orchestrator::{
    CancelExecutionRequest, CountExecutionsRequest, CountExecutionsResponse, Execution,
    ListExecutionHistoryRequest, ListExecutionsRequest, ListExecutionsResponse, ListHistoryResponse, Picture,
    RenderExecutionRequest, RenderExecutionResponse, StartExecutionRequest, WatchExecutionRequest,
};
use probity_runtime::{Call, status};
use probity_storage::idempotency::Scope;
use probity_types::id::ExecutionId;
use probity_types::{Clock, Ctx, Role};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

/// The handlers.
pub(crate) struct Executions {
    store: Store,
    lane: Handle,
    definitions: Definitions,
    clock: Arc<dyn Clock>,
}

impl Executions {
    pub(crate) const fn new(
        store: Store,
        lane: Handle,
        definitions: Definitions,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { store, lane, definitions, clock }
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
            (Answer::View(begun), Some(wait)) => match tokio::time::timeout(wait, answered(ended)).await {
                Ok(Ok(Answer::View(view))) => plain(view),
                Ok(Ok(Answer::Before(_))) | Ok(Err(_)) | Err(_) => self.now(ctx, begun).await,
            },
            (Answer::Before(id), None) => self.shown(ctx, id).await,
            (Answer::Before(id), Some(wait)) => {
                let end = self.lane.ask(|reply| Message::AwaitEnd { id, reply });
                let _ = tokio::time::timeout(wait, end).await;
                self.shown(ctx, id).await
            }
        }
    }

    /// The execution as it stands when its end was waited for in vain.
    async fn now(&self, ctx: &Ctx, begun: View) -> Result<Execution, Error> {
        let begun = plain(begun)?;
        self.shown(ctx, convert::execution_id("name", &begun.name)?).await
    }

    /// The execution without its steps.
    async fn shown(&self, ctx: &Ctx, id: ExecutionId) -> Result<Execution, Error> {
        self.store.view(&ctx.tenant, id).await.map(|view| convert::listed(id, view))
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

    async fn list(
        &self,
        ctx: &Ctx,
        request: &ListExecutionsRequest,
    ) -> Result<ListExecutionsResponse, Error> {
        let limit = convert::page_size(request.page_size)?;
        let before = convert::id_token(&request.page_token)?;
        let found = self.store.executions(&ctx.tenant, &request.filter, before, limit).await?;
        let full = i64::try_from(found.len()).unwrap_or(0) == limit;
        let next = found.last().filter(|_| full).map_or_else(String::new, |(id, _)| id.to_string());
        let executions = found.into_iter().map(|(id, view)| convert::listed(id, view)).collect();
        Ok(ListExecutionsResponse { executions, next_page_token: next })
    }

    async fn count(
        &self,
        ctx: &Ctx,
        request: &CountExecutionsRequest,
    ) -> Result<CountExecutionsResponse, Error> {
        let by = match request.group_by.as_str() {
            "" => None,
            name => Some(GroupBy::named(name).ok_or_else(|| {
                convert::invalid("group_by", "must be one of status, definition, priority")
            })?),
        };
        let (total, groups) = self.store.count_executions(&ctx.tenant, &request.filter, by).await?;
        Ok(CountExecutionsResponse { total, groups })
    }

    async fn render(
        &self,
        ctx: &Ctx,
        request: &RenderExecutionRequest,
    ) -> Result<RenderExecutionResponse, Error> {
        let id = convert::execution_id("name", &request.name)?;
        self.store.view(&ctx.tenant, id).await?;
        let (live, facts) = lane::read_with_facts(&self.store, &self.definitions, id).await?;
        let (definition, execution) = (&live.execution.definition, &live.execution);
        let (media_type, content) = match request.picture() {
            Picture::GanttSvg => ("image/svg+xml", render::gantt_svg(execution, &facts, self.clock.now())),
            Picture::Dot => ("text/vnd.graphviz", render::dot(definition, Some(execution))),
            Picture::Mermaid => ("text/vnd.mermaid", render::mermaid(definition, Some(execution))),
            Picture::Unspecified => {
                let why = "must be one of PICTURE_GANTT_SVG, PICTURE_DOT, PICTURE_MERMAID";
                return Err(convert::invalid("picture", why));
            }
        };
        Ok(RenderExecutionResponse { media_type: media_type.to_owned(), content })
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
        Ok(Response::new(execution.map_err(status)?))
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
