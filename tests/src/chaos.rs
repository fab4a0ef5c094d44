//! Faults in a platform of real processes, and what its door sees of them: who can
//! be reached, for how long not, and what becomes of the cases.

use crate::control::Control;
use crate::load::{Load, is_settled};
use crate::sandbox::{SERVICES, Separate, Setup};
use probity_cli::client::Client;
use probity_proto::anticorruption::ListWatchlistsRequest;
use probity_proto::audit::GetLogKeyRequest;
use probity_proto::compliance::ListPoliciesRequest;
use probity_proto::intake::ListDocumentsRequest;
use probity_proto::monitoring::{
    ClearFaultsRequest, FaultKind, GetMetricsRequest, InjectFaultRequest, ListCircuitBreakersRequest,
};
use probity_proto::orchestrator::{CaseState, GetCaseRequest, ListDefinitionsRequest, WaitKind};
use probity_proto::spam::GetModelRequest;
use rustix::process::Signal;
use std::time::{Duration, Instant};
use tonic::{Code, Request, Status};

/// How long a probe may take.
const PATIENCE: Duration = Duration::from_millis(900);
/// Between two probes of a service.
const PACE: Duration = Duration::from_millis(50);
/// How long anything here may take on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(120);
/// A healthy service that cannot be reached for longer is a cascade.
pub const CASCADE: Duration = Duration::from_secs(1);

/// Counts attempts that were repeated.
const RETRIES: &str = "call_retries_total";

/// The services behind the door.
#[must_use]
pub fn peers() -> Vec<&'static str> {
    SERVICES.into_iter().filter(|name| *name != "gateway").collect()
}

/// What is done to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL, and a new process in the end.
    Killed,
    /// SIGSTOP, and SIGCONT in the end.
    Stopped,
    /// Injected into this share of the calls to it.
    Injected(FaultKind, i32),
}

/// A platform under faults.
pub struct Chaos {
    /// The processes.
    pub platform: Separate,
    /// The administrator at the door.
    pub client: Client,
}

/// What the door saw of a service over a while.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// Probes.
    pub probes: u32,
    /// Those that did not reach it.
    pub failed: u32,
    /// The longest time it could not be reached while the door and it had the processor.
    pub longest: Duration,
    /// The same by the clock on the wall.
    pub wall: Duration,
}

/// One call to a service through the door; it reached the service whatever the
/// service said, unless it is away.
///
/// # Errors
/// What the door said instead.
pub async fn probe(client: &Client, service: &str) -> Result<(), Status> {
    probe_for(client, service, PATIENCE).await
}

/// As [`probe`], for as long as this.
///
/// # Errors
/// What the door said instead.
pub async fn probe_for(client: &Client, service: &str, patience: Duration) -> Result<(), Status> {
    let answer = match service {
        "audit-aggregator" => {
            client.audit().get_log_key(asked(client, GetLogKeyRequest::default(), patience)).await.map(drop)
        }
        "intake" => client
            .documents()
            .list_documents(asked(client, ListDocumentsRequest::default(), patience))
            .await
            .map(drop),
        "spam-detection" => {
            client.spam().get_model(asked(client, GetModelRequest::default(), patience)).await.map(drop)
        }
        "anti-corruption" => client
            .findings()
            .list_watchlists(asked(client, ListWatchlistsRequest::default(), patience))
            .await
            .map(drop),
        "compliance-validator" => client
            .compliance()
            .list_policies(asked(client, ListPoliciesRequest::default(), patience))
            .await
            .map(drop),
        _ => {
            let request = asked(client, ListDefinitionsRequest::default(), patience);
            client.workflows().list_definitions(request).await.map(drop)
        }
    };
    match answer {
        Err(status) if is_away(&status) => Err(status),
        _ => Ok(()),
    }
}

fn asked<M>(client: &Client, message: M, patience: Duration) -> Request<M> {
    let (mut request, _) = client.request(message, None);
    request.set_timeout(patience);
    request
}

fn is_away(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Unknown | Code::Cancelled)
}

