//! Tasks of their own and queues, through the door.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod world;

use probity_proto::BoxGrpcService;
use probity_proto::orchestrator::dead_letter_service_client::DeadLetterServiceClient;
use probity_proto::orchestrator::task_service_client::TaskServiceClient;
use probity_proto::orchestrator::worker_service_client::WorkerServiceClient;
use probity_proto::orchestrator::*;
use probity_runtime::testing::{Harness, ctx};
use probity_types::Role;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};
use world::{World, until};

type Tasks = TaskServiceClient<BoxGrpcService>;

fn tasks(harness: &Harness, tenant: &str) -> Tasks {
    TaskServiceClient::new(harness.client_as(&ctx(tenant, "users/otto", &[Role::Operator])))
}

fn mail(to: &str) -> EnqueueTaskRequest {
    EnqueueTaskRequest {
        r#type: "mail".into(),
        queue: "mails".into(),
        payload: json!({ "to": to }).to_string().into(),
        ..EnqueueTaskRequest::default()
    }
}

async fn enqueue(client: &mut Tasks, request: EnqueueTaskRequest) -> Task {
    client.enqueue_task(request).await.unwrap().into_inner()
}

async fn get(client: &mut Tasks, name: &str) -> Task {
    client.get_task(GetTaskRequest { name: name.into() }).await.unwrap().into_inner()
}

async fn in_state(client: &Tasks, name: &str, state: TaskState) -> Task {
    until(|| {
        let mut client = client.clone();
        async move { Some(get(&mut client, name).await).filter(|task| task.state() == state) }
    })
    .await
}

async fn queue(client: &mut Tasks) -> Queue {
    client.get_queue(GetQueueRequest { name: "queues/mails".into() }).await.unwrap().into_inner()
}

struct Worker {
    send: mpsc::Sender<WorkRequest>,
    receive: Streaming<WorkResponse>,
}

impl Worker {
    async fn hello(harness: &Harness, credits: i32) -> Self {
        let worker = ctx("t1", "service-accounts/worker", &[Role::Worker]);
        let mut client = WorkerServiceClient::new(harness.client_as(&worker));
        let (send, messages) = mpsc::channel(64);
        let hello = WorkerHello { worker: "w1".into(), queues: vec!["mails".into()] };
        send.send(WorkRequest { hello: Some(hello), credits, ..WorkRequest::default() }).await.unwrap();
        let receive = client.work(ReceiverStream::new(messages)).await.unwrap().into_inner();
        Self { send, receive }
    }

    async fn take(&mut self) -> WorkerTask {
        loop {
            let mut message = self.receive.message().await.unwrap().expect("the stream goes on");
            assert!(message.tasks.len() <= 1, "one credit, one task");
            if let Some(task) = message.tasks.pop() {
                return task;
            }
        }
    }

    async fn answer(&self, task: &WorkerTask, output: &Json) {
        let output = output.to_string().into();
        self.send(TaskResult { token: task.token.clone(), output, failure: None }).await;
    }

    async fn fail(&self, task: &WorkerTask, message: &str) {
        let failure = TaskFailure { message: message.into(), permanent: true, ..TaskFailure::default() };
        self.send(TaskResult { token: task.token.clone(), failure: Some(failure), ..TaskResult::default() })
            .await;
    }

    async fn send(&self, result: TaskResult) {
        let request = WorkRequest { results: vec![result], credits: 1, ..WorkRequest::default() };
        self.send.send(request).await.unwrap();
    }
}

