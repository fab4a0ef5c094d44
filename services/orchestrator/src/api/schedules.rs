//! `ScheduleService`.

use crate::convert::{self, schedules as of};
use crate::definitions::Definitions;
use crate::domain::schedules::{Kept, Target};
use crate::error::Error;
use crate::schedules::{Runner, checked, wrong};
use crate::store::{Asked, Listing, Store, run_schema, schedule_schema};
use probity_proto::orchestrator::schedule_service_server::ScheduleService;
use probity_proto::orchestrator::*;
use probity_proto::time::{micros, timestamp};
use probity_runtime::{Call, status};
use probity_schedule::State;
use probity_types::{AuditEvent, Clock, Ctx, Micros};
use serde_json::json;
use std::sync::Arc;
use tonic::{Request, Response, Status};
use uuid::Uuid;

/// The handlers.
pub(crate) struct Schedules {
    store: Store,
    definitions: Definitions,
    runner: Runner,
    clock: Arc<dyn Clock>,
}

impl Schedules {
    pub(crate) const fn new(
        store: Store,
        definitions: Definitions,
        runner: Runner,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { store, definitions, runner, clock }
    }

    /// What the runs start, when it can be started.
    async fn target(&self, ctx: &Ctx, schedule: &Schedule) -> Result<Target, Error> {
        let target = of::target(ctx, schedule)?;
        let definition = self.definitions.named(&ctx.tenant, &target.definition).await?;
        checked(&definition, target.input_at(self.clock.now()))?;
        Ok(target)
    }

    async fn create(&self, ctx: &Ctx, request: CreateScheduleRequest) -> Result<Schedule, Error> {
        let id = of::schedule_id("schedule_id", &request.schedule_id)?;
        let schedule = request.schedule.unwrap_or_default();
        let (spec, note) = (of::spec(&schedule)?, of::note_of(&schedule)?);
        let target = self.target(ctx, &schedule).await?;
        let now = self.clock.now();
        let made = Kept {
            tenant: ctx.tenant.clone(),
            id,
            uid: Uuid::now_v7(),
            spec,
            target,
            note,
            state: State::new(now),
            revision: 1,
            next: now,
            created: now,
            updated: now,
        };
        let kept = made.due(now).map_err(|refused| wrong(&refused))?.kept;
        self.store.add_schedule(kept.clone(), self.event(ctx, "schedule.created", &kept)).await?;
        self.runner.wake();
        Ok(of::with_times(&kept, now))
    }

    fn event(&self, ctx: &Ctx, action: &str, kept: &Kept) -> AuditEvent {
        let detail = json!({
            "definition": kept.target.definition,
            "timing": kept.spec.timing,
            "zone": kept.spec.zone,
            "overlap": kept.spec.overlap,
        });
        self.plain_event(ctx, action, &kept.id).with_detail(&detail)
    }

    fn plain_event(&self, ctx: &Ctx, action: &str, id: &str) -> AuditEvent {
        AuditEvent::new(ctx, self.clock.now(), action, format!("schedules/{id}"))
    }

    async fn get(&self, ctx: &Ctx, name: &str) -> Result<Schedule, Error> {
        let id = of::schedule_name("name", name)?;
        let kept = self.store.schedule(&ctx.tenant, &id).await?;
        Ok(of::with_times(&kept, self.clock.now()))
    }

    async fn list(&self, ctx: &Ctx, request: &ListSchedulesRequest) -> Result<ListSchedulesResponse, Error> {
        let asked = Asked {
            filter: &request.filter,
            order_by: &request.order_by,
            page_token: &request.page_token,
            limit: convert::page_size(request.page_size)?,
        };
        let listing = Listing::new(schedule_schema(), asked, "next_run_time")?;
        let (found, next_page_token) = self.store.schedules(&ctx.tenant, &listing).await?;
        let schedules = found.iter().map(|kept| of::schedule(kept, false)).collect();
        Ok(ListSchedulesResponse { schedules, next_page_token })
    }