/// Asks a service again and again for a while.
pub async fn watch(client: &Client, service: &str, during: Duration, control: &Control) -> Seen {
    let (until, mut seen, mut away) = (Instant::now() + during, Seen::default(), None);
    while Instant::now() < until {
        let begun = (Instant::now(), control.now());
        seen.probes += 1;
        if probe(client, service).await.is_ok() {
            away = None;
        } else {
            seen.failed += 1;
            let (wall, steady) = *away.get_or_insert(begun);
            seen.longest = seen.longest.max(control.since(steady));
            seen.wall = seen.wall.max(wall.elapsed());
        }
        tokio::time::sleep(PACE).await;
    }
    seen
}

impl Chaos {
    /// Starts everything, and waits until every service can be reached.
    pub async fn start(dir: &std::path::Path) -> Self {
        Self::with(dir, Setup::default()).await
    }

    /// The same, started like this.
    pub async fn with(dir: &std::path::Path, setup: Setup) -> Self {
        let platform = Separate::with(dir, setup).await;
        let client = platform.client();
        let chaos = Self { platform, client };
        chaos.all_reached().await;
        chaos
    }

    /// Waits until every service can be reached; how long that took.
    ///
    /// # Panics
    /// When it takes too long.
    pub async fn all_reached(&self) -> Duration {
        let begun = Instant::now();
        for service in peers() {
            probity_testkit::eventually(LIMIT, async || {
                probe(&self.client, service).await.map_err(|status| format!("{service}: {status}"))
            })
            .await;
        }
        begun.elapsed()
    }

    /// A clock that runs while the door and a service have the processor.
    #[must_use]
    pub fn control(&self, service: &str) -> Control {
        Control::of(vec![self.platform.admin("gateway"), self.platform.admin(service)])
    }

    /// Begins a fault of a service.
    pub async fn begin(&mut self, service: &'static str, fault: Fault) {
        match fault {
            Fault::Killed => self.platform.kill(service).await,
            Fault::Stopped => self.platform.service(service).signal(Signal::STOP),
            Fault::Injected(kind, percent) => inject(&self.client, service, kind, percent).await,
        }
    }

    /// Ends a fault of a service.
    pub async fn end(&mut self, service: &'static str, fault: Fault) {
        match fault {
            Fault::Killed => self.platform.start_service(service).await,
            Fault::Stopped => self.platform.service(service).signal(Signal::CONT),
            Fault::Injected(..) => clear(&self.client, service).await,
        }
    }

    /// The sum of a counter of one service.
    ///
    /// # Panics
    /// When the platform does not say.
    pub async fn counter(&self, service: &str, name: &str) -> f64 {
        let (request, _) = self.client.request(GetMetricsRequest { prefix: name.to_owned() }, None);
        let samples = self.client.monitoring().get_metrics(request).await.unwrap().into_inner().samples;
        samples.iter().filter(|s| s.service == service && s.name == name).map(|s| s.value).sum()
    }

    /// How many calls of a method a service has answered.
    ///
    /// # Panics
    /// When the platform does not say.
    pub async fn calls(&self, service: &str, method: &str) -> f64 {
        let prefix = "rpc_server_duration_seconds".to_owned();
        let (request, _) = self.client.request(GetMetricsRequest { prefix }, None);
        let samples = self.client.monitoring().get_metrics(request).await.unwrap().into_inner().samples;
        let own = samples.iter().filter(|s| s.service == service && s.name.ends_with("_count"));
        own.filter(|s| s.labels.get("rpc_method").is_some_and(|m| m == method)).map(|s| s.value).sum()
    }

    /// The breakers that are not closed.
    ///
    /// # Panics
    /// When the platform does not say.
    pub async fn open_breakers(&self) -> Vec<String> {
        use probity_proto::monitoring::CircuitBreakerState::Closed;
        let (request, _) = self.client.request(ListCircuitBreakersRequest {}, None);
        let listed = self.client.monitoring().list_circuit_breakers(request).await.unwrap().into_inner();
        let open = listed.circuit_breakers.into_iter().filter(|breaker| breaker.state() != Closed);
        open.map(|breaker| breaker.name).collect()
    }
}

