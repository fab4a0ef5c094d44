//! `TaskService`.

use super::Forward;
use crate::blobs::Blobs;
use crate::convert::{self, tasks as convert_tasks};
use crate::definitions::Definitions;
use crate::error::Error;
use crate::lane::{self, Answer, Handle, Message, Start, answered};
use crate::store::{Asked, Listing, QueueSettings, Store, View, task_schema};
use crate::tasks::Board;
use futures::future::join_all;
use probity_engine::{Event, Opening, What};
use probity_proto::orchestrator::task_service_server::TaskService;
use probity_proto::orchestrator::{
    BatchEnqueueTasksRequest, BatchEnqueueTasksResponse, CancelTaskRequest, EnqueueError, EnqueueResult,
    EnqueueTaskRequest, GetQueueRequest, GetTaskRequest, ListQueuesRequest, ListQueuesResponse,
    ListTasksRequest, ListTasksResponse, PauseQueueRequest, Queue, ResumeQueueRequest, RetryTaskRequest,
    Task, UpdateQueueRequest,
};
use probity_runtime::{Call, status};
use probity_storage::idempotency::Scope;
use probity_types::id::ExecutionId;
use probity_types::{AuditEvent, Clock, Ctx, Role};
use prost::Message as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};
use tonic_types::StatusExt as _;

const ENQUEUE: &str = "/probity.orchestrator.v1.TaskService/EnqueueTask";

/// The handlers.
pub(crate) struct Tasks {
    store: Store,
    lane: Handle,
    definitions: Definitions,
    board: Board,
    clock: Arc<dyn Clock>,
    forward: Forward,
    blobs: Blobs,
}

/// A task on its way to the lane.
type Begun = (convert_tasks::Enqueue, oneshot::Receiver<Result<Answer, Error>>);

impl Tasks {
    pub(crate) const fn new(
        store: Store,
        lane: Handle,
        definitions: Definitions,
        board: Board,
        clock: Arc<dyn Clock>,
        forward: Forward,
        blobs: Blobs,
    ) -> Self {
        Self { store, lane, definitions, board, clock, forward, blobs }
    }

    /// Hands a task to the lane, without waiting for the answer.
    async fn begin(
        &self,
        ctx: &Ctx,
        key: Option<String>,
        request: EnqueueTaskRequest,
    ) -> Result<Begun, Error> {
        let wanted = convert_tasks::enqueue(&request, self.clock.now())?;
        let definition = self.definitions.built_in(wanted.definition).await?;
        let input = serde_json::to_value(&wanted.asked)
            .map_err(|e| convert::invalid("payload", format!("cannot be kept: {e}")))?;
        self.blobs.admit(&ctx.tenant, "payload", &input).await?;
        let opening = Opening {
            name: String::new(),
            what: What::Plain,
            input,
            priority: wanted.priority,
            owner: ctx.actor.clone(),
            owner_roles: ctx.roles.clone(),
            parent: None,
        };
        let scope =
            convert::request_key(request.request_id.clone(), key)?.map(|key| scope(ctx, key, request));
        let (reply, answer) = oneshot::channel();
        let start = Start { ctx: ctx.clone(), opening, definition, scope, reply, end: None, held: false };
        self.lane.send(Message::Start(Box::new(start)))?;
        Ok((wanted, answer))
    }

    /// The task, once it is durable.
    async fn begun(&self, ctx: &Ctx, begun: Result<Begun, Error>) -> Result<Task, Error> {
        let (wanted, answer) = begun?;
        match answered(answer).await? {
            Answer::View(View::Plain(execution)) => {
                let id = convert::execution_id("name", &execution.name)?;
                let place = self.board.place(id).await;
                Ok(convert_tasks::shown(id, wanted.asked, *execution, place.as_ref()))
            }
            Answer::View(View::Case(case)) => Err(Error::NoTask(case.name)),
            Answer::Before(id) => self.listed(ctx, id).await,
        }
    }

    async fn listed(&self, ctx: &Ctx, id: ExecutionId) -> Result<Task, Error> {
        let stored = self.store.task(&ctx.tenant, id).await?;
        Ok(convert_tasks::task(stored, self.board.place(id).await.as_ref()))
    }

    async fn batch(
        &self,
        ctx: &Ctx,
        requests: Vec<EnqueueTaskRequest>,
    ) -> Result<BatchEnqueueTasksResponse, Error> {
        let most = convert_tasks::MAX_TASKS;
        if requests.is_empty() || requests.len() > most {
            let why = format!("there are {}; 1 to {most} are allowed", requests.len());
            return Err(convert::invalid("requests", why));
        }
        // All are handed on before the first is waited for, so that they share commits.
        let mut begun = Vec::with_capacity(requests.len());
        for request in requests {
            begun.push((self.begin(ctx, None, request.clone()).await, request));
        }
        let tasks = begun.into_iter().map(async |(begun, request)| {
            let own = self.begun(ctx, begun).await;
            self.forward.one(ctx, ENQUEUE, request, own).await
        });
        let results: Vec<_> = join_all(tasks).await.into_iter().map(result).collect();
        let enqueued = results.iter().filter(|result| result.task.is_some()).count();
        Ok(BatchEnqueueTasksResponse { results, enqueued: i32::try_from(enqueued).unwrap_or(i32::MAX) })
    }

