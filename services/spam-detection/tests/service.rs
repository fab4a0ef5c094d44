//! The contract of spam detection, through the whole server stack of one process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use futures::stream::{self, BoxStream, StreamExt as _};
use probity_proto::BoxGrpcService;
use probity_proto::intake as pb;
use probity_proto::intake::intake_service_server::{IntakeService, IntakeServiceServer};
use probity_proto::spam::spam_service_client::SpamServiceClient;
use probity_proto::spam::{Band, Classification, ClassifyContentRequest, ClassifyRequest, GetModelRequest};
use probity_runtime::testing::{Harness, ctx};
use probity_spam_detection::SpamDetection;
use probity_types::Role;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::StatusExt as _;

type Client = SpamServiceClient<BoxGrpcService>;

const SPAM: &str = "WINNER! You have won a FREE prize of £1000 cash! Call 09061234567 now to claim, 150p/min. Text \
                    STOP to end. Click http://win.example for free ringtones!";
const HAM: &str = "Dear colleagues, the minutes of the site meeting are attached. The contractor will deliver the \
                   revised schedule by Monday. Kind regards, Ingrid";

/// An intake that knows a few documents.
#[derive(Default)]
struct Documents(HashMap<String, Vec<u8>>);

impl Documents {
    fn with(mut self, name: &str, bytes: &[u8]) -> Self {
        self.0.insert(name.to_owned(), bytes.to_vec());
        self
    }

    fn routes(self) -> Routes {
        Routes::new(IntakeServiceServer::new(self))
    }
}

#[tonic::async_trait]
impl IntakeService for Documents {
    type ReadDocumentStream = BoxStream<'static, Result<pb::ReadDocumentResponse, Status>>;

    async fn read_document(
        &self,
        request: Request<pb::ReadDocumentRequest>,
    ) -> Result<Response<Self::ReadDocumentStream>, Status> {
        let request = request.into_inner();
        let bytes = self.0.get(&request.name).ok_or_else(|| Status::not_found("no such document"))?;
        let end = bytes.len().min(usize::try_from(request.read_limit).unwrap());
        let pieces: Vec<_> = bytes[..end].chunks(64 * 1024).map(|c| c.to_vec()).collect();
        let answers = pieces.into_iter().map(|p| Ok(pb::ReadDocumentResponse { data: p.into() }));
        Ok(Response::new(stream::iter(answers).boxed()))
    }

    async fn upload_document(
        &self,
        _: Request<Streaming<pb::UploadDocumentRequest>>,
    ) -> Result<Response<pb::Document>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn get_document(
        &self,
        _: Request<pb::GetDocumentRequest>,
    ) -> Result<Response<pb::Document>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn list_documents(
        &self,
        _: Request<pb::ListDocumentsRequest>,
    ) -> Result<Response<pb::ListDocumentsResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn hold_documents(
        &self,
        _: Request<probity_proto::intake::HoldDocumentsRequest>,
    ) -> Result<Response<probity_proto::intake::HoldDocumentsResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn check_documents(
        &self,
        _: Request<pb::CheckDocumentsRequest>,
    ) -> Result<Response<pb::CheckDocumentsResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }
}

fn name(bytes: &[u8]) -> String {
    format!("documents/{}", hex::encode(Sha256::digest(bytes)))
}

async fn start(documents: &[&[u8]]) -> Harness {
    let intake = documents.iter().fold(Documents::default(), |all, bytes| all.with(&name(bytes), bytes));
    Harness::builder().peer("intake", intake.routes()).start::<SpamDetection>().await
}

fn client(harness: &Harness, roles: &[Role]) -> Client {
    SpamServiceClient::new(harness.client_as(&ctx("test", "users/olga", roles)))
        .max_encoding_message_size(8 << 20)
}

async fn classify(harness: &Harness, documents: Vec<String>) -> Result<Classification, Status> {
    client(harness, &[Role::Service]).classify(ClassifyRequest { documents }).await.map(Response::into_inner)
}

async fn content(harness: &Harness, content: &[u8], media_type: &str) -> Result<Classification, Status> {
    let request = ClassifyContentRequest { content: content.to_vec().into(), media_type: media_type.into() };
    client(harness, &[Role::Officer]).classify_content(request).await.map(Response::into_inner)
}

/// The code of a failure and of its page.
fn failure(status: &Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().map(|i| i.reason).unwrap_or_default())
}

