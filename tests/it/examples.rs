//! Every example of the API documentation, sent to a running platform as it is
//! printed there: the curl lines by a shell, the ids in them replaced by those of
//! things that exist.

use probity_cli::kind::Kind;
use probity_cli::samples::{Set, Sizes};
use probity_testkit::eventually;
use probity_tests::Embedded;
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

/// A workflow with one step, `screen`, that waits for a worker.
const SCREENING: &str = include_str!("../../clients/python/examples/screening.yaml");
/// The same step as a call that cannot succeed, so that it becomes an incident.
const FAILING: &str = "name: failing\nsteps:\n  - id: screen\n    \
    call: probity.spam.v1.SpamService/Classify\n    input: {documents: input.documents}\n    retry: never\n";
/// The same step as a question to a person.
const ASKING: &str = "name: asking\nsteps:\n  - id: screen\n    wait:\n      approval:\n        reason: \"'Who decides?'\"\n        required: \"1\"\n";
/// The same step as a wait for a signal.
const SIGNALLED: &str =
    "name: signalled\nsteps:\n  - id: screen\n    wait: {signal: released, timeout: 1d}\n";
/// A row of a watchlist.
const LISTED: &str = "36,\"ACME SHELL TRADING\",-0- ,\"CUBA\",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- \n";

/// What stands in the examples for something that exists.
const CASE: &str = "case_01a1fd0700ff74d588c386b22dc28ceb";
const EXECUTION: &str = "exec_01a1fd0700ff74d588c386b22dc28cec";
const FINDING: &str = "find_01a1fd0700ff74d588c386b22dc28ced";
const TASK: &str = "task_01a1fd0700ff74d588c386b22dc28cee";
const SCHEDULE: &str = "schedules/nightly";
const DOCUMENT: &str = "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9";

/// Examples whose answer is the documented refusal, because of the state that
/// what they speak of is in.
const REFUSED: [(&str, u16); 3] = [
    ("ExecutionService_ResumeExecution", 409),
    ("TaskService_RetryTask", 409),
    ("TaskService_RetryTask2", 409),
];

/// A platform with something of everything.
struct Stand {
    url: String,
    token: String,
    tender: String,
    listed: String,
    made: u32,
}

impl Stand {
    async fn new(platform: &Embedded) -> Self {
        let token = std::fs::read_to_string(platform.dir.join("token")).expect("the token");
        let mut stand = Self {
            url: platform.url.clone(),
            token: token.trim().to_owned(),
            tender: String::new(),
            listed: String::new(),
            made: 0,
        };
        let set = Set::new(7, Sizes::default());
        let item = set.items().find(|item| item.kind() == Kind::Tender && !item.expected().is_clean());
        let item = item.expect("a tender with something in it");
        stand.tender = stand.upload("application/json", item.bytes());
        stand.listed = stand.upload("text/csv", LISTED.as_bytes());
        for source in [SCREENING, FAILING, ASKING, SIGNALLED] {
            stand.call("POST", "/v1/definitions", &json!({"source": source}));
        }
        stand
    }

