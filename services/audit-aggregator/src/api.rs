//! The RPCs of `probity.audit.v1`.

use crate::appender::Appender;
use crate::convert;
use crate::error::Error;
use crate::log::Log;
use probity_proto::audit::audit_service_server::AuditService;
use probity_proto::audit::{
    AppendRequest, AppendResponse, CheckLogRequest, CheckLogResponse, Checkpoint, ConsistencyProof,
    GetCheckpointRequest, GetConsistencyProofRequest, GetEntryRequest, GetInclusionProofRequest,
    GetLogKeyRequest, GetReceiptRequest, InclusionProof, ListEntriesRequest, ListEntriesResponse, LogKey,
    LoggedEntry, Receipt,
};
use probity_runtime::{Call as _, status};
use probity_types::page;
use tonic::{Request, Response, Status};

/// The service as tonic serves it.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    log: Log,
    appender: Appender,
}

impl Api {
    pub(crate) const fn new(log: Log, appender: Appender) -> Self {
        Self { log, appender }
    }
}

fn answer<T>(result: Result<T, Error>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(status)
}

#[tonic::async_trait]
impl AuditService for Api {
    async fn append(&self, request: Request<AppendRequest>) -> Result<Response<AppendResponse>, Status> {
        let ctx = request.ctx()?.clone();
        let entries = convert::entries(&ctx, request.into_inner()).map_err(status)?;
        answer(self.appender.append(entries).await.map(|appended| convert::appended(&appended)))
    }

    async fn get_entry(&self, request: Request<GetEntryRequest>) -> Result<Response<LoggedEntry>, Status> {
        let name = convert::parse_entry_name(&request.get_ref().name).map_err(status)?;
        let entry = self.log.entry(&request.ctx()?.tenant, &name).await.map_err(status)?;
        answer(convert::logged(&entry))
    }

    async fn list_entries(
        &self,
        request: Request<ListEntriesRequest>,
    ) -> Result<Response<ListEntriesResponse>, Status> {
        let filter = convert::filter(request.ctx()?, request.get_ref()).map_err(status)?;
        let limit = page::size(request.get_ref().page_size).map_err(status)?;
        let limit = usize::try_from(limit).unwrap_or_default();
        let token = &request.get_ref().page_token;
        let (rows, next) = self.log.list(&filter, token, limit).await.map_err(status)?;
        let entries = rows.iter().map(convert::logged).collect::<Result<_, _>>();
        let next_page_token = next.unwrap_or_default();
        answer(entries.map(|entries| ListEntriesResponse { entries, next_page_token }))
    }

    async fn get_checkpoint(
        &self,
        request: Request<GetCheckpointRequest>,
    ) -> Result<Response<Checkpoint>, Status> {
        let size = convert::size("tree_size", request.get_ref().tree_size).map_err(status)?;
        answer(self.log.head(size).await.map(convert::checkpoint))
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<GetInclusionProofRequest>,
    ) -> Result<Response<InclusionProof>, Status> {
        let index = convert::index("index", request.get_ref().index).map_err(status)?;
        let size = convert::size("tree_size", request.get_ref().tree_size).map_err(status)?;
        answer(self.log.inclusion(index, size).await.map(|proof| convert::inclusion(&proof)))
    }

    async fn get_consistency_proof(
        &self,
        request: Request<GetConsistencyProofRequest>,
    ) -> Result<Response<ConsistencyProof>, Status> {
        let first = convert::index("first_size", request.get_ref().first_size).map_err(status)?;
        let second = convert::size("second_size", request.get_ref().second_size).map_err(status)?;
        answer(self.log.consistency(first, second).await.map(|proof| convert::consistency(&proof)))
    }

    async fn get_receipt(&self, request: Request<GetReceiptRequest>) -> Result<Response<Receipt>, Status> {
        let subject = convert::parse_subject(&request.get_ref().name).map_err(status)?;
        let receipt = self.log.receipt(&request.ctx()?.tenant, &subject).await.map_err(status)?;
        answer(convert::receipt(&receipt))
    }

    async fn check_log(&self, _: Request<CheckLogRequest>) -> Result<Response<CheckLogResponse>, Status> {
        answer(self.log.check().await.map(convert::report))
    }

    async fn get_log_key(&self, _: Request<GetLogKeyRequest>) -> Result<Response<LogKey>, Status> {
        Ok(Response::new(convert::key(self.log.key())))
    }
}
