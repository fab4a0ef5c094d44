//! Every definition that is shipped, from end to end on a running platform: what is
//! clean resolves by itself, what has something in it goes to people, whose decision
//! is the verdict, what cannot be read fails with the reason, and the log proves it
//! offline.

use crate::consumers::at_work;
use probity_cli::client::Client;
use probity_cli::kind::Kind;
use probity_cli::proof;
use probity_cli::samples::{Item, Set, Sizes};
use probity_client::Worker;
use probity_proto::anticorruption::ListFindingsRequest;
use probity_proto::audit::GetReceiptRequest;
use probity_proto::common::Role;
use probity_proto::gateway::IssueTokenRequest;
use probity_proto::intake::UploadDocumentRequest;
use probity_proto::orchestrator::{
    Case, CaseState, CloseCaseRequest, Disposition, EnqueueTaskRequest, GetCaseRequest, GetExecutionRequest,
    GetTaskRequest, ListDefinitionsRequest, OpenCaseRequest, Outcome, TaskRetry, TaskState, WaitKind,
};
use probity_testkit::eventually;
use probity_tests::Embedded;
use probity_tests::load::settle;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A definition of cases, and what becomes of a spam message under it.
struct Shipped {
    kind: Kind,
    spam: Option<Outcome>,
    /// Bytes that are no document of the kind.
    unreadable: &'static [u8],
}

const fn shipped(kind: Kind, spam: Option<Outcome>, unreadable: &'static [u8]) -> Shipped {
    Shipped { kind, spam, unreadable }
}

/// A running platform and its administrator.
struct Office {
    platform: Embedded,
    client: Client,
}

impl Office {
    async fn open(dir: &std::path::Path) -> Self {
        let platform = Embedded::start(dir).await;
        let client = platform.client();
        Self { platform, client }
    }

    /// Somebody else who may decide.
    async fn officer(&self, name: &str) -> Client {
        let request = IssueTokenRequest {
            actor: format!("users/{name}"),
            roles: vec![Role::Officer as i32],
            ..IssueTokenRequest::default()
        };
        let (request, _) = self.client.request(request, None);
        let issued = self.client.gateway().issue_token(request).await.expect("a token").into_inner();
        Client::with_token(&self.platform.url, &issued.token, PATIENCE).expect("a client")
    }

    /// Opens a case of these bytes and follows it until nothing moves by itself.
    async fn case(&self, kind: Kind, filename: &str, bytes: &[u8]) -> Case {
        let piece = UploadDocumentRequest {
            media_type: kind.media_type(filename).to_owned(),
            filename: filename.to_owned(),
            data: bytes.to_vec().into(),
            ..UploadDocumentRequest::default()
        };
        let (upload, _) = self.client.request(futures::stream::iter([piece]), None);
        let document = self.client.documents().upload_document(upload).await.expect("uploaded").into_inner();
        let request = OpenCaseRequest {
            kind: kind.proto() as i32,
            documents: vec![document.name],
            ..OpenCaseRequest::default()
        };
        let (request, _) = self.client.request(request, None);
        let name = self.client.cases().open_case(request).await.expect("opened").into_inner().name;
        self.settled(&name).await
    }

    async fn settled(&self, name: &str) -> Case {
        let mut cases = settle(&self.client, &[name.to_owned()], PATIENCE).await;
        cases.remove(name).expect("the case")
    }

    async fn definition_of(&self, case: &Case) -> String {
        let (request, _) = self.client.request(GetExecutionRequest { name: case.execution.clone() }, None);
        let execution = self.client.workflows().get_execution(request).await.expect("it").into_inner();
        execution.definition
    }

    /// The rules that raised a finding.
    async fn rules(&self, case: &Case) -> Vec<String> {
        let request =
            ListFindingsRequest { parent: case.name.clone(), page_size: 1_000, ..Default::default() };
        let (request, _) = self.client.request(request, None);
        let listed = self.client.findings().list_findings(request).await.expect("findings").into_inner();
        listed.findings.into_iter().map(|finding| finding.rule).collect()
    }

