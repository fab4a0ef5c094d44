//! What happens inside the layers, told to whoever measures or logs it.
//!
//! One small trait instead of a dependency on a metrics library. An observer is
//! called outside of locks; it must be quick and must not call back.

use crate::breaker;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Something worth counting.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A breaker changed its state.
    BreakerChanged {
        /// The breaker.
        name: &'a str,
        /// What changed and why.
        change: breaker::Change,
    },
    /// A layer did not let a call through.
    Refused {
        /// The peer or limiter.
        name: &'a str,
        /// The code of the refusal, such as `RES-0001`.
        code: &'static str,
    },
    /// A call will be tried again.
    Retrying {
        /// The method or operation.
        operation: &'a str,
        /// The attempt that failed, from 1.
        attempt: u32,
        /// How long until the next one.
        wait: Duration,
    },
    /// A call would have been tried again, but the retry budget is used up.
    BudgetExhausted {
        /// The method or operation.
        operation: &'a str,
    },
    /// A second copy of a read was sent.
    Hedged {
        /// The method.
        operation: &'a str,
        /// How long the first copy has been waited for.
        after: Duration,
    },
    /// An endpoint was taken out or put back.
    Ejection {
        /// The endpoint.
        endpoint: &'a str,
        /// For how long; `None` puts it back.
        during: Option<Duration>,
    },
    /// An operation took long.
    Slow {
        /// The operation.
        operation: &'a str,
        /// Who carried it out.
        provider: &'a str,
        /// How long it took.
        took: Duration,
        /// True over the second threshold.
        critical: bool,
    },
    /// A cache was asked.
    Cache {
        /// The cache.
        name: &'a str,
        /// What it found.
        found: crate::cache::Found,
    },
}

/// Whoever measures or logs.
pub trait Observer: Send + Sync + 'static {
    /// Called for each event.
    fn on_event(&self, event: &Event<'_>);
}

impl<F: Fn(&Event<'_>) + Send + Sync + 'static> Observer for F {
    fn on_event(&self, event: &Event<'_>) {
        self(event);
    }
}

/// The observer of a layer; nobody unless one is set.
#[derive(Clone, Default)]
pub struct Observed(Option<Arc<dyn Observer>>);

impl Observed {
    /// Tells `observer`.
    pub fn by(observer: Arc<dyn Observer>) -> Self {
        Self(Some(observer))
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        if let Some(observer) = &self.0 {
            observer.on_event(event);
        }
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Observed(by somebody)" } else { "Observed(by nobody)" })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use parking_lot::Mutex;

    /// Collects events as text, for tests.
    pub(crate) fn collecting() -> (Observed, Arc<Mutex<Vec<String>>>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let observer = move |event: &Event<'_>| log.lock().push(format!("{event:?}"));
        (Observed::by(Arc::new(observer)), seen)
    }

    #[test]
    fn nobody_is_told_nothing() {
        Observed::default().tell(&Event::Refused { name: "a", code: "RES-0001" });
        let (observed, seen) = collecting();
        observed.tell(&Event::Refused { name: "a", code: "RES-0001" });
        assert_eq!(seen.lock().len(), 1);
        assert_eq!(
            format!("{observed:?}{:?}", Observed::default()),
            "Observed(by somebody)Observed(by nobody)"
        );
    }
}
