//! How the whole platform is doing: every service is asked, and the gateway adds
//! what it knows of itself.
//!
//! **Architecture invariant:** a service that does not answer costs its share of
//! an answer and a second or two, never the answer.

mod drills;

use crate::config::Config;
use crate::error::Error;
use crate::store::Store;
use futures::future::{BoxFuture, join_all};
use probity_proto::BoxGrpcService;
use probity_proto::monitoring::monitoring_service_client::MonitoringServiceClient;
use probity_proto::monitoring::monitoring_service_server::MonitoringService;
use probity_proto::monitoring::{
    ChangedCircuitBreakers, CheckDeepHealthRequest, CheckLivenessRequest, CheckReadinessRequest,
    CloseCircuitBreakerRequest, DeadLetterQueue, DeepHealth, GetDeadLetterQueueRequest,
    GetIdempotencyRequest, GetMetricsRequest, GetPerformanceRequest, HealthStatus, Idempotency,
    ListCircuitBreakersRequest, ListCircuitBreakersResponse, Liveness, Metrics, OpenCircuitBreakerRequest,
    Performance, Readiness, ResetCircuitBreakerRequest, ServiceHealth, Unreachable,
};
use probity_resilience::Criticality;
use probity_runtime::call::Caller;
use probity_runtime::edges::edges;
use probity_runtime::faults::Faults;
use probity_runtime::monitoring::{self, Monitor, Switch, unknown_breaker};
use probity_runtime::{Call as _, Minter, Setup, status};
use probity_types::{AuditEvent, Clock, Ctx, Fault};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status};

/// How long a service may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

type Client = MonitoringServiceClient<BoxGrpcService>;
type Answer<R> = BoxFuture<'static, Result<Response<R>, Status>>;

/// Looks after all services. Cheap to clone. See `probity.monitoring.v1.MonitoringService`.
#[derive(Clone)]
pub(crate) struct Fleet {
    own: Arc<Monitor>,
    faults: Arc<Faults>,
    peers: Vec<(&'static str, BoxGrpcService)>,
    minter: Arc<Minter>,
    store: Store,
    clock: Arc<dyn Clock>,
    home_tenant: String,
}

/// What the services answered, and who did not.
struct Asked<R> {
    answers: Vec<(&'static str, R)>,
    unreachable: Vec<Unreachable>,
}

impl Fleet {
    pub(crate) fn new(setup: &Setup, store: Store, config: &Config) -> Self {
        let others = setup.platform_services().into_iter().filter(|name| *name != "gateway");
        Self {
            own: setup.monitor(),
            faults: setup.faults(),
            peers: others.map(|name| (name, setup.peer(name))).collect(),
            minter: setup.minter(),
            store,
            clock: setup.clock(),
            home_tenant: config.home_tenant.clone(),
        }
    }

    /// Asks the services that `wanted` names, all at once.
    async fn ask<M: Clone, R>(
        &self,
        ctx: &Ctx,
        wanted: impl Fn(&str) -> bool,
        message: M,
        call: fn(BoxGrpcService, Request<M>) -> Answer<R>,
    ) -> Result<Asked<R>, Status> {
        let caller = Caller::new(ctx.clone(), self.minter.mint(ctx).map_err(status)?)
            .matters(Criticality::CriticalPlus);
        let peers = self.peers.iter().filter(|(name, _)| wanted(name));
        let asked = peers.map(|(name, peer)| {
            let mut request = caller.request(message.clone());
            request.set_timeout(PATIENCE);
            let answer = call(peer.clone(), request);
            async move { (*name, answer.await) }
        });
        let mut all = Asked { answers: Vec::new(), unreachable: Vec::new() };
        for (service, answer) in join_all(asked).await {
            match answer {
                Ok(response) => all.answers.push((service, response.into_inner())),
                Err(status) if status.code() == tonic::Code::NotFound => {}
                Err(status) => all
                    .unreachable
                    .push(Unreachable { service: service.to_owned(), reason: status.message().to_owned() }),
            }
        }
        Ok(all)
    }

    async fn dead_letters(&self, ctx: &Ctx, recent: u32) -> Result<DeadLetterQueue, Status> {
        let message = GetDeadLetterQueueRequest { recent: i32::try_from(recent).unwrap_or(0) };
        let mut asked = self
            .ask(
                ctx,
                |_| true,
                message,
                |peer, request| {
                    Box::pin(async move { Client::new(peer).get_dead_letter_queue(request).await })
                },
            )
            .await?;
        let keeper = asked.answers.iter().position(|(_, queue)| queue.failed + queue.reviewing > 0);
        let mut queue = keeper.map(|at| asked.answers.swap_remove(at).1).unwrap_or_default();
        queue.unreachable = asked.unreachable;
        Ok(queue)
    }