    /// As many officers as must agree say that it is so.
    async fn confirm(&self, case: &Case) -> (Case, Vec<String>) {
        let required = case.waiting.as_ref().map_or(0, |waiting| waiting.required);
        let mut deciders = Vec::new();
        for number in 0..required {
            let name = format!("officer-{number}");
            let officer = self.officer(&name).await;
            let close = CloseCaseRequest {
                name: case.name.clone(),
                disposition: Disposition::Confirmed as i32,
                note: "seen in the files".to_owned(),
            };
            let (close, _) = officer.request(close, None);
            officer.cases().close_case(close).await.expect("decided");
            deciders.push(format!("users/{name}"));
        }
        let decided = eventually(PATIENCE, async || {
            let (request, _) = self.client.request(GetCaseRequest { name: case.name.clone() }, None);
            let case = self.client.cases().get_case(request).await.map_err(|s| s.to_string())?.into_inner();
            if case.end_time.is_some() { Ok(case) } else { Err(format!("{case:?}")) }
        });
        (decided.await, deciders)
    }

    /// The actions of the log about a case, from a receipt that was verified offline.
    async fn proved(&self, case: &Case, last: &str) -> Vec<String> {
        eventually(PATIENCE, async || {
            let (request, _) = self.client.request(GetReceiptRequest { name: case.name.clone() }, None);
            let answer = self.client.audit().get_receipt(request).await.map_err(|s| s.to_string())?;
            let proved = proof::verify(answer.into_inner().receipt.as_bytes(), None);
            let entries = proved.expect("a receipt that holds").entries.into_iter();
            let actions: Vec<_> = entries.map(|(_, entry)| entry.action).collect();
            if actions.iter().any(|action| action == last) {
                Ok(actions)
            } else {
                Err(format!("{actions:?}"))
            }
        })
        .await
    }
}

fn item(kind: Kind, wanted: impl Fn(&Item) -> bool) -> Item {
    let set = Set::new(7, Sizes::default());
    let found = set.items().find(|item| item.kind() == kind && wanted(item));
    found.expect("the set has one")
}

fn outcome(case: &Case) -> Outcome {
    case.verdict.as_ref().map_or(Outcome::Unspecified, probity_proto::orchestrator::Verdict::outcome)
}

/// A case of each sort there is of a kind, from the upload to the proof.
async fn runs(Shipped { kind, spam, unreadable }: Shipped) {
    let dir = tempfile::tempdir().unwrap();
    let office = Office::open(dir.path()).await;
    let name = format!("definitions/{kind}");

    let clean = item(kind, |item| item.expected().is_clean());
    let case = office.case(kind, clean.filename(), clean.bytes()).await;
    assert_eq!((case.state(), outcome(&case)), (CaseState::Resolved, Outcome::Clear), "{case:?}");
    assert_eq!(case.verdict.as_ref().unwrap().decided_by, [name.as_str()], "by itself");
    let by = office.definition_of(&case).await;
    assert!(by.starts_with(&name), "{by}");
    assert!(office.proved(&case, "execution.ended").await.contains(&"case.opened".to_owned()));

    // No message of the set is corrupt without being spam, no report is spam: each
    // borrows the text of the other.
    let text = if kind == Kind::Message { Kind::Report } else { kind };
    let planted = item(text, |item| !item.expected().rules.is_empty());
    let case = office.case(kind, planted.filename(), planted.bytes()).await;
    let found = office.rules(&case).await;
    let missed: Vec<_> =
        planted.expected().rules.iter().filter(|rule| !found.iter().any(|f| f == *rule)).collect();
    assert!(missed.is_empty(), "{missed:?} of {}: {found:?}", planted.filename());
    let waiting = case.waiting.as_ref().expect("a person is asked");
    assert_eq!((case.state(), waiting.kind()), (CaseState::Remediating, WaitKind::Approval), "{case:?}");
    let (decided, deciders) = office.confirm(&case).await;
    assert_eq!((decided.state(), outcome(&decided)), (CaseState::Resolved, Outcome::Confirmed));
    assert_eq!(decided.verdict.as_ref().unwrap().decided_by, deciders);
    let log = office.proved(&case, "execution.ended").await;
    assert_eq!(log.iter().filter(|action| *action == "approval.given").count(), deciders.len(), "{log:?}");

    if let Some(expected) = spam {
        let junk = item(Kind::Message, |item| item.expected().spam == Some(true));
        let case = office.case(kind, junk.filename(), junk.bytes()).await;
        assert_eq!(outcome(&case), expected, "{case:?}");
        let asked = case.waiting.as_ref().is_some_and(|waiting| waiting.kind() == WaitKind::Approval);
        assert_eq!(asked, expected == Outcome::Unspecified, "a person reads what is not closed: {case:?}");
    }

    let case = office.case(kind, clean.filename(), unreadable).await;
    assert_eq!(case.state(), CaseState::Failed, "{case:?}");
    let reasons = case.verdict.unwrap().reasons;
    assert!(reasons[0].starts_with("the documents cannot be used: "), "{reasons:?}");
    office.platform.stop().await;
}

