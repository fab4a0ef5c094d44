//! The service over gRPC, as its peers and the gateway see it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use probity_audit_aggregator::{AuditAggregator, Config, MIGRATIONS, check_folder, folder_key};
use probity_merkle::{
    Checkpoint, Hash, KeySource, VerifierKey, receipt, verify_consistency, verify_inclusion,
};
use probity_proto::BoxGrpcService;
use probity_proto::audit::audit_service_client::AuditServiceClient;
use probity_proto::audit::{
    AppendRequest, CheckLogRequest, Entry, GetCheckpointRequest, GetConsistencyProofRequest, GetEntryRequest,
    GetInclusionProofRequest, GetLogKeyRequest, GetReceiptRequest, ListEntriesRequest,
};
use probity_runtime::fault_of;
use probity_runtime::testing::{Harness, ctx};
use probity_storage::{Db, DbConfig};
use probity_types::{Ctx, Fault, FaultKind, Role};
use uuid::Uuid;

type Client = AuditServiceClient<BoxGrpcService>;

const CASE: &str = "cases/case_0000000000000000000000000000000a";

async fn start() -> Harness {
    Harness::builder().start::<AuditAggregator>().await
}

fn service(harness: &Harness, name: &str) -> Client {
    Client::new(harness.client_as(&Ctx::service(name, "platform", "request-1")))
}

fn user(harness: &Harness, tenant: &str, role: Role) -> Client {
    Client::new(harness.client_as(&ctx(tenant, "users/ada", &[role])))
}

fn entry(n: u64) -> Entry {
    Entry {
        event_id: Uuid::from_u128(u128::from(n)).to_string(),
        tenant: "acme".to_owned(),
        action: "case.opened".to_owned(),
        subject: CASE.to_owned(),
        case: CASE.to_owned(),
        outcome: "ok".to_owned(),
        service: "orchestrator".to_owned(),
        ..Entry::default()
    }
}

/// A caller without any role: what is public is open to it.
fn anybody(harness: &Harness) -> Client {
    Client::new(harness.client_as(&ctx("nobody", "users/nobody", &[])))
}

async fn append(harness: &Harness, ids: std::ops::Range<u64>) -> i64 {
    let request = AppendRequest { entries: ids.map(entry).collect() };
    service(harness, "orchestrator").append(request).await.unwrap().into_inner().tree_size
}

async fn key(harness: &Harness) -> VerifierKey {
    let key = anybody(harness).get_log_key(GetLogKeyRequest {}).await.unwrap().into_inner();
    assert_eq!(key.origin, "probity.local/log");
    key.verifier_key.parse().unwrap()
}

fn hashes(texts: &[String]) -> Vec<Hash> {
    texts.iter().map(|text| Hash::from_base64(text).unwrap()).collect()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, tonic::Status>, kind: FaultKind, code: &str) -> Fault {
    let fault = fault_of(&answer.unwrap_err());
    assert_eq!((fault.kind, fault.code), (kind, code), "{fault}");
    fault
}

#[tokio::test]
async fn what_was_appended_can_be_read_and_proved() {
    let harness = start().await;
    assert_eq!(append(&harness, 0..5).await, 5);
    assert_eq!(append(&harness, 3..9).await, 9);
    let mut officer = user(&harness, "acme", Role::Officer);

    let name = "entries/4".to_owned();
    let found = officer.get_entry(GetEntryRequest { name }).await.unwrap().into_inner();
    assert_eq!((found.index, found.entry.as_ref()), (4, Some(&entry(4))));
    let name = format!("entries/{}", entry(4).event_id);
    assert_eq!(officer.get_entry(GetEntryRequest { name }).await.unwrap().into_inner(), found);

    let request =
        ListEntriesRequest { parent: CASE.to_owned(), page_size: 4, ..ListEntriesRequest::default() };
    let page = officer.list_entries(request.clone()).await.unwrap().into_inner();
    let request = ListEntriesRequest { page_token: page.next_page_token, page_size: 1000, ..request };
    let rest = officer.list_entries(request).await.unwrap().into_inner();
    assert_eq!((page.entries.len(), rest.entries.len(), rest.next_page_token.as_str()), (4, 5, ""));

    let mut anybody = anybody(&harness);
    let head = anybody.get_checkpoint(GetCheckpointRequest { tree_size: 0 }).await.unwrap().into_inner();
    let signed = Checkpoint::open(head.note.as_bytes(), &key(&harness).await).unwrap();
    assert_eq!((signed.size, signed.root.to_base64()), (9, head.root_hash));

    let proof = officer.get_inclusion_proof(GetInclusionProofRequest { index: 4, tree_size: 0 });
    let proof = proof.await.unwrap().into_inner();
    let leaf = Hash::from_base64(&proof.leaf_hash).unwrap();
    assert_eq!(leaf.to_string(), found.leaf_hash);
    verify_inclusion(4, 9, &leaf, &hashes(&proof.hashes), &signed.root).unwrap();

    let older = anybody.get_checkpoint(GetCheckpointRequest { tree_size: 5 }).await.unwrap().into_inner();
    let proof = anybody.get_consistency_proof(GetConsistencyProofRequest { first_size: 5, second_size: 0 });
    let proof = proof.await.unwrap().into_inner();
    let older = Hash::from_base64(&older.root_hash).unwrap();
    verify_consistency(5, 9, &older, &signed.root, &hashes(&proof.hashes)).unwrap();
    harness.stop().await;
}