    /// Switches breakers, and tells the log who did it.
    async fn switch<M: Clone>(
        &self,
        ctx: &Ctx,
        (name, switch, action): (&str, Switch, &'static str),
        message: M,
        call: fn(BoxGrpcService, Request<M>) -> Answer<ChangedCircuitBreakers>,
    ) -> Result<Response<ChangedCircuitBreakers>, Status> {
        self.at_home(ctx)?;
        let of = name.split_once('.').map(|(service, _)| service);
        let wanted = |service: &str| of.is_none_or(|of| of == service);
        let mut changed = if wanted("gateway") { self.own.switch(name, switch) } else { Vec::new() };
        let asked = self.ask(ctx, wanted, message, call).await?;
        changed.extend(asked.answers.into_iter().flat_map(|(_, answer)| answer.circuit_breakers));
        if changed.is_empty() {
            return Err(status(not_changed(name, asked.unreachable)));
        }
        let names: Vec<_> = changed.iter().map(|breaker| breaker.name.as_str()).collect();
        let subject = format!("circuitBreakers/{name}");
        self.record(ctx, action, subject, &json!({ "breakers": names })).await?;
        Ok(Response::new(ChangedCircuitBreakers {
            circuit_breakers: changed,
            unreachable: asked.unreachable,
        }))
    }

    /// What serves all tenants is switched by the home tenant alone.
    fn at_home(&self, ctx: &Ctx) -> Result<(), Status> {
        if ctx.tenant == self.home_tenant {
            return Ok(());
        }
        Err(status(Error::NotHome(self.home_tenant.clone())))
    }

    async fn record(
        &self,
        ctx: &Ctx,
        action: &'static str,
        subject: String,
        detail: &serde_json::Value,
    ) -> Result<(), Status> {
        let event = AuditEvent::new(ctx, self.clock.now(), action, subject).with_detail(detail);
        self.store.record(vec![event]).await.map_err(status)
    }
}

/// Nothing was changed: there is no such breaker, unless its service is away.
fn not_changed(name: &str, unreachable: Vec<Unreachable>) -> Fault {
    match unreachable.into_iter().next() {
        Some(Unreachable { service, reason }) => Error::NotAsked { service, reason }.into(),
        None => unknown_breaker(name),
    }
}

/// What a service that cannot be asked is shown as.
fn away(unreachable: &Unreachable) -> ServiceHealth {
    ServiceHealth {
        service: unreachable.service.clone(),
        status: HealthStatus::Unhealthy.into(),
        problems: vec![format!("it cannot be asked: {}", unreachable.reason)],
        ..ServiceHealth::default()
    }
}

/// The platform is as its worst service is; one that it can do without for a
/// while only degrades it.
fn worst(services: &[ServiceHealth]) -> HealthStatus {
    let counts = |health: &ServiceHealth| {
        let critical = edges().service(&health.service).is_none_or(|service| service.critical);
        let status = health.status();
        if critical { status } else { status.min(HealthStatus::Degraded) }
    };
    services.iter().map(counts).max().unwrap_or(HealthStatus::Healthy)
}

#[tonic::async_trait]
impl MonitoringService for Fleet {
    async fn get_metrics(&self, request: Request<GetMetricsRequest>) -> Result<Response<Metrics>, Status> {
        let (ctx, message) = (request.ctx()?.clone(), request.into_inner());
        let mut samples = self.own.samples(&message.prefix);
        let asked = self
            .ask(
                &ctx,
                |_| true,
                message,
                |peer, request| Box::pin(async move { Client::new(peer).get_metrics(request).await }),
            )
            .await?;
        samples.extend(asked.answers.into_iter().flat_map(|(_, answer)| answer.samples));
        Ok(Response::new(Metrics { samples, unreachable: asked.unreachable }))
    }

    async fn get_performance(
        &self,
        request: Request<GetPerformanceRequest>,
    ) -> Result<Response<Performance>, Status> {
        let (ctx, message) = (request.ctx()?.clone(), request.into_inner());
        let mut operations = self.own.operations();
        let asked = self
            .ask(
                &ctx,
                |_| true,
                message,
                |peer, request| Box::pin(async move { Client::new(peer).get_performance(request).await }),
            )
            .await?;
        operations.extend(asked.answers.into_iter().flat_map(|(_, answer)| answer.operations));
        Ok(Response::new(Performance { operations, unreachable: asked.unreachable }))
    }

    async fn get_dead_letter_queue(
        &self,
        request: Request<GetDeadLetterQueueRequest>,
    ) -> Result<Response<DeadLetterQueue>, Status> {
        let recent = monitoring::recent(request.get_ref().recent).map_err(status)?;
        self.dead_letters(request.ctx()?, recent).await.map(Response::new)
    }

    async fn list_circuit_breakers(
        &self,
        request: Request<ListCircuitBreakersRequest>,
    ) -> Result<Response<ListCircuitBreakersResponse>, Status> {
        let (ctx, message) = (request.ctx()?.clone(), request.into_inner());
        let mut circuit_breakers = self.own.circuit_breakers();
        let asked = self
            .ask(
                &ctx,
                |_| true,
                message,
                |peer, request| {
                    Box::pin(async move { Client::new(peer).list_circuit_breakers(request).await })
                },
            )
            .await?;
        circuit_breakers.extend(asked.answers.into_iter().flat_map(|(_, answer)| answer.circuit_breakers));
        circuit_breakers.sort_by(|a, b| a.name.cmp(&b.name));
        let unreachable = asked.unreachable;
        Ok(Response::new(ListCircuitBreakersResponse { circuit_breakers, unreachable }))
    }

