//! `DeadLetterService`.

mod many;

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
use serde_json::json;
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
    clock: Arc<dyn Clock>,
}

/// What a person does to an open letter.
#[derive(Debug, Clone)]
enum Deed {
    Requeue,
    Discard { reason: String },
}

impl Deed {
    fn event(&self, actor: &str, id: &LetterId) -> Event {
        let (actor, step) = (actor.to_owned(), letters::step_name(&id.slot));
        match self {
            Self::Requeue => Event::RetryStep { actor, step },
            Self::Discard { reason } => Event::SkipStep { actor, step, reason: reason.clone() },
        }
    }

    const fn leads_to(&self) -> State {
        match self {
            Self::Requeue => State::Requeued,
            Self::Discard { .. } => State::Discarded,
        }
    }
}

impl DeadLetters {
    pub(crate) const fn new(store: Store, lane: Handle, clock: Arc<dyn Clock>) -> Self {
        Self { store, lane, clock }
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
            // Too large for its row: the journal has it.
            let turns = self.store.turns(id.execution, 0, ALL).await?;
            let facts = turns.iter().flat_map(|turn| &turn.facts);
            letter.payload = payload_of(facts, &id.slot).map_or_else(String::new, |json| json.to_string());
        }
        Ok(letters::letter(letter))
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

    async fn one(&self, ctx: &Ctx, name: &str, deed: Deed) -> Result<DeadLetter, Error> {
        let id = letters::id("name", name)?;
        self.carry_out(ctx, &id, &deed).await?;
        Ok(letters::letter(self.store.letter(&ctx.tenant, &id).await?))
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
        let repeated = letter.state == deed.leads_to() as i32 && letter.reviewer == ctx.actor;
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
        let letter = self.one(request.ctx()?, &request.get_ref().name, Deed::Requeue).await;
        Ok(Response::new(letter.map_err(status)?))
    }

    async fn discard_dead_letter(
        &self,
        request: Request<DiscardDeadLetterRequest>,
    ) -> Result<Response<DeadLetter>, Status> {
        let reason = convert::reason("reason", &request.get_ref().reason).map_err(status)?;
        let letter = self.one(request.ctx()?, &request.get_ref().name, Deed::Discard { reason }).await;
        Ok(Response::new(letter.map_err(status)?))
    }

    async fn batch_requeue_dead_letters(
        &self,
        request: Request<BatchRequeueDeadLettersRequest>,
    ) -> Result<Response<BatchDeadLettersResponse>, Status> {
        let (ctx, wanted) = (request.ctx()?, request.get_ref());
        let batch = self.batch(ctx, &wanted.filter, wanted.limit, wanted.validate_only, Deed::Requeue).await;
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
