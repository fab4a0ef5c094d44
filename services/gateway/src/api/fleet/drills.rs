//! Faults in the calls of every service to a peer. See
//! `probity.monitoring.v1.DrillService`.

use super::{Asked, Fleet};
use probity_proto::BoxGrpcService;
use probity_proto::monitoring::drill_service_client::DrillServiceClient;
use probity_proto::monitoring::drill_service_server::DrillService;
use probity_proto::monitoring::{ClearFaultsRequest, Faults, InjectFaultRequest, ListFaultsRequest};
use probity_runtime::faults::Injection;
use probity_runtime::{Call as _, status};
use serde_json::json;
use tonic::{Request, Response, Status};

type Client = DrillServiceClient<BoxGrpcService>;

impl Fleet {
    /// The faults of the gateway and those that the services told of.
    fn faults(&self, asked: Asked<Faults>) -> Response<Faults> {
        let mut faults = self.faults.list("gateway");
        faults.extend(asked.answers.into_iter().flat_map(|(_, answer)| answer.faults));
        Response::new(Faults { faults, unreachable: asked.unreachable })
    }
}

#[tonic::async_trait]
impl DrillService for Fleet {
    async fn inject_fault(&self, request: Request<InjectFaultRequest>) -> Result<Response<Faults>, Status> {
        let (ctx, message) = (request.ctx()?.clone(), request.into_inner());
        self.at_home(&ctx)?;
        let injection = Injection::try_from(&message).map_err(status)?;
        let (peer, kind) = (message.peer.clone(), message.kind().as_str_name());
        // Said before it is done, and the gateway's own last: it asks the others.
        self.faults.check(&peer).map_err(status)?;
        self.record(&ctx, "fault.injected", format!("services/{peer}"), &json!({ "kind": kind })).await?;
        let asked = self
            .ask(
                &ctx,
                |_| true,
                message,
                |peer, request| Box::pin(async move { Client::new(peer).inject_fault(request).await }),
            )
            .await?;
        self.faults.inject(&peer, injection).map_err(status)?;
        Ok(self.faults(asked))
    }

    async fn clear_faults(&self, request: Request<ClearFaultsRequest>) -> Result<Response<Faults>, Status> {
        let (ctx, message) = (request.ctx()?.clone(), request.into_inner());
        self.at_home(&ctx)?;
        // The gateway's own first: else it could not reach the others.
        self.faults.clear(&message.peer).map_err(status)?;
        let subject = if message.peer.is_empty() {
            "services".to_owned()
        } else {
            format!("services/{}", message.peer)
        };
        self.record(&ctx, "fault.cleared", subject, &json!({})).await?;
        let asked = self
            .ask(
                &ctx,
                |_| true,
                message,
                |peer, request| Box::pin(async move { Client::new(peer).clear_faults(request).await }),
            )
            .await?;
        Ok(self.faults(asked))
    }

    async fn list_faults(&self, request: Request<ListFaultsRequest>) -> Result<Response<Faults>, Status> {
        let (ctx, message) = (request.ctx()?.clone(), request.into_inner());
        let asked = self
            .ask(
                &ctx,
                |_| true,
                message,
                |peer, request| Box::pin(async move { Client::new(peer).list_faults(request).await }),
            )
            .await?;
        Ok(self.faults(asked))
    }
}
