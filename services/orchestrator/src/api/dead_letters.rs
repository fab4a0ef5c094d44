//! `DeadLetterService`.

mod many;

use super::Forward;
use crate::catalog::Contracts;
use crate::convert::{self, dead_letters as letters};
use crate::domain::dead_letters::patterns::Patterns;
use crate::domain::dead_letters::{State, payload_of};
use crate::error::Error;
use crate::lane::Handle;
use crate::store::{Asked, Letter, LetterId, Listing, Review, Store, letter_schema, predicate};
use futures::Stream;
use probity_engine::{Event, Refusal};
use probity_proto::orchestrator::dead_letter_service_server::DeadLetterService;
use probity_proto::orchestrator::{
    BatchDeadLettersResponse, BatchDiscardDeadLettersRequest, BatchRequeueDeadLettersRequest,
    ClearDiscardedRequest, ClearDiscardedResponse, DeadLetter, DeadLetterPatterns, DiscardDeadLetterRequest,
    ExportDeadLettersRequest, GetDeadLetterPatternsRequest, GetDeadLetterRequest, ListDeadLettersRequest,
    ListDeadLettersResponse, RequeueDeadLetterRequest, ReviewDeadLetterRequest,
};
use probity_runtime::{Call, status};
use probity_types::{AuditEvent, Clock, Ctx, Micros};
use serde_json::{Value as Json, json};
use std::pin::Pin;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The order of a list that asks for none.
const NEWEST: &str = "open_time desc";
/// The letters that need attention are shown in this order, so many.
const OLDEST: &str = "open_time";
const ATTENTION: i64 = 10;
/// More facts than an execution can have.
const ALL: i64 = 10_000_000;

/// The handlers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct DeadLetters {
    store: Store,
    lane: Handle,
    contracts: Arc<Contracts>,
    clock: Arc<dyn Clock>,
    forward: Forward,
}

/// The RPCs that another replica may have to answer.
const REQUEUE: &str = "/probity.orchestrator.v1.DeadLetterService/RequeueDeadLetter";
const DISCARD: &str = "/probity.orchestrator.v1.DeadLetterService/DiscardDeadLetter";

/// What a person does to an open letter.
#[derive(Debug, Clone)]
enum Deed {
    /// With another message when there is one.
    Requeue {
        payload: Option<Json>,
    },
    Discard {
        reason: String,
    },
}

impl Deed {
    fn event(&self, actor: &str, id: &LetterId) -> Event {
        let (actor, step) = (actor.to_owned(), letters::step_name(&id.slot));
        match self {
            Self::Requeue { payload: None } => Event::RetryStep { actor, step },
            Self::Requeue { payload: Some(input) } => Event::EditInput { actor, step, input: input.clone() },
            Self::Discard { reason } => Event::SkipStep { actor, step, reason: reason.clone() },
        }
    }

    const fn leads_to(&self) -> State {
        match self {
            Self::Requeue { .. } => State::Requeued,
            Self::Discard { .. } => State::Discarded,
        }
    }
}