    async fn update(&self, ctx: &Ctx, request: &UpdateScheduleRequest) -> Result<Schedule, Error> {
        let name = request.schedule.as_ref().map_or("", |schedule| schedule.name.as_str());
        let id = of::schedule_name("schedule.name", name)?;
        let before = self.store.schedule(&ctx.tenant, &id).await?;
        let after = of::updated(&before, request)?;
        let target = self.target(ctx, &after).await?;
        let shown = Kept { spec: of::spec(&after)?, target: target.clone(), ..before };
        let event = self.event(ctx, "schedule.updated", &shown);
        let changed = self.runner.change(&ctx.tenant, &id, &event, |kept, now| {
            // What somebody else has changed meanwhile stays, unless it is what was checked.
            let after = of::updated(kept, request)?;
            if of::target(ctx, &after)? != target {
                return Err(Error::Busy);
            }
            let (spec, note) = (of::spec(&after)?, of::note_of(&after)?);
            kept.changed(spec, target.clone(), note, now).map_err(|refused| wrong(&refused))
        });
        Ok(of::with_times(&changed.await?, self.clock.now()))
    }

    async fn delete(&self, ctx: &Ctx, name: &str) -> Result<Schedule, Error> {
        let id = of::schedule_name("name", name)?;
        let kept = self.store.schedule(&ctx.tenant, &id).await?;
        let shown = of::schedule(&kept, true);
        if self.store.delete_schedule(kept, self.plain_event(ctx, "schedule.deleted", &id)).await? {
            Ok(shown)
        } else {
            Err(Error::NoSchedule(name.to_owned()))
        }
    }

    async fn pause(&self, ctx: &Ctx, name: &str, paused: bool) -> Result<Schedule, Error> {
        let id = of::schedule_name("name", name)?;
        let before = self.store.schedule(&ctx.tenant, &id).await?;
        if before.state.paused.is_some() == paused {
            return Ok(of::with_times(&before, self.clock.now()));
        }
        let event = self.plain_event(ctx, if paused { "schedule.paused" } else { "schedule.resumed" }, &id);
        let changed = self.runner.change(&ctx.tenant, &id, &event, |kept, now| {
            let decision = if paused { kept.pause(now) } else { kept.resume(now) };
            decision.map_err(|refused| wrong(&refused))
        });
        Ok(of::with_times(&changed.await?, self.clock.now()))
    }

    async fn trigger(
        &self,
        ctx: &Ctx,
        key: Option<String>,
        request: &TriggerScheduleRequest,
    ) -> Result<ScheduleRun, Error> {
        let id = of::schedule_name("name", &request.name)?;
        let key = convert::request_key(request.request_id.clone(), key)?;
        let key = key.unwrap_or_else(|| Uuid::now_v7().as_simple().to_string());
        let kept = self.store.schedule(&ctx.tenant, &id).await?;
        let run = kept.triggered(&key, self.clock.now());
        let run_id = run.id();
        let event = self.plain_event(ctx, "schedule.triggered", &id);
        self.store.trigger_run(&ctx.tenant, kept.uid, run, event).await?;
        let gone = || Error::NoSchedule(request.name.clone());
        let stored = self.store.run(&ctx.tenant, &run_id).await?.ok_or_else(gone)?;
        if stored.state == ScheduleRunState::Pending as i32 {
            self.runner.start_all(std::slice::from_ref(&stored)).await;
        }
        let stored = self.store.run(&ctx.tenant, &run_id).await?.ok_or_else(gone)?;
        Ok(of::run(&id, &stored))
    }

    fn preview(&self, request: &PreviewScheduleRequest) -> Result<PreviewScheduleResponse, Error> {
        let spec = of::spec(&request.schedule.clone().unwrap_or_default())?;
        let count = of::preview_count(request.count)?;
        let after = request.after.as_ref().map_or_else(|| self.clock.now(), |at| Micros(micros(at)));
        let rules = probity_schedule::Schedule::new("preview", &spec).map_err(|refused| wrong(&refused))?;
        let times = rules.upcoming(after, count).into_iter().map(|at| timestamp(at.0));
        Ok(PreviewScheduleResponse { times: times.collect() })
    }

