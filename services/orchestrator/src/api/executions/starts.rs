//! How executions begin: from nothing, or from the results of another.

use super::Executions;
use crate::api::end;
use crate::convert;
use crate::error::Error;
use crate::lane::{Answer, Fork, Message, Start, answered};
use crate::store::View;
use probity_engine::{Definition, Event, Opening, What};
use probity_proto::orchestrator::{
    CreateExecutionRequest, Execution, ForkExecutionRequest, RunExecutionRequest, StartExecutionRequest,
};
use probity_storage::idempotency::Scope;
use probity_types::Ctx;
use probity_types::id::ExecutionId;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

impl Executions {
    pub(super) async fn start(
        &self,
        ctx: &Ctx,
        key: Option<String>,
        request: StartExecutionRequest,
    ) -> Result<Execution, Error> {
        let definition = self.plain_definition(ctx, &request.definition).await?;
        let wait = convert::wait(request.wait.as_ref())?;
        let opening = opening(ctx, &definition, &request.input, request.priority)?;
        self.blobs.admit(&ctx.tenant, "input", &opening.input).await?;
        let key = convert::request_key(request.request_id.clone(), key)?;
        let scope = key.map(|key| start_scope(ctx, key, request));
        let (end, ended) = oneshot::channel();
        let start = |reply| {
            let end = wait.map(|_| end);
            let ctx = ctx.clone();
            Message::Start(Box::new(Start { ctx, opening, definition, scope, reply, end, held: false }))
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
            (Answer::Before(id), Some(wait)) => self.at_its_end(ctx, id, wait).await,
        }
    }

    /// Makes an execution that does nothing before it is run.
    pub(super) async fn create(
        &self,
        ctx: &Ctx,
        key: Option<String>,
        request: CreateExecutionRequest,
    ) -> Result<Execution, Error> {
        let definition = self.plain_definition(ctx, &request.definition).await?;
        let opening = opening(ctx, &definition, &request.input, request.priority)?;
        self.blobs.admit(&ctx.tenant, "input", &opening.input).await?;
        let key = convert::request_key(request.request_id.clone(), key)?;
        let scope = key.map(|key| {
            let body = CreateExecutionRequest { request_id: String::new(), ..request };
            scope(ctx, "CreateExecution", key, &body.encode_to_vec())
        });
        let ctx_of = ctx.clone();
        let start = |reply| {
            let start = Start { ctx: ctx_of, opening, definition, scope, reply, end: None, held: true };
            Message::Start(Box::new(start))
        };
        match self.lane.ask(start).await? {
            Answer::View(view) => plain(view),
            Answer::Before(id) => self.shown(ctx, id).await,
        }
    }

    /// Runs what was made, and waits for its end when that is asked for.
    pub(super) async fn run(&self, ctx: &Ctx, request: &RunExecutionRequest) -> Result<Execution, Error> {
        let id = self.seen(ctx, "name", &request.name).await?;
        let wait = convert::wait(request.wait.as_ref())?;
        self.lane.person(ctx, id, Event::Run { actor: ctx.actor.clone() }).await?;
        let now = self.shown(ctx, id).await?;
        match wait.filter(|_| now.end_time.is_none()) {
            Some(wait) => self.at_its_end(ctx, id, wait).await,
            None => Ok(now),
        }
    }

    /// The execution when it has ended, or as it stands when the time is over.
    async fn at_its_end(&self, ctx: &Ctx, id: ExecutionId, wait: Duration) -> Result<Execution, Error> {
        let over = Instant::now() + wait;
        let ended = self.lane.ask(|reply| Message::AwaitEnd { id, reply });
        if let Ok(Err(_)) = tokio::time::timeout_at(over, ended).await {
            end::reached(&self.store, &ctx.tenant, id, over).await?;
        }
        self.shown(ctx, id).await
    }

    /// A definition that runs without a case.
    async fn plain_definition(&self, ctx: &Ctx, name: &str) -> Result<Arc<Definition>, Error> {
        let name = convert::definition_name("definition", name)?;
        let definition = self.definitions.named(&ctx.tenant, &name).await?;
        if definition.is_case() {
            let why = format!("definitions/{name} ends in a verdict: open a case with it");
            return Err(Error::WrongDefinition(why));
        }
        Ok(definition)
    }

    /// A new execution with the results of another up to a step.
    pub(super) async fn fork(
        &self,
        ctx: &Ctx,
        key: Option<String>,
        request: ForkExecutionRequest,
    ) -> Result<Execution, Error> {
        let source = convert::execution_id("name", &request.name)?;
        self.store.view(&ctx.tenant, source).await?;
        let input = match request.input.as_ref() {
            [] => None,
            bytes => Some(convert::json("input", bytes, convert::MAX_INPUT)?),
        };
        if let Some(input) = &input {
            self.blobs.admit(&ctx.tenant, "input", input).await?;
        }
        let step = request.step.clone();
        let key = convert::request_key(request.request_id.clone(), key)?;
        let scope = key.map(|key| {
            let body = ForkExecutionRequest { request_id: String::new(), ..request };
            scope(ctx, "ForkExecution", key, &body.encode_to_vec())
        });
        let ctx_of = ctx.clone();
        let fork = |reply| Message::Fork(Box::new(Fork { ctx: ctx_of, source, step, input, scope, reply }));
        match self.lane.ask(fork).await? {
            Answer::View(view) => plain(view),
            Answer::Before(id) => self.shown(ctx, id).await,
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
}

/// What an execution of this definition is opened with, its input checked.
fn opening(ctx: &Ctx, definition: &Definition, input: &[u8], priority: i32) -> Result<Opening, Error> {
    let input = convert::json("input", input, convert::MAX_INPUT)?;
    definition.check_input(&input).map_err(|errors| {
        Error::Input(errors.into_iter().map(|error| (error.pointer, error.message)).collect())
    })?;
    Ok(Opening {
        name: String::new(),
        what: What::Plain,
        input,
        priority: convert::priority(priority)?,
        owner: ctx.actor.clone(),
        owner_roles: ctx.roles.clone(),
        parent: None,
    })
}

fn plain(view: View) -> Result<Execution, Error> {
    match view {
        View::Plain(execution) => Ok(*execution),
        View::Case(case) => Err(Error::NoExecution(case.name)),
    }
}

/// The same key must come with the same request; the key itself and how long the
/// caller wants to wait do not count.
fn start_scope(ctx: &Ctx, key: String, request: StartExecutionRequest) -> Scope {
    let body = StartExecutionRequest { request_id: String::new(), wait: None, ..request };
    scope(ctx, "StartExecution", key, &body.encode_to_vec())
}

fn scope(ctx: &Ctx, operation: &'static str, key: String, body: &[u8]) -> Scope {
    Scope { tenant: ctx.tenant.clone(), operation, key, body_sha256: Sha256::digest(body).into() }
}
