//! Peers that answer as the tests like. They verify caller tokens as real
//! services do, and keep what they were told.

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use parking_lot::Mutex;
use probity_proto::audit::audit_service_server::{AuditService, AuditServiceServer};
use probity_proto::intake::intake_service_server::{IntakeService, IntakeServiceServer};
use probity_proto::orchestrator::case_service_server::{CaseService, CaseServiceServer};
use probity_proto::{audit, intake, orchestrator};
use probity_runtime::identity::Verifier;
use probity_runtime::{CALLER_HEADER, status};
use probity_types::{Ctx, Fault, FaultKind, SystemClock};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

/// What the peers share with the test.
#[derive(Clone)]
pub(crate) struct Peers(Arc<Inner>);

struct Inner {
    verifier: Verifier,
    calls: Mutex<Vec<Seen>>,
    uploads: Mutex<Vec<usize>>,
    entries: Mutex<Vec<audit::Entry>>,
}

/// A call as a peer saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) ctx: Ctx,
    pub(crate) headers: http::HeaderMap,
}

impl Peers {
    pub(crate) fn new(keys_dir: &Path) -> Self {
        let verifier = Verifier::new(keys_dir, vec!["gateway".into()], Arc::new(SystemClock));
        let inner =
            Inner { verifier, calls: Mutex::default(), uploads: Mutex::default(), entries: Mutex::default() };
        Self(Arc::new(inner))
    }

    /// The last call any peer was asked.
    pub(crate) fn last(&self) -> Seen {
        self.0.calls.lock().last().expect("a call").clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.calls.lock().len()
    }

    /// Sizes of uploads that came to their end.
    pub(crate) fn uploads(&self) -> Vec<usize> {
        self.0.uploads.lock().clone()
    }

    /// What reached the audit log with this action.
    pub(crate) fn entries(&self, action: &str) -> Vec<audit::Entry> {
        self.0.entries.lock().iter().filter(|e| e.action == action).cloned().collect()
    }

    fn see(&self, metadata: &MetadataMap) -> Result<Ctx, Status> {
        let token = metadata.get(CALLER_HEADER).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let ctx = self.0.verifier.verify(token).map_err(status)?;
        self.0.calls.lock().push(Seen { ctx: ctx.clone(), headers: metadata.clone().into_headers() });
        Ok(ctx)
    }
}

pub(crate) fn orchestrator(peers: &Peers) -> Routes {
    Routes::new(CaseServiceServer::new(peers.clone()))
}

pub(crate) fn intake(peers: &Peers) -> Routes {
    Routes::new(IntakeServiceServer::new(peers.clone()))
}

pub(crate) fn audit(peers: &Peers) -> Routes {
    Routes::new(AuditServiceServer::new(peers.clone()))
}

fn fault(kind: FaultKind, message: &str) -> Status {
    status(Fault::new(kind, "ORC-0001", message))
}

#[tonic::async_trait]
impl CaseService for Peers {
    async fn open_case(
        &self,
        request: Request<orchestrator::OpenCaseRequest>,
    ) -> Result<Response<orchestrator::Case>, Status> {
        let ctx = self.see(request.metadata())?;
        let message = request.into_inner();
        if message.documents.is_empty() {
            return Err(status(Fault::invalid("ORC-0002", "documents", "must name 1 to 100 documents")));
        }
        Ok(Response::new(orchestrator::Case {
            name: "cases/case_1".into(),
            kind: message.kind,
            subject: message.subject,
            documents: message.documents,
            owner: ctx.actor,
            finding_count: 9_007_199_254_740_993,
            ..Default::default()
        }))
    }

    async fn get_case(
        &self,
        request: Request<orchestrator::GetCaseRequest>,
    ) -> Result<Response<orchestrator::Case>, Status> {
        let ctx = self.see(request.metadata())?;
        let name = request.into_inner().name;
        match name.as_str() {
            "cases/missing" => Err(fault(FaultKind::NotFound, "there is no such case")),
            "cases/waits" => Err(fault(FaultKind::WrongState, "the case waits for nobody")),
            "cases/busy" => Err(status(
                Fault::new(FaultKind::Overloaded, "ORC-0003", "too many")
                    .with_retry_after(Duration::from_millis(2_500)),
            )),
            "cases/secret" => Err(fault(FaultKind::Internal, "password=hunter2")),
            "cases/reused" => Err(fault(FaultKind::KeyReused, "the key was used before")),
            "cases/slow" => std::future::pending().await,
            "cases/panics" => panic!("a fake that panics"),
            _ => Ok(Response::new(orchestrator::Case { name, owner: ctx.actor, ..Default::default() })),
        }
    }

    async fn list_cases(
        &self,
        _request: Request<orchestrator::ListCasesRequest>,
    ) -> Result<Response<orchestrator::ListCasesResponse>, Status> {
        Ok(Response::new(Default::default()))
    }

    type WatchCaseStream = BoxStream<'static, Result<orchestrator::HistoryEvent, Status>>;

    async fn watch_case(
        &self,
        request: Request<orchestrator::WatchCaseRequest>,
    ) -> Result<Response<Self::WatchCaseStream>, Status> {
        self.see(request.metadata())?;
        let message = request.into_inner();
        let event = move |n| orchestrator::HistoryEvent {
            sequence: n,
            r#type: "case.transition".into(),
            ..Default::default()
        };
        let first = stream::iter((message.after_sequence + 1..=2).map(move |n| Ok(event(n))));
        match message.name.as_str() {
            "cases/missing" => Err(fault(FaultKind::NotFound, "there is no such case")),
            "cases/breaks" => {
                let end = stream::iter([Err(fault(FaultKind::Unavailable, "the store is away"))]);
                Ok(Response::new(first.chain(end).boxed()))
            }
            "cases/endless" => Ok(Response::new(first.chain(stream::pending()).boxed())),
            _ => Ok(Response::new(first.boxed())),
        }
    }

