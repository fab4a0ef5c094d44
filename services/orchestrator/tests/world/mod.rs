//! The orchestrator with peers of the test's own making.
#![allow(dead_code)] // each test file uses a part

use probity_orchestrator::Orchestrator;
use probity_proto::anticorruption::{InvestigateRequest, InvestigateResponse};
use probity_proto::common::{CaseKind, FindingSummary, Severity};
use probity_proto::compliance::{Decision, EvaluateRequest, EvaluateResponse, Reason};
use probity_proto::intake::{
    CheckDocumentsRequest, CheckDocumentsResponse, Document, HoldDocumentsRequest, HoldDocumentsResponse,
};
use probity_proto::orchestrator::case_service_client::CaseServiceClient;
use probity_proto::orchestrator::{Case, GetCaseRequest, ListHistoryRequest, OpenCaseRequest};
use probity_proto::spam::{Band, Classification, ClassifyRequest};
use probity_proto::{BoxGrpcService, audit};
use probity_runtime::testing::{Fake, Harness, ctx};
use probity_testkit::eventually;
use probity_types::Role;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tonic::Status;

const DOCUMENT: &str = "documents/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// What the peers of a test answer, and what they saw.
#[derive(Default)]
pub struct World {
    pub unacceptable: AtomicBool,
    /// Intake does not say whether documents are there.
    pub intake_down: AtomicBool,
    pub findings: AtomicU32,
    pub four_eyes: AtomicBool,
    pub spam: AtomicBool,
    /// Classify takes its time.
    pub slow: AtomicBool,
    /// By document: calls of Classify under way, the most at once, and all.
    pub classified: Mutex<BTreeMap<String, [u32; 3]>>,
    /// Calls of Investigate that fail before one is answered.
    pub investigate_down: AtomicU32,
    /// Investigate answers that it was asked wrongly.
    pub investigate_refuses: AtomicBool,
    pub investigated: Mutex<Vec<String>>,
    pub audited: Mutex<Vec<audit::Entry>>,
}

impl World {
    fn intake(self: &Arc<Self>) -> Fake {
        let (world, keeper) = (self.clone(), self.clone());
        let check = move |request: CheckDocumentsRequest, _: &_| {
            assert_eq!(request.documents, [DOCUMENT]);
            let bad = world.unacceptable.load(Ordering::SeqCst);
            let reason = if bad { "line 1: no JSON".to_owned() } else { String::new() };
            Ok(CheckDocumentsResponse { acceptable: !bad, reason, ..CheckDocumentsResponse::default() })
        };
        let hold = move |request: HoldDocumentsRequest, _: &_| {
            if keeper.intake_down.load(Ordering::SeqCst) {
                return Err(Status::unavailable("starting"));
            }
            let (there, missing): (Vec<_>, _) = request.names.into_iter().partition(|name| name == DOCUMENT);
            let documents = there.into_iter().map(|name| Document { name, ..Document::default() }).collect();
            Ok(HoldDocumentsResponse { documents, missing })
        };
        Fake::new()
            .on("/probity.intake.v1.IntakeService/CheckDocuments", check)
            .on("/probity.intake.v1.IntakeService/HoldDocuments", hold)
    }

    fn anti_corruption(self: &Arc<Self>) -> Fake {
        let world = self.clone();
        let path = "/probity.anticorruption.v1.AntiCorruptionService/Investigate";
        Fake::new().on(path, move |_: InvestigateRequest, headers| {
            let key = headers["idempotency-key"].to_str().unwrap().to_owned();
            world.investigated.lock().unwrap().push(key);
            if world.investigate_refuses.load(Ordering::SeqCst) {
                return Err(Status::invalid_argument("that is not a tender"));
            }
            if world.investigate_down.load(Ordering::SeqCst) > 0 {
                world.investigate_down.fetch_sub(1, Ordering::SeqCst);
                return Err(Status::unavailable("starting"));
            }
            let count = world.findings.load(Ordering::SeqCst);
            let one = FindingSummary {
                rule: "R018".into(),
                severity: Severity::High as i32,
                ..FindingSummary::default()
            };
            Ok(InvestigateResponse {
                finding_count: i64::from(count),
                findings: vec![one; count as usize],
                summary: format!("{count} findings"),
                ..InvestigateResponse::default()
            })
        })
    }

    fn spam(self: &Arc<Self>) -> Fake {
        let world = self.clone();
        Fake::new().on("/probity.spam.v1.SpamService/Classify", move |request: ClassifyRequest, _| {
            world.classify(&request.documents);
            let spam = world.spam.load(Ordering::SeqCst);
            Ok(Classification {
                probability: if spam { 0.99 } else { 0.01 },
                band: if spam { Band::Spam } else { Band::Ham } as i32,
                explanation: "the words say so".into(),
                ..Classification::default()
            })
        })
    }