#[tokio::test]
async fn a_task_goes_to_a_worker_and_its_result_stays() {
    let world = Arc::new(World::default());
    let harness = world.start(None).await;
    let mut client = tasks(&harness, "t1");
    let request = EnqueueTaskRequest { request_id: "k1".into(), ..mail("ana") };
    let put = enqueue(&mut client, request.clone()).await;
    assert_eq!((put.state(), put.queue.as_str(), put.r#type.as_str()), (TaskState::Queued, "mails", "mail"));
    assert_eq!(enqueue(&mut client, request).await.name, put.name);

    let mut worker = Worker::hello(&harness, 1).await;
    let task = worker.take().await;
    assert_eq!((task.r#type.as_str(), task.queue.as_str()), ("mail", "mails"));
    assert_eq!(serde_json::from_slice::<Json>(&task.input).unwrap(), json!({"to": "ana"}));
    let running = get(&mut client, &put.name).await;
    assert_eq!((running.state(), running.worker.as_str()), (TaskState::Running, "w1"));
    worker.answer(&task, &json!({"sent": true})).await;
    let done = in_state(&client, &put.name, TaskState::Completed).await;
    assert_eq!(serde_json::from_slice::<Json>(&done.output).unwrap(), json!({"sent": true}));
    assert_eq!(serde_json::from_slice::<Json>(&done.payload).unwrap(), json!({"to": "ana"}));

    // It is there after a start, and not another tenant's.
    let dir = harness.stop().await;
    let harness = world.start(Some(dir)).await;
    assert_eq!(get(&mut tasks(&harness, "t1"), &put.name).await.state(), TaskState::Completed);
    let foreign = tasks(&harness, "t2").get_task(GetTaskRequest { name: put.name }).await.unwrap_err();
    assert_eq!(foreign.code(), Code::NotFound);
}

#[tokio::test]
async fn while_one_is_open_its_unique_key_is_its_own() {
    let world = Arc::new(World::default());
    let harness = world.start(None).await;
    let mut client = tasks(&harness, "t1");
    let unique = |to: &str| EnqueueTaskRequest { unique_key: "weekly".into(), ..mail(to) };
    let first = enqueue(&mut client, unique("ana")).await;
    assert_eq!(enqueue(&mut client, unique("bo")).await.name, first.name);
    let elsewhere = EnqueueTaskRequest { queue: "letters".into(), ..unique("bo") };
    assert_ne!(enqueue(&mut client, elsewhere).await.name, first.name);
    // Many at once: one is first.
    let batch = BatchEnqueueTasksRequest {
        requests: (0..50)
            .map(|n| EnqueueTaskRequest { unique_key: "once".into(), ..mail(&n.to_string()) })
            .collect(),
    };
    let results = client.batch_enqueue_tasks(batch).await.unwrap().into_inner().results;
    let names: std::collections::BTreeSet<_> = results.into_iter().map(|r| r.task.unwrap().name).collect();
    assert_eq!(names.len(), 1);

    let cancel = CancelTaskRequest { name: first.name.clone(), reason: "not this week".into() };
    let cancelled = client.cancel_task(cancel.clone()).await.unwrap().into_inner();
    assert_eq!(cancelled.state(), TaskState::Cancelled);
    client.cancel_task(cancel).await.unwrap();
    let second = enqueue(&mut client, unique("bo")).await;
    assert_ne!(second.name, first.name);
    let dir = harness.stop().await;
    let harness = world.start(Some(dir)).await;
    assert_eq!(enqueue(&mut tasks(&harness, "t1"), unique("cy")).await.name, second.name);
}

#[tokio::test]
async fn a_task_that_fails_for_good_is_a_dead_letter_and_can_be_retried() {
    let world = Arc::new(World::default());
    let harness = world.start(None).await;
    let mut client = tasks(&harness, "t1");
    let put = enqueue(&mut client, mail("ana")).await;
    let mut worker = Worker::hello(&harness, 1).await;
    let task = worker.take().await;
    worker.fail(&task, "no such mailbox").await;
    let stuck = in_state(&client, &put.name, TaskState::Incident).await;
    assert!(stuck.error.contains("no such mailbox"), "{}", stuck.error);
    let operator = ctx("t1", "users/otto", &[Role::Operator]);
    let mut letters = DeadLetterServiceClient::new(harness.client_as(&operator));
    let filter = "peer = \"queues/mails\" AND operation = mail".to_owned();
    let list = ListDeadLettersRequest { filter, ..ListDeadLettersRequest::default() };
    let found = letters.list_dead_letters(list).await.unwrap().into_inner().dead_letters;
    assert_eq!(found[0].execution, put.execution);
    client.retry_task(RetryTaskRequest { name: put.name.clone() }).await.unwrap();
    let again = worker.take().await;
    assert_eq!((again.attempt, &again.idempotency_key), (2, &task.idempotency_key));
    worker.answer(&again, &json!(null)).await;
    in_state(&client, &put.name, TaskState::Completed).await;
}

#[tokio::test]
async fn queues_pause_delay_and_limit() {
    let world = Arc::new(World::default());
    let harness = world.start(None).await;
    let mut client = tasks(&harness, "t1");
    let pause = PauseQueueRequest { name: "queues/mails".into() };
    assert!(client.pause_queue(pause).await.unwrap().into_inner().paused);
    let far = Some(prost_types::Duration { seconds: 3_600, nanos: 0 });
    let later = enqueue(&mut client, EnqueueTaskRequest { delay: far, ..mail("later") }).await;
    let low = EnqueueTaskRequest { priority: Priority::Low as i32, ..mail("low") };
    enqueue(&mut client, low).await;
    let high = EnqueueTaskRequest { priority: Priority::High as i32, ..mail("high") };
    enqueue(&mut client, high).await;
    assert_eq!(in_state(&client, &later.name, TaskState::Delayed).await.queue, "mails");
    let update = UpdateQueueRequest {
        name: "queues/mails".into(),
        max_running: Some(1),
        rate: Some(QueueRate { count: 100, ..QueueRate::default() }),
        ..UpdateQueueRequest::default()
    };
    client.update_queue(update).await.unwrap();

    // Settings are durable.
    let dir = harness.stop().await;
    let harness = world.start(Some(dir)).await;
    let mut client = tasks(&harness, "t1");
    let mut worker = Worker::hello(&harness, 2).await;
    let found = until(|| {
        let mut client = client.clone();
        async move {
            let found = queue(&mut client).await;
            let figures = found.figures.unwrap();
            (figures.ready_low + figures.ready_high == 2 && figures.workers == 1).then_some(found)
        }
    })
    .await;
    assert_eq!((found.paused, found.max_running, found.rate.unwrap().burst), (true, 1, 100));
    assert_eq!((found.figures.unwrap().delayed, found.figures.unwrap().running), (1, 0));

    client.resume_queue(ResumeQueueRequest { name: "queues/mails".into() }).await.unwrap();
    let first = worker.take().await;
    assert_eq!(serde_json::from_slice::<Json>(&first.input).unwrap()["to"], "high");
    // One at a time, although there is room for two.
    assert_eq!(queue(&mut client).await.figures.unwrap().running, 1);
    worker.answer(&first, &json!({})).await;
    let second = worker.take().await;
    assert_eq!(serde_json::from_slice::<Json>(&second.input).unwrap()["to"], "low");
    let listed = client.list_queues(ListQueuesRequest {}).await.unwrap().into_inner().queues;
    assert_eq!(listed.iter().map(|q| q.name.as_str()).collect::<Vec<_>>(), ["queues/mails"]);
    until(|| async {
        let audited = world.audited.lock().unwrap().clone();
        let has = |action: &str| audited.iter().any(|e| e.action == action);
        (has("queue.paused") && has("queue.updated") && has("queue.resumed")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_batch_says_what_became_of_each_and_lists_find_them() {
    let world = Arc::new(World::default());
    let harness = world.start(None).await;
    let mut client = tasks(&harness, "t1");
    let mut requests: Vec<_> = (0..300).map(|n| mail(&n.to_string())).collect();
    requests[7].queue = "not a name".into();
    let response =
        client.batch_enqueue_tasks(BatchEnqueueTasksRequest { requests }).await.unwrap().into_inner();
    assert_eq!((response.enqueued, response.results.len()), (299, 300));
    let refused = response.results[7].error.as_ref().unwrap();
    assert!(refused.code == "ORC-0001" && refused.message.contains("queue"), "{refused:?}");

    let mut names = std::collections::BTreeSet::new();
    let mut page_token = String::new();
    loop {
        let filter = "queue = mails AND status = RUNNING AND priority = NORMAL".to_owned();
        let list = ListTasksRequest { page_size: 64, page_token, filter, order_by: String::new() };
        let page = client.list_tasks(list).await.unwrap().into_inner();
        names.extend(page.tasks.into_iter().map(|task| task.name));
        if page.next_page_token.is_empty() {
            break;
        }
        page_token = page.next_page_token;
    }
    assert_eq!(names.len(), 299);
    let none = BatchEnqueueTasksRequest::default();
    assert_eq!(client.batch_enqueue_tasks(none).await.unwrap_err().code(), Code::InvalidArgument);
    let bad = UpdateQueueRequest { name: "queues/mails".into(), max_running: Some(-1), ..Default::default() };
    assert_eq!(client.update_queue(bad).await.unwrap_err().code(), Code::InvalidArgument);
}
