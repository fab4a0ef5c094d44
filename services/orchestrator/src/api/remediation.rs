//! `RemediationService`.

use crate::convert;
use crate::error::Error;
use crate::store::{Change, Store};
use probity_proto::orchestrator::remediation_service_server::RemediationService;
use probity_proto::orchestrator::{
    Action, ActionType, ListActionsRequest, ListActionsResponse, RevertActionRequest, TakeActionRequest,
};
use probity_runtime::{Call, status};
use probity_storage::idempotency::Scope;
use probity_types::id::ActionId;
use probity_types::{AuditEvent, Clock, Ctx};
use prost::Message;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The handlers.
pub(crate) struct Remediation {
    store: Store,
    clock: Arc<dyn Clock>,
}

impl Remediation {
    pub(crate) const fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    fn take(&self, ctx: &Ctx, key: Option<String>, request: &TakeActionRequest) -> Result<Change, Error> {
        let kind = action_type(request.r#type)?;
        let mut change = self.change(ctx, &request.case, kind, "action.taken")?;
        change.reason = convert::note("reason", &request.reason)?;
        change.event =
            change.event.with_detail(&json!({ "type": kind.as_str_name(), "reason": request.reason }));
        change.scope = key.map(|key| scope(ctx, "TakeAction", key, request));
        Ok(change)
    }

    fn revert(&self, ctx: &Ctx, key: Option<String>, request: &RevertActionRequest) -> Result<Change, Error> {
        let kind = action_type(request.r#type)?;
        let mut change = self.change(ctx, &request.case, kind, "action.reverted")?;
        change.event = change.event.with_detail(&json!({ "type": kind.as_str_name() }));
        change.scope = key.map(|key| scope(ctx, "RevertAction", key, request));
        Ok(change)
    }

    fn change(&self, ctx: &Ctx, case: &str, kind: ActionType, action: &str) -> Result<Change, Error> {
        let (id, now) = (convert::case_id("case", case)?, self.clock.now());
        Ok(Change {
            tenant: ctx.tenant.clone(),
            case: id,
            kind: kind as i32,
            reason: String::new(),
            scope: None,
            event: AuditEvent::new(ctx, now, action, case).of_case(case),
            now,
        })
    }

    async fn list(&self, ctx: &Ctx, request: &ListActionsRequest) -> Result<ListActionsResponse, Error> {
        let id = convert::case_id("parent", &request.parent)?;
        self.store.case(&ctx.tenant, id).await?;
        let limit = convert::page_size(request.page_size)?;
        let after = if request.page_token.is_empty() {
            Vec::new()
        } else {
            let token = request.page_token.parse::<ActionId>();
            token.map_err(|_| convert::invalid("page_token", "is not from a page before"))?.to_bytes()
        };
        let actions = self.store.actions(&ctx.tenant, id, &after, limit).await?;
        let full = i64::try_from(actions.len()).unwrap_or(0) == limit;
        let last = actions.last().filter(|_| full).and_then(|a| a.name.rsplit('/').next());
        let next_page_token = last.unwrap_or_default().to_owned();
        Ok(ListActionsResponse { actions, next_page_token })
    }
}

fn action_type(number: i32) -> Result<ActionType, Error> {
    match ActionType::try_from(number) {
        Ok(ActionType::Unspecified) | Err(_) => Err(convert::invalid(
            "type",
            "must be one of ACTION_TYPE_NOTIFY, ACTION_TYPE_HOLD_PAYMENT, ACTION_TYPE_ESCALATE, ACTION_TYPE_OPEN_REVIEW",
        )),
        Ok(kind) => Ok(kind),
    }
}

fn scope(ctx: &Ctx, operation: &'static str, key: String, request: &impl Message) -> Scope {
    let body_sha256 = Sha256::digest(request.encode_to_vec()).into();
    Scope { tenant: ctx.tenant.clone(), operation, key, body_sha256 }
}

#[tonic::async_trait]
impl RemediationService for Remediation {
    async fn take_action(&self, request: Request<TakeActionRequest>) -> Result<Response<Action>, Status> {
        let change =
            self.take(request.ctx()?, request.idempotency_key(), request.get_ref()).map_err(status)?;
        Ok(Response::new(self.store.take_action(change).await.map_err(status)?))
    }

    async fn revert_action(&self, request: Request<RevertActionRequest>) -> Result<Response<Action>, Status> {
        let change =
            self.revert(request.ctx()?, request.idempotency_key(), request.get_ref()).map_err(status)?;
        Ok(Response::new(self.store.revert_action(change).await.map_err(status)?))
    }

    async fn list_actions(
        &self,
        request: Request<ListActionsRequest>,
    ) -> Result<Response<ListActionsResponse>, Status> {
        let page = self.list(request.ctx()?, request.get_ref()).await;
        Ok(Response::new(page.map_err(status)?))
    }
}
