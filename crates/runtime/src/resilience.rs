//! The client stacks of a process: one for each caller and peer, shared by all
//! clients of that pair, told about on the caller's registry.

use crate::config::ResilienceConfig;
use crate::metrics::PeerMetrics;
use parking_lot::Mutex;
use probity_proto::BoxGrpcService;
use probity_resilience::breaker::{Breakers, Outcome, of_status};
use probity_resilience::performance::Performance;
use probity_resilience::retry::has_stopped;
use probity_resilience::stack::{Error, Shared};
use probity_resilience::{Balance, Observed, Stack};
use probity_telemetry::metrics::RpcMetrics;
use probity_types::{Fault, FaultKind};
use prometheus::Registry;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// All callers of a process.
pub(crate) struct Callers {
    config: ResilienceConfig,
    known: Mutex<HashMap<&'static str, Caller>>,
}

struct Caller {
    shared: Shared,
    /// Absent for a caller nobody measures.
    calls: Option<RpcMetrics>,
    stacks: HashMap<&'static str, Stack>,
}

impl Caller {
    fn new(config: &ResilienceConfig, observed: Observed) -> Result<Self, Error> {
        let invalid = |error: probity_resilience::Invalid| Error::Settings(error.to_string());
        let breakers = Breakers::new(config.breaker, BTreeMap::new(), observed.clone()).map_err(invalid)?;
        let performance = Performance::new(config.performance, observed.clone()).map_err(invalid)?;
        let shared = Shared { breakers, performance, observed };
        Ok(Self { shared, calls: None, stacks: HashMap::new() })
    }
}

impl Callers {
    pub(crate) fn new(config: ResilienceConfig) -> Self {
        Self { config, known: Mutex::default() }
    }

    /// Counts the calls of a caller on its registry.
    ///
    /// Answers what all its stacks share.
    pub(crate) fn measure(&self, caller: &'static str, registry: &Registry) -> prometheus::Result<Shared> {
        let observed = Observed::by(Arc::new(PeerMetrics::register(caller, registry)?));
        let methods = probity_proto::access::methods().map(|(path, _)| path);
        let calls = RpcMetrics::client(registry, methods)?;
        let made = Caller::new(&self.config, observed).map_err(|e| prometheus::Error::Msg(e.to_string()))?;
        let made = Caller { calls: Some(calls), ..made };
        let shared = made.shared.clone();
        self.known.lock().insert(caller, made);
        Ok(shared)
    }

    /// The stack of a pair. A caller nobody measures has one too: tests and the
    /// command line call as somebody.
    pub(crate) fn stack(&self, caller: &'static str, callee: &'static str) -> Result<Stack, Error> {
        let mut known = self.known.lock();
        let caller = self.known(&mut known, caller)?;
        if let Some(stack) = caller.stacks.get(callee) {
            return Ok(stack.clone());
        }
        let stack = Stack::new(callee, &self.config.settings(), &caller.shared)?.with_classifier(judge);
        caller.stacks.insert(callee, stack.clone());
        Ok(stack)
    }

    /// What counts the calls of a caller, if anything does.
    pub(crate) fn calls(&self, caller: &'static str) -> Option<RpcMetrics> {
        self.known.lock().get(caller)?.calls.clone()
    }

    /// A choice of several endpoints of a pair. One that only passes on what somebody
    /// behind it said is not taken out for it.
    pub(crate) fn balance(
        &self,
        caller: &'static str,
        callee: &'static str,
        endpoints: Vec<(String, u32, BoxGrpcService)>,
    ) -> Result<Balance, Fault> {
        let mut known = self.known.lock();
        let caller = self.known(&mut known, caller).map_err(|error| unusable(error.to_string()))?;
        let observed = caller.shared.observed.clone();
        let balance = Balance::new(callee, self.config.balance, endpoints, observed);
        Ok(balance.map_err(|error| unusable(error.to_string()))?.with_classifier(judge_endpoint))
    }

    fn known<'k>(
        &self,
        known: &'k mut HashMap<&'static str, Caller>,
        caller: &'static str,
    ) -> Result<&'k mut Caller, Error> {
        match known.entry(caller) {
            Entry::Occupied(there) => Ok(there.into_mut()),
            Entry::Vacant(free) => Ok(free.insert(Caller::new(&self.config, Observed::default())?)),
        }
    }
}

/// A setting that was valid at start is not any more: a mistake of ours.
fn unusable(why: String) -> Fault {
    Fault::new(FaultKind::Internal, "RUN-0007", why)
}

/// What a status says about a peer that took so long to give it.
///
/// A peer that answers with one of our codes is alive. When it passes on that
/// somebody behind it is away (RUN-0001, RES-…), leaving it alone as well would
/// carry the outage on to a healthy service. An INTERNAL that it made itself is
/// about that one request: else anybody who finds a request that breaks a handler
/// could close the service to all. An instance that has stopped says nothing about the
/// service, which has others.
fn judge(status: &Status, took: Duration) -> Outcome {
    if has_stopped(status) {
        return Outcome::Unknown;
    }
    let outcome = of_status(status, took);
    let details = status.get_error_details();
    let Some(info) = details.error_info().filter(|_| outcome == Outcome::Failure) else { return outcome };
    let second_hand = info.reason == "RUN-0001" || info.reason.starts_with("RES-");
    match status.code() {
        _ if second_hand => Outcome::Success,
        Code::Internal | Code::DataLoss => Outcome::Unknown,
        _ => outcome,
    }
}

/// The same about one endpoint of a peer: one that has stopped is not to be called.
fn judge_endpoint(status: &Status, took: Duration) -> Outcome {
    if has_stopped(status) { Outcome::Failure } else { judge(status, took) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::status;

    #[test]
    fn only_a_failure_of_the_peer_itself_counts() {
        let check = |status: Status, expect| {
            assert_eq!(judge(&status, Duration::from_secs(2)), expect, "{status:?}");
        };
        let ours = |kind, code| status(Fault::new(kind, code, "no"));
        check(Status::unavailable("connection refused"), Outcome::Failure);
        check(Status::internal("h2 protocol error"), Outcome::Failure);
        check(ours(FaultKind::Unavailable, "STO-0001"), Outcome::Failure);
        check(ours(FaultKind::Timeout, "STO-0001"), Outcome::Failure);
        check(ours(FaultKind::Unavailable, "RUN-0001"), Outcome::Success);
        check(ours(FaultKind::Unavailable, "RES-0001"), Outcome::Success);
        for stopped in ["RUN-0011", "RES-0005"] {
            check(ours(FaultKind::Unavailable, stopped), Outcome::Unknown);
            let said = ours(FaultKind::Unavailable, stopped);
            assert_eq!(judge_endpoint(&said, Duration::ZERO), Outcome::Failure);
        }
        check(ours(FaultKind::Internal, "RUN-0013"), Outcome::Unknown);
        check(ours(FaultKind::Corrupt, "STO-0001"), Outcome::Unknown);
        check(ours(FaultKind::Invalid, "RUN-0001"), Outcome::Success);
        check(ours(FaultKind::Overloaded, "RUN-0012"), Outcome::Success);
    }
}