    async fn runs(
        &self,
        ctx: &Ctx,
        request: &ListScheduleRunsRequest,
    ) -> Result<ListScheduleRunsResponse, Error> {
        let id = of::schedule_name("parent", &request.parent)?;
        let kept = self.store.schedule(&ctx.tenant, &id).await?;
        let asked = Asked {
            filter: &request.filter,
            order_by: &request.order_by,
            page_token: &request.page_token,
            limit: convert::page_size(request.page_size)?,
        };
        let listing = Listing::new(run_schema(), asked, "run_time desc")?;
        let (found, next_page_token) = self.store.runs(&ctx.tenant, kept.uid, &listing).await?;
        let runs = found.iter().map(|run| of::run(&id, run)).collect();
        Ok(ListScheduleRunsResponse { runs, next_page_token })
    }
}

#[tonic::async_trait]
impl ScheduleService for Schedules {
    async fn create_schedule(
        &self,
        request: Request<CreateScheduleRequest>,
    ) -> Result<Response<Schedule>, Status> {
        let ctx = request.ctx()?.clone();
        Ok(Response::new(self.create(&ctx, request.into_inner()).await.map_err(status)?))
    }

    async fn get_schedule(&self, request: Request<GetScheduleRequest>) -> Result<Response<Schedule>, Status> {
        let schedule = self.get(request.ctx()?, &request.get_ref().name).await;
        Ok(Response::new(schedule.map_err(status)?))
    }

    async fn list_schedules(
        &self,
        request: Request<ListSchedulesRequest>,
    ) -> Result<Response<ListSchedulesResponse>, Status> {
        let page = self.list(request.ctx()?, request.get_ref()).await;
        Ok(Response::new(page.map_err(status)?))
    }

    async fn update_schedule(
        &self,
        request: Request<UpdateScheduleRequest>,
    ) -> Result<Response<Schedule>, Status> {
        let schedule = self.update(request.ctx()?, request.get_ref()).await;
        Ok(Response::new(schedule.map_err(status)?))
    }

    async fn delete_schedule(
        &self,
        request: Request<DeleteScheduleRequest>,
    ) -> Result<Response<Schedule>, Status> {
        let schedule = self.delete(request.ctx()?, &request.get_ref().name).await;
        Ok(Response::new(schedule.map_err(status)?))
    }

    async fn pause_schedule(
        &self,
        request: Request<PauseScheduleRequest>,
    ) -> Result<Response<Schedule>, Status> {
        let schedule = self.pause(request.ctx()?, &request.get_ref().name, true).await;
        Ok(Response::new(schedule.map_err(status)?))
    }

    async fn resume_schedule(
        &self,
        request: Request<ResumeScheduleRequest>,
    ) -> Result<Response<Schedule>, Status> {
        let schedule = self.pause(request.ctx()?, &request.get_ref().name, false).await;
        Ok(Response::new(schedule.map_err(status)?))
    }

    async fn trigger_schedule(
        &self,
        request: Request<TriggerScheduleRequest>,
    ) -> Result<Response<ScheduleRun>, Status> {
        let run = self.trigger(request.ctx()?, request.idempotency_key(), request.get_ref()).await;
        Ok(Response::new(run.map_err(status)?))
    }

    async fn preview_schedule(
        &self,
        request: Request<PreviewScheduleRequest>,
    ) -> Result<Response<PreviewScheduleResponse>, Status> {
        request.ctx()?;
        Ok(Response::new(self.preview(request.get_ref()).map_err(status)?))
    }

    async fn list_schedule_runs(
        &self,
        request: Request<ListScheduleRunsRequest>,
    ) -> Result<Response<ListScheduleRunsResponse>, Status> {
        let page = self.runs(request.ctx()?, request.get_ref()).await;
        Ok(Response::new(page.map_err(status)?))
    }
}
