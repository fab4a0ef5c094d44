//! The service over gRPC, as the workflow engine and the gateway see it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use futures::stream::BoxStream;
use probity_anti_corruption::AntiCorruption;
use probity_proto::BoxGrpcService;
use probity_proto::anticorruption::anti_corruption_service_client::AntiCorruptionServiceClient;
use probity_proto::anticorruption::{
    Disposition, GetFalsePositiveRatesRequest, ImportWatchlistRequest, InvestigateRequest,
    InvestigateResponse, ListDispositionsRequest, ListFindingsRequest, ListRejectionsRequest,
    ListRulesRequest, ListWatchlistsRequest, ScreenNameRequest, SetDispositionRequest,
};
use probity_proto::common::{CaseKind, Severity};
use probity_proto::intake::intake_service_server::{IntakeService, IntakeServiceServer};
use probity_proto::intake::{
    CheckDocumentsRequest, CheckDocumentsResponse, Document, GetDocumentRequest, ListDocumentsRequest,
    ListDocumentsResponse, ReadDocumentRequest, ReadDocumentResponse, UploadDocumentRequest,
};
use probity_runtime::testing::{Harness, ctx};
use probity_runtime::{IDEMPOTENCY_KEY, fault_of, status};
use probity_types::id::{CaseId, FindingId};
use probity_types::{Fault, FaultKind, Role};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

type Client = AntiCorruptionServiceClient<BoxGrpcService>;

/// An intake that has these documents.
#[derive(Clone, Default)]
struct Intake(Arc<HashMap<String, Vec<u8>>>);

#[tonic::async_trait]
impl IntakeService for Intake {
    type ReadDocumentStream = BoxStream<'static, Result<ReadDocumentResponse, Status>>;

    async fn read_document(
        &self,
        request: Request<ReadDocumentRequest>,
    ) -> Result<Response<Self::ReadDocumentStream>, Status> {
        let name = &request.get_ref().name;
        let missing =
            || status(Fault::new(FaultKind::NotFound, "INT-0001", format!("{name} does not exist")));
        let bytes = self.0.get(name).ok_or_else(missing)?;
        let pieces: Vec<_> =
            bytes.chunks(64 * 1024).map(|p| Ok(ReadDocumentResponse { data: p.to_vec().into() })).collect();
        Ok(Response::new(Box::pin(futures::stream::iter(pieces))))
    }

    async fn upload_document(
        &self,
        _: Request<Streaming<UploadDocumentRequest>>,
    ) -> Result<Response<Document>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn get_document(&self, _: Request<GetDocumentRequest>) -> Result<Response<Document>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn list_documents(
        &self,
        _: Request<ListDocumentsRequest>,
    ) -> Result<Response<ListDocumentsResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn hold_documents(
        &self,
        _: Request<probity_proto::intake::HoldDocumentsRequest>,
    ) -> Result<Response<probity_proto::intake::HoldDocumentsResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn check_documents(
        &self,
        _: Request<CheckDocumentsRequest>,
    ) -> Result<Response<CheckDocumentsResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

const TENDER: &str = r#"{"ocid":"ocds-1","tender":{"title":"Road","procurementMethod":"open","numberOfTenderers":1,
    "value":{"amount":1250.50,"currency":"EUR"},
    "tenderPeriod":{"startDate":"2024-03-01T00:00:00Z","endDate":"2024-03-04T00:00:00Z"}},
    "parties":[{"id":"1","name":"Evil Trading Ltd","roles":["tenderer"]}]}"#;
const PAYMENTS: &str = "supplier,amount,date,invoice\nA,4000,2024-03-01,1\nA,4100,2024-03-02,2\nA,x,2024-03-02,3\nA,4200,2024-03-03,4\n";
const SDN: &str = "1,\"EVIL TRADING CO., LTD.\",-0- ,\"TEST\",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- \n\
    2,\"DOE, John\",\"individual\",\"TEST\",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- \n";
const ALT: &str = "2,9,\"aka\",\"SMITH, Jack\",-0- \n";
const BROKEN: &str = "<html>\n<body>not found</body>\n</html>\n";

