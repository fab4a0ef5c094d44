//! Tasks on a Redis server that goes, comes back and forgets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod world;

use probity_proto::BoxGrpcService;
use probity_proto::orchestrator::execution_service_client::ExecutionServiceClient;
use probity_proto::orchestrator::task_service_client::TaskServiceClient;
use probity_proto::orchestrator::worker_service_client::WorkerServiceClient;
use probity_proto::orchestrator::*;
use probity_runtime::testing::{Harness, ctx};
use probity_testkit::Redis;
use probity_types::Role;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use world::{World, until};

type Tasks = TaskServiceClient<BoxGrpcService>;
/// Attempts by idempotency key.
type Seen = Arc<Mutex<BTreeMap<String, u32>>>;

async fn start(redis: &Redis) -> Harness {
    let world = Arc::new(World::default());
    world.start_with(None, &[("redis.url", &redis.url()), ("redis.timeout_ms", "300")]).await
}

fn tasks(harness: &Harness) -> Tasks {
    TaskServiceClient::new(harness.client_as(&ctx("t1", "users/otto", &[Role::Operator])))
}

async fn enqueue(client: &mut Tasks, count: usize) -> Vec<String> {
    let request = || EnqueueTaskRequest {
        r#type: "mail".into(),
        queue: "mails".into(),
        payload: "{}".into(),
        ..EnqueueTaskRequest::default()
    };
    let requests = (0..count).map(|_| request()).collect();
    let batch = client.batch_enqueue_tasks(BatchEnqueueTasksRequest { requests }).await.unwrap().into_inner();
    batch.results.into_iter().map(|result| result.task.unwrap().name).collect()
}

/// Does every task once the gate is open.
fn work(harness: &Harness, seen: &Seen) -> tokio::task::JoinHandle<()> {
    let mut client =
        WorkerServiceClient::new(harness.client_as(&ctx("t1", "service-accounts/w", &[Role::Worker])));
    let seen = seen.clone();
    tokio::spawn(async move {
        let (send, messages) = mpsc::channel(64);
        let hello = WorkerHello { worker: "w".into(), queues: vec!["mails".into()] };
        send.send(WorkRequest { hello: Some(hello), credits: 4, ..WorkRequest::default() }).await.unwrap();
        let mut stream = client.work(ReceiverStream::new(messages)).await.unwrap().into_inner();
        while let Ok(Some(message)) = stream.message().await {
            let mut results = Vec::new();
            for task in message.tasks {
                *seen.lock().unwrap().entry(task.idempotency_key.clone()).or_default() += 1;
                results.push(TaskResult { token: task.token, output: "{}".into(), ..TaskResult::default() });
            }
            let credits = i32::try_from(results.len()).unwrap();
            if credits > 0 {
                let _ = send.send(WorkRequest { results, credits, ..WorkRequest::default() }).await;
            }
        }
    })
}

async fn done(client: &Tasks, names: &[String]) {
    for name in names {
        until(|| {
            let (mut client, name) = (client.clone(), name.clone());
            async move {
                let task = client.get_task(GetTaskRequest { name }).await.unwrap().into_inner();
                (task.state() == TaskState::Completed).then_some(())
            }
        })
        .await;
    }
}

async fn figures(client: &Tasks) -> QueueFigures {
    let queue = client.clone().get_queue(GetQueueRequest { name: "queues/mails".into() }).await;
    queue.unwrap().into_inner().figures.unwrap()
}

async fn ready(client: &Tasks, count: i64) {
    until(|| async { (figures(client).await.ready_normal == count).then_some(()) }).await;
}

