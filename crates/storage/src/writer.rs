//! The one writer of a store: group commit by natural batching.
//!
//! Operations wait in a queue; the writer takes everything that gathered while
//! the last transaction ran and commits it as one. Each operation of a group has
//! a savepoint, so one that fails takes nothing with it; nobody is answered
//! before the commit. There is no timer: a lone operation commits at once. Only
//! those who were just answered are given a moment to come back together.
//!
//! A server's writer is a task. A file's writer is a thread of its own, because
//! it waits for the disk: it drives the same code, and there every statement is
//! ready when it is polled, so an operation never leaves the thread between two
//! of them. An operation that awaits something else parks the thread until that
//! is there or its time is over; the runtime goes on meanwhile.
//!
//! **Architecture invariant:** an operation that was taken runs to its end,
//! whether its caller still waits or not.

mod job;

pub(crate) use job::{Job, Request};

use crate::conn::{Connector, Role};
use crate::lock::FileLock;
use crate::{Backend, Error, Migration, Tx, migrations};
use job::Outcome;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// On PostgreSQL more savepoints than this in a transaction slow down every
/// other connection (its table of sub-transactions overflows).
const MAX_POSTGRES_BATCH: usize = 64;

/// Between two looks at a queue that is filling.
const PAUSE: Duration = Duration::from_micros(10);

/// What the writer shares with the handles of its store.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Rung after each commit with events.
    pub(crate) appended: Arc<Notify>,
    /// Rung when the store is to close.
    pub(crate) closing: Notify,
    /// Operations stored so far.
    pub(crate) operations: AtomicU64,
    /// Transactions so far.
    pub(crate) transactions: AtomicU64,
    /// Requests with an idempotency key so far, and those of them that got an answer
    /// of an earlier one.
    pub(crate) keyed: AtomicU64,
    pub(crate) repeated: AtomicU64,
}

/// Who owns the writing connection.
pub(crate) struct Writer {
    pub(crate) connector: Connector,
    pub(crate) queue: mpsc::Receiver<Box<dyn Job>>,
    pub(crate) tx: Option<Tx>,
    pub(crate) max_batch: usize,
    pub(crate) limit: Duration,
    pub(crate) shared: Arc<Shared>,
    pub(crate) done: watch::Sender<bool>,
    pub(crate) lock: Option<FileLock>,
    pub(crate) last: Last,
}

/// The last transaction.
#[derive(Debug, Default)]
pub(crate) struct Last {
    operations: usize,
    took: Duration,
}

impl Writer {
    /// Brings the store up to date and begins to take operations. The store is
    /// ready when this answers; when its caller goes away, nothing stays open.
    pub(crate) async fn start(self, migrations: Vec<Migration>) -> Result<(), Error> {
        let (ready, is_ready) = oneshot::channel();
        let database = Arc::clone(self.connector.database());
        match self.connector.backend() {
            Backend::Postgres => drop(tokio::spawn(self.serve(migrations, ready))),
            Backend::Sqlite => self.serve_apart(migrations, ready).map_err(|error| Error::Unavailable {
                database: Arc::clone(&database),
                source: Arc::new(error),
            })?,
        }
        is_ready.await.unwrap_or(Err(Error::Closed { database }))
    }

    /// On a thread of its own, which may wait for the disk.
    #[allow(clippy::disallowed_methods)] // the new thread is none of the runtime's
    fn serve_apart(
        self,
        migrations: Vec<Migration>,
        ready: oneshot::Sender<Result<(), Error>>,
    ) -> std::io::Result<()> {
        let runtime = Handle::current();
        let work = move || runtime.block_on(self.serve(migrations, ready));
        std::thread::Builder::new().name("sqlite-writer".to_owned()).spawn(work).map(drop)
    }

    async fn serve(mut self, migrations: Vec<Migration>, ready: oneshot::Sender<Result<(), Error>>) {
        let opened = self.open(&migrations).await;
        if opened.is_err() {
            self.end().await;
        }
        let is_open = opened.is_ok();
        // Whoever opens may have gone away.
        if ready.send(opened).is_ok() && is_open {
            self.run().await;
        }
        self.end().await;
    }

    async fn open(&mut self, list: &[Migration]) -> Result<(), Error> {
        let tx = Tx::new(self.connector.connect(Role::Writer).await?, self.limit);
        let tx = self.tx.insert(tx);
        migrations::apply(tx, self.connector.schema(), list).await
    }

    /// Until every handle is gone or the store is closed, and the queue is empty.
    async fn run(&mut self) {
        let max_batch = match self.connector.backend() {
            Backend::Sqlite => self.max_batch,
            Backend::Postgres => self.max_batch.min(MAX_POSTGRES_BATCH),
        };
        let shared = Arc::clone(&self.shared);
        let mut jobs = Vec::with_capacity(max_batch);
        loop {
            let taken = tokio::select! {
                biased;
                () = shared.closing.notified() => {
                    self.queue.close();
                    continue;
                }
                taken = self.queue.recv_many(&mut jobs, max_batch) => taken,
            };
            if taken == 0 {
                return;
            }
            self.gather(&mut jobs, max_batch).await;
            self.batch(&mut jobs).await;
        }
    }