    async fn list_history(
        &self,
        _request: Request<orchestrator::ListHistoryRequest>,
    ) -> Result<Response<orchestrator::ListHistoryResponse>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn close_case(
        &self,
        request: Request<orchestrator::CloseCaseRequest>,
    ) -> Result<Response<orchestrator::Case>, Status> {
        self.see(request.metadata())?;
        let message = request.into_inner();
        Ok(Response::new(orchestrator::Case {
            name: message.name,
            subject: message.note,
            ..Default::default()
        }))
    }

    async fn cancel_case(
        &self,
        _request: Request<orchestrator::CancelCaseRequest>,
    ) -> Result<Response<orchestrator::Case>, Status> {
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl IntakeService for Peers {
    async fn upload_document(
        &self,
        request: Request<Streaming<intake::UploadDocumentRequest>>,
    ) -> Result<Response<intake::Document>, Status> {
        self.see(request.metadata())?;
        let mut messages = request.into_inner();
        let (mut document, mut size) = (intake::Document::default(), 0);
        let mut first = true;
        while let Some(message) = messages.message().await? {
            if std::mem::take(&mut first) {
                document.media_type = message.media_type;
                document.filename = message.filename;
            }
            assert!(message.data.len() <= 1 << 20, "the contract allows 1 MiB a message");
            if message.data.starts_with(b"REFUSE") {
                return Err(status(Fault::invalid("INT-0001", "data", "is refused")));
            }
            size += message.data.len();
        }
        self.0.uploads.lock().push(size);
        document.size_bytes = i64::try_from(size).unwrap();
        Ok(Response::new(document))
    }

    async fn get_document(
        &self,
        _request: Request<intake::GetDocumentRequest>,
    ) -> Result<Response<intake::Document>, Status> {
        Ok(Response::new(Default::default()))
    }

    type ReadDocumentStream = BoxStream<'static, Result<intake::ReadDocumentResponse, Status>>;

    async fn read_document(
        &self,
        request: Request<intake::ReadDocumentRequest>,
    ) -> Result<Response<Self::ReadDocumentStream>, Status> {
        let chunk = |data: &'static str| Ok(intake::ReadDocumentResponse { data: Bytes::from(data) });
        let items = match request.into_inner().name.as_str() {
            "documents/missing" => vec![Err(fault(FaultKind::NotFound, "there is no such document"))],
            "documents/cut" => vec![chunk("hello "), Err(fault(FaultKind::Corrupt, "bad sector"))],
            "documents/empty" => vec![],
            _ => vec![chunk("hello "), chunk("world")],
        };
        Ok(Response::new(stream::iter(items).boxed()))
    }

    async fn list_documents(
        &self,
        _request: Request<intake::ListDocumentsRequest>,
    ) -> Result<Response<intake::ListDocumentsResponse>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn hold_documents(
        &self,
        _: Request<probity_proto::intake::HoldDocumentsRequest>,
    ) -> Result<Response<probity_proto::intake::HoldDocumentsResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn check_documents(
        &self,
        _request: Request<intake::CheckDocumentsRequest>,
    ) -> Result<Response<intake::CheckDocumentsResponse>, Status> {
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl AuditService for Peers {
    async fn append(
        &self,
        request: Request<audit::AppendRequest>,
    ) -> Result<Response<audit::AppendResponse>, Status> {
        let entries = request.into_inner().entries;
        let accepted = i64::try_from(entries.len()).unwrap();
        self.0.entries.lock().extend(entries);
        Ok(Response::new(audit::AppendResponse { tree_size: accepted, accepted, duplicates: 0 }))
    }

    async fn get_entry(
        &self,
        _request: Request<audit::GetEntryRequest>,
    ) -> Result<Response<audit::LoggedEntry>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn list_entries(
        &self,
        request: Request<audit::ListEntriesRequest>,
    ) -> Result<Response<audit::ListEntriesResponse>, Status> {
        let next_page_token = request.into_inner().parent;
        Ok(Response::new(audit::ListEntriesResponse { entries: vec![], next_page_token }))
    }

    async fn get_checkpoint(
        &self,
        request: Request<audit::GetCheckpointRequest>,
    ) -> Result<Response<audit::Checkpoint>, Status> {
        self.see(request.metadata())?;
        Ok(Response::new(audit::Checkpoint {
            tree_size: request.into_inner().tree_size,
            ..Default::default()
        }))
    }

    async fn get_inclusion_proof(
        &self,
        _request: Request<audit::GetInclusionProofRequest>,
    ) -> Result<Response<audit::InclusionProof>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn get_consistency_proof(
        &self,
        _request: Request<audit::GetConsistencyProofRequest>,
    ) -> Result<Response<audit::ConsistencyProof>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn get_receipt(
        &self,
        _request: Request<audit::GetReceiptRequest>,
    ) -> Result<Response<audit::Receipt>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn check_log(
        &self,
        _request: Request<audit::CheckLogRequest>,
    ) -> Result<Response<audit::CheckLogResponse>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn get_log_key(
        &self,
        _request: Request<audit::GetLogKeyRequest>,
    ) -> Result<Response<audit::LogKey>, Status> {
        Ok(Response::new(Default::default()))
    }
}