    /// Counts who is there at once: of each document, and (as "") of all.
    fn classify(&self, documents: &[String]) {
        let about: Vec<&str> = documents.iter().map(String::as_str).chain([""]).collect();
        let mut counts = self.classified.lock().unwrap();
        for name in &about {
            let [now, most, all] = counts.entry((*name).to_owned()).or_default();
            (*now, *all) = (*now + 1, *all + 1);
            *most = (*most).max(*now);
        }
        drop(counts);
        if self.slow.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(4)); // the peer's work
        }
        let mut counts = self.classified.lock().unwrap();
        about.iter().for_each(|name| counts.get_mut(*name).unwrap()[0] -= 1);
    }

    fn compliance(self: &Arc<Self>) -> Fake {
        let world = self.clone();
        Fake::new().on(
            "/probity.compliance.v1.ComplianceService/Evaluate",
            move |request: EvaluateRequest, _| {
                let clean = request.finding_count == 0;
                let decision = if clean { Decision::Allow } else { Decision::Deny };
                let required = if world.four_eyes.load(Ordering::SeqCst) { 2 } else { 1 };
                let reason = Reason { message: "a single bid".into(), ..Reason::default() };
                Ok(EvaluateResponse {
                    decision: decision as i32,
                    reasons: if clean { vec![] } else { vec![reason] },
                    required_approvals: if clean { 0 } else { required },
                    actions: if clean { vec![] } else { vec!["notify".into(), "hold_payment".into()] },
                    summary: format!("{decision:?}"),
                    ..EvaluateResponse::default()
                })
            },
        )
    }

    fn audit(self: &Arc<Self>) -> Fake {
        let world = self.clone();
        Fake::new().on("/probity.audit.v1.AuditService/Append", move |request: audit::AppendRequest, _| {
            let count = i64::try_from(request.entries.len()).unwrap();
            world.audited.lock().unwrap().extend(request.entries);
            Ok(audit::AppendResponse { tree_size: 0, accepted: count, duplicates: 0 })
        })
    }

    pub async fn start(self: &Arc<Self>, dir: Option<std::path::PathBuf>) -> Harness {
        self.start_with(dir, &[]).await
    }

    /// With keys of the configuration of the orchestrator.
    pub async fn start_with(
        self: &Arc<Self>,
        dir: Option<std::path::PathBuf>,
        set: &[(&'static str, &str)],
    ) -> Harness {
        let mut builder = Harness::builder()
            .peer("intake", self.intake().routes())
            .peer("anti-corruption", self.anti_corruption().routes())
            .peer("spam-detection", self.spam().routes())
            .peer("compliance-validator", self.compliance().routes())
            .peer("audit-aggregator", self.audit().routes());
        if let Some(dir) = dir {
            builder = builder.dir(dir);
        }
        for (key, value) in set {
            builder = builder.set("orchestrator", key, *value);
        }
        builder.start::<Orchestrator>().await
    }
}

pub type Client = CaseServiceClient<BoxGrpcService>;

pub fn officer(harness: &Harness, name: &str) -> Client {
    CaseServiceClient::new(harness.client_as(&ctx("t1", &format!("users/{name}"), &[Role::Officer])))
}

pub fn opening(kind: CaseKind, key: &str) -> OpenCaseRequest {
    OpenCaseRequest {
        kind: kind as i32,
        documents: vec![DOCUMENT.into()],
        subject: "a case".into(),
        request_id: key.into(),
        ..OpenCaseRequest::default()
    }
}

pub async fn open(client: &mut Client, kind: CaseKind) -> Case {
    client.open_case(opening(kind, "")).await.unwrap().into_inner()
}

/// Follows a case until it is final or waits for a person.
pub async fn settle(client: &mut Client, name: &str) -> Case {
    until(|| {
        let (mut client, name) = (client.clone(), name.to_owned());
        async move {
            let case = client.get_case(GetCaseRequest { name }).await.unwrap().into_inner();
            (case.end_time.is_some() || case.waiting.is_some()).then_some(case)
        }
    })
    .await
}

/// Waits until the probe finds something.
pub async fn until<T, F: Future<Output = Option<T>>>(mut probe: impl FnMut() -> F) -> T {
    eventually(std::time::Duration::from_secs(20), async || probe().await.ok_or("not yet")).await
}

pub async fn types(client: &mut Client, name: &str) -> Vec<String> {
    let request =
        ListHistoryRequest { parent: name.into(), page_size: 1000, ..ListHistoryRequest::default() };
    let events = client.list_history(request).await.unwrap().into_inner().events;
    for (event, sequence) in events.iter().zip(1..) {
        assert_eq!(event.sequence, sequence, "the history has no holes");
    }
    events.into_iter().map(|e| e.r#type).collect()
}

/// A figure of the service, as its admin port shows it now.
pub async fn metric(harness: &Harness, name: &str) -> f64 {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(harness.admin_addr()).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let line = text.lines().find(|line| line.starts_with(name) && !line.starts_with('#'));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
}
