//! `probity.gateway.v1.AccountService`: who may begin sessions.

use crate::convert::auth as convert;
use crate::error::Error;
use crate::identity::keeper::Keeper;
use crate::login::Logins;
use crate::store::{Account, Change, Store};
use probity_proto::gateway;
use probity_proto::gateway::account_service_server::AccountService;
use probity_runtime::{Call as _, status};
use probity_types::{AuditEvent, Clock, Ctx, Role, Roles};
use serde_json::{Value, json};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// See `probity.gateway.v1.AccountService`.
pub(crate) struct Accounts {
    pub(crate) store: Store,
    pub(crate) logins: Arc<Logins>,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) home_tenant: String,
}

#[tonic::async_trait]
impl AccountService for Accounts {
    async fn create_account(
        &self,
        request: Request<gateway::CreateAccountRequest>,
    ) -> Result<Response<gateway::Account>, Status> {
        let ctx = request.ctx()?.clone();
        let message = request.into_inner();
        let tenant = self.tenant(message.tenant, &ctx)?;
        let (actor, roles, disabled) = convert::new_account(message.account).map_err(status)?;
        let password = convert::new_password(message.password, &actor, "password").map_err(status)?;
        let change = Change { roles: None, disabled: Some(disabled), password: None };
        keeps_its_way_in(&ctx, &tenant, &actor, &change).map_err(status)?;
        let password = self.logins.hash(password).await.map_err(status)?;
        let now = self.clock.now();
        let (made, changed, password_set) = (now, now, now);
        let account = Account { tenant, actor, roles, password, disabled, made, changed, password_set };
        let event = self.event(&ctx, "account.created", &account.actor, &facts(&account));
        self.store.create(account.clone(), event).await.map_err(status)?;
        self.keeper.reload().await.map_err(status)?;
        Ok(Response::new(convert::account(&account)))
    }

    async fn get_account(
        &self,
        request: Request<gateway::GetAccountRequest>,
    ) -> Result<Response<gateway::Account>, Status> {
        let ctx = request.ctx()?.clone();
        let message = request.into_inner();
        let tenant = self.tenant(message.tenant, &ctx)?;
        let actor = convert::actor(message.name, "name").map_err(status)?;
        let account = self.store.account(&tenant, &actor).await.map_err(status)?;
        let account = account.ok_or_else(|| status(Error::NoAccount(actor)))?;
        Ok(Response::new(convert::account(&account)))
    }

    async fn list_accounts(
        &self,
        request: Request<gateway::ListAccountsRequest>,
    ) -> Result<Response<gateway::ListAccountsResponse>, Status> {
        let ctx = request.ctx()?.clone();
        let message = request.into_inner();
        let tenant = self.tenant(message.tenant, &ctx)?;
        let (size, after) = convert::page(message.page_size, message.page_token).map_err(status)?;
        let mut accounts = self.store.accounts(&tenant, &after, size + 1).await.map_err(status)?;
        let most = usize::try_from(size).unwrap_or_default();
        let more = accounts.len() > most;
        accounts.truncate(most);
        let last = accounts.last().filter(|_| more);
        let next_page_token = last.map_or_else(String::new, |account| account.actor.clone());
        let accounts = accounts.iter().map(convert::account).collect();
        Ok(Response::new(gateway::ListAccountsResponse { accounts, next_page_token }))
    }

    async fn update_account(
        &self,
        request: Request<gateway::UpdateAccountRequest>,
    ) -> Result<Response<gateway::Account>, Status> {
        let ctx = request.ctx()?.clone();
        let mut message = request.into_inner();
        let tenant = self.tenant(std::mem::take(&mut message.tenant), &ctx)?;
        let (actor, change) = convert::change(message).map_err(status)?;
        keeps_its_way_in(&ctx, &tenant, &actor, &change).map_err(status)?;
        let detail = json!({
            "tenant": tenant,
            "roles": change.roles.as_ref().map(names),
            "disabled": change.disabled,
        });
        self.change(&ctx, (tenant, actor), change, "account.changed", &detail).await
    }

    async fn set_password(
        &self,
        request: Request<gateway::SetPasswordRequest>,
    ) -> Result<Response<gateway::Account>, Status> {
        let ctx = request.ctx()?.clone();
        let message = request.into_inner();
        let tenant = self.tenant(message.tenant, &ctx)?;
        let actor = convert::actor(message.name, "name").map_err(status)?;
        let password = convert::new_password(message.password, &actor, "password").map_err(status)?;
        let password = Some(self.logins.hash(password).await.map_err(status)?);
        let detail = json!({"tenant": tenant});
        let change = Change { password, ..Change::default() };
        self.change(&ctx, (tenant, actor), change, "account.password_set", &detail).await
    }
}

impl Accounts {
    fn tenant(&self, given: String, ctx: &Ctx) -> Result<String, Status> {
        convert::tenant(given, ctx, &self.home_tenant).map_err(status)
    }

    fn event(&self, ctx: &Ctx, action: &str, actor: &str, detail: &Value) -> AuditEvent {
        AuditEvent::new(ctx, self.clock.now(), action, actor).with_detail(detail)
    }

    async fn change(
        &self,
        ctx: &Ctx,
        (tenant, actor): (String, String),
        change: Change,
        action: &str,
        detail: &Value,
    ) -> Result<Response<gateway::Account>, Status> {
        let event = self.event(ctx, action, &actor, detail);
        let account = self.store.change((tenant, actor), change, event).await.map_err(status)?;
        self.keeper.reload().await.map_err(status)?;
        Ok(Response::new(convert::account(&account)))
    }
}

/// An administrator does not lock themselves out by mistake.
fn keeps_its_way_in(ctx: &Ctx, tenant: &str, actor: &str, change: &Change) -> Result<(), Error> {
    let demoted = change.roles.as_ref().is_some_and(|roles| !roles.has(Role::Admin));
    if ctx.tenant == tenant && ctx.actor == actor && (demoted || change.disabled == Some(true)) {
        return Err(Error::OwnAccount);
    }
    Ok(())
}

fn names(roles: &Roles) -> Vec<&'static str> {
    roles.iter().map(Role::as_str).collect()
}

fn facts(account: &Account) -> Value {
    json!({"tenant": account.tenant, "roles": names(&account.roles), "disabled": account.disabled})
}
