//! Calls: what is added to them, and which are made again.

use crate::fake::{client, serve};
use parking_lot::Mutex;
use probity_client::proto::orchestrator::execution_service_server::{
    ExecutionService, ExecutionServiceServer,
};
use probity_client::proto::orchestrator::*;
use probity_client::{Client, RetryPolicy, output};
use serde_json::json;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Answers that are given one after the other; then it works.
#[derive(Clone, Default)]
struct Platform(Arc<Inner>);

#[derive(Default)]
struct Inner {
    failures: Mutex<Vec<Status>>,
    seen: Mutex<Vec<(MetadataMap, StartExecutionRequest)>>,
    watched: Mutex<Vec<i64>>,
}

impl Platform {
    fn failing(failures: impl IntoIterator<Item = Status>) -> Self {
        let platform = Self::default();
        platform.0.failures.lock().extend(failures);
        platform.0.failures.lock().reverse();
        platform
    }

    /// A client with short waits between attempts.
    async fn client(&self) -> Client {
        let addr = serve(Routes::new(ExecutionServiceServer::new(self.clone()))).await;
        let builder = Client::builder(&format!("http://{addr}")).token("a.b.c").unwrap();
        builder.retry(RetryPolicy::new(3, 1, 5)).unwrap().connect().await.unwrap()
    }

    fn see<T>(
        &self,
        request: &Request<T>,
        start: StartExecutionRequest,
    ) -> Result<Response<Execution>, Status> {
        let input = start.input.clone();
        self.0.seen.lock().push((request.metadata().clone(), start));
        match self.0.failures.lock().pop() {
            Some(status) => Err(status),
            None => Ok(Response::new(Execution {
                name: "executions/1".into(),
                output: input,
                ..Default::default()
            })),
        }
    }

    fn headers(&self, name: &str) -> Vec<String> {
        let text = |metadata: &MetadataMap| metadata.get(name).map(|v| v.to_str().unwrap().to_owned());
        self.0.seen.lock().iter().map(|(metadata, _)| text(metadata).unwrap_or_default()).collect()
    }
}

fn busy(delay: Duration) -> Status {
    Status::with_error_details(Code::ResourceExhausted, "busy", ErrorDetails::with_retry_info(Some(delay)))
}

