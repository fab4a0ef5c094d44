//! The read-only connections of a store.
//!
//! Most answers of a SQLite file are found by a key in pages that are in memory, and
//! take less time than handing the query to another thread and waking up for the
//! answer. So each query gets a glance on its caller's thread, and what takes
//! longer is stopped from inside and asked again on a thread for blocking work. When
//! glance after glance has to wait, the disk is slow: for a while everything is read on
//! those threads then. One alone may have lost its processor to somebody else, as happens
//! on a busy machine all the time. The writer is never in the way of either.
//!
//! A connection whose query was cut off from outside is thrown away, because nobody knows
//! what it still has to say. A query that fails because an idle connection had died is
//! tried once more on a fresh one: reading twice does no harm.

use crate::conn::{Conn, Connector, Role, Wanted};
use crate::{Backend, Error, Row, Value};
use futures::FutureExt as _;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a query may take on its caller's thread; SQLite looks at the clock every
/// few thousand steps, so it is the first look that ends it.
const GLANCE: Duration = Duration::from_micros(100);
/// A glance that takes longer has waited: for the disk, or for a processor.
const SLOW: Duration = Duration::from_millis(1);
/// More than one slow glance for so many quick ones is the disk.
const QUICK_FOR_A_SLOW: u32 = 4;
/// Slow glances in a row before care is taken.
const SLOW_IN_A_ROW: u32 = 4;
/// How long nothing is read on callers' threads then.
const CARE: Duration = Duration::from_millis(100);

pub(crate) struct Readers {
    pool: Arc<Pool>,
    acquire_timeout: Duration,
}

struct Pool {
    connector: Connector,
    slots: Arc<Semaphore>,
    most: usize,
    idle: Mutex<Vec<Conn>>,
    limit: Duration,
    care: Care,
}

impl Readers {
    pub(crate) fn new(connector: Connector, most: u32, acquire_timeout: Duration, limit: Duration) -> Self {
        let most = most as usize;
        let slots = Arc::new(Semaphore::new(most));
        Self {
            pool: Arc::new(Pool { connector, slots, most, idle: Mutex::default(), limit, care: Care::new() }),
            acquire_timeout,
        }
    }

    pub(crate) async fn query(&self, sql: &str, args: Vec<Value>, wanted: Wanted) -> Result<Vec<Row>, Error> {
        let slot = self.slot().await?;
        match self.pool.connector.backend() {
            Backend::Postgres => self.pool.query(sql, &args, wanted).await,
            Backend::Sqlite => match self.pool.glance(sql, &args, wanted) {
                Some(answer) => {
                    // Who reads on and on lets others have the thread now and then.
                    tokio::task::coop::consume_budget().await;
                    answer
                }
                None => self.apart(slot, sql, args, wanted).await,
            },
        }
    }

    /// Connections that are allowed.
    pub(crate) fn most(&self) -> usize {
        self.pool.most
    }

    /// Connections whose queries run now.
    pub(crate) fn busy(&self) -> usize {
        self.pool.most.saturating_sub(self.pool.slots.available_permits())
    }

    async fn slot(&self) -> Result<OwnedSemaphorePermit, Error> {
        if let Ok(slot) = Arc::clone(&self.pool.slots).try_acquire_owned() {
            return Ok(slot);
        }
        let slot = Arc::clone(&self.pool.slots).acquire_owned();
        match tokio::time::timeout(self.acquire_timeout, slot).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) => Err(Error::Closed { database: self.pool.database() }),
            Err(_) => Err(Error::Overloaded { database: self.pool.database() }),
        }
    }

    /// On a thread that may wait for the disk. The slot is taken along: when the
    /// caller goes away, its query still counts until it ends.
    async fn apart(
        &self,
        slot: OwnedSemaphorePermit,
        sql: &str,
        args: Vec<Value>,
        wanted: Wanted,
    ) -> Result<Vec<Row>, Error> {
        let (pool, sql) = (Arc::clone(&self.pool), sql.to_owned());
        let reading = tokio::task::spawn_blocking(move || {
            // A file's connection is ready at once, always: see `Conn`.
            let answer = pool.query(&sql, &args, wanted).now_or_never();
            drop(slot);
            answer
        });
        match reading.await {
            Ok(Some(answer)) => answer,
            Ok(None) => Err(Error::Panicked { message: "a read of a file was not ready at once".into() }),
            Err(error) if error.is_panic() => Err(Error::Panicked { message: error.to_string() }),
            Err(_) => Err(Error::Closed { database: self.pool.database() }),
        }
    }

    /// Takes no more queries and closes every connection.
    pub(crate) async fn close(&self) {
        self.pool.slots.close();
        let idle = std::mem::take(&mut *self.pool.idle());
        for conn in idle {
            conn.close().await;
        }
    }
}

