//! Every example of the API documentation, sent to a running platform as it is
//! printed there: the curl lines by a shell, the ids in them replaced by those of
//! things that exist.

use crate::stand::{Stand, last};
use probity_tests::Embedded;
use serde_json::{Value, json};
use std::process::Command;

/// Examples whose answer is the documented refusal, because of the state that
/// what they speak of is in.
const REFUSED: [(&str, u16); 3] = [
    ("ExecutionService_ResumeExecution", 409),
    ("TaskService_RetryTask", 409),
    ("TaskService_RetryTask2", 409),
];

/// A workflow without anything to wait for.
const QUICK: &str = "name: quick\nsteps:\n  - id: nap\n    wait: {timer: 10ms}\noutput: {echo: input.word}\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_is_made_then_executed_and_its_tasks_are_retried() {
    let dir = tempfile::tempdir().unwrap();
    let platform = Embedded::start(dir.path()).await;
    let mut stand = Stand::new(&platform).await;
    stand.call("POST", "/v1/definitions", &json!({"source": QUICK}));
    let body = json!({"definition": "definitions/quick", "input": {"word": "echo"}});
    let made = stand.call("POST", "/workflows/create", &body);
    assert_eq!(
        (&made["paused"], &made["status"]),
        (&json!(true), &json!("EXECUTION_STATUS_WAITING")),
        "{made}"
    );
    let id = last(&made["name"]);
    let before = stand.call("GET", &format!("/workflows/{id}"), &json!({}));
    assert_eq!((&before["name"], &before["paused"]), (&made["name"], &json!(true)));
    let execute = format!(
        "curl -sS -X POST \"$PROBITY_URL\"'/workflows/{id}/execute?wait=30s' -H \"Authorization: Bearer $PROBITY_TOKEN\""
    );
    for _ in 0..2 {
        let (status, text) = stand.shell(&execute);
        let ended: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((status, &ended["status"]), (200, &json!("EXECUTION_STATUS_COMPLETED")), "{text}");
        assert_eq!(ended["output"], json!({"echo": "echo"}));
    }
    let task = stand.call("POST", "/v1/tasks", &json!({"type": "screen", "queue": "screening"}));
    let queued = stand.call("GET", "/tasks/queue", &json!({}));
    assert_eq!(queued["tasks"][0]["name"], task["name"], "{queued}");
    let retry = format!(
        "curl -sS -X POST \"$PROBITY_URL\"'/{}/retry' -H \"Authorization: Bearer $PROBITY_TOKEN\"",
        task["name"].as_str().unwrap_or_default()
    );
    let (status, text) = stand.shell(&retry);
    assert_eq!(status, 409, "nothing has failed yet: {text}");
    platform.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_the_documentation_is_answered_as_it_says() {
    if !Command::new("curl").arg("--version").output().is_ok_and(|output| output.status.success()) {
        println!("every_example_of_the_documentation_is_answered_as_it_says SKIPPED: there is no curl");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let platform = Embedded::start(dir.path()).await;
    let mut stand = Stand::new(&platform).await;
    stand.accounts();
    let (_, text) = stand.get("/api/openapi.json");
    let document: Value = serde_json::from_str(&text).expect("the document");
    let (mut sent, mut wrong) = (0, Vec::new());
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (verb, operation) in item.as_object().expect("an item") {
            let id = operation["operationId"].as_str().expect("an id");
            let line = operation["x-codeSamples"][0]["source"].as_str().expect("a line");
            let line = stand.with_real_ids(id, line).await;
            let line = if id.contains("Watch") { format!("{line} --max-time 2") } else { line };
            let (status, body) = stand.shell(&line);
            sent += 1;
            let expected = REFUSED.iter().find(|(name, _)| *name == id).map_or(200, |(_, status)| *status);
            let documented = operation["responses"].get(status.to_string()).is_some();
            if status != expected || !documented {
                wrong.push(format!("{verb} {path} ({id}): {status} {body:.300}\n{line}\n"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {sent}:\n{}", wrong.len(), wrong.join("\n"));
    println!("{sent} examples answered as documented");
    platform.stop().await;
}
