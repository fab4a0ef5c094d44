//! Requests for faults, checked, and faults as messages.

use crate::monitoring::duration;
use probity_proto::monitoring::{FaultKind, InjectFaultRequest, InjectedFault};
use probity_types::Fault;
use std::time::Duration;

/// How long a fault lasts, usually and at most.
const LASTS: (Duration, Duration) = (Duration::from_secs(30), Duration::from_mins(10));
/// How much longer slow calls take, usually and at most.
const DELAY: (Duration, Duration) = (Duration::from_secs(3), Duration::from_mins(1));

/// A fault to inject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Injection {
    pub(super) kind: FaultKind,
    pub(super) lasts: Duration,
    pub(super) delay: Duration,
    pub(super) percent: u8,
}

impl Default for Injection {
    fn default() -> Self {
        Self { kind: FaultKind::Kill, lasts: LASTS.0, delay: DELAY.0, percent: 100 }
    }
}

impl TryFrom<&InjectFaultRequest> for Injection {
    type Error = Fault;

    /// Reads what is asked for.
    ///
    /// # Errors
    /// `RUN-0034` with the field and its range.
    fn try_from(request: &InjectFaultRequest) -> Result<Self, Fault> {
        let kind = match request.kind() {
            FaultKind::Unspecified => return Err(wrong("kind", "say kill, slow, error or partition")),
            kind => kind,
        };
        let percent = match request.percent {
            0 => 100,
            percent => u8::try_from(percent)
                .ok()
                .filter(|percent| *percent <= 100)
                .ok_or_else(|| wrong("percent", "must be from 1 to 100, or 0 for all"))?,
        };
        let lasts = time("lasts", request.lasts, LASTS)?;
        Ok(Self { kind, lasts, delay: time("delay", request.delay, DELAY)?, percent })
    }
}

impl Injection {
    pub(super) fn shown(&self, service: &str, peer: &str, remaining: Duration) -> InjectedFault {
        InjectedFault {
            service: service.to_owned(),
            peer: peer.to_owned(),
            kind: self.kind.into(),
            delay: (self.kind == FaultKind::Slow).then(|| duration(self.delay)).flatten(),
            percent: self.percent.into(),
            remaining: duration(remaining),
        }
    }
}

fn wrong(field: &'static str, why: &str) -> Fault {
    Fault::invalid("RUN-0034", field, why)
}

fn time(
    field: &'static str,
    given: Option<prost_types::Duration>,
    (usual, most): (Duration, Duration),
) -> Result<Duration, Fault> {
    let Some(given) = given else { return Ok(usual) };
    let time = Duration::try_from(given).ok().filter(|time| !time.is_zero() && *time <= most);
    time.ok_or_else(|| wrong(field, &format!("must be above 0 and at most {most:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused_by_field() {
        let check = |change: fn(&mut InjectFaultRequest), expect: Option<&str>| {
            let mut request = InjectFaultRequest { kind: FaultKind::Slow.into(), ..Default::default() };
            change(&mut request);
            let got = Injection::try_from(&request).err().map(|fault| fault.violations[0].field.clone());
            assert_eq!(got.as_deref(), expect, "{request:?}");
        };
        check(|_| (), None);
        check(|r| r.kind = 0, Some("kind"));
        check(|r| r.kind = 99, Some("kind"));
        check(|r| r.percent = 101, Some("percent"));
        check(|r| r.percent = -1, Some("percent"));
        check(|r| r.lasts = duration(Duration::ZERO), Some("lasts"));
        check(|r| r.lasts = duration(Duration::from_secs(601)), Some("lasts"));
        check(|r| r.delay = Some(prost_types::Duration { seconds: -1, nanos: 0 }), Some("delay"));
        check(|r| r.delay = duration(Duration::from_secs(60)), None);
    }
}
