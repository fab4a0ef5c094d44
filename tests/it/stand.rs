//! A platform with something of everything, for tests that name things.

use probity_cli::kind::Kind;
use probity_cli::samples::{Set, Sizes};
use probity_testkit::eventually;
use probity_tests::Embedded;
use serde_json::{Value, json};
use std::collections::BTreeMap;
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

/// The password of the examples.
const PASSWORD: &str = "correct horse battery staple";

/// What stands in the examples for something that exists.
const CASE: &str = "case_01a1fd0700ff74d588c386b22dc28ceb";
const EXECUTION: &str = "exec_01a1fd0700ff74d588c386b22dc28cec";
const FINDING: &str = "find_01a1fd0700ff74d588c386b22dc28ced";
const TASK: &str = "task_01a1fd0700ff74d588c386b22dc28cee";
const SCHEDULE: &str = "schedules/nightly";
const DOCUMENT: &str = "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9";

/// A platform with something of everything.
pub(crate) struct Stand {
    url: String,
    token: String,
    tender: String,
    listed: String,
    made: u32,
}

impl Stand {
    pub(crate) async fn new(platform: &Embedded) -> Self {
        let token = std::fs::read_to_string(platform.dir.join("token")).expect("the token");
        Self::with(platform, token.trim().to_owned()).await
    }

    /// The same for an administrator of another tenant.
    pub(crate) async fn of(platform: &Embedded, tenant: &str) -> Self {
        let home = Self::new(platform).await;
        let body = json!({"actor": "users/boss", "roles": ["ROLE_ADMIN"], "tenant": tenant});
        let line = format!(
            "curl -sS -X POST \"$PROBITY_URL\"'/v1/tokens' -H \"Authorization: Bearer $PROBITY_TOKEN\" \
             -H 'Content-Type: application/json' -d '{body}'"
        );
        let (status, text) = home.shell(&line);
        assert_eq!(status, 200, "{text}");
        let issued: Value = serde_json::from_str(&text).expect("JSON");
        Self::with(platform, issued["token"].as_str().expect("a token").to_owned()).await
    }

