//! `WorkerService`: one stream per worker.

mod relay;

use super::Forward;
use crate::blobs::Blobs;
use crate::convert;
use crate::error::Error;
use crate::lane::{Answers, Handle};
use crate::tasks::{Board, Finish, Serving, Taken, Token};
use bytes::Bytes;
use futures::Stream;
use probity_engine::CallFailure;
use probity_proto::orchestrator::worker_service_server::WorkerService;
use probity_proto::orchestrator::{TaskResult, WorkRequest, WorkResponse};
use probity_runtime::{Call, status};
use probity_types::{Ctx, Role};
use relay::Relay;
use std::collections::HashSet;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Messages that wait for a slow worker.
const OUTGOING: usize = 64;
/// Batches of results whose commit is awaited at once.
const ACKNOWLEDGED: usize = 1_024;
/// Looks again after this long even when nobody knocked.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Most tasks one worker may have at once.
const MAX_CREDITS: usize = 10_000;

/// The handler.
pub(crate) struct Workers {
    lane: Handle,
    board: Board,
    forward: Forward,
    blobs: Blobs,
}

impl Workers {
    pub(crate) const fn new(lane: Handle, board: Board, forward: Forward, blobs: Blobs) -> Self {
        Self { lane, board, forward, blobs }
    }
}

/// What one worker has.
struct Session {
    lane: Handle,
    board: Board,
    serving: Serving,
    credits: usize,
    held: HashSet<Token>,
    /// What became of results.
    acknowledged: mpsc::Receiver<Told>,
    acknowledge: mpsc::Sender<Told>,
    out: mpsc::Sender<Result<WorkResponse, Status>>,
    /// Tasks of the shared queue that are on their way.
    coming: Option<oneshot::Receiver<Vec<Taken>>>,
    forward: Forward,
    blobs: Blobs,
    /// Takes answers that another replica decides; absent on a stream of another replica.
    relay: Option<mpsc::Sender<(TaskResult, Token)>>,
}

/// Tokens of results, by what became of them. Those that were lost with a failed
/// commit are not here: the worker sends them again.
struct Told {
    durable: Vec<Bytes>,
    /// Another replica has the execution and gives the task out anew.
    moved: Vec<Bytes>,
}

impl Told {
    fn of(tokens: Vec<Bytes>, moved: &[usize]) -> Self {
        let (moved, durable): (Vec<_>, Vec<_>) =
            tokens.into_iter().enumerate().partition(|(at, _)| moved.contains(at));
        let tokens = |of: Vec<(usize, Bytes)>| of.into_iter().map(|(_, token)| token).collect();
        Self { durable: tokens(durable), moved: tokens(moved) }
    }
}

impl Session {
    async fn run(mut self, mut incoming: Streaming<WorkRequest>) {
        let ended = self.serve(&mut incoming).await;
        if let Err(error) = ended {
            let _ = self.out.send(Err(status(error))).await;
        }
        // Somebody else may do it at once; a late answer of this worker still counts
        // until somebody has it.
        self.board.give_back(self.held.drain());
    }

    async fn serve(&mut self, incoming: &mut Streaming<WorkRequest>) -> Result<(), Error> {
        let board = self.board.clone();
        loop {
            let ready = board.ready();
            tokio::pin!(ready);
            ready.as_mut().enable();
            if !self.hand_out().await {
                return Ok(());
            }
            self.wish();
            let wait =
                board.next_wake().map_or(LOOK_AGAIN, |w| w.clamp(Duration::from_millis(1), LOOK_AGAIN));
            tokio::select! {
                biased;
                Some(first) = self.acknowledged.recv() => {
                    if !self.tell(first).await {
                        return Ok(());
                    }
                }
                message = incoming.message() => match message {
                    Ok(Some(message)) => self.take_in(message).await?,
                    Ok(None) | Err(_) => return Ok(()),
                },
                tasks = coming(&mut self.coming), if self.coming.is_some() => {
                    self.coming = None;
                    if !self.hand_out_shared(tasks).await {
                        return Ok(());
                    }
                }
                () = &mut ready, if self.credits > 0 => {}
                () = tokio::time::sleep(wait) => {}
                () = self.out.closed() => return Ok(()),
            }
        }
    }

    /// Sends what there is for the credits there are; `false` when the worker is gone.
    async fn hand_out(&mut self) -> bool {
        if self.credits == 0 {
            return true;
        }
        let tasks = self.board.take(&self.serving, self.credits);
        if tasks.is_empty() {
            return true;
        }
        self.credits -= tasks.len();
        self.held.extend(tasks.iter().filter_map(|task| Token::decode(&task.token)));
        self.out.send(Ok(WorkResponse { tasks, ..WorkResponse::default() })).await.is_ok()
    }

