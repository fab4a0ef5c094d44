//! Results that are too large to be values: handed over as documents, referred to,
//! and passed on.

use probity_client::{Blob, Client as Api, Failure, Task, Worker, output};
use probity_proto::intake::GetDocumentRequest;
use probity_proto::orchestrator::{
    ExecutionStatus, GetExecutionRequest, RegisterDefinitionRequest, StepStatus,
};
use probity_testkit::eventually;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long an execution may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// One step makes something large, a sub-workflow hands it to another that counts it.
const COUNT: &str = "name: count\ninput_schema: {type: object}\nsteps:\n  - id: count\n    task: count\n    queue: blobs\n    \
    input: {report: input.report}\noutput: {bytes: steps.count.bytes, report: input.report}\n";
const LARGE: &str = "name: large\nsteps:\n  - id: make\n    task: make\n    queue: blobs\n    input: {size: input.size}\n  \
    - id: count\n    needs: [make]\n    workflow: count\n    input: {report: steps.make.report}\n\
    output: {bytes: steps.count.bytes, report: steps.count.report, size: steps.make.report.size}\n";

fn large(size: usize) -> Vec<u8> {
    (0..size).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect()
}

async fn make(api: Api, task: Task) -> Result<Value, Failure> {
    let size = task.input::<Value>()?["size"].as_u64().unwrap_or(0);
    let mut report = api.upload(large(usize::try_from(size).unwrap()), "application/x-report").await?;
    if size == 1 {
        report.document = format!("documents/{}", "0".repeat(64));
    }
    if size == 2 {
        report.size = 3;
    }
    Ok(json!({ "report": report }))
}

async fn count(api: Api, task: Task) -> Result<Value, Failure> {
    let report: Blob = serde_json::from_value(task.input::<Value>()?["report"].clone())?;
    Ok(json!({"bytes": api.download(&report).await?.len()}))
}

#[tokio::test(flavor = "multi_thread")]
async fn large_results_go_by_reference_from_step_to_step() {
    let dir = tempfile::tempdir().unwrap();
    let (platform, token) = crate::workers::platform(dir.path()).await;
    for source in [COUNT, LARGE] {
        let definition = RegisterDefinitionRequest { source: source.to_owned(), validate_only: false };
        let (request, _) = platform.client().request(definition, None);
        platform.client().workflows().register_definition(request).await.expect("the definition");
    }
    let api = Api::connect(&platform.url, &token).await.expect("a client");
    let worker = Worker::new(api.clone()).queue("blobs").concurrency(4);
    let (one, two) = (api.clone(), api.clone());
    let worker = worker.handler("make", move |task| make(one.clone(), task));
    let worker = worker.handler("count", move |task| count(two.clone(), task));
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(worker.run(async move { drop(stopped.await) }));

    let size = 3_000_000;
    let done = api.start("large").input(&json!({ "size": size })).wait(PATIENCE).send().await.unwrap();
    assert_eq!(done.status(), ExecutionStatus::Completed, "{done:?}");
    let result: Value = output(&done).unwrap();
    assert_eq!((&result["bytes"], &result["size"]), (&json!(size), &json!(size)));
    let report: Blob = serde_json::from_value(result["report"].clone()).unwrap();
    assert_eq!(api.download(&report).await.unwrap(), large(size));
    // Named by an execution, it stays; what nobody named goes some day.
    let expires = async |name: &str| {
        let request = GetDocumentRequest { name: name.to_owned() };
        api.documents().get_document(request).await.unwrap().into_inner().expire_time
    };
    eventually(PATIENCE, async || match expires(&report.document).await {
        None => Ok(()),
        Some(time) => Err(format!("it goes at {time:?}")),
    })
    .await;
    let forgotten = api.upload(&b"nobody asks for this"[..], "text/plain").await.unwrap();
    assert!(expires(&forgotten.document).await.is_some());

    // What is not there, or is something else, is an incident that says so.
    for (size, part) in [(1, "there is no documents/0000"), (2, "has 2 bytes, not 3")] {
        let started = api.start("large").input(&json!({ "size": size })).send().await.unwrap();
        let admin = platform.client();
        let step = eventually(PATIENCE, async || {
            let (request, _) = admin.request(GetExecutionRequest { name: started.name.clone() }, None);
            let execution = admin.workflows().get_execution(request).await.unwrap().into_inner();
            let step = execution.steps[0].clone();
            if step.status() == StepStatus::Failed { Ok(step) } else { Err(step) }
        })
        .await;
        assert!(step.error.contains(part), "{step:?}");
    }
    let wrong = json!({"size": {"$blob": "documents/none", "size": 1}});
    let refused = api.start("large").input(&wrong).send().await.unwrap_err();
    assert_eq!(refused.code().as_deref(), Some("ORC-0001"));
    assert!(refused.to_string().contains("/size: `$blob` is for references"), "{refused}");
    let gone = json!({"size": {"$blob": format!("documents/{}", "1".repeat(64)), "size": 1}});
    let refused = api.start("large").input(&gone).send().await.unwrap_err();
    assert!(refused.to_string().contains("upload it first"), "{refused}");

    stop.send(()).expect("the worker runs");
    running.await.unwrap().expect("it was not refused");
    platform.stop().await;
}