impl DeadLetters {
    /// Many letters are many commits, so their answer cannot be stored with them; yet
    /// who asks again must not hear that nothing was left to do.
    pub(crate) const MANY: &'static [&'static str] = &[
        "/probity.orchestrator.v1.DeadLetterService/BatchRequeueDeadLetters",
        "/probity.orchestrator.v1.DeadLetterService/BatchDiscardDeadLetters",
        "/probity.orchestrator.v1.DeadLetterService/ClearDiscarded",
    ];

    pub(crate) const fn new(
        store: Store,
        lane: Handle,
        contracts: Arc<Contracts>,
        clock: Arc<dyn Clock>,
        forward: Forward,
    ) -> Self {
        Self { store, lane, contracts, clock, forward }
    }

    async fn list(
        &self,
        ctx: &Ctx,
        request: &ListDeadLettersRequest,
    ) -> Result<ListDeadLettersResponse, Error> {
        let asked = Asked {
            filter: &request.filter,
            order_by: &request.order_by,
            page_token: &request.page_token,
            limit: convert::page_size(request.page_size)?,
        };
        let listing = Listing::new(letter_schema(), asked, NEWEST)?;
        let (found, next_page_token) = self.store.letters(&ctx.tenant, &listing, false, "TRUE").await?;
        Ok(ListDeadLettersResponse {
            dead_letters: found.into_iter().map(letters::letter).collect(),
            next_page_token,
        })
    }

    async fn get(&self, ctx: &Ctx, name: &str) -> Result<DeadLetter, Error> {
        let id = letters::id("name", name)?;
        let mut letter = self.store.letter(&ctx.tenant, &id).await?;
        if letter.payload.is_empty() && letter.payload_bytes > 0 {
            // Too large for its row.
            letter.payload = self.payload(&id).await?.map_or_else(String::new, |json| json.to_string());
        }
        Ok(letters::letter(letter))
    }

    /// The last message of a step, from the journal.
    async fn payload(&self, id: &LetterId) -> Result<Option<Arc<Json>>, Error> {
        let turns = self.store.turns(id.execution, 0, ALL).await?;
        Ok(payload_of(turns.iter().flat_map(|turn| &turn.facts), &id.slot).cloned())
    }

    async fn requeue(&self, ctx: &Ctx, request: &RequeueDeadLetterRequest) -> Result<DeadLetter, Error> {
        let id = letters::id("name", &request.name)?;
        if request.payload.is_empty() {
            return self.one(ctx, &id, Deed::Requeue { payload: None }).await;
        }
        let payload = convert::json("payload", &request.payload, convert::MAX_INPUT)?;
        let letter = self.store.letter(&ctx.tenant, &id).await?;
        if let Some(method) = self.contracts.get(&letter.operation) {
            method.encode(&payload).map_err(|refused| convert::invalid("payload", refused.message))?;
        } else if !payload.is_object() {
            return Err(convert::invalid("payload", "must be an object with the fields of the message"));
        }
        self.one(ctx, &id, Deed::Requeue { payload: Some(payload) }).await
    }

    async fn review(&self, ctx: &Ctx, request: &ReviewDeadLetterRequest) -> Result<DeadLetter, Error> {
        let id = letters::id("name", &request.name)?;
        let note = convert::note("note", &request.note)?;
        let letter = self.store.letter(&ctx.tenant, &id).await?;
        let now = self.clock.now();
        let event = AuditEvent::new(ctx, now, "dead_letter.reviewed", &request.name)
            .of_case(&letter.case)
            .with_detail(&json!({ "note": note }));
        let (tenant, actor) = (ctx.tenant.clone(), ctx.actor.clone());
        let reviewed =
            self.store.review_letter(Review { tenant, id: id.clone(), actor, note, now, event }).await?;
        let letter = self.store.letter(&ctx.tenant, &id).await?;
        if reviewed { Ok(letters::letter(letter)) } else { Err(closed(&letter)) }
    }

    async fn one(&self, ctx: &Ctx, id: &LetterId, deed: Deed) -> Result<DeadLetter, Error> {
        self.carry_out(ctx, id, &deed).await?;
        Ok(letters::letter(self.store.letter(&ctx.tenant, id).await?))
    }

    /// Lets the core end the incident; the letter follows in the same commit. The
    /// same deed of the same person again, after an answer that was lost, is fine.
    async fn carry_out(&self, ctx: &Ctx, id: &LetterId, deed: &Deed) -> Result<(), Error> {
        let letter = self.store.letter(&ctx.tenant, id).await?;
        if letter.is_open() {
            match self.lane.person(ctx, id.execution, deed.event(&ctx.actor, id)).await {
                Err(Error::Refused(Refusal::NoIncident { .. } | Refusal::Ended { .. })) => {}
                other => return other.map(drop),
            }
        }
        let letter = self.store.letter(&ctx.tenant, id).await?;
        let mut repeated = letter.state == deed.leads_to() as i32 && letter.reviewer == ctx.actor;
        if let Deed::Requeue { payload: Some(edited) } = deed {
            repeated = repeated && self.payload(id).await?.as_deref() == Some(edited);
        }
        if repeated { Ok(()) } else { Err(closed(&letter)) }
    }

    async fn clear(
        &self,
        ctx: &Ctx,
        request: &ClearDiscardedRequest,
    ) -> Result<ClearDiscardedResponse, Error> {
        let age = letters::older_than(request.older_than.as_ref())?;
        let now = self.clock.now();
        let before = ago(now, age);
        if request.validate_only {
            let cleared = self.store.discarded_letters(&ctx.tenant, before).await?;
            return Ok(ClearDiscardedResponse { cleared });
        }
        let by = ctx.clone();
        let event = move |count: u64| {
            AuditEvent::new(&by, now, "dead_letters.cleared", "deadLetters")
                .with_detail(&json!({ "count": count }))
        };
        let cleared = self.store.clear_letters(&ctx.tenant, before, event).await?;
        Ok(ClearDiscardedResponse { cleared: i64::try_from(cleared).unwrap_or(i64::MAX) })
    }

    async fn patterns(
        &self,
        ctx: &Ctx,
        request: &GetDeadLetterPatternsRequest,
    ) -> Result<DeadLetterPatterns, Error> {
        let predicate = predicate(letter_schema(), &request.filter)?;
        let most = letters::top(request.top)?;
        let old = ago(self.clock.now(), letters::age(request.older_than.as_ref())?);
        let (groups, totals) = self.store.letter_groups(&ctx.tenant, &predicate, old).await?;
        let attention = self.store.attention(&ctx.tenant, &predicate, old, ATTENTION).await?;
        Ok(letters::patterns(Patterns::of(&groups, totals, most), attention))
    }
}

