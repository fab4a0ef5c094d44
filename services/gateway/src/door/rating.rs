//! Holds callers to their limits, and tells them how they stand.

use super::Door;
use super::arrival::Arrival;
use crate::config::Config;
use crate::domain::principal::Principal;
use crate::domain::rates::{Limit, Rates, Standing, Whose};
use crate::error::Error;
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use std::net::IpAddr;
use std::time::Instant;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const REST: HeaderName = HeaderName::from_static("ratelimit");

/// The limits with what has been asked lately.
pub(super) struct Rating {
    rates: Mutex<Rates>,
    began: Instant,
    address: Limit,
    principal: Limit,
    tenant: Limit,
}

impl Rating {
    pub(super) fn new(config: &Config) -> Self {
        let limit = |per_second, burst| Limit { per_second, burst };
        Self {
            rates: Mutex::default(),
            began: Instant::now(),
            address: limit(config.rate_address_per_s, config.rate_address_burst),
            principal: limit(config.rate_principal_per_s, config.rate_principal_burst),
            tenant: limit(config.rate_tenant_per_s, config.rate_tenant_burst),
        }
    }

    const fn limit(&self, whose: Whose) -> Limit {
        match whose {
            Whose::Address => self.address,
            Whose::Principal => self.principal,
            Whose::Tenant => self.tenant,
        }
    }
}

impl Door {
    /// Counts a call against the address it came from.
    pub(super) fn rate_address(&self, arrival: &mut Arrival) -> Result<(), Error> {
        let who = network(&arrival.address);
        self.rate(Whose::Address, &who, arrival)
    }

    /// Counts a call against who makes it, and their tenant.
    pub(super) fn rate_principal(&self, principal: &Principal, arrival: &mut Arrival) -> Result<(), Error> {
        let who = format!("{}\n{}", principal.tenant, principal.actor);
        self.rate(Whose::Principal, &who, arrival)?;
        self.rate(Whose::Tenant, &principal.tenant, arrival)
    }

    fn rate(&self, whose: Whose, who: &str, arrival: &mut Arrival) -> Result<(), Error> {
        let (limit, now) = (self.rating.limit(whose), self.rating.began.elapsed());
        let taken = self.rating.rates.lock().take(whose, who, limit, now);
        match taken {
            Ok(standing) => arrival.stands(standing),
            Err(too_many) => {
                arrival.stands(Some(too_many.standing));
                self.metrics.rate_limited(whose.as_str());
                let (whose, per_second) = (whose.as_str(), limit.per_second);
                return Err(Error::TooMany { whose, per_second, after: too_many.after });
            }
        }
        Ok(())
    }
}

/// Tells how the nearest limit stands (draft-ietf-httpapi-ratelimit-headers).
pub(super) fn tell(standing: &Standing, headers: &mut HeaderMap) {
    let Standing { whose, limit, left, full_after } = standing;
    let window = limit.burst.div_ceil(limit.per_second.max(1)).max(1);
    let full = full_after.as_millis().div_ceil(1_000);
    let name = whose.as_str();
    let policy = format!("\"{name}\";q={};w={window}", limit.burst);
    let rest = format!("\"{name}\";r={left};t={full}");
    for (header, text) in [(POLICY, policy), (REST, rest)] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(header, value);
        }
    }
}

/// Who an address stands for: the network of an IPv6 host has more addresses than
/// there are buckets.
pub(crate) fn network(address: &str) -> String {
    match address.parse() {
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_none() => {
            let s = v6.segments();
            format!("{:x}:{:x}:{:x}:{:x}::/64", s[0], s[1], s[2], s[3])
        }
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_caller() {
        let check = |address: &str, expect: &str| assert_eq!(network(address), expect);
        check("10.0.0.1", "10.0.0.1");
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64");
        check("::ffff:10.0.0.1", "::ffff:10.0.0.1");
        check("", "");
    }
}