#[tokio::test]
async fn a_receipt_outlives_the_service() {
    let harness = start().await;
    append(&harness, 0..7).await;
    let mut submitter = user(&harness, "acme", Role::Submitter);
    let made = submitter.get_receipt(GetReceiptRequest { name: CASE.to_owned() }).await.unwrap().into_inner();
    assert_eq!((made.name.as_str(), made.entry_count), (CASE, 7));
    let key = key(&harness).await;
    harness.stop().await;
    let verified = receipt::verify(made.receipt.as_bytes(), Some(&key)).unwrap();
    assert_eq!((verified.entries.len(), verified.key_source), (7, KeySource::Pinned));
    assert!(
        receipt::verify(made.receipt.replace("\"index\":3", "\"index\":9").as_bytes(), Some(&key)).is_err()
    );
}

#[tokio::test]
async fn the_log_and_its_key_survive_a_restart() {
    let harness = start().await;
    append(&harness, 0..300).await;
    let before = key(&harness).await;
    let dir = harness.stop().await;
    let harness = Harness::builder().dir(dir).start::<AuditAggregator>().await;
    assert_eq!(key(&harness).await, before);
    assert_eq!(append(&harness, 299..301).await, 301);
    let report =
        user(&harness, "acme", Role::Auditor).check_log(CheckLogRequest {}).await.unwrap().into_inner();
    assert!(report.intact, "{}", report.problem);
    assert_eq!((report.entries_checked, report.tree_size, report.first_bad_index), (301, 301, -1));

    let secret = harness.dir().join("keys/log.key");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(secret).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    harness.stop().await;
}

#[tokio::test]
async fn a_folder_is_checked_without_the_service() {
    let harness = start().await;
    append(&harness, 0..40).await;
    let key = key(&harness).await;
    let open = check_folder(harness.dir(), &key, None).await.unwrap_err();
    assert!(format!("{open:#}").contains("in use by another process"), "{open:#}");
    let dir = harness.stop().await;
    assert_eq!(folder_key(&dir, &Config::default()).unwrap(), key);
    assert!(check_folder(&dir, &key, None).await.unwrap().intact);

    let file = dir.join("audit-aggregator/audit-aggregator.db");
    let db = Db::open(&DbConfig::sqlite(file), "audit-aggregator", MIGRATIONS).await.unwrap();
    let edit = "UPDATE entry SET leaf = (SELECT leaf FROM entry WHERE idx = 3) WHERE idx = 7";
    db.write(move |tx| Box::pin(async move { tx.execute(edit, Vec::new()).await })).await.unwrap();
    db.close().await;
    let report = check_folder(&dir, &key, None).await.unwrap();
    assert_eq!((report.intact, report.first_bad_index), (false, Some(7)), "{}", report.problem);
    assert!(check_folder(&dir.join("keys"), &key, None).await.is_err());
}

#[tokio::test]
async fn only_services_append_and_only_in_their_own_name() {
    let harness = start().await;
    let request = || AppendRequest { entries: vec![entry(1)] };
    for role in [Role::Officer, Role::Operator, Role::Auditor, Role::Submitter] {
        let answer = user(&harness, "acme", role).append(request()).await;
        assert_eq!(fault_of(&answer.unwrap_err()).kind, FaultKind::Denied, "{role}");
    }
    refused(service(&harness, "intake").append(request()).await, FaultKind::Denied, "AUD-0003");
    let answer = Client::new(harness.client_without_token()).append(request()).await;
    assert_eq!(fault_of(&answer.unwrap_err()).kind, FaultKind::Unauthenticated);
    assert_eq!(append(&harness, 0..0).await, 0);
    harness.stop().await;
}