impl Pool {
    /// The answer of a file, if it is there at once; `None` has to be asked apart.
    fn glance(&self, sql: &str, args: &[Value], wanted: Wanted) -> Option<Result<Vec<Row>, Error>> {
        let begun = Instant::now();
        if self.care.is_taken(begun) {
            return None;
        }
        let mut conn = self.idle().pop()?;
        conn.start_clock_of(GLANCE);
        // A file's connection is ready at once, always: see `Conn`.
        let answer = conn.query(sql, args, wanted).now_or_never()?;
        self.care.learn(begun, begun.elapsed());
        let stopped = matches!(answer, Err(Error::Timeout { .. }));
        if !stopped && matches!(&answer, Err(error) if error.is_lost()) {
            return None;
        }
        if !self.slots.is_closed() {
            self.idle().push(conn);
        }
        if stopped { None } else { Some(answer) }
    }

    async fn query(&self, sql: &str, args: &[Value], wanted: Wanted) -> Result<Vec<Row>, Error> {
        let idle = self.idle().pop();
        if let Some(conn) = idle {
            match self.run(conn, sql, args, wanted).await {
                Err(Error::Unavailable { .. }) => self.idle().clear(),
                answer => return answer,
            }
        }
        let conn = self.connector.connect(Role::Reader).await?;
        self.run(conn, sql, args, wanted).await
    }

    async fn run(
        &self,
        mut conn: Conn,
        sql: &str,
        args: &[Value],
        wanted: Wanted,
    ) -> Result<Vec<Row>, Error> {
        conn.start_clock();
        let answer = match tokio::time::timeout(self.limit, conn.query(sql, args, wanted)).await {
            Ok(answer) => answer,
            Err(_) => return Err(Error::Timeout { database: self.database(), limit: self.limit }),
        };
        if !matches!(&answer, Err(error) if error.is_lost()) && !self.slots.is_closed() {
            self.idle().push(conn);
        }
        answer
    }

    fn database(&self) -> Arc<str> {
        Arc::clone(self.connector.database())
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Conn>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the disk is slow, as far as glances tell.
struct Care {
    base: Instant,
    /// Microseconds after `base`.
    until: AtomicU64,
    /// A bucket: each slow glance fills it, each quick one takes a little out. Two at once
    /// may count for one, which does no harm.
    slow: AtomicU32,
}

impl Care {
    fn new() -> Self {
        Self { base: Instant::now(), until: AtomicU64::new(0), slow: AtomicU32::new(0) }
    }

    fn at(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.base).as_micros()).unwrap_or(u64::MAX)
    }

    fn is_taken(&self, now: Instant) -> bool {
        self.at(now) < self.until.load(Ordering::Relaxed)
    }

    /// A glance that began at `now` has taken so long.
    fn learn(&self, now: Instant, took: Duration) {
        let slow = self.slow.load(Ordering::Relaxed);
        let next = if took > SLOW { slow + QUICK_FOR_A_SLOW } else { slow.saturating_sub(1) };
        if next >= SLOW_IN_A_ROW * QUICK_FOR_A_SLOW {
            self.slow.store(0, Ordering::Relaxed);
            self.until.store(self.at(now + CARE), Ordering::Relaxed);
        } else if next != slow {
            self.slow.store(next, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether care is taken after glances of these many milliseconds.
    fn check(glances: &[u64], expect: bool) {
        let care = Care::new();
        let now = Instant::now();
        glances.iter().for_each(|&ms| care.learn(now, Duration::from_millis(ms)));
        assert_eq!(care.is_taken(now), expect, "{glances:?}");
        assert!(!care.is_taken(now + CARE), "it ends");
    }

    #[test]
    fn care_is_taken_when_glances_are_slow_and_not_when_one_is() {
        check(&[], false);
        check(&[9], false);
        check(&[9, 9, 9, 0, 0, 0], false);
        check(&[9, 9, 9, 9], true);
        check(&[9, 0, 9, 0, 9, 0, 9, 0, 9], true);
        check(&[9, 0, 0, 0, 0].repeat(20), false);
        check(&[9, 0, 0].repeat(20), true);
    }
}