/// Waits until Redis holds this many tasks.
async fn on_redis(redis: &Redis, count: usize) {
    until(|| async {
        let keys = redis.command("KEYS *queue:task:*");
        keys.starts_with(&format!("*{count}\r\n")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_becomes_of_redis_every_task_is_done() {
    let (redis, seen) = (Redis::start(), Seen::default());
    let harness = start(&redis).await;
    let client = tasks(&harness);
    // Put up, seen, and forgotten: they are put up again.
    let mut names = enqueue(&mut client.clone(), 20).await;
    on_redis(&redis, 20).await;
    ready(&client, 20).await;
    redis.command("FLUSHALL");
    on_redis(&redis, 20).await;
    // A limit holds there, and a pause comes back after a loss.
    let update = UpdateQueueRequest {
        name: "queues/mails".into(),
        max_running: Some(2),
        ..UpdateQueueRequest::default()
    };
    client.clone().update_queue(update).await.unwrap();
    client.clone().pause_queue(PauseQueueRequest { name: "queues/mails".into() }).await.unwrap();
    let worker = work(&harness, &seen);
    redis.command("FLUSHALL");
    on_redis(&redis, 20).await;
    assert_eq!(seen.lock().unwrap().len(), 0, "it is paused");
    client.clone().resume_queue(ResumeQueueRequest { name: "queues/mails".into() }).await.unwrap();
    done(&client, &names).await;
    on_redis(&redis, 0).await;

    // Away: work goes on here.
    redis.kill();
    let more = enqueue(&mut client.clone(), 20).await;
    done(&client, &more).await;
    names.extend(more);
    // Back with what it had: nothing is done for nothing.
    redis.resume();
    on_redis(&redis, 0).await;
    names.extend(enqueue(&mut client.clone(), 20).await);
    done(&client, &names).await;
    on_redis(&redis, 0).await;

    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 60, "each task is done");
    let twice = seen.values().filter(|times| **times > 1).count();
    assert!(twice <= 4, "{twice} were done twice, of what a worker had when Redis went");
    worker.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_is_taken_out_and_what_a_worker_has_is_waited_for() {
    let redis = Redis::start();
    let harness = start(&redis).await;
    let mut client = tasks(&harness);
    let names = enqueue(&mut client, 3).await;
    on_redis(&redis, 3).await;
    let (send, messages) = mpsc::channel(8);
    let hello = WorkerHello { worker: "w".into(), queues: vec!["mails".into()] };
    send.send(WorkRequest { hello: Some(hello), credits: 1, ..WorkRequest::default() }).await.unwrap();
    let worker = harness.client_as(&ctx("t1", "service-accounts/w", &[Role::Worker]));
    let mut stream =
        WorkerServiceClient::new(worker).work(ReceiverStream::new(messages)).await.unwrap().into_inner();
    let task = loop {
        let message = stream.message().await.unwrap().unwrap();
        if let Some(task) = message.tasks.into_iter().next() {
            break task;
        }
    };
    let held = names.iter().find(|name| task.execution.ends_with(&name["tasks/task_".len()..])).unwrap();
    until(|| {
        let mut client = client.clone();
        let name = held.clone();
        async move {
            let task = client.get_task(GetTaskRequest { name }).await.unwrap().into_inner();
            (task.state() == TaskState::Running && task.worker == "w").then_some(())
        }
    })
    .await;
    for name in &names {
        client.cancel_task(CancelTaskRequest { name: name.clone(), reason: "enough".into() }).await.unwrap();
    }
    on_redis(&redis, 1).await;
    // A sign of life keeps it, its answer ends it.
    send.send(WorkRequest { heartbeats: vec![task.token.clone()], ..WorkRequest::default() }).await.unwrap();
    let result = TaskResult { token: task.token.clone(), output: "{}".into(), ..TaskResult::default() };
    send.send(WorkRequest { results: vec![result], ..WorkRequest::default() }).await.unwrap();
    let told = stream.message().await.unwrap().unwrap();
    assert_eq!((told.acknowledged, told.dropped), (vec![task.token], vec![]));
    on_redis(&redis, 0).await;
    let executions = harness.client_as(&ctx("t1", "users/otto", &[Role::Operator]));
    until(|| {
        let mut executions = ExecutionServiceClient::new(executions.clone());
        async move {
            let count = CountExecutionsRequest { filter: "status = CANCELLED".into(), ..Default::default() };
            (executions.count_executions(count).await.unwrap().into_inner().total == 3).then_some(())
        }
    })
    .await;
}