    async fn get(&self, ctx: &Ctx, name: &str) -> Result<Task, Error> {
        let id = convert_tasks::task_id(name)?;
        let task = self.listed(ctx, id).await?;
        let all = ctx.roles.any_of(&[Role::Officer, Role::Auditor, Role::Operator, Role::Service]);
        if !all && task.owner != ctx.actor {
            return Err(Error::NoTask(name.to_owned()));
        }
        let live = lane::read(&self.store, &self.definitions, id).await?;
        convert_tasks::whole(&live, self.board.place(id).await.as_ref())
    }

    async fn list(&self, ctx: &Ctx, request: &ListTasksRequest) -> Result<ListTasksResponse, Error> {
        let asked = Asked {
            filter: &request.filter,
            order_by: &request.order_by,
            page_token: &request.page_token,
            limit: convert::page_size(request.page_size)?,
        };
        let listing = Listing::new(task_schema(), asked, "create_time desc")?;
        let (found, next_page_token) = self.store.tasks(&ctx.tenant, &listing).await?;
        let shown = found.into_iter().map(async |stored| {
            let place = self.board.place(stored.id).await;
            convert_tasks::task(stored, place.as_ref())
        });
        Ok(ListTasksResponse { tasks: join_all(shown).await, next_page_token })
    }

    /// Lets a person do something to a task.
    async fn person(&self, ctx: &Ctx, name: &str, event: Event) -> Result<Task, Error> {
        let id = convert_tasks::task_id(name)?;
        self.store.task(&ctx.tenant, id).await?;
        self.lane.person(ctx, id, event).await?;
        self.listed(ctx, id).await
    }

    async fn cancel(&self, ctx: &Ctx, request: &CancelTaskRequest) -> Result<Task, Error> {
        let reason = convert::reason("reason", &request.reason)?;
        match self.person(ctx, &request.name, Event::Cancel { actor: ctx.actor.clone(), reason }).await {
            // It is cancelled already: after an answer that was lost.
            Err(refused @ Error::Refused(_)) => {
                let task = self.listed(ctx, convert_tasks::task_id(&request.name)?).await?;
                let cancelled = task.state() == probity_proto::orchestrator::TaskState::Cancelled;
                if cancelled { Ok(task) } else { Err(refused) }
            }
            answer => answer,
        }
    }

    async fn retry(&self, ctx: &Ctx, request: &RetryTaskRequest) -> Result<Task, Error> {
        let (actor, step) = (ctx.actor.clone(), crate::domain::standalone::STEP.to_owned());
        self.person(ctx, &request.name, Event::RetryStep { actor, step }).await
    }

    async fn settings(&self, ctx: &Ctx, name: &str) -> Result<QueueSettings, Error> {
        let name = convert_tasks::queue_name(name)?;
        let stored = self.store.queue(&ctx.tenant, &name).await?;
        Ok(stored.unwrap_or_else(|| self.board.settings(&ctx.tenant, &name)))
    }

    async fn queue(&self, settings: &QueueSettings) -> Queue {
        let figures = self.board.figures(&settings.tenant, &settings.name).await;
        convert_tasks::queue(settings, &figures)
    }

    /// Keeps settings and gives them to the board.
    async fn set(&self, ctx: &Ctx, settings: QueueSettings, action: &str) -> Result<Queue, Error> {
        let policy = &settings.policy;
        let detail = json!({
            "paused": settings.paused,
            "lease_ms": u64::try_from(policy.lease.as_millis()).unwrap_or(u64::MAX),
            "max_running": policy.concurrency,
            "max_running_per_key": policy.key_concurrency,
            "rate": policy.rate.map(|r| format!("{} in {:?}, burst {}", r.count, r.period, r.burst)),
        });
        let subject = format!("queues/{}", settings.name);
        let event = AuditEvent::new(ctx, self.clock.now(), action, subject).with_detail(&detail);
        self.store.set_queue(settings.clone(), event).await?;
        self.board.configure(vec![settings.clone()]);
        Ok(self.queue(&settings).await)
    }

    async fn update(&self, ctx: &Ctx, request: &UpdateQueueRequest) -> Result<Queue, Error> {
        let before = self.settings(ctx, &request.name).await?;
        let policy = convert_tasks::policy(&before.policy, request)?;
        self.set(ctx, QueueSettings { policy, ..before }, "queue.updated").await
    }

