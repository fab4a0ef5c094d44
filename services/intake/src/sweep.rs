//! Removing what unfinished uploads left in the object store, and temporary
//! documents that nobody has named in their time.
//!
//! A process that is killed leaves the file it was writing. One that is killed
//! between storing an object and storing its row leaves an object nobody can
//! name. Both are invisible to callers; here they are removed.

use crate::Error;
use crate::metrics::Metrics;
use crate::objects::{Objects, SHELVES};
use crate::store::Store;
use probity_types::Clock;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it looks.
const INTERVAL: Duration = Duration::from_secs(3_600);
/// Between an object and its row lies one transaction, not a day.
const ORPHAN_AGE: Duration = Duration::from_secs(24 * 3_600);

/// The background work.
pub(crate) struct Sweeper {
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
}

impl Sweeper {
    /// Sweeps at once and from then on now and then, until told to stop.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let rounds = async {
            let mut timer = tokio::time::interval(INTERVAL);
            loop {
                timer.tick().await;
                match self.sweep(ORPHAN_AGE).await {
                    Ok(removed) if removed > 0 => {
                        tracing::info!(removed, "removed what unfinished uploads left")
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(%error, "sweeping the object store failed; trying again later")
                    }
                }
            }
        };
        // A sweep that is cut off has removed a bit less: nothing to wait for.
        stop.run_until_cancelled(rounds).await;
    }

    /// Removes what is left over; answers how many files.
    pub(crate) async fn sweep(&self, age: Duration) -> Result<usize, Error> {
        let expired = self.store.expire(self.clock.now()).await?;
        self.metrics.expired(expired);
        if expired > 0 {
            tracing::info!(expired, "removed temporary documents that no execution has named");
        }
        let mut removed = self.objects.clear_abandoned().await?;
        for shelf in SHELVES {
            let old = self.objects.older(shelf, age).await?;
            for hash in self.store.unknown(&old).await? {
                removed += usize::from(self.objects.remove_older(hash, age).await?);
            }
        }
        self.metrics.swept(removed);
        Ok(removed)
    }
}