#[tokio::test]
async fn a_tenant_sees_its_own_entries_only() {
    let harness = start().await;
    append(&harness, 0..3).await;
    for mut stranger in [user(&harness, "umbra", Role::Officer), user(&harness, "umbra", Role::Admin)] {
        let name = "entries/1".to_owned();
        refused(stranger.get_entry(GetEntryRequest { name }).await, FaultKind::NotFound, "AUD-0004");
        let name = CASE.to_owned();
        refused(stranger.get_receipt(GetReceiptRequest { name }).await, FaultKind::NotFound, "AUD-0004");
        let list = stranger.list_entries(ListEntriesRequest::default()).await.unwrap().into_inner();
        assert_eq!((list.entries.len(), list.next_page_token.as_str()), (0, ""));
    }
    harness.stop().await;
}

#[tokio::test]
async fn entries_that_cannot_be_logged_are_named() {
    let harness = start().await;
    let check = async |change: fn(&mut Entry), field: &str| {
        let mut bad = entry(2);
        change(&mut bad);
        let request = AppendRequest { entries: vec![entry(1), bad] };
        let answer = service(&harness, "orchestrator").append(request).await;
        let fault = refused(answer, FaultKind::Invalid, "AUD-0001");
        assert_eq!(fault.violations[0].field, field);
    };
    check(|e| e.event_id = "7".to_owned(), "entries[1].event_id").await;
    check(|e| e.tenant.clear(), "entries[1].tenant").await;
    check(|e| e.action.clear(), "entries[1].action").await;
    check(|e| e.case = "a\0b".to_owned(), "entries[1].case").await;
    check(|e| e.detail = "x".repeat(16 * 1024 + 1), "entries[1].detail").await;
    check(|e| e.subject = "x".repeat(5_000), "entries[1].subject").await;
    let many = AppendRequest { entries: (0..1_001).map(entry).collect() };
    refused(service(&harness, "orchestrator").append(many).await, FaultKind::Invalid, "AUD-0002");
    // The largest request there can be is taken.
    let large = (0..1_000).map(|n| Entry { detail: "x".repeat(16 * 1024), ..entry(n) }).collect();
    let answer = service(&harness, "orchestrator").append(AppendRequest { entries: large }).await.unwrap();
    assert_eq!(answer.into_inner().accepted, 1_000);
    let page = user(&harness, "acme", Role::Auditor)
        .list_entries(ListEntriesRequest { page_size: 1_000, ..ListEntriesRequest::default() })
        .await
        .unwrap()
        .into_inner();
    assert!(page.entries.len() < 250 && !page.next_page_token.is_empty(), "{}", page.entries.len());
    harness.stop().await;
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused() {
    let harness = start().await;
    append(&harness, 0..3).await;
    let mut officer = user(&harness, "acme", Role::Officer);
    for name in [
        "",
        "entries/",
        "entries/-1",
        "entries/+1",
        "entries/x",
        "cases/1",
        "7",
        "entries/99999999999999999999",
    ] {
        let request = GetEntryRequest { name: name.to_owned() };
        refused(officer.get_entry(request).await, FaultKind::Invalid, "AUD-0005");
        let request = GetReceiptRequest { name: name.to_owned() };
        refused(officer.get_receipt(request).await, FaultKind::Invalid, "AUD-0005");
    }
    let list = |parent: &str, page_token: &str, page_size: i32| ListEntriesRequest {
        parent: parent.to_owned(),
        page_token: page_token.to_owned(),
        page_size,
        action: String::new(),
    };
    refused(officer.list_entries(list("cases/x", "", 0)).await, FaultKind::Invalid, "AUD-0005");
    refused(officer.list_entries(list("", "x", 0)).await, FaultKind::Invalid, "AUD-0007");
    refused(officer.list_entries(list("", "", -1)).await, FaultKind::Invalid, "API-0002");
    for (index, tree_size) in [(3, 0), (-1, 0), (0, 4), (0, -1)] {
        let request = GetInclusionProofRequest { index, tree_size };
        refused(officer.get_inclusion_proof(request).await, FaultKind::Invalid, "AUD-0006");
    }
    for (first_size, second_size) in [(0, 0), (4, 0), (3, 2), (1, 9), (-1, 2)] {
        let request = GetConsistencyProofRequest { first_size, second_size };
        refused(officer.get_consistency_proof(request).await, FaultKind::Invalid, "AUD-0006");
    }
    let request = GetReceiptRequest { name: "entries/3".to_owned() };
    refused(officer.get_receipt(request).await, FaultKind::NotFound, "AUD-0004");
    harness.stop().await;
}