    /// Asks the shared queue for tasks, unless it is asked already.
    fn wish(&mut self) {
        if self.credits == 0 || self.coming.is_some() || !self.board.is_shared() {
            return;
        }
        let (give, coming) = oneshot::channel();
        let (board, serving, credits) = (self.board.clone(), self.serving.clone(), self.credits);
        // On its own, so that tasks on their way are never lost between two messages.
        tokio::spawn(async move {
            let tasks = board.take_shared(&serving, credits).await;
            if let Err(tasks) = give.send(tasks) {
                board.give_back(tasks.into_iter().map(|taken| taken.token));
            }
        });
        self.coming = Some(coming);
    }

    /// Sends tasks of the shared queue; `false` when the worker is gone.
    async fn hand_out_shared(&mut self, mut tasks: Vec<Taken>) -> bool {
        let too_many = tasks.split_off(tasks.len().min(self.credits));
        self.board.give_back(too_many.into_iter().map(|taken| taken.token));
        if tasks.is_empty() {
            return true;
        }
        self.credits -= tasks.len();
        self.held.extend(tasks.iter().map(|taken| taken.token.clone()));
        let tasks = tasks.into_iter().map(|taken| taken.task).collect();
        self.out.send(Ok(WorkResponse { tasks, ..WorkResponse::default() })).await.is_ok()
    }

    /// Tells which results are durable; `false` when the worker is gone.
    async fn tell(&mut self, first: Told) -> bool {
        let mut response = WorkResponse::default();
        let mut next = Some(first);
        while let Some(told) = next {
            response.acknowledged.extend(told.durable);
            response.dropped.extend(told.moved);
            next = self.acknowledged.try_recv().ok();
        }
        // What was not taken, somebody may do again.
        self.board.give_back(response.dropped.iter().filter_map(|token| Token::decode(token)));
        if self.credits > 0 {
            response.tasks = self.board.take(&self.serving, self.credits);
            self.credits -= response.tasks.len();
            self.held.extend(response.tasks.iter().filter_map(|task| Token::decode(&task.token)));
        }
        self.out.send(Ok(response)).await.is_ok()
    }

    async fn take_in(&mut self, message: WorkRequest) -> Result<(), Error> {
        // Less than 0 takes back room: of what was given out meanwhile nothing can be.
        let change = usize::try_from(message.credits.unsigned_abs()).unwrap_or(MAX_CREDITS);
        self.credits = match message.credits {
            ..0 => self.credits.saturating_sub(change),
            0.. => self.credits.saturating_add(change).min(MAX_CREDITS),
        };
        let mut dropped = Vec::new();
        for token in &message.heartbeats {
            let known = Token::decode(token).ok_or_else(|| convert::invalid("heartbeats", "is no token"))?;
            if !self.board.extend(&self.serving, &known).await {
                dropped.push(token.clone());
            }
        }
        self.results(message.results, &mut dropped).await?;
        if !dropped.is_empty() {
            let _ = self.out.send(Ok(WorkResponse { dropped, ..WorkResponse::default() })).await;
        }
        Ok(())
    }

    async fn results(&mut self, results: Vec<TaskResult>, dropped: &mut Vec<Bytes>) -> Result<(), Error> {
        if results.is_empty() {
            return Ok(());
        }
        let mut events = Vec::with_capacity(results.len());
        let mut tokens = Vec::with_capacity(results.len());
        for result in results {
            let token = Token::decode(&result.token)
                .ok_or_else(|| convert::invalid("results.token", "is no token of a task"))?;
            self.held.remove(&token);
            if let Some(relay) = &self.relay
                && self.forward.elsewhere(token.order.execution).is_some()
            {
                // A relay ends with its session.
                let _ = relay.send((result, token)).await;
                continue;
            }
            if self.board.finish(&self.serving, &token) == Finish::Lost {
                dropped.push(result.token);
                continue;
            }
            tokens.push(result.token.clone());
            let order = token.order;
            let answer = self.blobs.answered_by_worker(
                self.serving.tenant.as_deref(),
                order.execution,
                outcome(result),
            );
            events.push((order.execution, order.event(answer.await)));
        }
        if events.is_empty() {
            return Ok(());
        }
        let told = self.acknowledge.clone();
        let tenant = self.serving.tenant.as_deref().map(str::to_owned);
        let acknowledge = Box::new(move |durable: bool, moved: &[usize]| {
            if durable {
                let _ = told.try_send(Told::of(tokens, moved));
            }
        });
        self.lane.answers(Answers { tenant, events, acknowledge }).await
    }
}