fn document(text: &str) -> String {
    format!("documents/{}", hex::encode(Sha256::digest(text)))
}

async fn start() -> Harness {
    start_in(None).await
}

async fn start_in(dir: Option<std::path::PathBuf>) -> Harness {
    let texts = [TENDER, PAYMENTS, SDN, ALT, BROKEN, "It was a bribe of 5 EUR.", ""];
    let documents = texts.iter().map(|text| (document(text), text.as_bytes().to_vec())).collect();
    let intake = Routes::new(IntakeServiceServer::new(Intake(Arc::new(documents))));
    let builder = Harness::builder().peer("intake", intake);
    let builder = match dir {
        Some(dir) => builder.dir(dir),
        None => builder,
    };
    builder.start::<AntiCorruption>().await
}

fn user(harness: &Harness, tenant: &str, role: Role) -> Client {
    Client::new(harness.client_as(&ctx(tenant, "users/ada", &[role])))
}

fn ask(case: CaseId, kind: CaseKind, texts: &[&str]) -> InvestigateRequest {
    let documents = texts.iter().map(|text| document(text)).collect();
    InvestigateRequest { case: format!("cases/{case}"), kind: kind.into(), documents }
}

async fn investigate(harness: &Harness, request: &InvestigateRequest) -> InvestigateResponse {
    user(harness, "acme", Role::Service).investigate(request.clone()).await.unwrap().into_inner()
}

fn with_key<T>(message: T, key: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(IDEMPOTENCY_KEY, key.parse().unwrap());
    request
}

fn findings(case: CaseId) -> ListFindingsRequest {
    ListFindingsRequest { parent: format!("cases/{case}"), ..Default::default() }
}