    /// The token of its administrator.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    async fn with(platform: &Embedded, token: String) -> Self {
        let mut stand =
            Self { url: platform.url.clone(), token, tender: String::new(), listed: String::new(), made: 0 };
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
    pub(crate) fn shell(&self, line: &str) -> (u16, String) {
        let line = format!("{line} --max-time 20 -w '\\n%{{http_code}}'");
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]).env("PROBITY_URL", &self.url).env("PROBITY_TOKEN", &self.token);
        let text = String::from_utf8_lossy(&shell.output().expect("a shell").stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').unwrap_or_else(|| panic!("{line}: {text}"));
        (status.parse().unwrap_or_default(), body.to_owned())
    }

    pub(crate) fn call(&mut self, http: &str, path: &str, body: &Value) -> Value {
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

    /// The accounts that the examples speak of.
    pub(crate) fn accounts(&mut self) {
        for name in ["users/olga", "users/admin", "service-accounts/erp"] {
            let account = json!({"name": name, "roles": ["ROLE_ADMIN"]});
            self.call("POST", "/v1/accounts", &json!({"account": account, "password": PASSWORD}));
        }
    }

    fn start(&mut self, definition: &str) -> String {
        let input = json!({"supplier": "Acme", "documents": [format!("documents/{}", "0".repeat(64))]});
        let body = json!({"definition": format!("definitions/{definition}"), "input": input});
        last(&self.call("POST", "/v1/executions", &body)["name"])
    }

    /// A case that waits for a person, and one of its findings.
    pub(crate) async fn case(&mut self) -> (String, String) {
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

    /// Waits until what happened to a case is in the audit log too.
    async fn logged(&self, case: &str) {
        let path = format!("/v1/cases/{case}/receipt");
        eventually(Duration::from_secs(30), async || match self.get(&path) {
            (200, _) => Ok(()),
            (_, text) => Err(text),
        })
        .await;
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.shell(&format!("curl -sS \"$PROBITY_URL\"'{path}' -H \"Authorization: Bearer $PROBITY_TOKEN\""))
    }

    /// An execution in the state the operation is about.
    pub(crate) async fn execution(&mut self, operation: &str) -> String {
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
    pub(crate) async fn with_real_ids(&mut self, operation: &str, line: &str) -> String {
        let mut line = line.to_owned();
        if line.contains(CASE) || line.contains(FINDING) {
            let (case, finding) = self.case().await;
            if operation.ends_with("GetReceipt") {
                self.logged(&case).await;
            }
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
        if operation.contains("RefreshSession") || operation.contains("Logout") {
            let body = json!({"actor": "users/olga", "password": PASSWORD});
            let session = self.call("POST", "/v1/sessions:login", &body);
            line = line.replace("refresh_token", session["refreshToken"].as_str().expect("a token"));
        }
        let document = if operation.ends_with("ImportWatchlist") { &self.listed } else { &self.tender };
        line.replace(DOCUMENT, document)
    }
}

/// The last part of a name.
pub(crate) fn last(name: &Value) -> String {
    name.as_str().and_then(|name| name.rsplit('/').next()).unwrap_or_default().to_owned()
}

/// One of each kind of thing, made in one tenant.
pub(crate) struct Real(BTreeMap<&'static str, String>);

/// What stands in examples for a name, and whether it may exist.
const NAMES: [(&str, &str); 11] = [
    ("findings", FINDING),
    ("cases", CASE),
    ("deadLetters", "exec_01a1fd0700ff74d588c386b22dc28cec.screen"),
    ("executions", EXECUTION),
    ("tasks", TASK),
    ("documents", DOCUMENT),
    ("schedules", "nightly"),
    ("definitions", "screening"),
    ("queues", "screening"),
    ("users", "olga"),
    ("policies", "procurement"),
];

impl Stand {
    /// Makes one of each; what people name is named after `label`.
    pub(crate) async fn real(&mut self, label: &str) -> Real {
        let (case, finding) = self.case().await;
        let failed = self.execution("DeadLetter").await;
        let asking = self.execution("DecideExecution").await;
        let task = self.call("POST", "/v1/tasks", &json!({"type": "screen", "queue": label}));
        let timing = json!({"definition": "definitions/screening", "timing": "0 6 * * MON"});
        self.call("POST", &format!("/v1/schedules?scheduleId={label}"), &timing);
        let source = SIGNALLED.replace("name: signalled", &format!("name: {label}"));
        self.call("POST", "/v1/definitions", &json!({"source": source}));
        self.call("PATCH", &format!("/v1/queues/{label}"), &json!({"maxRunning": 3}));
        let account = json!({"name": format!("users/{label}"), "roles": ["ROLE_OFFICER"]});
        let body = json!({"account": account, "password": format!("the horse of {}", "abcdefgh")});
        self.call("POST", "/v1/accounts", &body);
        let rule = "review contains {\"rule\": \"never\", \"message\": finding.explanation} if {\n\t\
                    some finding in input.findings\n\tfinding.rule == \"never\"\n}";
        let source = format!("package {label}\n\n{rule}\n");
        let policy = json!({"policy": label, "source": source, "kinds": ["CASE_KIND_REPORT"]});
        self.call("POST", "/v1/policies:publish", &policy);
        // equal bytes have one name in every tenant that has them
        let document = self.upload("text/plain", format!("only {label} has this").as_bytes());
        Real(BTreeMap::from([
            ("findings", finding),
            ("cases", case),
            ("deadLetters", format!("{failed}.screen")),
            ("executions", asking),
            ("tasks", last(&task["name"])),
            ("documents", document),
            ("schedules", label.to_owned()),
            ("definitions", label.to_owned()),
            ("queues", label.to_owned()),
            ("users", label.to_owned()),
            ("policies", label.to_owned()),
        ]))
    }
}

impl Real {
    /// The collections there is something of, the innermost first.
    pub(crate) fn collections(&self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(collection, _)| *collection)
    }

    /// The name of what is there.
    pub(crate) fn name(&self, collection: &str) -> String {
        let id = &self.0[collection];
        if collection == "findings" {
            format!("cases/{}/findings/{id}", self.0["cases"])
        } else {
            format!("{collection}/{id}")
        }
    }

    /// A name of the same form that belongs to nothing.
    pub(crate) fn missing(&self, collection: &str) -> String {
        let example = NAMES.iter().find(|(known, _)| *known == collection).expect("a collection").1;
        // those with an id of their own are in nobody's hands; names that people choose are
        let id = if example.len() > 20 { example } else { "nothing" };
        if collection == "findings" {
            format!("cases/{CASE}/findings/{id}")
        } else {
            format!("{collection}/{id}")
        }
    }

    /// The last part of a name.
    pub(crate) fn id(name: &str) -> String {
        name.rsplit('/').next().unwrap_or_default().to_owned()
    }

    /// A request of the documentation with the ids of what is there.
    pub(crate) fn in_place_of_examples(&self, example: &Value) -> Value {
        let mut text = example.to_string().replace("service-accounts/erp", "users/olga");
        for (collection, id) in NAMES {
            let (from, to) = (format!("{collection}/{id}"), format!("{collection}/{}", self.0[collection]));
            text = text.replace(&from, &to);
        }
        serde_json::from_str(&text).expect("JSON")
    }

    /// Whether a text shows an id of what is there.
    pub(crate) fn shows(&self, text: &str) -> bool {
        self.0.values().filter(|id| id.len() > 20).any(|id| text.contains(id.as_str()))
    }

    /// Everything as its owner sees it, without the figures of queues, which move.
    pub(crate) fn look(&self, stand: &Stand) -> Vec<Value> {
        let plain = self.collections().filter(|collection| *collection != "findings");
        let looks = plain.map(|collection| stand.get(&format!("/v1/{}", self.name(collection))));
        looks
            .map(|(status, text)| {
                assert_eq!(status, 200, "{text}");
                let mut value: Value = serde_json::from_str(&text).expect("JSON");
                value.as_object_mut().map(|fields| fields.remove("figures"));
                value
            })
            .collect()
    }
}