async fn coming(tasks: &mut Option<oneshot::Receiver<Vec<Taken>>>) -> Vec<Taken> {
    match tasks {
        Some(tasks) => tasks.await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}

/// What a worker answered, as the core takes it.
fn outcome(result: TaskResult) -> Result<serde_json::Value, CallFailure> {
    let failed = |code: &str, message: String, transient: bool, retry_after: Option<Duration>| CallFailure {
        code: code.to_owned(),
        message,
        transient,
        retry_after,
    };
    match result.failure {
        Some(failure) => {
            let (code, message) = convert::task_failure(&failure);
            let wait = u64::try_from(failure.retry_after_ms).ok().filter(|ms| *ms > 0);
            Err(failed(&code, message, !failure.permanent, wait.map(Duration::from_millis)))
        }
        None if result.output.is_empty() => Ok(serde_json::Value::Null),
        None => serde_json::from_slice(&result.output)
            .map_err(|e| failed("ORC-0021", format!("the worker's answer is no JSON: {e}"), false, None)),
    }
}

fn serving(ctx: &Ctx, message: &WorkRequest) -> Result<Serving, Error> {
    let Some(hello) = &message.hello else {
        return Err(convert::invalid("hello", "the first message says who the worker is and what it serves"));
    };
    let (worker, queues) = convert::hello(hello)?;
    // A service of the platform works for everybody, a worker for its tenant.
    let everybody = ctx.roles.has(Role::Service);
    Ok(Serving { worker: worker.into(), tenant: (!everybody).then(|| ctx.tenant.as_str().into()), queues })
}

#[tonic::async_trait]
impl WorkerService for Workers {
    type WorkStream = Pin<Box<dyn Stream<Item = Result<WorkResponse, Status>> + Send>>;

    async fn work(
        &self,
        request: Request<Streaming<WorkRequest>>,
    ) -> Result<Response<Self::WorkStream>, Status> {
        let ctx = request.ctx()?.clone();
        let (lane, board, forward) = (self.lane.clone(), self.board.clone(), self.forward.clone());
        let blobs = self.blobs.clone();
        let handed_on = Forward::came_from_another(&request);
        let (out, responses) = mpsc::channel(OUTGOING);
        let mut incoming = request.into_inner();
        // The answer begins before the first message: some clients wait for it.
        tokio::spawn(async move {
            let first = match incoming.message().await {
                Ok(Some(first)) => first,
                Ok(None) | Err(_) => return,
            };
            let serving = match serving(&ctx, &first) {
                Ok(serving) => serving,
                Err(error) => {
                    let _ = out.send(Err(status(error))).await;
                    return;
                }
            };
            let (acknowledge, acknowledged) = mpsc::channel(ACKNOWLEDGED);
            let relay = (!handed_on).then(|| {
                let (relay, answers) = mpsc::channel(OUTGOING);
                let (hello, tenant) = (first.hello.clone().unwrap_or_default(), serving.tenant.as_deref());
                let relaying = Relay {
                    forward: forward.clone(),
                    lane: lane.clone(),
                    ctx,
                    hello,
                    tenant: tenant.map(str::to_owned),
                    told: acknowledge.clone(),
                    blobs: blobs.clone(),
                };
                tokio::spawn(relaying.run(answers));
                relay
            });
            let (held, coming) = (HashSet::new(), None);
            let mut session = Session {
                lane,
                board,
                serving,
                credits: 0,
                held,
                acknowledged,
                acknowledge,
                out,
                coming,
                forward,
                blobs,
                relay,
            };
            if let Err(error) = session.take_in(first).await {
                let _ = session.out.send(Err(status(error))).await;
                return;
            }
            let _present = (!handed_on).then(|| session.board.arrived(&session.serving));
            session.run(incoming).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(responses))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moved_is_dropped_and_never_acknowledged() {
        let check = |moved: &[usize], durable: &[&str], dropped: &[&str]| {
            let told = Told::of(["a", "b", "c"].map(Bytes::from).to_vec(), moved);
            assert_eq!(told.durable, durable, "{moved:?}");
            assert_eq!(told.moved, dropped, "{moved:?}");
        };
        check(&[], &["a", "b", "c"], &[]);
        check(&[1], &["a", "c"], &["b"]);
        check(&[0, 1, 2], &[], &["a", "b", "c"]);
    }
}
