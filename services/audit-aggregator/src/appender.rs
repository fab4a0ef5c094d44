//! The one task that appends. Requests that come while a write is under way wait
//! in a queue and share the next one.
//!
//! **Invariant:** [`Worker::tree`] is the tree of the last commit, or `None`. It
//! is taken out before a write and put back only after the commit was confirmed,
//! so whatever goes wrong on the way, even a commit whose outcome is unknown,
//! leaves `None`, and the next write begins by reading the store.

use crate::domain::batch::{Addition, Batch, Counts, NewEntry};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::store::write::Append;
use probity_merkle::{Checkpoint, NoteSigner, TileTree, tile};
use probity_storage as storage;
use probity_types::Clock;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// Most requests that wait; more wait to get into the queue.
const QUEUE: usize = 256;
/// Most requests in one write. With 1,000 entries each it stays far below the
/// time a statement may take.
const GROUP: usize = 16;
/// How often a write begins anew because another process was faster.
const ATTEMPTS: u32 = 8;

/// What an append did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    /// Size of the log after it.
    pub(crate) tree_size: u64,
    pub(crate) counts: Counts,
}

struct Request {
    entries: Vec<NewEntry>,
    answer: oneshot::Sender<Result<Appended, Error>>,
}

/// Hands entries to the task. It ends when the last clone is gone and the queue
/// is empty, so nothing that was taken is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Appender {
    queue: mpsc::Sender<Request>,
}

impl Appender {
    pub(crate) fn start(
        store: Store,
        signer: Arc<NoteSigner>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        let (queue, requests) = mpsc::channel(QUEUE);
        tokio::spawn(Worker { store, signer, clock, metrics, tree: None }.run(requests));
        Self { queue }
    }

    /// Appends entries; answers when they and the checkpoint over them are
    /// durable. A caller that goes away does not take them back.
    pub(crate) async fn append(&self, entries: Vec<NewEntry>) -> Result<Appended, Error> {
        let (answer, answered) = oneshot::channel();
        self.queue.send(Request { entries, answer }).await.map_err(|_| Error::Stopped)?;
        answered.await.unwrap_or(Err(Error::Stopped))
    }
}

struct Worker {
    store: Store,
    signer: Arc<NoteSigner>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    tree: Option<TileTree>,
}

impl Worker {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut group = Vec::with_capacity(GROUP);
        while requests.recv_many(&mut group, GROUP).await > 0 {
            self.serve(std::mem::take(&mut group)).await;
        }
    }

    async fn serve(&mut self, group: Vec<Request>) {
        let started = Instant::now();
        let (entries, answers): (Vec<_>, Vec<_>) = group.into_iter().map(|r| (r.entries, r.answer)).unzip();
        let outcome = self.write(Arc::new(Batch::new(entries))).await;
        if let Ok((_, counts)) = &outcome {
            let sum = |of: fn(&Counts) -> u64| counts.iter().map(of).sum();
            self.metrics.written(sum(|c| c.accepted), sum(|c| c.duplicates), started.elapsed());
        }
        for (at, answer) in answers.into_iter().enumerate() {
            let appended = outcome.as_ref().map(|(tree_size, counts)| Appended {
                tree_size: *tree_size,
                counts: counts.get(at).copied().unwrap_or_default(),
            });
            // A caller that went away needs no answer.
            let _ = answer.send(appended.map_err(Clone::clone));
        }
    }

    /// Writes a batch; begins anew when another process wrote in between.
    async fn write(&mut self, batch: Arc<Batch>) -> Result<(u64, Vec<Counts>), Error> {
        for _ in 0..ATTEMPTS {
            match self.attempt(batch.clone()).await {
                Ok(addition) => {
                    let size = addition.tree.size();
                    self.tree = Some(addition.tree);
                    return Ok((size, addition.counts));
                }
                Err(error) if lost_a_race(&error) => tracing::debug!(%error, "append begins anew"),
                Err(error) => return Err(error),
            }
        }
        Err(Error::Contended)
    }

    async fn attempt(&mut self, batch: Arc<Batch>) -> Result<Addition, Error> {
        let tree = match self.tree.take() {
            Some(tree) => tree,
            None => self.load().await?,
        };
        let (signer, now) = (self.signer.clone(), self.clock.now());
        let addition = self.store.append(Append { tree, batch, signer, now }).await?;
        if !addition.fresh.is_empty() {
            self.metrics.head(addition.tree.size(), now.0);
        }
        Ok(addition)
    }

    /// Reads the tree from the store. Nothing is signed on top of a head that is
    /// not ours or that the tiles do not lead to.
    async fn load(&self) -> Result<TileTree, Error> {
        let bounds = self.store.bounds().await?;
        if bounds.head != bounds.newest || bounds.stray.is_some() {
            return Err(Error::damaged(
                "the entries, the head and the newest checkpoint are of different sizes",
            ));
        }
        let Some(mark) = self.store.checkpoint(u64::MAX).await? else {
            let now = self.clock.now();
            self.store.begin(&self.signer, now).await?;
            self.metrics.head(0, now.0);
            return Ok(TileTree::new());
        };
        if i64::try_from(mark.size) != Ok(bounds.newest) {
            return Err(Error::Contended);
        }
        let head =
            Checkpoint::open(mark.note.as_bytes(), self.signer.verifier_key()).map_err(Error::damaged)?;
        let tree = self.resume(mark.size).await?;
        if (tree.size(), tree.root()) != (head.size, head.root) {
            return Err(Error::damaged("the tiles do not lead to the root of the newest checkpoint"));
        }
        self.metrics.head(mark.size, self.store.checkpoint_time(mark.size).await?);
        Ok(tree)
    }

    async fn resume(&self, size: u64) -> Result<TileTree, Error> {
        let edge = tile::edge_tiles(size).into_iter().map(|(id, _)| id);
        let tiles = self.store.tiles(edge).await?;
        TileTree::resume(size, |id| tiles.get(&id).cloned()).map_err(Error::damaged)
    }
}

/// Also when the commit's outcome is unknown: the events tell whether it took
/// place, because each is kept once.
const fn lost_a_race(error: &Error) -> bool {
    use storage::Error::{Conflict, OutcomeUnknown, Unique};
    matches!(
        error,
        Error::Contended | Error::Storage(Unique { .. } | Conflict { .. } | OutcomeUnknown { .. })
    )
}