    /// Waits a little for those who were just answered and come again: without
    /// it, the first of them would have a transaction for itself while all others
    /// wait for the next. Never waits for a lone caller, and at most an eighth of
    /// what the last transaction took.
    async fn gather(&mut self, jobs: &mut Vec<Box<dyn Job>>, max_batch: usize) {
        let expected = self.last.operations.min(max_batch);
        let until = Instant::now() + self.last.took / 8;
        while jobs.len() + self.queue.len() < expected && Instant::now() < until {
            match self.connector.backend() {
                Backend::Sqlite => std::thread::sleep(PAUSE),
                Backend::Postgres => tokio::task::yield_now().await,
            }
        }
        while jobs.len() < max_batch {
            let Ok(job) = self.queue.try_recv() else { return };
            jobs.push(job);
        }
    }

    /// Closes the connection, then releases the file.
    async fn end(&mut self) {
        if let Some(tx) = self.tx.take() {
            tx.close().await;
        }
        drop(self.lock.take());
        self.done.send_replace(true);
    }

    /// One transaction with all these operations; takes every one of them.
    async fn batch(&mut self, jobs: &mut Vec<Box<dyn Job>>) {
        let mut tx = match self.connected().await {
            Ok(tx) => tx,
            Err(error) => return self.refuse_all(jobs, &error),
        };
        let mut kept = Vec::with_capacity(jobs.len());
        let mut jobs = jobs.drain(..);
        let started = Instant::now();
        let stored = self.transaction(&mut tx, &mut jobs, &mut kept).await;
        self.last = Last { operations: kept.len(), took: started.elapsed() };
        if let Err(error) = &stored {
            tracing::warn!(database = %tx.database(), operations = kept.len(), %error, "a transaction was lost");
        }
        let keys = tx.take_keys();
        self.shared.keyed.fetch_add(keys.asked, Ordering::Relaxed);
        self.shared.repeated.fetch_add(keys.repeated, Ordering::Relaxed);
        self.put_back(tx, stored.is_err()).await;
        let stored = stored.map(|events| self.count(kept.len(), events));
        for job in jobs {
            job.refuse(stored.clone().err().unwrap_or_else(|| self.closed()));
        }
        self.answer(kept, stored);
    }

    /// A thread would wake the runtime once for every caller; a task of the
    /// runtime wakes them all from inside.
    fn answer(&self, kept: Vec<Box<dyn Outcome>>, stored: Result<(), Error>) {
        let several = kept.len() > 1;
        let settle = move || kept.into_iter().for_each(|outcome| outcome.settle(stored.clone()));
        match self.connector.backend() {
            Backend::Sqlite if several => drop(tokio::spawn(async { settle() })),
            _ => settle(),
        }
    }

    /// Runs the operations and commits. On an error nothing is stored, and the
    /// operations that did not run are still in `jobs`.
    async fn transaction(
        &mut self,
        tx: &mut Tx,
        jobs: &mut std::vec::Drain<'_, Box<dyn Job>>,
        kept: &mut Vec<Box<dyn Outcome>>,
    ) -> Result<usize, Error> {
        let several = jobs.len() > 1;
        let backend = self.connector.backend();
        if !several && backend == Backend::Postgres && jobs.as_slice().iter().all(|job| job.is_single()) {
            tx.begin_single();
        } else {
            tx.begin(several).await?;
        }
        while let Some(job) = jobs.next() {
            let outcome = job.run(tx, self.limit).await;
            let ok = outcome.is_ok();
            if ok {
                kept.push(outcome);
            } else {
                outcome.settle(Ok(()));
            }
            if tx.is_broken() {
                return Err(self.broken());
            }
            match (ok, several) {
                (true, true) if jobs.len() > 0 => tx.keep().await?,
                (false, true) => tx.undo().await?,
                _ => {}
            }
        }
        if kept.is_empty() {
            return tx.roll_back().await.map(|()| 0);
        }
        tx.commit().await.map_err(Error::of_commit)
    }

    fn broken(&self) -> Error {
        Error::unavailable(self.connector.database(), ErrorKind::BrokenPipe)
    }

    fn closed(&self) -> Error {
        Error::Closed { database: Arc::clone(self.connector.database()) }
    }

    async fn connected(&mut self) -> Result<Tx, Error> {
        match self.tx.take() {
            Some(tx) => Ok(tx),
            None => Ok(Tx::new(self.connector.connect(Role::Writer).await?, self.limit)),
        }
    }

    /// Keeps the connection unless its state is unknown.
    async fn put_back(&mut self, mut tx: Tx, lost: bool) {
        if !tx.is_broken() && (!lost || tx.roll_back().await.is_ok()) {
            self.tx = Some(tx);
        }
    }

    fn count(&self, operations: usize, events: usize) {
        self.shared.transactions.fetch_add(1, Ordering::Relaxed);
        self.shared.operations.fetch_add(operations as u64, Ordering::Relaxed);
        if events > 0 {
            self.shared.appended.notify_one();
        }
    }

    /// The database is away: nobody in the queue should wait for another try each.
    fn refuse_all(&mut self, jobs: &mut Vec<Box<dyn Job>>, error: &Error) {
        let mut refused = jobs.len();
        jobs.drain(..).for_each(|job| job.refuse(error.clone()));
        while let Ok(job) = self.queue.try_recv() {
            job.refuse(error.clone());
            refused += 1;
        }
        tracing::warn!(refused, %error, "writes were refused");
    }
}
