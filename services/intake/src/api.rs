//! The RPCs: decode, do, encode.

use crate::Error;
use crate::convert::{self, Heading};
use crate::domain::check::{Check, Kind, Verdict};
use crate::domain::name::Hash;
use crate::domain::report::Report;
use crate::domain::{Document, media};
use crate::metrics::Metrics;
use crate::objects::Objects;
use crate::read::{self, Pieces};
use crate::store::Store;
use crate::upload::{Limits, Received, Upload};
use futures::stream::{BoxStream, StreamExt};
use probity_proto::intake as pb;
use probity_proto::intake::intake_service_server::IntakeService;
use probity_runtime::{Call as _, status};
use probity_types::{Clock, Ctx, page};
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status, Streaming};

/// The service behind the RPCs.
pub(crate) struct Api {
    pub(crate) store: Store,
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) limits: Limits,
    /// How long a document is kept that nobody has named yet.
    pub(crate) kept: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
}

#[tonic::async_trait]
impl IntakeService for Api {
    async fn upload_document(
        &self,
        request: Request<Streaming<pb::UploadDocumentRequest>>,
    ) -> Result<Response<pb::Document>, Status> {
        let ctx = request.ctx()?.clone();
        let stored = self.upload(ctx, request.into_inner()).await.map_err(status)?;
        Ok(Response::new(convert::document(stored)))
    }

    async fn get_document(
        &self,
        request: Request<pb::GetDocumentRequest>,
    ) -> Result<Response<pb::Document>, Status> {
        let tenant = &request.ctx()?.tenant;
        let hash = convert::name(&request.get_ref().name).map_err(status)?;
        let found = self.store.get(tenant, hash).await.map_err(status)?;
        let found = found.ok_or_else(|| status(not_found(hash)))?;
        Ok(Response::new(convert::document(found)))
    }

    type ReadDocumentStream = BoxStream<'static, Result<pb::ReadDocumentResponse, Status>>;

    async fn read_document(
        &self,
        request: Request<pb::ReadDocumentRequest>,
    ) -> Result<Response<Self::ReadDocumentStream>, Status> {
        let tenant = &request.ctx()?.tenant;
        let pieces = self.read(tenant, request.get_ref()).await.map_err(status)?;
        let answers = pieces.map(|piece| piece.map(|data| pb::ReadDocumentResponse { data }).map_err(status));
        Ok(Response::new(answers.boxed()))
    }

    async fn list_documents(
        &self,
        request: Request<pb::ListDocumentsRequest>,
    ) -> Result<Response<pb::ListDocumentsResponse>, Status> {
        let tenant = &request.ctx()?.tenant;
        let limit = page::size(request.get_ref().page_size).map_err(status)?;
        let cursor = convert::cursor(&request.get_ref().page_token).map_err(status)?;
        let documents = self.store.list(tenant, cursor, limit + 1).await.map_err(status)?;
        Ok(Response::new(convert::page(documents, limit)))
    }

    async fn hold_documents(
        &self,
        request: Request<pb::HoldDocumentsRequest>,
    ) -> Result<Response<pb::HoldDocumentsResponse>, Status> {
        let tenant = &request.ctx()?.tenant;
        let hashes = convert::to_hold(request.get_ref()).map_err(status)?;
        let until = (!request.get_ref().for_good).then(|| self.clock.now().plus(self.kept));
        let found = self.store.hold(tenant, &hashes, until).await.map_err(status)?;
        Ok(Response::new(convert::held(&hashes, found)))
    }

    async fn check_documents(
        &self,
        request: Request<pb::CheckDocumentsRequest>,
    ) -> Result<Response<pb::CheckDocumentsResponse>, Status> {
        let tenant = &request.ctx()?.tenant;
        let (kind, hashes) = convert::to_check(request.get_ref()).map_err(status)?;
        let report = self.check_all(tenant, kind, &hashes).await.map_err(status)?;
        Ok(Response::new(convert::report(report)))
    }
}

impl Api {
    async fn upload(
        &self,
        ctx: Ctx,
        mut messages: Streaming<pb::UploadDocumentRequest>,
    ) -> Result<Document, Error> {
        let Some(first) = next(&mut messages).await? else {
            return Err(Error::Upload { reason: "has no message: send the document".to_owned() });
        };
        let heading = Heading::try_from(&first)?;
        let mut upload = Upload::new(self.objects.as_ref(), self.limits);
        upload.push(convert::piece(&first)?).await?;
        drop(first);
        while let Some(message) = next(&mut messages).await? {
            upload.push(convert::piece(&message)?).await?;
        }
        let received = upload.finish(heading.sha256).await?;
        self.store(ctx, heading, received).await
    }

    async fn store(&self, ctx: Ctx, heading: Heading, received: Received) -> Result<Document, Error> {
        let media_type = match heading.media_type {
            given if given.is_empty() => media::guess(&heading.filename, &received.head).to_owned(),
            given => given,
        };
        let now = self.clock.now();
        let document = Document {
            hash: received.hash,
            media_type,
            filename: heading.filename,
            size: received.size,
            created: now,
            expires: heading.temporary.then(|| now.plus(self.kept)),
        };
        let in_row = received.body.is_some();
        let (stored, is_new) = self.store.insert(ctx, document, received.body).await?;
        self.metrics.stored(stored.size, in_row, is_new);
        Ok(stored)
    }

    async fn read(&self, tenant: &str, request: &pb::ReadDocumentRequest) -> Result<Pieces, Error> {
        let hash = convert::name(&request.name)?;
        let found = self.store.get_with_body(tenant, hash).await?;
        let (document, body) = found.ok_or_else(|| not_found(hash))?;
        let range = convert::range(request, document.size)?;
        read::pieces(&self.objects, &document, body, range).await
    }

    async fn check_all(&self, tenant: &str, kind: Kind, hashes: &[Hash]) -> Result<Report, Error> {
        let mut report = Report::default();
        for hash in hashes {
            match self.store.get_with_body(tenant, *hash).await? {
                None => report.add_missing(*hash),
                Some((document, _)) if document.expires.is_some() => report.add_temporary(*hash),
                Some((document, body)) => {
                    let verdict = self.check(kind, &document, body).await?;
                    self.metrics.checked(verdict.usable);
                    report.add(&document, verdict);
                }
            }
        }
        Ok(report)
    }

    async fn check(&self, kind: Kind, document: &Document, body: Option<Vec<u8>>) -> Result<Verdict, Error> {
        let mut check = Check::new(kind);
        let mut pieces = read::pieces(&self.objects, document, body, 0..document.size).await?;
        while let Some(piece) = pieces.next().await {
            check.feed(&piece?);
            if check.is_decided() {
                break;
            }
            // A document in memory never waits by itself; others want to run too.
            tokio::task::consume_budget().await;
        }
        Ok(check.finish())
    }
}

async fn next(
    messages: &mut Streaming<pb::UploadDocumentRequest>,
) -> Result<Option<pb::UploadDocumentRequest>, Error> {
    messages
        .message()
        .await
        .map_err(|status| Error::Upload { reason: format!("broke off: {}", status.message()) })
}

fn not_found(hash: Hash) -> Error {
    Error::NotFound { name: hash.name() }
}
