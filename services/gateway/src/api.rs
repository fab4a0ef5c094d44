//! The RPCs the gateway answers itself.

mod accounts;
mod auth;
mod fleet;

pub(crate) use accounts::Accounts;
pub(crate) use auth::Auth;
pub(crate) use fleet::Fleet;

use crate::convert;
use crate::domain::principal::Principal;
use crate::domain::token::{Grant, Issued};
use crate::error::Error;
use crate::identity::keeper::Keeper;
use crate::platform::Platform;
use crate::store::Store;
use probity_proto::gateway::gateway_service_server::GatewayService;
use probity_proto::{gateway, time};
use probity_runtime::{Call as _, status};
use probity_types::{AuditEvent, Clock, Ctx};
use serde_json::json;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// See `probity.gateway.v1.GatewayService`.
pub(crate) struct Api {
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) home_tenant: String,
    pub(crate) platform: Platform,
    pub(crate) methods: Vec<gateway::Method>,
    pub(crate) limits: gateway::Limits,
}

#[tonic::async_trait]
impl GatewayService for Api {
    async fn get_platform(
        &self,
        _request: Request<gateway::GetPlatformRequest>,
    ) -> Result<Response<gateway::Platform>, Status> {
        Ok(Response::new(self.platform.look().await))
    }

    async fn who_am_i(
        &self,
        request: Request<gateway::WhoAmIRequest>,
    ) -> Result<Response<gateway::Principal>, Status> {
        let principal = request.extensions().get::<Arc<Principal>>().ok_or_else(|| status(Error::NoToken))?;
        Ok(Response::new(convert::principal(principal)))
    }

    async fn get_keys(
        &self,
        _request: Request<gateway::GetKeysRequest>,
    ) -> Result<Response<gateway::KeySet>, Status> {
        Ok(Response::new(convert::keys(&self.keeper.known().ring, self.clock.now())))
    }

    async fn list_methods(
        &self,
        _request: Request<gateway::ListMethodsRequest>,
    ) -> Result<Response<gateway::ListMethodsResponse>, Status> {
        Ok(Response::new(gateway::ListMethodsResponse { methods: self.methods.clone() }))
    }

    async fn get_limits(
        &self,
        _request: Request<gateway::GetLimitsRequest>,
    ) -> Result<Response<gateway::Limits>, Status> {
        Ok(Response::new(self.limits))
    }

    async fn check_token(
        &self,
        request: Request<gateway::CheckTokenRequest>,
    ) -> Result<Response<gateway::CheckTokenResponse>, Status> {
        let caller = request.ctx()?.clone();
        convert::token(request.get_ref()).map_err(status)?;
        let checked = self.keeper.verify(&request.get_ref().token, self.clock.now());
        // A token of another tenant is nobody else's business.
        let own =
            |principal: &Principal| principal.tenant == caller.tenant || caller.tenant == self.home_tenant;
        let checked = checked.map_err(|why| why.to_string()).and_then(|principal| match own(&principal) {
            true => Ok(principal),
            false => Err(Error::OtherTenant(self.home_tenant.clone()).to_string()),
        });
        Ok(Response::new(convert::checked(checked)))
    }

    async fn issue_token(
        &self,
        request: Request<gateway::IssueTokenRequest>,
    ) -> Result<Response<gateway::IssuedToken>, Status> {
        let caller = request.ctx()?.clone();
        let grant = convert::grant(request.into_inner(), &caller).map_err(status)?;
        self.may_issue(&caller, &grant).map_err(status)?;
        let (known, now) = (self.keeper.known(), self.clock.now());
        let issued = known.ring.signer(now).issue(&grant, now).map_err(|e| status(Error::Encode(e)))?;
        self.store.record(vec![self.event(&caller, &grant, &issued)]).await.map_err(status)?;
        let expire_time = Some(time::timestamp(issued.expires.0));
        Ok(Response::new(gateway::IssuedToken { token: issued.token, expire_time }))
    }
}

impl Api {
    /// The administrators of a tenant are masters of their own tenant only.
    fn may_issue(&self, caller: &Ctx, grant: &Grant) -> Result<(), Error> {
        if grant.tenant == caller.tenant || caller.tenant == self.home_tenant {
            return Ok(());
        }
        Err(Error::OtherTenant(self.home_tenant.clone()))
    }

    fn event(&self, caller: &Ctx, grant: &Grant, issued: &Issued) -> AuditEvent {
        let roles: Vec<_> = grant.roles.iter().map(|role| role.as_str()).collect();
        let detail = json!({
            "token_id": issued.id,
            "tenant": grant.tenant,
            "roles": roles,
            "expires": issued.expires.to_string(),
        });
        AuditEvent::new(caller, self.clock.now(), "auth.token_issued", grant.actor.as_str())
            .with_detail(&detail)
    }
}
