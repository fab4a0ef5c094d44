//! Who waits for tasks of which queue.

use crate::ready::{MAX_WAIT, POLL};
use crate::{Error, Lease, Take};
use futures::future::select_all;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Bells are looked through for unused ones when there are so many.
const MANY: usize = 1_024;
/// The shortest wait between two looks, so that rounding makes no busy loop.
const BREATH: Duration = Duration::from_millis(1);

/// A bell for each queue that somebody waits for.
#[derive(Debug, Default)]
pub(crate) struct Bells(Mutex<HashMap<Arc<str>, Arc<Notify>>>);

impl Bells {
    /// The bells of some queues, for somebody who waits.
    pub(crate) fn of(&self, queues: &[Arc<str>]) -> Vec<Arc<Notify>> {
        let mut bells = self.0.lock();
        if bells.len() >= MANY {
            bells.retain(|_, bell| Arc::strong_count(bell) > 1);
        }
        queues.iter().map(|queue| Arc::clone(bells.entry(Arc::clone(queue)).or_default())).collect()
    }

    /// Looks for tasks again and again until there are some or the wish has waited
    /// long enough. A look answers what it found and how long nothing becomes due
    /// by itself.
    pub(crate) async fn wait_for<F, L>(&self, wish: &Take, look: F) -> Result<Vec<Lease>, Error>
    where
        F: Fn() -> L,
        L: Future<Output = Result<(Vec<Lease>, Option<Duration>), Error>>,
    {
        if wish.credits == 0 || wish.queues.is_empty() {
            return Ok(Vec::new());
        }
        if wish.wait.is_zero() {
            return Ok(look().await?.0);
        }
        let deadline = Instant::now() + wish.wait.min(MAX_WAIT);
        let bells = self.of(&wish.queues);
        loop {
            // Listening begins before the look, so that no ring in between is missed.
            let mut rings: Vec<_> = bells.iter().map(|bell| Box::pin(bell.notified())).collect();
            for ring in &mut rings {
                ring.as_mut().enable();
            }
            let (leases, next) = look().await?;
            let now = Instant::now();
            if !leases.is_empty() || now >= deadline {
                return Ok(leases);
            }
            let until = deadline.min(now + next.unwrap_or(POLL).clamp(BREATH, POLL));
            // Either outcome is a reason to look again.
            let _ = tokio::time::timeout_at(until, select_all(rings)).await;
        }
    }

    /// Wakes up to so many who wait for a queue.
    pub(crate) fn ring(&self, queue: &str, times: usize) {
        let bell = self.0.lock().get(queue).cloned();
        if let Some(bell) = bell {
            (0..times).for_each(|_| bell.notify_one());
        }
    }

    /// Wakes all who wait for a queue.
    pub(crate) fn ring_out(&self, queue: &str) {
        if let Some(bell) = self.0.lock().get(queue) {
            bell.notify_waiters();
        }
    }

    /// Wakes everybody.
    #[cfg(feature = "redis")]
    pub(crate) fn ring_all(&self) {
        self.0.lock().values().for_each(|bell| bell.notify_waiters());
    }
}
