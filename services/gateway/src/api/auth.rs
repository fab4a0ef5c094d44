//! `probity.gateway.v1.AuthService`: sessions and the keys that sign their tokens.

use crate::convert::auth as convert;
use crate::door::{CallerAddress, network};
use crate::error::Error;
use crate::identity::hasher::Checked;
use crate::identity::keeper::Keeper;
use crate::login::{Knock, Logins};
use crate::store::{Change, Store};
use probity_proto::gateway;
use probity_proto::gateway::auth_service_server::AuthService;
use probity_runtime::{Call as _, status};
use probity_types::{AuditEvent, Clock, Ctx, Role};
use serde_json::json;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// See `probity.gateway.v1.AuthService`.
pub(crate) struct Auth {
    pub(crate) logins: Arc<Logins>,
    pub(crate) store: Store,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) home_tenant: String,
}

#[tonic::async_trait]
impl AuthService for Auth {
    async fn login(
        &self,
        request: Request<gateway::LoginRequest>,
    ) -> Result<Response<gateway::Session>, Status> {
        let (ctx, network) = from(&request)?;
        let message = request.into_inner();
        let actor = convert::actor(message.actor, "actor").map_err(status)?;
        let tenant = convert::login_tenant(message.tenant, &self.home_tenant).map_err(status)?;
        let password = convert::given(message.password, "password").map_err(status)?;
        let knock = Knock { tenant, actor, network, ctx };
        let tokens = self.logins.login(&knock, password).await.map_err(status)?;
        Ok(Response::new(convert::session(tokens)))
    }

    async fn refresh_session(
        &self,
        request: Request<gateway::RefreshSessionRequest>,
    ) -> Result<Response<gateway::Session>, Status> {
        let knock = self.unnamed(&request)?;
        let token = convert::refresh_token(request.into_inner().refresh_token).map_err(status)?;
        let tokens = self.logins.refresh(&token, &knock).await.map_err(status)?;
        Ok(Response::new(convert::session(tokens)))
    }

    async fn logout(
        &self,
        request: Request<gateway::LogoutRequest>,
    ) -> Result<Response<gateway::LogoutResponse>, Status> {
        let knock = self.unnamed(&request)?;
        let token = convert::refresh_token(request.into_inner().refresh_token).map_err(status)?;
        self.logins.logout(&token, &knock).await.map_err(status)?;
        Ok(Response::new(gateway::LogoutResponse {}))
    }

    async fn change_password(
        &self,
        request: Request<gateway::ChangePasswordRequest>,
    ) -> Result<Response<gateway::ChangePasswordResponse>, Status> {
        let (ctx, network) = from(&request)?;
        let message = request.into_inner();
        let current = convert::given(message.current_password, "current_password").map_err(status)?;
        let new = convert::new_password(message.new_password, &ctx.actor, "new_password").map_err(status)?;
        let knock = Knock { tenant: ctx.tenant.clone(), actor: ctx.actor.clone(), network, ctx };
        let (account, checked) = self.logins.prove(&knock, current).await.map_err(status)?;
        debug_assert_ne!(checked, Checked::Wrong);
        let hash = self.logins.hash(new).await.map_err(status)?;
        let event =
            AuditEvent::new(&knock.ctx, self.clock.now(), "account.password_changed", account.actor.as_str());
        let change = Change { password: Some(hash), ..Change::default() };
        self.store.change((account.tenant, account.actor), change, event).await.map_err(status)?;
        self.keeper.reload().await.map_err(status)?;
        Ok(Response::new(gateway::ChangePasswordResponse {}))
    }

    async fn list_signing_keys(
        &self,
        request: Request<gateway::ListSigningKeysRequest>,
    ) -> Result<Response<gateway::ListSigningKeysResponse>, Status> {
        self.at_home(request.ctx()?).map_err(status)?;
        Ok(Response::new(self.signing_keys()))
    }

    async fn rotate_key(
        &self,
        request: Request<gateway::RotateKeyRequest>,
    ) -> Result<Response<gateway::ListSigningKeysResponse>, Status> {
        let ctx = request.ctx()?.clone();
        self.at_home(&ctx).map_err(status)?;
        let at_once = request.into_inner().at_once;
        let event = AuditEvent::new(&ctx, self.clock.now(), "auth.key_rotated", "signingKeys")
            .with_detail(&json!({"at_once": at_once}));
        self.keeper.rotate(at_once, event).await.map_err(status)?;
        Ok(Response::new(self.signing_keys()))
    }
}

impl Auth {
    fn signing_keys(&self) -> gateway::ListSigningKeysResponse {
        convert::signing_keys(&self.keeper.known().ring, self.clock.now())
    }

    fn at_home(&self, ctx: &Ctx) -> Result<(), Error> {
        if ctx.tenant == self.home_tenant && ctx.roles.has(Role::Admin) {
            return Ok(());
        }
        Err(Error::HomeKeys(self.home_tenant.clone()))
    }

    /// Somebody who shows a refresh token: who it is, that says.
    fn unnamed<T>(&self, request: &Request<T>) -> Result<Knock, Status> {
        let (ctx, network) = from(request)?;
        Ok(Knock { tenant: self.home_tenant.clone(), actor: ctx.actor.clone(), network, ctx })
    }
}

/// The call and where it comes from.
fn from<T>(request: &Request<T>) -> Result<(Ctx, String), Status> {
    let address = request.extensions().get::<CallerAddress>();
    Ok((request.ctx()?.clone(), network(address.map_or("", |address| &address.0))))
}