async fn inject(client: &Client, peer: &str, kind: FaultKind, percent: i32) {
    let lasts = Duration::from_mins(5).try_into().ok();
    let message =
        InjectFaultRequest { peer: peer.to_owned(), kind: kind.into(), lasts, percent, delay: None };
    let call = |client: Client, request| async move { client.drills().inject_fault(request).await };
    client.call("inject a fault", None, message, call).await.unwrap_or_else(|e| panic!("{}", e.message()));
}

/// Ends the injected faults of a service, or all of them when it is empty. Services
/// that the gateway holds back from are asked again until they answer.
///
/// # Panics
/// When they cannot be ended.
pub async fn clear(client: &Client, peer: &str) {
    probity_testkit::eventually(LIMIT, async || {
        let message = ClearFaultsRequest { peer: peer.to_owned() };
        let call = |client: Client, request| async move { client.drills().clear_faults(request).await };
        let left = client.call("end faults", None, message, call).await.map_err(|e| e.message())?;
        if left.unreachable.is_empty() { Ok(()) } else { Err(format!("{:?}", left.unreachable)) }
    })
    .await;
}

/// A scripted scenario.
pub struct Scenario {
    /// What is done to whom.
    pub service: &'static str,
    /// The fault.
    pub fault: Fault,
    /// What must come of it.
    pub expectation: &'static str,
}

/// What came of a scenario.
pub struct Outcome {
    /// Cases opened while the fault lasted, or before it.
    pub cases: usize,
    /// Those that went on to their end, or to a person who decides, as they should.
    pub recovered: usize,
    /// From the end of the fault to the last case's.
    pub took: Duration,
    /// The longest time another service could not be reached, as [`Seen::longest`] has it.
    pub others: Duration,
    /// How much of the probes of the service failed: that the fault did happen.
    pub failed: f64,
    /// Attempts that the gateway repeated.
    pub retries: f64,
}

impl Scenario {
    /// Runs it: cases are opened while the fault lasts, and must go on after it.
    pub async fn run(&self, chaos: &mut Chaos, numbers: std::ops::Range<u64>, lasts: Duration) -> Outcome {
        let retries = chaos.counter("gateway", RETRIES).await;
        chaos.begin(self.service, self.fault).await;
        let client = chaos.client.clone();
        let opening = tokio::spawn(async move {
            let load = Load::new(7);
            let opened = numbers.map(|number| {
                let client = client.clone();
                async move { load.open(&client, number, LIMIT).await.name }
            });
            futures::future::join_all(opened).await
        });
        let watched = peers().into_iter().map(|service| {
            let (client, control) = (chaos.client.clone(), chaos.control(service));
            async move { (service, watch(&client, service, lasts, &control).await) }
        });
        let seen = futures::future::join_all(watched).await;
        chaos.end(self.service, self.fault).await;
        let ended = Instant::now();
        let names = opening.await.expect("cases are opened");
        let recovered = recovered(&chaos.client, &names).await;
        let took = ended.elapsed();
        let others = seen.iter().filter(|(service, _)| *service != self.service);
        let others = others.map(|(_, seen)| seen.longest).max().unwrap_or_default();
        let own = seen.iter().find(|(service, _)| *service == self.service).map(|(_, seen)| *seen);
        let own = own.unwrap_or_default();
        chaos.all_reached().await;
        let failed = f64::from(own.failed) / f64::from(own.probes.max(1));
        let retries = chaos.counter("gateway", RETRIES).await - retries;
        Outcome { cases: names.len(), recovered, took, others, failed, retries }
    }
}

/// How many of the cases come to their end, or to a person for a reason that is not
/// the fault.
async fn recovered(client: &Client, names: &[String]) -> usize {
    let mut recovered = 0;
    for name in names {
        let settled = probity_testkit::eventually(LIMIT, async || {
            let (request, _) = client.request(GetCaseRequest { name: name.clone() }, None);
            let case =
                client.cases().get_case(request).await.map_err(|status| status.to_string())?.into_inner();
            if is_settled(&case) { Ok(case) } else { Err(format!("{name} is {:?}", case.state())) }
        })
        .await;
        let incident = settled.waiting.as_ref().is_some_and(|waiting| waiting.kind() == WaitKind::Incident);
        recovered += usize::from(settled.state() != CaseState::Failed && !incident);
    }
    recovered
}