async fn import(harness: &Harness, primary: &str, aliases: &str) -> Result<i64, Fault> {
    let request = ImportWatchlistRequest {
        watchlist: "ofac-sdn".to_owned(),
        primary_document: document(primary),
        alias_document: if aliases.is_empty() { String::new() } else { document(aliases) },
    };
    let answer = user(harness, "acme", Role::Operator).import_watchlist(request).await;
    answer.map(|list| list.into_inner().entries).map_err(|status| fault_of(&status))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tender_is_investigated_and_its_findings_can_be_read() {
    let harness = start().await;
    let case = CaseId::new();
    let answer = investigate(&harness, &ask(case, CaseKind::Tender, &[TENDER])).await;
    assert_eq!((answer.finding_count, answer.items_read, answer.items_refused), (2, 1, 0));
    assert_eq!(answer.max_severity(), Severity::Medium);
    assert_eq!(answer.facts["watchlists_searched"], "0");
    assert_eq!(answer.facts["tender_value"], "1250.50");
    assert!(answer.summary.contains("not screened"), "{}", answer.summary);
    let page =
        user(&harness, "acme", Role::Auditor).list_findings(findings(case)).await.unwrap().into_inner();
    let rules: Vec<_> = page.findings.iter().map(|f| f.rule.as_str()).collect();
    assert_eq!((rules, page.total_size), (vec!["R003", "R018"], 2));
    let first = &page.findings[0];
    assert_eq!((first.value.as_str(), first.threshold.as_str()), ("3 days", "15 days"));
    assert_eq!(first.evidence[0].locator, "/tender/tenderPeriod/startDate");
    assert_eq!(first.evidence[0].document, document(TENDER));
    assert!(!first.title.is_empty() && first.create_time.is_some());
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_and_reports_are_investigated_too() {
    let harness = start().await;
    let case = CaseId::new();
    let answer = investigate(&harness, &ask(case, CaseKind::Payment, &[PAYMENTS, PAYMENTS])).await;
    assert_eq!((answer.items_read, answer.items_refused), (3, 1), "the same document twice counts once");
    assert_eq!(answer.findings[0].rule, "PAY-SPLIT");
    assert_eq!(answer.facts["total_amount"], "12300");
    let list = ListRejectionsRequest { parent: format!("cases/{case}"), ..Default::default() };
    let page = user(&harness, "acme", Role::Officer).list_rejections(list).await.unwrap().into_inner();
    assert_eq!(
        (page.total_size, page.rejections[0].line, page.rejections[0].field.as_str()),
        (1, 4, "amount")
    );
    let answer =
        investigate(&harness, &ask(CaseId::new(), CaseKind::Report, &["It was a bribe of 5 EUR."])).await;
    assert_eq!(answer.findings[0].rule, "RPT-BRIBERY");
    let answer = investigate(&harness, &ask(CaseId::new(), CaseKind::Message, &[""])).await;
    assert_eq!((answer.items_read, answer.items_refused), (0, 1));
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_one_effect() {
    let harness = start().await;
    let case = CaseId::new();
    let request = ask(case, CaseKind::Tender, &[TENDER]);
    let mut client = user(&harness, "acme", Role::Service);
    let first = client.investigate(with_key(request.clone(), "k1")).await.unwrap().into_inner();
    let again = client.investigate(with_key(request, "k1")).await.unwrap().into_inner();
    assert_eq!(first, again);
    let other = ask(case, CaseKind::Payment, &[PAYMENTS]);
    let reused = client.investigate(with_key(other, "k1")).await.unwrap_err();
    assert_eq!(fault_of(&reused).kind, FaultKind::KeyReused);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn officers_dispose_and_tenants_are_apart() {
    let harness = start().await;
    let case = CaseId::new();
    investigate(&harness, &ask(case, CaseKind::Tender, &[TENDER])).await;
    let mut officer = user(&harness, "acme", Role::Officer);
    let name = officer.list_findings(findings(case)).await.unwrap().into_inner().findings[0].name.clone();
    let dispose = |name: &str| SetDispositionRequest {
        name: name.to_owned(),
        disposition: Disposition::FalsePositive.into(),
        note: "holiday".to_owned(),
    };
    let disposed = officer.set_disposition(dispose(&name)).await.unwrap().into_inner();
    assert_eq!(
        (disposed.disposition(), disposed.disposed_by.as_str()),
        (Disposition::FalsePositive, "users/ada")
    );
    let mut foreign = user(&harness, "other", Role::Officer);
    let missing = format!("cases/{case}/findings/{}", FindingId::new());
    let codes = [
        foreign.set_disposition(dispose(&name)).await.unwrap_err(),
        officer.set_disposition(dispose(&missing)).await.unwrap_err(),
    ];
    assert!(
        codes.iter().all(|status| fault_of(status).code == "COR-0002"),
        "foreign and missing answer alike"
    );
    let foreign_page = foreign.list_findings(findings(case)).await.unwrap().into_inner();
    assert_eq!((foreign_page.total_size, foreign_page.findings.len()), (0, 0));
    assert_eq!(disposed.disposition_note, "holiday");
    // What was said can be read and counted, by this tenant alone.
    let mut auditor = user(&harness, "acme", Role::Auditor);
    let filter = "disposition = FALSE_POSITIVE AND current = true".to_owned();
    let list = ListDispositionsRequest { filter, ..Default::default() };
    let said = auditor.list_dispositions(list.clone()).await.unwrap().into_inner().dispositions;
    assert_eq!((said.len(), &said[0].finding, said[0].note.as_str()), (1, &name, "holiday"));
    let rates = auditor.get_false_positive_rates(GetFalsePositiveRatesRequest::default()).await;
    let rates = rates.unwrap().into_inner();
    assert_eq!((rates.rules[0].of.as_str(), rates.rules[0].rate), (said[0].rule.as_str(), Some(1.0)));
    assert_eq!((rates.kinds.len(), rates.total.unwrap().false_positives), (1, 1));
    let none = foreign.get_false_positive_rates(GetFalsePositiveRatesRequest::default()).await;
    assert_eq!(none.unwrap().into_inner().total.unwrap().rate, None);
    assert_eq!(foreign.list_dispositions(list).await.unwrap().into_inner().dispositions, []);
    let denied = user(&harness, "acme", Role::Auditor).set_disposition(dispose(&name)).await.unwrap_err();
    assert_eq!(fault_of(&denied).kind, FaultKind::Denied);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watchlists_are_imported_searched_and_survive() {
    let harness = start().await;
    let screen = async |harness: &Harness, name: &str| {
        let request = ScreenNameRequest { name: name.to_owned() };
        user(harness, "acme", Role::Officer).screen_name(request).await.unwrap().into_inner()
    };
    let before = screen(&harness, "Jack Smith").await;
    assert_eq!((before.lists_searched, before.hits.len()), (0, 0));
    assert_eq!(import(&harness, SDN, ALT).await.unwrap(), 2);
    let hit = screen(&harness, "Jack Smith").await;
    assert_eq!(
        (hit.lists_searched, hit.hits[0].entry_id.as_str(), hit.hits[0].matched_on.as_str()),
        (1, "2", "alias")
    );
    let case = CaseId::new();
    let answer = investigate(&harness, &ask(case, CaseKind::Tender, &[TENDER])).await;
    assert_eq!((answer.max_severity(), answer.findings[0].rule.as_str()), (Severity::Critical, "R046"));
    let refused = import(&harness, BROKEN, "").await.unwrap_err();
    assert_eq!((refused.kind, refused.code), (FaultKind::Invalid, "COR-0004"));
    assert_eq!(screen(&harness, "evil trading").await.hits.len(), 1, "the old list stays in force");
    let mut other = user(&harness, "other", Role::Officer);
    let foreign = other.screen_name(ScreenNameRequest { name: "Jack Smith".to_owned() }).await.unwrap();
    assert_eq!(foreign.into_inner().lists_searched, 0);
    let dir = harness.stop().await;
    let harness = start_in(Some(dir)).await;
    assert_eq!(screen(&harness, "SMITH, Jack").await.hits.len(), 1, "lists are loaded at the start");
    let lists =
        user(&harness, "acme", Role::Auditor).list_watchlists(ListWatchlistsRequest {}).await.unwrap();
    let list = &lists.into_inner().watchlists[0];
    assert_eq!((list.entries, list.aliases, list.rows_refused), (2, 1, 0));
    assert_eq!(list.sha256, hex::encode(Sha256::digest(format!("{SDN}{ALT}"))));
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_name_the_field() {
    let harness = start().await;
    let mut client = user(&harness, "acme", Role::Officer);
    let good = ask(CaseId::new(), CaseKind::Tender, &[TENDER]);
    let check = async |change: fn(&mut InvestigateRequest), code: &str, field: &str| {
        let mut request = good.clone();
        change(&mut request);
        let fault = fault_of(&user(&harness, "acme", Role::Service).investigate(request).await.unwrap_err());
        let found = fault.violations.first().map(|v| v.field.clone()).unwrap_or_default();
        assert_eq!((fault.code, found.as_str()), (code, field));
    };
    check(|r| r.case.clear(), "COR-0001", "case").await;
    check(|r| r.kind = 0, "COR-0001", "kind").await;
    check(|r| r.documents.clear(), "COR-0001", "documents").await;
    check(|r| r.documents.push("documents/x".to_owned()), "COR-0001", "documents[1]").await;
    check(|r| r.documents = vec![document("never uploaded")], "INT-0001", "").await;
    let token = ListFindingsRequest { page_token: "x".to_owned(), ..findings(CaseId::new()) };
    assert_eq!(fault_of(&client.list_findings(token).await.unwrap_err()).code, "COR-0003");
    let size = ListFindingsRequest { page_size: -1, ..findings(CaseId::new()) };
    assert_eq!(fault_of(&client.list_findings(size).await.unwrap_err()).code, "API-0002");
    let name = ScreenNameRequest { name: " ".to_owned() };
    assert_eq!(fault_of(&client.screen_name(name).await.unwrap_err()).code, "COR-0001");
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_listed_with_their_thresholds() {
    let harness = start().await;
    let rules = user(&harness, "acme", Role::Submitter)
        .list_rules(ListRulesRequest {})
        .await
        .unwrap()
        .into_inner()
        .rules;
    assert!(rules.windows(2).all(|pair| pair[0].id < pair[1].id));
    let r003 = rules.iter().find(|rule| rule.id == "R003").unwrap();
    assert!(r003.threshold.contains("open 15 days") && r003.kind() == CaseKind::Tender);
    assert_eq!(rules.len(), 30);
    harness.stop().await;
}
