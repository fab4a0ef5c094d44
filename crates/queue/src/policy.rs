//! What an operator sets: how fast, how many at once, for how long, how much.

use crate::Error;
use std::collections::BTreeMap;
use std::time::Duration;

/// The most tenants with rules of their own in one queue.
pub const MAX_TENANT_RULES: usize = 100;
/// The longest lease and the longest period of a rate.
const MAX_DURATION: Duration = Duration::from_hours(24);

/// Bounds of everything a queue keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open tasks in all queues together; 1,000,000 unless set.
    pub capacity: usize,
    /// Open tasks in one queue; 1,000,000 unless set.
    pub queue_capacity: usize,
    /// Queues in use; 1,000 unless set.
    pub queues: usize,
    /// Bytes of one payload; 65,536 unless set.
    pub payload_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { capacity: 1_000_000, queue_capacity: 1_000_000, queues: 1_000, payload_bytes: 65_536 }
    }
}

/// A rate: `count` tasks in each `period`, and at most `burst` of them at once
/// after a quiet time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Tasks a period; at least 1.
    pub count: u32,
    /// The period; 1 ms to 24 h.
    pub period: Duration,
    /// Size of the bucket; at least 1.
    pub burst: u32,
}

impl Rate {
    /// A rate per second with a bucket of the same size.
    #[must_use]
    pub const fn per_second(count: u32) -> Self {
        Self { count, period: Duration::from_secs(1), burst: count }
    }

    fn validate(&self, key: &'static str) -> Result<(), Error> {
        let wrong = |reason: String| Err(Error::Config { key, reason });
        if self.count == 0 || self.burst == 0 {
            return wrong("has a count or burst of 0; both must be at least 1".to_owned());
        }
        if self.period < Duration::from_millis(1) || self.period > MAX_DURATION {
            return wrong(format!("has the period {:?}; it must be from 1ms to 24h", self.period));
        }
        Ok(())
    }
}

/// What one tenant may use of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantRule {
    /// Tasks in a row at each turn among the tenants; 1 unless set, 1 to 1,000.
    pub weight: u32,
    /// How many may be given out at once; unbounded unless set.
    pub concurrency: Option<u32>,
    /// How many may be given out a period; unbounded unless set.
    pub rate: Option<Rate>,
}

impl Default for TenantRule {
    fn default() -> Self {
        Self { weight: 1, concurrency: None, rate: None }
    }
}

impl TenantRule {
    fn validate(&self) -> Result<(), Error> {
        if !(1..=1_000).contains(&self.weight) {
            let reason = format!("is {}; it must be from 1 to 1,000", self.weight);
            return Err(Error::Config { key: "tenant.weight", reason });
        }
        positive("tenant.concurrency", self.concurrency)?;
        self.rate.map_or(Ok(()), |rate| rate.validate("tenant.rate"))
    }
}

/// The rules of one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How long a lease lasts unless it is extended; 30 s unless set, 10 ms to 24 h.
    pub lease: Duration,
    /// How many tasks may be given out at once; unbounded unless set.
    pub concurrency: Option<u32>,
    /// How many tasks of one tenant with the same key may be given out at once;
    /// unbounded unless set.
    pub key_concurrency: Option<u32>,
    /// How many tasks may be given out a period; unbounded unless set.
    pub rate: Option<Rate>,
    /// The rule for a tenant that has none of its own.
    pub tenant: TenantRule,
    /// Rules of single tenants; at most 100.
    pub tenants: BTreeMap<String, TenantRule>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            concurrency: None,
            key_concurrency: None,
            rate: None,
            tenant: TenantRule::default(),
            tenants: BTreeMap::new(),
        }
    }
}

impl Policy {
    /// The rule for a tenant.
    #[must_use]
    pub fn of(&self, tenant: &str) -> &TenantRule {
        self.tenants.get(tenant).unwrap_or(&self.tenant)
    }

    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// [`Error::Config`] with the setting and the allowed range.
    pub fn validate(&self) -> Result<(), Error> {
        if self.lease < Duration::from_millis(10) || self.lease > MAX_DURATION {
            let reason = format!("is {:?}; it must be from 10ms to 24h", self.lease);
            return Err(Error::Config { key: "lease", reason });
        }
        positive("concurrency", self.concurrency)?;
        positive("key_concurrency", self.key_concurrency)?;
        self.rate.map_or(Ok(()), |rate| rate.validate("rate"))?;
        if self.tenants.len() > MAX_TENANT_RULES {
            let reason = format!("has {} rules; at most {MAX_TENANT_RULES} are kept", self.tenants.len());
            return Err(Error::Config { key: "tenants", reason });
        }
        std::iter::once(&self.tenant).chain(self.tenants.values()).try_for_each(TenantRule::validate)
    }
}

/// A limit of nothing would stop the queue: that is what pausing is for.
fn positive(key: &'static str, limit: Option<u32>) -> Result<(), Error> {
    if limit == Some(0) {
        return Err(Error::Config { key, reason: "is 0; pause the queue to stop it".to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_policies_are_refused() {
        let check = |change: fn(&mut Policy), expect: &str| {
            let mut policy = Policy::default();
            change(&mut policy);
            let text = policy.validate().err().map_or_else(String::new, |error| error.to_string());
            assert!(text.contains(expect) && text.is_empty() == expect.is_empty(), "{text}");
        };
        check(|_| (), "");
        check(|p| p.lease = Duration::ZERO, "`lease` is 0ns");
        check(|p| p.concurrency = Some(0), "`concurrency` is 0; pause");
        check(|p| p.key_concurrency = Some(0), "`key_concurrency`");
        check(
            |p| p.rate = Some(Rate { burst: 0, ..Rate::per_second(1) }),
            "`rate` has a count or burst of 0",
        );
        check(|p| p.rate = Some(Rate { period: Duration::ZERO, ..Rate::per_second(1) }), "from 1ms to 24h");
        check(|p| p.tenant.weight = 0, "`tenant.weight` is 0");
        check(
            |p| p.tenants = (0..101).map(|n| (n.to_string(), TenantRule::default())).collect(),
            "101 rules",
        );
    }
}