#[tokio::test]
async fn the_most_spam_like_document_decides() {
    let harness = start(&[SPAM.as_bytes(), HAM.as_bytes()]).await;
    let (spam, ham) = (name(SPAM.as_bytes()), name(HAM.as_bytes()));
    let one = classify(&harness, vec![ham.clone()]).await.unwrap();
    assert_eq!(one.band(), Band::Ham, "{one:?}");
    let both = classify(&harness, vec![ham, spam]).await.unwrap();
    assert_eq!(both.band(), Band::Spam, "{both:?}");
    assert!(both.probability >= both.spam_from && both.ham_below < both.spam_from);
    assert!((1..=12).contains(&both.tokens.len()) && both.model.len() == 12);
    assert!(both.explanation.contains("of 2 documents"), "{}", both.explanation);
}

#[tokio::test]
async fn large_documents_are_judged_by_their_beginning() {
    let mut mail = format!(
        "From: a@a.example\nTo: b@b.example\nSubject: photos\nDate: Thu, 1 Jan 2026 10:00:00 +0000\nMIME-Version: \
         1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n{HAM}\n--b\nContent-Type: \
         image/jpeg\nContent-Transfer-Encoding: base64\n\n"
    );
    mail.push_str(&"QUJDREVG\n".repeat(500_000));
    let harness = start(&[mail.as_bytes()]).await;
    let answer = classify(&harness, vec![name(mail.as_bytes())]).await.unwrap();
    assert_eq!(answer.band(), Band::Ham, "{answer:?}");
}

#[tokio::test]
async fn failures_have_codes() {
    let wrong = name(b"wrong");
    let intake = Documents::default().with(&wrong, b"right");
    let harness = Harness::builder().peer("intake", intake.routes()).start::<SpamDetection>().await;
    let failed = async |documents: Vec<String>| failure(&classify(&harness, documents).await.unwrap_err());
    assert_eq!(failed(vec![]).await, (Code::InvalidArgument, "SPM-0001".into()));
    assert_eq!(failed(vec!["documents/x".into()]).await, (Code::InvalidArgument, "SPM-0001".into()));
    assert_eq!(failed(vec![wrong]).await, (Code::DataLoss, "SPM-0002".into()));
    assert_eq!(failed(vec![name(b"missing")]).await.0, Code::NotFound);
    let empty = content(&harness, b"", "").await.unwrap_err();
    assert_eq!(failure(&empty), (Code::InvalidArgument, "SPM-0001".into()));
    let large = content(&harness, &vec![b'a'; (1 << 20) + 1], "").await.unwrap_err();
    assert_eq!(failure(&large), (Code::InvalidArgument, "SPM-0001".into()));
    let odd = content(&harness, b"x", "image/png").await.unwrap_err();
    assert_eq!(failure(&odd), (Code::InvalidArgument, "SPM-0001".into()));
}

#[tokio::test]
async fn content_is_classified_in_either_form() {
    let harness = start(&[]).await;
    let mail = format!("Subject: hello\nFrom: a@b.example\n\n{SPAM}");
    for (body, media_type) in [(SPAM, "text/plain"), (SPAM, ""), (mail.as_str(), "message/rfc822")] {
        let answer = content(&harness, body.as_bytes(), media_type).await.unwrap();
        assert_eq!(answer.band(), Band::Spam, "{media_type}: {answer:?}");
    }
    let long = HAM.repeat(2000);
    assert_ne!(content(&harness, long.as_bytes(), "").await.unwrap().band(), Band::Spam);
    let broken = content(&harness, &[0xFF; 3000], "message/rfc822").await.unwrap();
    assert!(broken.probability < broken.spam_from);
}

#[tokio::test]
async fn roles_are_checked() {
    let harness = start(&[]).await;
    let content = ClassifyContentRequest { content: "hello".into(), ..Default::default() };
    let denied = client(&harness, &[Role::Auditor]).classify_content(content.clone()).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    assert!(client(&harness, &[Role::Submitter]).classify_content(content).await.is_ok());
    let denied = client(&harness, &[Role::Submitter]).get_model(GetModelRequest {}).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    let mut nobody = SpamServiceClient::new(harness.client_without_token());
    assert_eq!(nobody.get_model(GetModelRequest {}).await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn the_model_is_described() {
    let harness = start(&[]).await;
    let model = client(&harness, &[Role::Auditor]).get_model(GetModelRequest {}).await.unwrap().into_inner();
    assert_eq!(model.version.len(), 12);
    assert!(model.features > 0 && model.trained_on > 5000 && model.train_time.is_some());
    assert!(model.held_out_auc > 0.99 && model.held_out_recall > 0.85);
    assert!(model.held_out_false_positive_rate <= 0.002);
}
