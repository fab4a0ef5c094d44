//! Faults for drills, injected into the calls of a service to a peer: in front of
//! the transport and behind every layer, so that breakers, retries and deadlines
//! meet them as they would meet the real thing, the health checks of a peer as
//! well, in both shapes.
//!
//! **Architecture invariant:** outside of development nothing can be injected, and
//! a fault ends by itself.

mod api;
mod read;

pub(crate) use api::Drills;
pub use read::Injection;

use crate::edges::edges;
use parking_lot::RwLock;
use probity_proto::monitoring::{FaultKind, InjectedFault};
use probity_types::{Fault, FaultKind as Kind};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use tonic::Status;

/// The longest a call vanishes: whoever sets no deadline is answered in the end.
const VANISHED: Duration = Duration::from_mins(10);

/// The faults that one service meets.
#[derive(Debug, Default)]
pub struct Faults {
    allowed: bool,
    /// Whether there are any, so that calls without a drill cost one look.
    any: AtomicBool,
    plans: RwLock<BTreeMap<String, Plan>>,
}

/// What a call met.
#[derive(Debug)]
pub(crate) enum Met {
    /// It may go on.
    Nothing,
    /// It goes no further; this is its answer.
    Instead(Status),
    /// The peer carries it out; this is what the caller hears.
    After(Status),
}

#[derive(Debug, Clone, Copy)]
struct Plan {
    injection: Injection,
    until: Instant,
}

impl Faults {
    pub(crate) fn new(allowed: bool) -> Self {
        Self { allowed, ..Self::default() }
    }

    /// Begins a fault, in place of the one the peer may have.
    ///
    /// # Errors
    /// `RUN-0033` outside of development, `RUN-0034` when there is no such service.
    pub fn inject(&self, peer: &str, injection: Injection) -> Result<(), Fault> {
        self.check(peer)?;
        let until = Instant::now() + injection.lasts;
        let mut plans = self.plans.write();
        plans.insert(peer.to_owned(), Plan { injection, until });
        self.any.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether a fault of this peer may be injected.
    ///
    /// # Errors
    /// As [`Faults::inject`].
    pub fn check(&self, peer: &str) -> Result<(), Fault> {
        self.allow()?;
        known(peer)
    }

    /// Ends the faults of a peer, or all of them when it is empty.
    ///
    /// # Errors
    /// As [`Faults::inject`].
    pub fn clear(&self, peer: &str) -> Result<(), Fault> {
        self.allow()?;
        if !peer.is_empty() {
            known(peer)?;
        }
        self.plans.write().retain(|name, _| !peer.is_empty() && name != peer);
        Ok(())
    }

    /// The faults there are now, as `service` meets them.
    #[must_use]
    pub fn list(&self, service: &str) -> Vec<InjectedFault> {
        let now = Instant::now();
        let plans = self.plans.read();
        let current = plans.iter().filter(|(_, plan)| plan.until > now);
        current.map(|(peer, plan)| plan.injection.shown(service, peer, plan.until - now)).collect()
    }

    fn allow(&self) -> Result<(), Fault> {
        if self.allowed {
            return Ok(());
        }
        let why = "faults can be injected in development alone; this is no development platform";
        Err(Fault::new(Kind::Denied, "RUN-0033", why))
    }

    /// The fault a call to a peer meets, if there is one.
    fn of(&self, peer: &str) -> Option<Injection> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let found = self.plans.read().get(peer).copied();
        let plan = found.filter(|plan| plan.until > Instant::now())?;
        let meets = fastrand::u8(0..100) < plan.injection.percent;
        meets.then_some(plan.injection)
    }

    /// Lets a call to a peer meet its fault.
    pub(crate) async fn meet(&self, peer: &str) -> Met {
        let Some(injection) = self.of(peer) else { return Met::Nothing };
        match injection.kind {
            FaultKind::Kill => Met::Instead(Status::unavailable("connection refused (injected)")),
            FaultKind::Error => Met::After(Status::unavailable("the answer was lost (injected)")),
            FaultKind::Partition => {
                tokio::time::sleep(VANISHED).await;
                Met::Instead(Status::unavailable("no answer (injected)"))
            }
            FaultKind::Slow | FaultKind::Unspecified => {
                tokio::time::sleep(injection.delay).await;
                Met::Nothing
            }
        }
    }
}

fn known(peer: &str) -> Result<(), Fault> {
    if edges().service(peer).is_some() {
        return Ok(());
    }
    let names: Vec<_> = edges().services.iter().map(|service| service.name.as_str()).collect();
    let why = format!("{peer:?} is no service; there are {}", names.join(", "));
    Err(Fault::invalid("RUN-0034", "peer", why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn injection(kind: FaultKind) -> Injection {
        Injection { kind, ..Injection::default() }
    }

    #[test]
    fn only_in_development_and_only_services() {
        let check = |allowed: bool, peer: &str, code: Option<&str>| {
            let done = Faults::new(allowed).inject(peer, injection(FaultKind::Kill));
            assert_eq!(done.err().map(|fault| fault.code), code, "{peer}");
        };
        check(true, "intake", None);
        check(false, "intake", Some("RUN-0033"));
        check(true, "nobody", Some("RUN-0034"));
        check(true, "", Some("RUN-0034"));
        assert_eq!(Faults::new(false).clear("").unwrap_err().code, "RUN-0033");
    }

    #[tokio::test(start_paused = true)]
    async fn each_kind_does_what_it_says_and_ends_by_itself() {
        let faults = Faults::new(true);
        let check = async |kind: FaultKind, took: Duration, arrives: Option<bool>| {
            faults.inject("intake", injection(kind)).unwrap();
            let begun = Instant::now();
            let got = match faults.meet("intake").await {
                Met::Nothing => None,
                Met::Instead(_) => Some(false),
                Met::After(_) => Some(true),
            };
            assert_eq!((begun.elapsed(), got), (took, arrives), "{kind:?}");
        };
        check(FaultKind::Kill, Duration::ZERO, Some(false)).await;
        check(FaultKind::Error, Duration::ZERO, Some(true)).await;
        check(FaultKind::Slow, Duration::from_secs(3), None).await;
        check(FaultKind::Partition, VANISHED, Some(false)).await;
        assert!(faults.list("gateway").is_empty(), "30 s are over");
        faults.inject("intake", injection(FaultKind::Kill)).unwrap();
        let meets = async |peer: &str| !matches!(faults.meet(peer).await, Met::Nothing);
        assert!(!meets("orchestrator").await);
        assert_eq!(faults.list("gateway").len(), 1);
        faults.clear("orchestrator").unwrap();
        assert!(meets("intake").await);
        faults.clear("").unwrap();
        assert!(!meets("intake").await);
        let half = Injection { percent: 50, ..injection(FaultKind::Kill) };
        faults.inject("intake", half).unwrap();
        let mut met = 0;
        for _ in 0..1_000 {
            met += u32::from(meets("intake").await);
        }
        assert!((400..600).contains(&met), "{met}");
    }
}