    async fn get_idempotency(
        &self,
        request: Request<GetIdempotencyRequest>,
    ) -> Result<Response<Idempotency>, Status> {
        let (ctx, message) = (request.ctx()?.clone(), request.into_inner());
        let mut services: Vec<_> = self.own.idempotency().await.map_err(status)?.into_iter().collect();
        let asked = self
            .ask(
                &ctx,
                |_| true,
                message,
                |peer, request| Box::pin(async move { Client::new(peer).get_idempotency(request).await }),
            )
            .await?;
        services.extend(asked.answers.into_iter().flat_map(|(_, answer)| answer.services));
        Ok(Response::new(Idempotency { services, unreachable: asked.unreachable }))
    }

    async fn check_deep_health(
        &self,
        request: Request<CheckDeepHealthRequest>,
    ) -> Result<Response<DeepHealth>, Status> {
        let (ctx, message) = (request.ctx()?.clone(), request.into_inner());
        let mut services = vec![self.own.health().await];
        let asked = self
            .ask(
                &ctx,
                |_| true,
                message,
                |peer, request| Box::pin(async move { Client::new(peer).check_deep_health(request).await }),
            )
            .await?;
        let mut deep = DeepHealth::default();
        let mut letters = DeadLetterQueue::default();
        for (_, answer) in asked.answers {
            letters.failed += answer.open_dead_letters;
            letters.recent.extend(answer.recent_dead_letters);
            services.extend(answer.services);
        }
        services.extend(asked.unreachable.iter().map(away));
        deep.set_status(worst(&services));
        deep.services = services;
        monitoring::add_letters(&mut deep, letters);
        Ok(Response::new(deep))
    }

    async fn check_liveness(
        &self,
        _request: Request<CheckLivenessRequest>,
    ) -> Result<Response<Liveness>, Status> {
        Ok(Response::new(Liveness { live: true }))
    }

    async fn check_readiness(
        &self,
        _request: Request<CheckReadinessRequest>,
    ) -> Result<Response<Readiness>, Status> {
        self.own.ready().await.map_err(status)?;
        Ok(Response::new(Readiness { ready: true }))
    }

    async fn reset_circuit_breaker(
        &self,
        request: Request<ResetCircuitBreakerRequest>,
    ) -> Result<Response<ChangedCircuitBreakers>, Status> {
        let (ctx, message) = (request.ctx()?.clone(), request.into_inner());
        let name = message.name.clone();
        let switch = (name.as_str(), Switch::Reset, "circuit_breaker.reset");
        self.switch(&ctx, switch, message, |peer, request| {
            Box::pin(async move { Client::new(peer).reset_circuit_breaker(request).await })
        })
        .await
    }

    async fn open_circuit_breaker(
        &self,
        request: Request<OpenCircuitBreakerRequest>,
    ) -> Result<Response<ChangedCircuitBreakers>, Status> {
        let (ctx, message) = (request.ctx()?.clone(), request.into_inner());
        let name = message.name.clone();
        let switch = (name.as_str(), Switch::Open, "circuit_breaker.opened");
        self.switch(&ctx, switch, message, |peer, request| {
            Box::pin(async move { Client::new(peer).open_circuit_breaker(request).await })
        })
        .await
    }

    async fn close_circuit_breaker(
        &self,
        request: Request<CloseCircuitBreakerRequest>,
    ) -> Result<Response<ChangedCircuitBreakers>, Status> {
        let (ctx, message) = (request.ctx()?.clone(), request.into_inner());
        let name = message.name.clone();
        let switch = (name.as_str(), Switch::Close, "circuit_breaker.closed");
        self.switch(&ctx, switch, message, |peer, request| {
            Box::pin(async move { Client::new(peer).close_circuit_breaker(request).await })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platform_is_as_its_worst_service_it_cannot_do_without() {
        let check = |services: &[(&str, HealthStatus)], expect: HealthStatus| {
            let services: Vec<_> = services
                .iter()
                .map(|(name, status)| ServiceHealth {
                    service: (*name).to_owned(),
                    status: (*status).into(),
                    ..ServiceHealth::default()
                })
                .collect();
            assert_eq!(worst(&services), expect, "{services:?}");
        };
        use HealthStatus::{Degraded, Healthy, Unhealthy};
        check(&[], Healthy);
        check(&[("gateway", Healthy), ("intake", Healthy)], Healthy);
        check(&[("gateway", Healthy), ("intake", Unhealthy)], Unhealthy);
        check(&[("gateway", Healthy), ("spam-detection", Unhealthy)], Degraded);
        check(&[("gateway", Degraded), ("spam-detection", Healthy)], Degraded);
    }
}
