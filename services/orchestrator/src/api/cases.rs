//! `CaseService`.

use super::history::{self, Events};
use super::{Forward, visible};
use crate::blobs::Blobs;
use crate::convert;
use crate::definitions::Definitions;
use crate::error::Error;
use crate::lane::{Answer, Handle, Message, Start};
use crate::store::{CaseFilter, Store, View};
use crate::views::Views;
use probity_engine::{Disposition, Event, Opening, What};
use probity_proto::orchestrator::case_service_server::CaseService;
use probity_proto::orchestrator::{
    CancelCaseRequest, Case, CaseState, CloseCaseRequest, GetCaseRequest, ListCasesRequest,
    ListCasesResponse, ListHistoryRequest, ListHistoryResponse, OpenCaseRequest, Outcome, Verdict,
    WatchCaseRequest,
};
use probity_runtime::{Call, status};
use probity_storage::idempotency::Scope;
use probity_telemetry::span;
use probity_types::Ctx;
use probity_types::id::{CaseId, ExecutionId};
use prost::Message as _;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

/// The handlers.
pub(crate) struct Cases {
    store: Store,
    views: Views,
    lane: Handle,
    definitions: Definitions,
    forward: Forward,
    blobs: Blobs,
}

impl Cases {
    pub(crate) const fn new(
        store: Store,
        views: Views,
        lane: Handle,
        definitions: Definitions,
        forward: Forward,
        blobs: Blobs,
    ) -> Self {
        Self { store, views, lane, definitions, forward, blobs }
    }

    async fn open(&self, ctx: &Ctx, key: Option<String>, request: OpenCaseRequest) -> Result<Case, Error> {
        let kind = convert::kind(request.kind)?;
        let opening = Opening {
            name: String::new(),
            what: What::Case {
                kind,
                subject: convert::subject(&request.subject)?,
                documents: convert::documents(&request.documents)?,
            },
            input: Json::Null,
            priority: convert::priority(request.priority)?,
            owner: ctx.actor.clone(),
            owner_roles: ctx.roles.clone(),
            parent: None,
        };
        let definition = if request.definition.is_empty() {
            self.definitions.default_for(&ctx.tenant, kind).await?
        } else {
            let name = convert::definition_name("definition", &request.definition)?;
            let definition = self.definitions.named(&ctx.tenant, &name).await?;
            if !definition.is_case() {
                let why = format!(
                    "definitions/{name} has no verdict, so it runs without a case: start it with StartExecution"
                );
                return Err(Error::WrongDefinition(why));
            }
            definition
        };
        let key = convert::request_key(request.request_id.clone(), key)?;
        self.blobs.of_case(&ctx.tenant, &request.documents).await?;
        let scope = key.map(|key| scope(ctx, key, request));
        let ctx = ctx.clone();
        let tenant = ctx.tenant.clone();
        let start = |reply| {
            Message::Start(Box::new(Start { ctx, opening, definition, scope, reply, end: None, held: false }))
        };
        let answer = self.lane.ask(start).await?;
        self.case_of(&tenant, answer).await
    }

    async fn case_of(&self, tenant: &str, answer: Answer) -> Result<Case, Error> {
        match answer {
            Answer::View(View::Case(case)) => Ok(*case),
            Answer::View(View::Plain(execution)) => Err(Error::NoCase(execution.name)),
            Answer::Before(id) => self.store.case(tenant, CaseId(id.0)).await,
        }
    }

    async fn person(&self, ctx: &Ctx, id: CaseId, event: Event) -> Result<Case, Error> {
        let answer = self.lane.person(ctx, ExecutionId(id.0), event).await;
        match answer {
            Ok(answer) => self.case_of(&ctx.tenant, answer).await,
            Err(Error::NoExecution(_)) => Err(Error::NoCase(id.to_string())),
            Err(other) => Err(other),
        }
    }

    async fn close(&self, ctx: &Ctx, request: &CloseCaseRequest) -> Result<Case, Error> {
        let id = convert::case_id("name", &request.name)?;
        let disposition = convert::disposition(request.disposition)?;
        let note = convert::note("note", &request.note)?;
        let event = Event::Decide { actor: ctx.actor.clone(), roles: ctx.roles.clone(), disposition, note };
        match self.person(ctx, id, event).await {
            // The same decision again, after an answer that was lost.
            Err(refused @ Error::Refused(_)) => {
                let case = self.store.case(&ctx.tenant, id).await?;
                if decided_so(&case, &ctx.actor, disposition) { Ok(case) } else { Err(refused) }
            }
            answer => answer,
        }
    }

    async fn cancel(&self, ctx: &Ctx, request: &CancelCaseRequest) -> Result<Case, Error> {
        let id = convert::case_id("name", &request.name)?;
        let reason = convert::reason("reason", &request.reason)?;
        match self.person(ctx, id, Event::Cancel { actor: ctx.actor.clone(), reason }).await {
            Err(refused @ Error::Refused(_)) => {
                let case = self.store.case(&ctx.tenant, id).await?;
                if case.state == CaseState::Cancelled as i32 { Ok(case) } else { Err(refused) }
            }
            answer => answer,
        }
    }