    /// Runs a line of the documentation: the status and the body.
    fn shell(&self, line: &str) -> (u16, String) {
        let line = format!("{line} --max-time 20 -w '\\n%{{http_code}}'");
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]).env("PROBITY_URL", &self.url).env("PROBITY_TOKEN", &self.token);
        let text = String::from_utf8_lossy(&shell.output().expect("a shell").stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').unwrap_or_else(|| panic!("{line}: {text}"));
        (status.parse().unwrap_or_default(), body.to_owned())
    }

    fn call(&mut self, http: &str, path: &str, body: &Value) -> Value {
        self.made += 1;
        let line = format!(
            "curl -sS -X {http} \"$PROBITY_URL\"'{path}' -H \"Authorization: Bearer $PROBITY_TOKEN\" \
             -H 'Content-Type: application/json' -H 'Idempotency-Key: made-{}' -d '{}'",
            self.made,
            body.to_string().replace('\'', r"'\''"),
        );
        let line =
            if http == "GET" { line.split(" -d ").next().unwrap_or_default().to_owned() } else { line };
        let (status, text) = self.shell(&line);
        assert_eq!(status, 200, "{http} {path} {body}: {text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// The id of a new document.
    fn upload(&self, kind: &str, bytes: &[u8]) -> String {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("document");
        std::fs::write(&file, bytes).expect("a file");
        let (status, text) = self.shell(&format!(
            "curl -sS -X POST \"$PROBITY_URL\"'/v1/documents?mediaType={kind}' \
             -H \"Authorization: Bearer $PROBITY_TOKEN\" --data-binary @{}",
            file.display()
        ));
        assert_eq!(status, 200, "{text}");
        let document: Value = serde_json::from_str(&text).expect("JSON");
        last(&document["name"])
    }

    fn start(&mut self, definition: &str) -> String {
        let input = json!({"supplier": "Acme", "documents": [format!("documents/{}", "0".repeat(64))]});
        let body = json!({"definition": format!("definitions/{definition}"), "input": input});
        last(&self.call("POST", "/v1/executions", &body)["name"])
    }

    /// A case that waits for a person, and one of its findings.
    async fn case(&mut self) -> (String, String) {
        let body = json!({"kind": "CASE_KIND_TENDER", "documents": [format!("documents/{}", self.tender)]});
        let case = last(&self.call("POST", "/v1/cases", &body)["name"]);
        let path = format!("/v1/cases/{case}");
        eventually(Duration::from_secs(30), async || {
            let (_, text) = self.get(&path);
            if text.contains("WAIT_KIND_APPROVAL") { Ok(()) } else { Err(text) }
        })
        .await;
        let (_, findings) = self.get(&format!("{path}/findings"));
        let findings: Value = serde_json::from_str(&findings).expect("JSON");
        (case, last(&findings["findings"][0]["name"]))
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.shell(&format!("curl -sS \"$PROBITY_URL\"'{path}' -H \"Authorization: Bearer $PROBITY_TOKEN\""))
    }

    /// An execution in the state the operation is about.
    async fn execution(&mut self, operation: &str) -> String {
        let failing = ["RetryStep", "SkipStep", "EditStepInput", "DeadLetter"];
        if failing.iter().any(|part| operation.contains(part)) {
            let id = self.start("failing");
            let path = format!("/v1/executions/{id}");
            eventually(Duration::from_secs(30), async || {
                let (_, text) = self.get(&path);
                if text.contains("WAIT_KIND_INCIDENT") { Ok(()) } else { Err(text) }
            })
            .await;
            return id;
        }
        let asking = operation.ends_with("DecideExecution") || operation.ends_with("DelegateApproval");
        let signalled = operation.ends_with("SignalExecution");
        self.start(if asking {
            "asking"
        } else if signalled {
            "signalled"
        } else {
            "screening"
        })
    }

    /// The line with the ids of what exists.
    async fn real(&mut self, operation: &str, line: &str) -> String {
        let mut line = line.to_owned();
        if line.contains(CASE) || line.contains(FINDING) {
            let (case, finding) = self.case().await;
            line = line.replace(CASE, &case).replace(FINDING, &finding);
        }
        if line.contains(EXECUTION) {
            line = line.replace(EXECUTION, &self.execution(operation).await);
        }
        if line.contains(TASK) {
            let task = self.call("POST", "/v1/tasks", &json!({"type": "screen", "queue": "screening"}));
            line = line.replace(TASK, &last(&task["name"]));
        }
        if line.contains(SCHEDULE) {
            self.made += 1;
            let id = format!("made-{}", self.made);
            let body = json!({"definition": "definitions/screening", "timing": "0 6 * * MON"});
            self.call("POST", &format!("/v1/schedules?scheduleId={id}"), &body);
            line = line.replace(SCHEDULE, &format!("schedules/{id}"));
        }
        let document = if operation.ends_with("ImportWatchlist") { &self.listed } else { &self.tender };
        line.replace(DOCUMENT, document)
    }
}

/// The last part of a name.
fn last(name: &Value) -> String {
    name.as_str().and_then(|name| name.rsplit('/').next()).unwrap_or_default().to_owned()
}

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
    let (_, text) = stand.get("/api/openapi.json");
    let document: Value = serde_json::from_str(&text).expect("the document");
    let (mut sent, mut wrong) = (0, Vec::new());
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (verb, operation) in item.as_object().expect("an item") {
            let id = operation["operationId"].as_str().expect("an id");
            let line = operation["x-codeSamples"][0]["source"].as_str().expect("a line");
            let line = stand.real(id, line).await;
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
