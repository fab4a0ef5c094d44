//! `MonitoringService` of one service.

use super::{Monitor, Switch, unknown_breaker};
use crate::call::Call as _;
use crate::status::status;
use probity_proto::monitoring::monitoring_service_server::MonitoringService;
use probity_proto::monitoring::{
    ChangedCircuitBreakers, CheckDeepHealthRequest, CheckLivenessRequest, CheckReadinessRequest,
    CloseCircuitBreakerRequest, DeadLetterQueue, DeepHealth, GetDeadLetterQueueRequest,
    GetIdempotencyRequest, GetMetricsRequest, GetPerformanceRequest, HealthStatus, Idempotency,
    ListCircuitBreakersRequest, ListCircuitBreakersResponse, Liveness, Metrics, OpenCircuitBreakerRequest,
    Performance, Readiness, ResetCircuitBreakerRequest,
};
use probity_types::Fault;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Most letters shown.
const MOST: u32 = 100;
/// Letters shown when nobody says how many.
const USUAL: u32 = 10;

/// The handlers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api(pub(crate) Arc<Monitor>);

/// How many letters a request asks for.
///
/// # Errors
/// When it asks for less than none or too many.
pub fn recent(asked: i32) -> Result<u32, Fault> {
    match u32::try_from(asked) {
        Ok(0) => Ok(USUAL),
        Ok(number) if number <= MOST => Ok(number),
        _ => {
            let why = format!("{asked} is out of range; it must be from 1 to {MOST}, or 0 for {USUAL}");
            Err(Fault::invalid("RUN-0030", "recent", why))
        }
    }
}

impl Api {
    fn switch(&self, name: &str, switch: Switch) -> Result<Response<ChangedCircuitBreakers>, Status> {
        let circuit_breakers = self.0.switch(name, switch);
        if circuit_breakers.is_empty() {
            return Err(status(unknown_breaker(name)));
        }
        Ok(Response::new(ChangedCircuitBreakers { circuit_breakers, unreachable: Vec::new() }))
    }
}

#[tonic::async_trait]
impl MonitoringService for Api {
    async fn get_metrics(&self, request: Request<GetMetricsRequest>) -> Result<Response<Metrics>, Status> {
        let samples = self.0.samples(&request.into_inner().prefix);
        Ok(Response::new(Metrics { samples, unreachable: Vec::new() }))
    }

    async fn get_performance(
        &self,
        _request: Request<GetPerformanceRequest>,
    ) -> Result<Response<Performance>, Status> {
        Ok(Response::new(Performance { operations: self.0.operations(), unreachable: Vec::new() }))
    }

    async fn get_dead_letter_queue(
        &self,
        request: Request<GetDeadLetterQueueRequest>,
    ) -> Result<Response<DeadLetterQueue>, Status> {
        let recent = recent(request.get_ref().recent).map_err(status)?;
        self.0.dead_letters(&request.ctx()?.tenant, recent).await.map(Response::new).map_err(status)
    }

    async fn list_circuit_breakers(
        &self,
        _request: Request<ListCircuitBreakersRequest>,
    ) -> Result<Response<ListCircuitBreakersResponse>, Status> {
        let circuit_breakers = self.0.circuit_breakers();
        Ok(Response::new(ListCircuitBreakersResponse { circuit_breakers, unreachable: Vec::new() }))
    }

    async fn get_idempotency(
        &self,
        _request: Request<GetIdempotencyRequest>,
    ) -> Result<Response<Idempotency>, Status> {
        let services = self.0.idempotency().await.map_err(status)?.into_iter().collect();
        Ok(Response::new(Idempotency { services, unreachable: Vec::new() }))
    }

    async fn check_deep_health(
        &self,
        request: Request<CheckDeepHealthRequest>,
    ) -> Result<Response<DeepHealth>, Status> {
        let health = self.0.health().await;
        let mut deep = DeepHealth { status: health.status, services: vec![health], ..Default::default() };
        match self.0.dead_letters(&request.ctx()?.tenant, USUAL).await {
            Ok(letters) => add_letters(&mut deep, letters),
            Err(fault) => deep.services.iter_mut().for_each(|s| s.problems.push(fault.message.clone())),
        }
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
        self.0.ready().await.map_err(status)?;
        Ok(Response::new(Readiness { ready: true }))
    }

    async fn reset_circuit_breaker(
        &self,
        request: Request<ResetCircuitBreakerRequest>,
    ) -> Result<Response<ChangedCircuitBreakers>, Status> {
        self.switch(&request.into_inner().name, Switch::Reset)
    }

    async fn open_circuit_breaker(
        &self,
        request: Request<OpenCircuitBreakerRequest>,
    ) -> Result<Response<ChangedCircuitBreakers>, Status> {
        self.switch(&request.into_inner().name, Switch::Open)
    }

    async fn close_circuit_breaker(
        &self,
        request: Request<CloseCircuitBreakerRequest>,
    ) -> Result<Response<ChangedCircuitBreakers>, Status> {
        self.switch(&request.into_inner().name, Switch::Close)
    }
}

/// Adds dead letters to a look at everything: open ones degrade it.
pub fn add_letters(deep: &mut DeepHealth, letters: DeadLetterQueue) {
    deep.open_dead_letters = letters.failed + letters.reviewing;
    deep.recent_dead_letters = letters.recent;
    if deep.open_dead_letters > 0 && deep.status() == HealthStatus::Healthy {
        deep.set_status(HealthStatus::Degraded);
    }
}
