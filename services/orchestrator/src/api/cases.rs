//! `CaseService`.

use super::visible;
use crate::convert;
use crate::definitions::Definitions;
use crate::error::Error;
use crate::lane::{Handle, Message, OpenCase};
use crate::store::{CaseFilter, Store};
use futures::Stream;
use probity_engine::{Disposition, Event, Opening, What};
use probity_proto::orchestrator::case_service_server::CaseService;
use probity_proto::orchestrator::{
    CancelCaseRequest, Case, CaseState, CloseCaseRequest, GetCaseRequest, HistoryEvent, ListCasesRequest,
    ListCasesResponse, ListHistoryRequest, ListHistoryResponse, OpenCaseRequest, Outcome, Verdict,
    WatchCaseRequest,
};
use probity_runtime::{Call, status};
use probity_storage::idempotency::Scope;
use probity_types::id::CaseId;
use probity_types::{Ctx, page};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Turns read at once.
const TURNS: i64 = 200;
/// Events that wait for a slow watcher.
const WATCHED: usize = 64;
/// A watcher looks again after this long even when nobody knocked.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The handlers.
pub(crate) struct Cases {
    store: Store,
    lane: Handle,
    definitions: Definitions,
}

impl Cases {
    pub(crate) const fn new(store: Store, lane: Handle, definitions: Definitions) -> Self {
        Self { store, lane, definitions }
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
            input: serde_json::Value::Null,
            priority: convert::priority(request.priority)?,
            owner: ctx.actor.clone(),
            owner_roles: ctx.roles.clone(),
            parent: None,
        };
        let definition = if request.definition.is_empty() {
            self.definitions.default_for(&ctx.tenant, kind).await?
        } else {
            let name = convert::definition_name("definition", &request.definition)?;
            self.definitions.named(&ctx.tenant, &name).await?
        };
        if !definition.is_case() {
            let why = "it has no `verdict`, so it is not for cases; name one that has, or none";
            return Err(convert::invalid("definition", why));
        }
        let key = convert::request_key(request.request_id.clone(), key)?;
        let scope = key.map(|key| scope(ctx, key, request));
        let ctx = ctx.clone();
        self.lane
            .ask(|reply| Message::Open(Box::new(OpenCase { ctx, opening, definition, scope, reply })))
            .await
    }

    async fn close(&self, ctx: &Ctx, request: &CloseCaseRequest) -> Result<Case, Error> {
        let id = convert::case_id("name", &request.name)?;
        let disposition = convert::disposition(request.disposition)?;
        let note = convert::note("note", &request.note)?;
        let event = Event::Decide { actor: ctx.actor.clone(), roles: ctx.roles.clone(), disposition, note };
        match self.lane.person(ctx, id, event).await {
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
        match self.lane.person(ctx, id, Event::Cancel { actor: ctx.actor.clone(), reason }).await {
            Err(refused @ Error::Refused(_)) => {
                let case = self.store.case(&ctx.tenant, id).await?;
                if case.state == CaseState::Cancelled as i32 { Ok(case) } else { Err(refused) }
            }
            answer => answer,
        }
    }

    async fn get(&self, ctx: &Ctx, name: &str) -> Result<Case, Error> {
        let id = convert::case_id("name", name)?;
        visible(ctx, self.store.case(&ctx.tenant, id).await?)
    }

    async fn list(&self, ctx: &Ctx, request: &ListCasesRequest) -> Result<ListCasesResponse, Error> {
        let limit = page::size(request.page_size).map_err(|f| convert::invalid("page_size", f.message))?;
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
        let limit = page::size(request.page_size).map_err(|f| convert::invalid("page_size", f.message))?;
        let after = if request.page_token.is_empty() {
            0
        } else {
            request
                .page_token
                .parse()
                .map_err(|_| convert::invalid("page_token", "is not from a page before"))?
        };
        let mut events = events(&self.store, id, after, limit).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = events.len() > limit;
        events.truncate(limit);
        let next = events.last().filter(|_| more).map_or_else(String::new, |e| e.sequence.to_string());
        Ok(ListHistoryResponse { events, next_page_token: next })
    }
}

/// Events after a sequence number; more than `turns` when there are as many.
async fn events(store: &Store, id: CaseId, after: i64, turns: i64) -> Result<Vec<HistoryEvent>, Error> {
    let turns = store.turns(id, after, turns.saturating_add(1)).await?;
    let all = turns.iter().flat_map(|turn| {
        let facts = (turn.first..).zip(&turn.facts);
        facts.map(|(sequence, fact)| convert::history_event(sequence, turn.time, &turn.actor, fact))
    });
    Ok(all.filter(|event| event.sequence > after).collect())
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

/// Sends the history from `after` on, then what happens, until the case is final
/// or the watcher is gone.
async fn watch(
    store: Store,
    id: CaseId,
    mut after: i64,
    mut changed: broadcast::Receiver<CaseId>,
    out: mpsc::Sender<Result<HistoryEvent, Status>>,
) {
    loop {
        let events = match events(&store, id, after, TURNS).await {
            Ok(events) => events,
            Err(error) => {
                let _ = out.send(Err(status(error))).await;
                return;
            }
        };
        for event in events {
            after = event.sequence;
            let last = event.r#type == "execution.ended";
            if out.send(Ok(event)).await.is_err() || last {
                return;
            }
        }
        if !next_change(&mut changed, id, &out).await {
            return;
        }
    }
}

/// Waits until the case may have changed; `false` when the watcher is gone.
async fn next_change(
    changed: &mut broadcast::Receiver<CaseId>,
    id: CaseId,
    out: &mpsc::Sender<Result<HistoryEvent, Status>>,
) -> bool {
    let look_again = tokio::time::sleep(LOOK_AGAIN);
    tokio::pin!(look_again);
    loop {
        tokio::select! {
            () = out.closed() => return false,
            () = &mut look_again => return true,
            change = changed.recv() => match change {
                Ok(case) if case != id => {}
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return true,
                Err(broadcast::error::RecvError::Closed) => return false,
            },
        }
    }
}

#[tonic::async_trait]
impl CaseService for Cases {
    async fn open_case(&self, request: Request<OpenCaseRequest>) -> Result<Response<Case>, Status> {
        let (ctx, key) = (request.ctx()?.clone(), request.idempotency_key());
        Ok(Response::new(self.open(&ctx, key, request.into_inner()).await.map_err(status)?))
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

    type WatchCaseStream = Pin<Box<dyn Stream<Item = Result<HistoryEvent, Status>> + Send>>;

    async fn watch_case(
        &self,
        request: Request<WatchCaseRequest>,
    ) -> Result<Response<Self::WatchCaseStream>, Status> {
        // Subscribed before the first read, so that nothing falls between.
        let changed = self.lane.watch();
        let case = self.get(request.ctx()?, &request.get_ref().name).await.map_err(status)?;
        let id = convert::case_id("name", &case.name).map_err(status)?;
        let (out, events) = mpsc::channel(WATCHED);
        tokio::spawn(watch(self.store.clone(), id, request.get_ref().after_sequence, changed, out));
        Ok(Response::new(Box::pin(ReceiverStream::new(events))))
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
        Ok(Response::new(case.map_err(status)?))
    }

    async fn cancel_case(&self, request: Request<CancelCaseRequest>) -> Result<Response<Case>, Status> {
        let case = self.cancel(request.ctx()?, request.get_ref()).await;
        Ok(Response::new(case.map_err(status)?))
    }
}