    async fn get(&self, ctx: &Ctx, name: &str) -> Result<Case, Error> {
        let id = convert::case_id("name", name)?;
        visible(ctx, self.views.case(&ctx.tenant, id).await?)
    }

    async fn list(&self, ctx: &Ctx, request: &ListCasesRequest) -> Result<ListCasesResponse, Error> {
        let limit = convert::page_size(request.page_size)?;
        let before = if request.page_token.is_empty() {
            None
        } else {
            Some(
                request
                    .page_token
                    .parse()
                    .map_err(|_| convert::invalid("page_token", "is not from a page before"))?,
            )
        };
        let filter =
            CaseFilter { kind: request.kind, state: request.state, waiting: request.waiting, before, limit };
        let cases = self.store.cases(&ctx.tenant, &filter).await?;
        let full = i64::try_from(cases.len()).unwrap_or(0) == limit;
        let next = cases
            .last()
            .filter(|_| full)
            .map_or_else(String::new, |c| c.name.trim_start_matches("cases/").to_owned());
        Ok(ListCasesResponse { cases, next_page_token: next })
    }

    async fn history(&self, ctx: &Ctx, request: &ListHistoryRequest) -> Result<ListHistoryResponse, Error> {
        let case = self.get(ctx, &request.parent).await?;
        let id = convert::case_id("parent", &case.name)?;
        history::page(&self.store, ExecutionId(id.0), request.page_size, &request.page_token).await
    }
}

/// Whether this person decided the case in this way.
fn decided_so(case: &Case, actor: &str, disposition: Disposition) -> bool {
    let outcome = match disposition {
        Disposition::Confirmed => Outcome::Confirmed,
        Disposition::FalsePositive => Outcome::Unfounded,
        Disposition::Inconclusive => Outcome::Inconclusive,
    };
    let by_actor = |verdict: &Verdict| verdict.decided_by.iter().any(|who| who == actor);
    case.verdict.as_ref().is_some_and(|verdict| by_actor(verdict) && verdict.outcome() == outcome)
}

/// The same key must come with the same request; the key itself does not count.
fn scope(ctx: &Ctx, key: String, request: OpenCaseRequest) -> Scope {
    let body = OpenCaseRequest { request_id: String::new(), ..request };
    Scope {
        tenant: ctx.tenant.clone(),
        operation: "OpenCase",
        key,
        body_sha256: Sha256::digest(body.encode_to_vec()).into(),
    }
}

#[tonic::async_trait]
impl CaseService for Cases {
    async fn open_case(&self, request: Request<OpenCaseRequest>) -> Result<Response<Case>, Status> {
        let (ctx, key) = (request.ctx()?.clone(), request.idempotency_key());
        let begins = span::begins("orchestrator", "execution", &ctx.trace_id);
        let case = self.open(&ctx, key, request.get_ref().clone()).instrument(begins).await;
        self.forward.answer(&request, "/probity.orchestrator.v1.CaseService/OpenCase", case).await
    }

    async fn get_case(&self, request: Request<GetCaseRequest>) -> Result<Response<Case>, Status> {
        let case = self.get(request.ctx()?, &request.get_ref().name).await;
        Ok(Response::new(case.map_err(status)?))
    }

    async fn list_cases(
        &self,
        request: Request<ListCasesRequest>,
    ) -> Result<Response<ListCasesResponse>, Status> {
        let page = self.list(request.ctx()?, request.get_ref()).await;
        Ok(Response::new(page.map_err(status)?))
    }

    type WatchCaseStream = Events;

    async fn watch_case(
        &self,
        request: Request<WatchCaseRequest>,
    ) -> Result<Response<Self::WatchCaseStream>, Status> {
        let (ctx, WatchCaseRequest { name, after_sequence }) = (request.ctx()?, request.get_ref());
        let id = convert::case_id("name", name).map_err(status)?;
        // Before the first read, so that nothing falls between.
        let watch = self.lane.watch(ExecutionId(id.0));
        self.get(ctx, name).await.map_err(status)?;
        Ok(Response::new(history::watch(self.store.clone(), *after_sequence, watch)))
    }

    async fn list_history(
        &self,
        request: Request<ListHistoryRequest>,
    ) -> Result<Response<ListHistoryResponse>, Status> {
        let page = self.history(request.ctx()?, request.get_ref()).await;
        Ok(Response::new(page.map_err(status)?))
    }

    async fn close_case(&self, request: Request<CloseCaseRequest>) -> Result<Response<Case>, Status> {
        let case = self.close(request.ctx()?, request.get_ref()).await;
        self.forward.answer(&request, "/probity.orchestrator.v1.CaseService/CloseCase", case).await
    }

    async fn cancel_case(&self, request: Request<CancelCaseRequest>) -> Result<Response<Case>, Status> {
        let case = self.cancel(request.ctx()?, request.get_ref()).await;
        self.forward.answer(&request, "/probity.orchestrator.v1.CaseService/CancelCase", case).await
    }
}