/// Methods no test asks for, as `async_trait` writes them.
macro_rules! unasked {
    ($($name:ident: $request:ty => $reply:ty;)*) => {
        $(fn $name<'s, 'a>(&'s self, _: Request<$request>) -> Answer<'a, $reply>
        where
            's: 'a,
            Self: 'a,
        {
            Box::pin(async { Err(Status::unimplemented("not asked for by the tests")) })
        })*
    };
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send + 'a>>;

#[tonic::async_trait]
impl ExecutionService for Platform {
    type WatchExecutionStream = ReceiverStream<Result<HistoryEvent, Status>>;

    async fn start_execution(
        &self,
        request: Request<StartExecutionRequest>,
    ) -> Result<Response<Execution>, Status> {
        let start = request.get_ref().clone();
        if start.definition == "definitions/endless" {
            std::future::pending::<()>().await;
        }
        self.see(&request, start)
    }

    async fn rerun_execution(
        &self,
        request: Request<RerunExecutionRequest>,
    ) -> Result<Response<Execution>, Status> {
        self.see(&request, StartExecutionRequest::default())
    }

    /// Two events a stream, then a cut; five in all.
    async fn watch_execution(
        &self,
        request: Request<WatchExecutionRequest>,
    ) -> Result<Response<Self::WatchExecutionStream>, Status> {
        let after = request.into_inner().after_sequence;
        self.0.watched.lock().push(after);
        let (sender, receiver) = tokio::sync::mpsc::channel(8);
        for sequence in (after + 1..=5).take(2) {
            sender.send(Ok(HistoryEvent { sequence, ..Default::default() })).await.unwrap();
        }
        if after + 2 < 5 {
            sender.send(Err(Status::unavailable("cut"))).await.unwrap();
        }
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn list_executions(
        &self,
        _: Request<ListExecutionsRequest>,
    ) -> Result<Response<ListExecutionsResponse>, Status> {
        match self.0.failures.lock().pop() {
            Some(status) => Err(status),
            None => Ok(Response::new(ListExecutionsResponse::default())),
        }
    }

    unasked! {
        count_executions: CountExecutionsRequest => CountExecutionsResponse;
        decide_execution: DecideExecutionRequest => Execution;
        delegate_approval: DelegateApprovalRequest => Execution;
        edit_step_input: EditStepInputRequest => Execution;
        list_execution_history: ListExecutionHistoryRequest => ListHistoryResponse;
        render_execution: RenderExecutionRequest => RenderExecutionResponse;
        pause_execution: PauseExecutionRequest => Execution;
        create_execution: CreateExecutionRequest => Execution;
        run_execution: RunExecutionRequest => Execution;
        resume_execution: ResumeExecutionRequest => Execution;
        cancel_execution: CancelExecutionRequest => Execution;
        signal_execution: SignalExecutionRequest => Execution;
        fork_execution: ForkExecutionRequest => Execution;
        batch_executions: BatchExecutionsRequest => BatchExecutionsResponse;
    }
}

#[tokio::test]
async fn a_start_is_sent_again_under_one_key() {
    let platform = Platform::failing([Status::unavailable("away"), busy(Duration::from_millis(30))]);
    let begun = std::time::Instant::now();
    let client = platform.client().await;
    let execution =
        client.start("d").input(&json!({"n": 1})).wait(Duration::from_secs(2)).send().await.unwrap();
    assert_eq!(output::<serde_json::Value>(&execution).unwrap(), json!({"n": 1}));
    assert!(begun.elapsed() >= Duration::from_millis(30), "no sooner than it was asked to");
    let keys = platform.headers("idempotency-key");
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| *key == keys[0] && key.len() == 32), "{keys:?}");
    let ids = platform.headers("x-request-id");
    assert!(ids.iter().all(|id| *id == ids[0] && !id.is_empty()), "{ids:?}");
    assert_eq!(platform.headers("grpc-previous-rpc-attempts"), ["", "1", "2"]);
    assert_eq!(platform.headers("authorization")[0], "Bearer a.b.c");
    let start = platform.0.seen.lock()[0].1.clone();
    assert_eq!((&*start.definition, start.wait.unwrap().seconds), ("definitions/d", 2));
    assert_eq!(start.request_id, keys[0]);
}

#[tokio::test]
async fn only_what_the_contract_allows_is_sent_again() {
    let away = || Status::unavailable("away");
    let platform = Platform::failing([away(), away(), away()]);
    let client = platform.client().await;
    let rerun = RerunExecutionRequest { name: "executions/1".into(), ..Default::default() };
    assert!(client.executions().rerun_execution(rerun).await.is_err(), "may happen twice");
    assert_eq!(platform.0.failures.lock().len(), 2, "asked once");
    assert_eq!(platform.headers("idempotency-key"), [""]);
    client.executions().list_executions(ListExecutionsRequest::default()).await.expect("reads are repeated");
    let platform = Platform::failing([Status::invalid_argument("no")]);
    let refused = platform.client().await.start("d").send().await.expect_err("refused");
    assert_eq!(refused.status().map(Status::code), Some(Code::InvalidArgument));
    assert_eq!(platform.0.seen.lock().len(), 1);
}

#[tokio::test]
async fn attempts_and_time_are_bounded() {
    let platform = Platform::failing((0..10).map(|_| Status::unavailable("away")));
    let error = platform.client().await.start("d").send().await.expect_err("away");
    assert!(error.may_pass());
    assert_eq!(platform.0.seen.lock().len(), 3);
    let platform = Platform::failing([busy(Duration::from_secs(3_600))]);
    let error = platform.client().await.start("d").send().await.expect_err("not within the deadline");
    assert_eq!(error.status().map(Status::code), Some(Code::ResourceExhausted));
    let mut request = Request::new(StartExecutionRequest {
        definition: "definitions/endless".into(),
        ..Default::default()
    });
    request.set_timeout(Duration::from_millis(50));
    let status = platform.client().await.executions().start_execution(request).await.expect_err("over");
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn details_nobody_can_read_are_an_answer_all_the_same() {
    let mut garbled = Status::not_found("no such definition");
    garbled.metadata_mut().as_mut().insert("grpc-status-details-bin", "!".parse().unwrap());
    let platform = Platform::failing([garbled]);
    let error = platform.client().await.start("d").send().await.expect_err("not there");
    let status = error.status().expect("an answer");
    assert_eq!((status.code(), status.message()), (Code::NotFound, "no such definition"));
    assert!(status.details().is_empty());
}

#[tokio::test]
async fn a_key_of_ones_own_is_used() {
    let platform = Platform::default();
    platform.client().await.start("definitions/d").key("order-7").send().await.unwrap();
    assert_eq!(platform.headers("idempotency-key"), ["order-7"]);
}

#[tokio::test]
async fn a_watch_goes_on_after_a_break_without_a_gap() {
    let platform = Platform::default();
    let mut watch = platform.client().await.watch("1");
    let mut seen = Vec::new();
    while let Some(event) = watch.next().await.unwrap() {
        seen.push(event.sequence);
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    assert_eq!(*platform.0.watched.lock(), [0, 2, 4]);
    assert_eq!(watch.next().await.unwrap(), None, "it stays ended");
}

#[tokio::test]
async fn tokens_are_asked_for_before_every_call() {
    let platform = Platform::default();
    let addr = serve(Routes::new(ExecutionServiceServer::new(platform.clone()))).await;
    let count = std::sync::atomic::AtomicU32::new(0);
    let source = move || format!("t{}", count.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
    let client = Client::builder(&format!("http://{addr}")).token_source(source).connect().await.unwrap();
    client.start("d").send().await.unwrap();
    client.start("d").send().await.unwrap();
    assert_eq!(platform.headers("authorization"), ["Bearer t0", "Bearer t1"]);
}

#[tokio::test]
async fn nobody_there_is_said_at_once_with_the_address() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let error = Client::connect(&format!("http://{addr}"), "t").await.expect_err("nobody is there");
    assert!(error.to_string().contains(&addr.to_string()) && error.may_pass(), "{error}");
    let lazy = client(addr).start("d").send().await.expect_err("nobody is there");
    assert!(lazy.may_pass(), "{lazy}");
}
