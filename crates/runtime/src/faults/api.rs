//! `DrillService` of one service.

use super::{Faults, Injection};
use crate::status::status;
use probity_proto::monitoring::drill_service_server::DrillService;
use probity_proto::monitoring::{ClearFaultsRequest, Faults as Shown, InjectFaultRequest, ListFaultsRequest};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The handlers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Drills {
    pub(crate) service: &'static str,
    pub(crate) faults: Arc<Faults>,
}

impl Drills {
    fn shown(&self) -> Response<Shown> {
        Response::new(Shown { faults: self.faults.list(self.service), unreachable: Vec::new() })
    }
}

#[tonic::async_trait]
impl DrillService for Drills {
    async fn inject_fault(&self, request: Request<InjectFaultRequest>) -> Result<Response<Shown>, Status> {
        let request = request.into_inner();
        let injection = Injection::try_from(&request).map_err(status)?;
        self.faults.inject(&request.peer, injection).map_err(status)?;
        tracing::warn!(
            service = self.service,
            peer = request.peer,
            ?injection,
            "a fault was injected for a drill"
        );
        Ok(self.shown())
    }

    async fn clear_faults(&self, request: Request<ClearFaultsRequest>) -> Result<Response<Shown>, Status> {
        self.faults.clear(&request.into_inner().peer).map_err(status)?;
        tracing::warn!(service = self.service, "faults of a drill were ended");
        Ok(self.shown())
    }

    async fn list_faults(&self, _request: Request<ListFaultsRequest>) -> Result<Response<Shown>, Status> {
        Ok(self.shown())
    }
}