    async fn pause(&self, ctx: &Ctx, name: &str, paused: bool) -> Result<Queue, Error> {
        let before = self.settings(ctx, name).await?;
        let action = if paused { "queue.paused" } else { "queue.resumed" };
        self.set(ctx, QueueSettings { paused, ..before }, action).await
    }

    async fn queues(&self, ctx: &Ctx) -> Vec<Queue> {
        let names = self.board.names(&ctx.tenant).await;
        let all = names.iter().map(async |name| self.queue(&self.board.settings(&ctx.tenant, name)).await);
        join_all(all).await
    }
}

fn result(task: Result<Task, Status>) -> EnqueueResult {
    match task {
        Ok(task) => EnqueueResult { task: Some(task), error: None },
        Err(refused) => {
            let code = refused.get_error_details().error_info().map(|info| info.reason.clone());
            let message = refused.message().to_owned();
            EnqueueResult {
                task: None,
                error: Some(EnqueueError { code: code.unwrap_or_default(), message }),
            }
        }
    }
}

/// The same key must come with the same request; the key itself does not count.
fn scope(ctx: &Ctx, key: String, request: EnqueueTaskRequest) -> Scope {
    let body = EnqueueTaskRequest { request_id: String::new(), ..request };
    let body_sha256 = Sha256::digest(body.encode_to_vec()).into();
    Scope { tenant: ctx.tenant.clone(), operation: "EnqueueTask", key, body_sha256 }
}

#[tonic::async_trait]
impl TaskService for Tasks {
    async fn enqueue_task(&self, request: Request<EnqueueTaskRequest>) -> Result<Response<Task>, Status> {
        let (ctx, key) = (request.ctx()?.clone(), request.idempotency_key());
        let begun = self.begin(&ctx, key, request.get_ref().clone()).await;
        let task = self.begun(&ctx, begun).await;
        self.forward.answer(&request, ENQUEUE, task).await
    }

    async fn batch_enqueue_tasks(
        &self,
        request: Request<BatchEnqueueTasksRequest>,
    ) -> Result<Response<BatchEnqueueTasksResponse>, Status> {
        let ctx = request.ctx()?.clone();
        let batch = self.batch(&ctx, request.into_inner().requests).await;
        Ok(Response::new(batch.map_err(status)?))
    }

    async fn get_task(&self, request: Request<GetTaskRequest>) -> Result<Response<Task>, Status> {
        let task = self.get(request.ctx()?, &request.get_ref().name).await.map_err(status)?;
        let id = convert_tasks::task_id(&task.name).map_err(status)?;
        if task.end_time.is_some() {
            return Ok(Response::new(task));
        }
        // Where an open task stands, its owner knows.
        Ok(self.forward.better(&request, "/probity.orchestrator.v1.TaskService/GetTask", id, task).await)
    }

    async fn list_tasks(
        &self,
        request: Request<ListTasksRequest>,
    ) -> Result<Response<ListTasksResponse>, Status> {
        let page = self.list(request.ctx()?, request.get_ref()).await;
        Ok(Response::new(page.map_err(status)?))
    }

    async fn cancel_task(&self, request: Request<CancelTaskRequest>) -> Result<Response<Task>, Status> {
        let task = self.cancel(request.ctx()?, request.get_ref()).await;
        self.forward.answer(&request, "/probity.orchestrator.v1.TaskService/CancelTask", task).await
    }

    async fn retry_task(&self, request: Request<RetryTaskRequest>) -> Result<Response<Task>, Status> {
        let task = self.retry(request.ctx()?, request.get_ref()).await;
        self.forward.answer(&request, "/probity.orchestrator.v1.TaskService/RetryTask", task).await
    }

    async fn list_queues(
        &self,
        request: Request<ListQueuesRequest>,
    ) -> Result<Response<ListQueuesResponse>, Status> {
        Ok(Response::new(ListQueuesResponse { queues: self.queues(request.ctx()?).await }))
    }

    async fn get_queue(&self, request: Request<GetQueueRequest>) -> Result<Response<Queue>, Status> {
        let settings = self.settings(request.ctx()?, &request.get_ref().name).await;
        Ok(Response::new(self.queue(&settings.map_err(status)?).await))
    }

    async fn update_queue(&self, request: Request<UpdateQueueRequest>) -> Result<Response<Queue>, Status> {
        let queue = self.update(request.ctx()?, request.get_ref()).await;
        Ok(Response::new(queue.map_err(status)?))
    }

    async fn pause_queue(&self, request: Request<PauseQueueRequest>) -> Result<Response<Queue>, Status> {
        let queue = self.pause(request.ctx()?, &request.get_ref().name, true).await;
        Ok(Response::new(queue.map_err(status)?))
    }

    async fn resume_queue(&self, request: Request<ResumeQueueRequest>) -> Result<Response<Queue>, Status> {
        let queue = self.pause(request.ctx()?, &request.get_ref().name, false).await;
        Ok(Response::new(queue.map_err(status)?))
    }
}