/// A task of its own with that retry policy, done by a worker.
async fn done(definition: &str, retry: TaskRetry) {
    let dir = tempfile::tempdir().unwrap();
    let office = Office::open(dir.path()).await;
    let token = std::fs::read_to_string(dir.path().join("token")).unwrap();
    let api = probity_client::Client::connect(&office.platform.url, token.trim()).await.expect("a client");
    let worker = Worker::new(api).queue("scans").handler("scan", |task: probity_client::Task| async move {
        let pages = task.input::<Value>()?["pages"].as_u64().unwrap_or_default();
        Ok(json!({"read": pages * 2}))
    });
    let (stop, running) = at_work(worker);
    let request = EnqueueTaskRequest {
        r#type: "scan".to_owned(),
        queue: "scans".to_owned(),
        payload: json!({"pages": 21}).to_string().into(),
        retry: retry as i32,
        ..EnqueueTaskRequest::default()
    };
    let (request, _) = office.client.request(request, None);
    let task = office.client.tasks().enqueue_task(request).await.expect("in its queue").into_inner();
    let ended = eventually(PATIENCE, async || {
        let (request, _) = office.client.request(GetTaskRequest { name: task.name.clone() }, None);
        let task = office.client.tasks().get_task(request).await.map_err(|s| s.to_string())?.into_inner();
        if task.state() == TaskState::Completed { Ok(task) } else { Err(format!("{task:?}")) }
    })
    .await;
    assert_eq!(serde_json::from_slice::<Value>(&ended.output).unwrap(), json!({"read": 42}));
    let (request, _) = office.client.request(GetExecutionRequest { name: ended.execution }, None);
    let execution = office.client.workflows().get_execution(request).await.unwrap().into_inner();
    assert!(execution.definition.starts_with(&format!("definitions/{definition}")), "{execution:?}");
    stop.send(()).unwrap();
    running.await.unwrap();
    office.platform.stop().await;
}

macro_rules! definitions {
    ($($test:ident $name:literal => $run:expr;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                $run.await;
            }
        )*

        /// The definitions that are tried here.
        const TRIED: &[&str] = &[$($name),*];
    };
}

/// What a new platform lists is tried, and so is each file there is, and a task of each
/// retry policy of the contract.
#[tokio::test(flavor = "multi_thread")]
async fn no_shipped_definition_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let office = Office::open(dir.path()).await;
    let (request, _) = office.client.request(ListDefinitionsRequest {}, None);
    let listed = office.client.workflows().list_definitions(request).await.unwrap().into_inner();
    let listed = listed.definitions.into_iter().map(|d| d.name.trim_start_matches("definitions/").to_owned());
    let files = concat!(env!("CARGO_MANIFEST_DIR"), "/../services/orchestrator/definitions");
    let files = std::fs::read_dir(files).expect("the definitions").map(|file| file.unwrap().path());
    let files = files.filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned()));
    let shipped: BTreeSet<_> = listed.chain(files).collect();
    assert!(shipped.len() >= 5, "{shipped:?}");
    let forgotten: Vec<_> = shipped.iter().filter(|name| !TRIED.contains(&name.as_str())).collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
    let policies = (1..).map_while(|number| TaskRetry::try_from(number).ok()).count();
    assert_eq!(TRIED.iter().filter(|name| name.starts_with("task")).count(), policies);
    office.platform.stop().await;
}

definitions! {
    a_tender "tender" => runs(shipped(Kind::Tender, None, b"{\"releases\": ["));
    a_payment "payment" => runs(shipped(Kind::Payment, None, b"\0\x01\xff\xfe\0"));
    a_message "message" => runs(shipped(Kind::Message, Some(Outcome::Spam), b"\0\x01\xff\xfe\0"));
    a_report "report" => runs(shipped(Kind::Report, Some(Outcome::Unspecified), b"\0\x01\xff\xfe\0"));
    a_task "task" => done("task", TaskRetry::Standard);
    a_task_that_hurries "task-quick" => done("task-quick", TaskRetry::Quick);
    a_task_that_insists "task-aggressive" => done("task-aggressive", TaskRetry::Aggressive);
    a_task_for_a_peer_with_limits "task-rate-limited" => done("task-rate-limited", TaskRetry::RateLimited);
    a_task_of_one_attempt "task-never" => done("task-never", TaskRetry::Never);
}
