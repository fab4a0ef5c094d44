//! The layers of a client in their one right order.

use crate::deadline::Limits;
use crate::{DeadlineLayer, Policy, RetryLayer};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tower::layer::util::Stack;

/// How patient a client is. Times are in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientSettings {
    /// The longest a call may take, all attempts and waits included.
    pub timeout_ms: u64,
    /// The longest one attempt may take when another one is possible; 0 leaves
    /// the whole time to the first.
    pub attempt_timeout_ms: u64,
    /// How often and how patiently to try.
    pub retry: Policy,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self { timeout_ms: 30_000, attempt_timeout_ms: 10_000, retry: Policy::QUICK }
    }
}

impl ClientSettings {
    /// Refuses what is out of range, naming the field and the range.
    pub fn validate(&self) -> Result<(), String> {
        if !(1..=3_600_000).contains(&self.timeout_ms) {
            return Err(format!("timeout_ms is {}; it must be from 1 to 3600000", self.timeout_ms));
        }
        if self.attempt_timeout_ms > self.timeout_ms {
            let (attempt, whole) = (self.attempt_timeout_ms, self.timeout_ms);
            return Err(format!("attempt_timeout_ms is {attempt}; it must be from 0 to timeout_ms, {whole}"));
        }
        self.retry.validate().map_err(|error| format!("retry.{error}"))
    }

    /// Deadline outside, retry inside: apply it around the layers that see every
    /// attempt (trace, metrics, caller token) and the transport.
    #[must_use]
    pub fn layer(&self) -> Stack<RetryLayer, DeadlineLayer> {
        let mut retry = RetryLayer::new(self.retry);
        if self.attempt_timeout_ms > 0 {
            retry = retry.with_attempt_timeout(Duration::from_millis(self.attempt_timeout_ms));
        }
        Stack::new(retry, DeadlineLayer::client(self.limits()))
    }

    fn limits(&self) -> Limits {
        Limits { unary: Duration::from_millis(self.timeout_ms), stream: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Request, Response};
    use parking_lot::Mutex;
    use probity_proto::BoxError;
    use std::sync::Arc;
    use tokio::time::Instant;
    use tonic::Status;
    use tonic::body::Body;
    use tower::{Layer, ServiceExt as _, service_fn};

    const READ: &str = "/probity.spam.v1.SpamService/Classify";

    /// Calls a peer that is away for good; returns how long it took and when the
    /// last attempt began.
    async fn away<L, S>(layer: L) -> (Duration, Duration)
    where
        L: Layer<tower::util::BoxCloneSyncService<Request<Body>, Response<Body>, BoxError>, Service = S>,
        S: tower::Service<Request<Body>, Response = Response<Body>, Error = BoxError>,
    {
        let (begun, last) = (Instant::now(), Arc::new(Mutex::new(Duration::ZERO)));
        let seen = Arc::clone(&last);
        let peer = service_fn(move |_request: Request<Body>| {
            *seen.lock() = begun.elapsed();
            async { Ok::<_, BoxError>(Status::unavailable("no").into_http()) }
        });
        let service = layer.layer(tower::util::BoxCloneSyncService::new(peer));
        service.oneshot(Request::builder().uri(READ).body(Body::empty()).unwrap()).await.unwrap();
        let last = *last.lock();
        (begun.elapsed(), last)
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_bounds_all_attempts_together() {
        let settings = ClientSettings { timeout_ms: 8_000, retry: Policy::AGGRESSIVE, ..Default::default() };
        let limit = Duration::from_millis(settings.timeout_ms);
        for _ in 0..50 {
            let (took, last) = away(settings.layer()).await;
            assert!(took <= limit && last <= limit, "{took:?} {last:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_other_way_round_every_attempt_has_the_whole_time() {
        let patient = Policy { jitter: crate::retry::Jitter::None, ..Policy::AGGRESSIVE };
        let settings = ClientSettings { timeout_ms: 8_000, retry: patient, ..Default::default() };
        let wrong = Stack::new(DeadlineLayer::client(settings.limits()), RetryLayer::new(settings.retry));
        let (took, _) = away(wrong).await;
        assert!(took > Duration::from_millis(settings.timeout_ms), "{took:?}");
    }

    #[test]
    fn settings_are_checked() {
        let check = |change: fn(&mut ClientSettings), expect: Result<(), &str>| {
            let mut settings = ClientSettings::default();
            change(&mut settings);
            assert_eq!(settings.validate(), expect.map_err(str::to_owned));
        };
        check(|_| (), Ok(()));
        check(|s| s.timeout_ms = 0, Err("timeout_ms is 0; it must be from 1 to 3600000"));
        check(
            |s| s.attempt_timeout_ms = 40_000,
            Err("attempt_timeout_ms is 40000; it must be from 0 to timeout_ms, 30000"),
        );
        check(|s| s.retry.max_attempts = 0, Err("retry.max_attempts is 0; it must be from 1 to 100"));
    }
}
