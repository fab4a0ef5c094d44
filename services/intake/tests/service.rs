//! The contract of intake, through the whole server stack of one process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use futures::{StreamExt, future, stream};
use probity_intake::Intake;
use probity_proto::BoxGrpcService;
use probity_proto::common::CaseKind;
use probity_proto::intake::intake_service_client::IntakeServiceClient;
use probity_proto::intake::{
    CheckDocumentsRequest, CheckDocumentsResponse, Document, GetDocumentRequest, HoldDocumentsRequest,
    ListDocumentsRequest, ReadDocumentRequest, UploadDocumentRequest,
};
use probity_runtime::testing::{Harness, ctx};
use probity_testkit::eventually;
use probity_types::Role;
use std::path::Path;
use std::time::Duration;
use tonic::service::Routes;
use tonic::{Code, Status};

type Client = IntakeServiceClient<BoxGrpcService>;

async fn start() -> Harness {
    Harness::builder().peer("audit-aggregator", Routes::default()).start::<Intake>().await
}

fn client(harness: &Harness, tenant: &str) -> Client {
    let roles = [Role::Submitter, Role::Officer];
    let client = IntakeServiceClient::new(harness.client_as(&ctx(tenant, "users/a", &roles)));
    client.max_encoding_message_size(8 << 20)
}

fn message(data: &[u8]) -> UploadDocumentRequest {
    UploadDocumentRequest { data: data.to_vec().into(), ..Default::default() }
}

async fn upload_pieces(client: &Client, pieces: Vec<UploadDocumentRequest>) -> Result<Document, Status> {
    client.clone().upload_document(stream::iter(pieces)).await.map(tonic::Response::into_inner)
}

async fn upload(client: &Client, filename: &str, data: &[u8]) -> Document {
    let mut pieces: Vec<_> = data.chunks(300_000).map(message).collect();
    if pieces.is_empty() {
        pieces.push(message(b""));
    }
    filename.clone_into(&mut pieces[0].filename);
    upload_pieces(client, pieces).await.unwrap()
}

async fn read(client: &Client, name: &str, offset: i64, limit: i64) -> Result<Vec<u8>, Status> {
    let request = ReadDocumentRequest { name: name.into(), read_offset: offset, read_limit: limit };
    let mut answers = client.clone().read_document(request).await?.into_inner();
    let mut bytes = Vec::new();
    while let Some(answer) = answers.message().await? {
        assert!(answer.data.len() <= 64 * 1024 && !answer.data.is_empty());
        bytes.extend_from_slice(&answer.data);
    }
    Ok(bytes)
}

async fn check(client: &Client, kind: CaseKind, documents: &[&Document]) -> CheckDocumentsResponse {
    let documents = documents.iter().map(|document| document.name.clone()).collect();
    let request = CheckDocumentsRequest { documents, kind: kind.into() };
    client.clone().check_documents(request).await.unwrap().into_inner()
}

/// Every file below a folder, the database and its lock excepted.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn incoming(harness: &Harness) -> Vec<std::path::PathBuf> {
    files(&harness.dir().join("intake/objects/incoming"))
}

fn objects(harness: &Harness) -> usize {
    files(&harness.dir().join("intake/objects")).len() - 1 // the lock
}

fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|n| u8::try_from(n * 31 % 251).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_come_back_as_they_were() {
    let harness = start().await;
    let client = client(&harness, "a");
    for size in [0, 1, 65_535, 65_536, 65_537, 200_000, 3_000_001] {
        let data = bytes(size);
        let document = upload(&client, "x.bin", &data).await;
        assert_eq!(document.size_bytes, i64::try_from(size).unwrap());
        assert_eq!(document.name, format!("documents/{}", document.sha256));
        assert_eq!(read(&client, &document.name, 0, 0).await.unwrap(), data, "{size}");
        let got = client.clone().get_document(GetDocumentRequest { name: document.name.clone() }).await;
        assert_eq!(got.unwrap().into_inner(), document);
        for (offset, limit) in [(0, 1), (1, 65_535), (60_000, 70_000), (65_536, 1), (100_000, 0)] {
            let (offset, limit) = (offset.min(size), limit);
            let end = if limit == 0 { size } else { size.min(offset + limit) };
            let got =
                read(&client, &document.name, i64::try_from(offset).unwrap(), i64::try_from(limit).unwrap());
            assert_eq!(got.await.unwrap(), data[offset..end], "{size} {offset} {limit}");
        }
    }
    assert_eq!(objects(&harness), 3, "documents over 64 KiB are files, others are not");
    assert!(incoming(&harness).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_bytes_are_the_same_document() {
    let harness = start().await;
    let client = client(&harness, "a");
    for data in [b"small".to_vec(), bytes(100_000)] {
        let first = upload(&client, "first.txt", &data).await;
        let second = upload(&client, "second.txt", &data).await;
        assert_eq!(first, second);
        let many = future::join_all((0..20).map(|_| upload(&client, "third.txt", &data))).await;
        assert!(many.iter().all(|document| *document == first));
    }
    assert_eq!(objects(&harness), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_document_answers_like_a_missing_one() {
    let harness = start().await;
    let (owner, stranger) = (client(&harness, "a"), client(&harness, "b"));
    for data in [b"small".to_vec(), bytes(100_000)] {
        let document = upload(&owner, "x", &data).await;
        let missing = format!("documents/{}", "0".repeat(64));
        let get = async |name: &str| {
            stranger.clone().get_document(GetDocumentRequest { name: name.into() }).await.unwrap_err()
        };
        let (foreign, none) = (get(&document.name).await, get(&missing).await);
        assert_eq!((foreign.code(), none.code()), (Code::NotFound, Code::NotFound));
        assert_eq!(foreign.message().replace(&document.name, ""), none.message().replace(&missing, ""));
        assert_eq!(read(&stranger, &document.name, 0, 0).await.unwrap_err().code(), Code::NotFound);
        let checked = check(&stranger, CaseKind::Report, &[&document]).await;
        assert!(!checked.acceptable && checked.reason.contains("no such document"), "{checked:?}");
        assert_eq!(checked.total_bytes, 0);
        // Its own upload of the same bytes is its own document.
        let own = upload(&stranger, "mine", &data).await;
        assert_eq!((own.name.as_str(), own.filename.as_str()), (document.name.as_str(), "mine"));
        assert_eq!(read(&stranger, &own.name, 0, 0).await.unwrap(), data);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_pages_newest_first() {
    let harness = start().await;
    let client = client(&harness, "a");
    let mut uploaded = Vec::new();
    for n in 0..7 {
        uploaded.push(upload(&client, &format!("{n}.txt"), format!("text {n}").as_bytes()).await.name);
    }
    uploaded.reverse();
    let (mut token, mut listed) = (String::new(), Vec::new());
    loop {
        let request = ListDocumentsRequest { page_size: 3, page_token: token };
        let page = client.clone().list_documents(request).await.unwrap().into_inner();
        assert!(page.documents.len() <= 3);
        listed.extend(page.documents.into_iter().map(|document| document.name));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, uploaded);
    let list = async |page_size: i32, page_token: &str| {
        let request = ListDocumentsRequest { page_size, page_token: page_token.into() };
        client.clone().list_documents(request).await.map(|page| page.into_inner().documents.len())
    };
    assert_eq!(list(7, "").await.unwrap(), 7);
    assert_eq!(list(0, "").await.unwrap(), 7);
    assert_eq!(list(-1, "").await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(list(1, "zz").await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_an_upload_is_said_and_nothing_is_stored() {
    let harness = start().await;
    let client = client(&harness, "a");
    let refused = async |pieces: Vec<UploadDocumentRequest>, part: &str| {
        let status = upload_pieces(&client, pieces).await.unwrap_err();
        assert!(status.message().contains(part), "{part}: {status:?}");
        assert!(matches!(status.code(), Code::InvalidArgument | Code::OutOfRange), "{status:?}");
    };
    refused(vec![], "no message").await;
    refused(vec![UploadDocumentRequest { filename: "x".repeat(256), ..message(b"a") }], "filename: has 256")
        .await;
    refused(
        vec![UploadDocumentRequest { media_type: "text".into(), ..message(b"a") }],
        "media_type: \"text\"",
    )
    .await;
    refused(vec![UploadDocumentRequest { media_type: "a/b\r\nX: y".into(), ..message(b"a") }], "media_type")
        .await;
    refused(vec![message(&bytes(100_000)), message(&vec![0; (1 << 20) + 1])], "data: has 1048577 bytes")
        .await;
    refused(vec![message(&bytes(100_000)), message(&vec![0; 2 << 20])], "").await;
    let listed = client.clone().list_documents(ListDocumentsRequest::default()).await.unwrap().into_inner();
    assert!(listed.documents.is_empty(), "{listed:?}");
    eventually(Duration::from_secs(5), async || match incoming(&harness) {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    })
    .await;
    assert_eq!(objects(&harness), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_cut_off_leaves_nothing() {
    let harness = start().await;
    let client = client(&harness, "a");
    let endless = stream::repeat_with(|| message(&bytes(200_000))).take(3).chain(stream::pending());
    let mut uploader = client.clone();
    let running = tokio::spawn(async move { uploader.upload_document(endless).await });
    eventually(Duration::from_secs(5), async || {
        if incoming(&harness).is_empty() { Err("no file yet") } else { Ok(()) }
    })
    .await;
    running.abort();
    eventually(Duration::from_secs(5), async || match incoming(&harness) {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    })
    .await;
    assert_eq!(objects(&harness), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_types_are_cleaned_and_guessed() {
    let harness = start().await;
    let client = client(&harness, "a");
    let check = async |media_type: &str, filename: &str, data: &[u8], expect: (&str, &str)| {
        let first = UploadDocumentRequest {
            media_type: media_type.into(),
            filename: filename.into(),
            ..message(data)
        };
        let document = upload_pieces(&client, vec![first]).await.unwrap();
        assert_eq!((document.media_type.as_str(), document.filename.as_str()), expect);
    };
    check("", "a.json", b"1", ("application/json", "a.json")).await;
    check("Text/CSV; charset=latin1", "b", b"2", ("text/csv; charset=latin1", "b")).await;
    check("", "c\u{1b}[2J\u{202e}\0.txt", b"3", ("text/plain", "c[2J.txt")).await;
    check("", "../../d", b"{\"4\":4}", ("application/json", "../../d")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_name_document_line_and_reason() {
    let harness = start().await;
    let client = client(&harness, "a");
    let good = upload(&client, "good.json", b"{\"ocid\":\"x\"}").await;
    let lines = upload(&client, "lines.jsonl", b"{}\n{\"a\":}\n{}\n").await;
    let broken = upload(&client, "broken.json", b"{\n\"a\": [1,\n2}\n").await;
    let empty = upload(&client, "empty.json", b"").await;

    let checked = check(&client, CaseKind::Tender, &[&good, &lines]).await;
    assert!(checked.acceptable && checked.reason.is_empty(), "{checked:?}");
    assert_eq!((checked.rejection_count, checked.total_bytes), (1, good.size_bytes + lines.size_bytes));
    assert_eq!(
        (checked.rejections[0].document.as_str(), checked.rejections[0].line),
        (lines.name.as_str(), 2)
    );

    let checked = check(&client, CaseKind::Tender, &[&good, &broken, &empty]).await;
    assert!(
        !checked.acceptable && checked.reason.starts_with("broken.json, line 3: column 2"),
        "{checked:?}"
    );
    assert_eq!(checked.rejections[1].reason, "the document is empty");

    let rows: String = (0..50_000).map(|n| format!("P-{n},{n}.50\n")).collect();
    let payments = upload(&client, "p.csv", format!("id,amount\n{rows}").as_bytes()).await;
    assert!(check(&client, CaseKind::Payment, &[&payments]).await.acceptable);
    assert!(check(&client, CaseKind::Report, &[&payments]).await.acceptable);
    assert!(!check(&client, CaseKind::Tender, &[&payments]).await.acceptable);
    let binary = upload(&client, "x.eml", &[0; 100_000]).await;
    assert!(check(&client, CaseKind::Message, &[&binary]).await.reason.contains("NUL"));

    let request = CheckDocumentsRequest { documents: vec![good.name], kind: 0 };
    let status = client.clone().check_documents(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_outside_and_lost_objects_are_refused() {
    let harness = start().await;
    let client = client(&harness, "a");
    let document = upload(&client, "x", &bytes(100_000)).await;
    let code = async |offset: i64, limit: i64| {
        read(&client, &document.name, offset, limit).await.unwrap_err().code()
    };
    assert_eq!(code(-1, 0).await, Code::InvalidArgument);
    assert_eq!(code(100_001, 0).await, Code::InvalidArgument);
    assert_eq!(code(0, -1).await, Code::InvalidArgument);
    assert!(read(&client, &document.name, 100_000, 0).await.unwrap().is_empty());
    assert_eq!(read(&client, "documents/../../x", 0, 0).await.unwrap_err().code(), Code::InvalidArgument);

    let shelf = harness.dir().join("intake/objects").join(&document.sha256[..2]);
    let path = shelf.join(&document.sha256);
    std::fs::File::options().write(true).open(&path).unwrap().set_len(90_000).unwrap();
    assert_eq!(code(0, 0).await, Code::DataLoss);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(code(0, 0).await, Code::DataLoss);
    // Handing it in again mends it.
    upload(&client, "x", &bytes(100_000)).await;
    assert_eq!(read(&client, &document.name, 0, 0).await.unwrap(), bytes(100_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_survive_a_restart() {
    let harness = start().await;
    let owner = client(&harness, "a");
    let (small, large) = (upload(&owner, "s", b"small").await, upload(&owner, "l", &bytes(100_000)).await);
    let dir = harness.stop().await;
    let harness =
        Harness::builder().peer("audit-aggregator", Routes::default()).dir(dir).start::<Intake>().await;
    let owner = client(&harness, "a");
    assert_eq!(read(&owner, &small.name, 0, 0).await.unwrap(), b"small");
    assert_eq!(read(&owner, &large.name, 0, 0).await.unwrap(), bytes(100_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn announced_digests_are_checked_and_temporary_documents_are_held() {
    let harness = start().await;
    let mine = client(&harness, "a");
    let data = b"every word of it ".repeat(6_000);
    let first =
        |sha256: &str| UploadDocumentRequest { temporary: true, sha256: sha256.into(), ..message(&data) };
    let document = upload_pieces(&mine, vec![first("")]).await.unwrap();
    assert!(document.expire_time.is_some());
    assert_eq!(upload_pieces(&mine, vec![first(&document.sha256)]).await.unwrap().name, document.name);
    let other = "0".repeat(64);
    for (wrong, part) in [(other.as_str(), "not 0000"), ("ABC", "is no SHA-256")] {
        let status = upload_pieces(&mine, vec![first(wrong), message(b"more")]).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(part), "{status:?}");
    }
    assert_eq!((objects(&harness), incoming(&harness).len()), (1, 0), "nothing of them is left");

    // A case needs documents that stay.
    let found = check(&mine, CaseKind::Message, &[&document]).await;
    assert!(!found.acceptable && found.reason.contains("kept only for some time"), "{found:?}");

    let service = |tenant: &str| {
        let ctx = ctx(tenant, "services/orchestrator", &[Role::Service]);
        IntakeServiceClient::new(harness.client_as(&ctx))
    };
    let hold = async |tenant: &str, names: Vec<String>, for_good: bool| {
        service(tenant).hold_documents(HoldDocumentsRequest { names, for_good }).await
    };
    let unknown = format!("documents/{other}");
    let held = hold("a", vec![document.name.clone(), unknown.clone()], false).await.unwrap().into_inner();
    assert_eq!((held.documents.len(), held.missing), (1, vec![unknown.clone()]));
    let foreign = hold("b", vec![document.name.clone()], true).await.unwrap().into_inner();
    assert_eq!((foreign.documents.len(), foreign.missing), (0, vec![document.name.clone()]));
    let status = client(&harness, "b").get_document(GetDocumentRequest { name: document.name.clone() }).await;
    assert_eq!(status.unwrap_err().code(), Code::NotFound);
    let held = hold("a", vec![document.name.clone()], true).await.unwrap().into_inner();
    assert_eq!(held.documents[0].expire_time, None);
    assert!(check(&mine, CaseKind::Message, &[&document]).await.reason.is_empty());
    assert_eq!(hold("a", vec![], true).await.unwrap_err().code(), Code::InvalidArgument);
    let user =
        mine.clone().hold_documents(HoldDocumentsRequest { names: vec![unknown], for_good: true }).await;
    assert_eq!(user.unwrap_err().code(), Code::PermissionDenied);
}