fn ago(now: Micros, age: std::time::Duration) -> Micros {
    Micros(now.0.saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX)))
}

fn closed(letter: &Letter) -> Error {
    Error::LetterClosed { name: letters::name(&letter.id), state: letters::state_name(letter.state) }
}

#[tonic::async_trait]
impl DeadLetterService for DeadLetters {
    async fn list_dead_letters(
        &self,
        request: Request<ListDeadLettersRequest>,
    ) -> Result<Response<ListDeadLettersResponse>, Status> {
        let page = self.list(request.ctx()?, request.get_ref()).await;
        Ok(Response::new(page.map_err(status)?))
    }

    async fn get_dead_letter(
        &self,
        request: Request<GetDeadLetterRequest>,
    ) -> Result<Response<DeadLetter>, Status> {
        let letter = self.get(request.ctx()?, &request.get_ref().name).await;
        Ok(Response::new(letter.map_err(status)?))
    }

    async fn review_dead_letter(
        &self,
        request: Request<ReviewDeadLetterRequest>,
    ) -> Result<Response<DeadLetter>, Status> {
        let letter = self.review(request.ctx()?, request.get_ref()).await;
        Ok(Response::new(letter.map_err(status)?))
    }

    async fn requeue_dead_letter(
        &self,
        request: Request<RequeueDeadLetterRequest>,
    ) -> Result<Response<DeadLetter>, Status> {
        let letter = self.requeue(request.ctx()?, request.get_ref()).await;
        self.forward.answer(&request, REQUEUE, letter).await
    }

    async fn discard_dead_letter(
        &self,
        request: Request<DiscardDeadLetterRequest>,
    ) -> Result<Response<DeadLetter>, Status> {
        let id = letters::id("name", &request.get_ref().name).map_err(status)?;
        let reason = convert::reason("reason", &request.get_ref().reason).map_err(status)?;
        let letter = self.one(request.ctx()?, &id, Deed::Discard { reason }).await;
        self.forward.answer(&request, DISCARD, letter).await
    }

    async fn batch_requeue_dead_letters(
        &self,
        request: Request<BatchRequeueDeadLettersRequest>,
    ) -> Result<Response<BatchDeadLettersResponse>, Status> {
        let (ctx, wanted) = (request.ctx()?, request.get_ref());
        let deed = Deed::Requeue { payload: None };
        let batch = self.batch(ctx, &wanted.filter, wanted.limit, wanted.validate_only, deed).await;
        Ok(Response::new(batch.map_err(status)?))
    }

    async fn batch_discard_dead_letters(
        &self,
        request: Request<BatchDiscardDeadLettersRequest>,
    ) -> Result<Response<BatchDeadLettersResponse>, Status> {
        let (ctx, wanted) = (request.ctx()?, request.get_ref());
        let reason = convert::reason("reason", &wanted.reason).map_err(status)?;
        let deed = Deed::Discard { reason };
        let batch = self.batch(ctx, &wanted.filter, wanted.limit, wanted.validate_only, deed).await;
        Ok(Response::new(batch.map_err(status)?))
    }

    async fn clear_discarded(
        &self,
        request: Request<ClearDiscardedRequest>,
    ) -> Result<Response<ClearDiscardedResponse>, Status> {
        let cleared = self.clear(request.ctx()?, request.get_ref()).await;
        Ok(Response::new(cleared.map_err(status)?))
    }

    type ExportDeadLettersStream = Pin<Box<dyn Stream<Item = Result<DeadLetter, Status>> + Send>>;

    async fn export_dead_letters(
        &self,
        request: Request<ExportDeadLettersRequest>,
    ) -> Result<Response<Self::ExportDeadLettersStream>, Status> {
        let letters = self.export(request.ctx()?, &request.get_ref().filter).await;
        Ok(Response::new(letters.map_err(status)?))
    }

    async fn get_dead_letter_patterns(
        &self,
        request: Request<GetDeadLetterPatternsRequest>,
    ) -> Result<Response<DeadLetterPatterns>, Status> {
        let patterns = self.patterns(request.ctx()?, request.get_ref()).await;
        Ok(Response::new(patterns.map_err(status)?))
    }
}
