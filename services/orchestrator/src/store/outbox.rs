//! The journal as an outbox: the same rows that are history feed the audit log.
//!
//! A replica relays its own log, and what is left of the logs it sealed. What it
//! has just committed itself it hands over from memory; only after a start, or
//! when the audit log was away for long, is the journal read.

use super::Store;
use crate::domain::audit::StoredTurn;
use crate::sabotage::{self, Damage};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use probity_runtime::{Outbox, Pending};
use probity_storage::args;
use probity_types::Fault;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::Notify;

/// Turns kept for the relay; it reads the journal when it is further behind.
const RECENT: usize = 16_384;

/// What was committed last, in the order of one log.
#[derive(Default)]
pub(crate) struct Recent {
    /// The log this replica writes; 0 before there is one.
    log: i64,
    /// How many logs of others it has sealed.
    inherited: u64,
    /// Position of the first turn kept.
    first: i64,
    turns: VecDeque<Arc<StoredTurn>>,
}

impl Recent {
    /// Begins with an empty log.
    pub(crate) fn begin(&mut self, log: i64) {
        *self = Self { log, inherited: self.inherited + 1, first: 1, turns: VecDeque::new() };
    }

    /// There is another log to relay.
    pub(crate) fn inherit(&mut self) {
        self.inherited += 1;
    }

    /// Adds turns that follow each other.
    pub(crate) fn extend(&mut self, turns: impl IntoIterator<Item = Arc<StoredTurn>>) {
        self.turns.extend(turns);
        while self.turns.len() > RECENT {
            self.turns.pop_front();
            self.first += 1;
        }
    }

    /// The turns after a position; `None` when they are not all here.
    fn after(&mut self, log: i64, position: i64, limit: usize) -> Option<Vec<(i64, Arc<StoredTurn>)>> {
        if log != self.log || position + 1 < self.first {
            return None;
        }
        while self.first <= position && self.turns.pop_front().is_some() {
            self.first += 1;
        }
        Some((self.first..).zip(self.turns.iter().take(limit).cloned()).collect())
    }
}

/// A log and up to where the audit log has it.
#[derive(Debug, Clone, Copy)]
struct Mark {
    log: i64,
    position: i64,
    /// Where it was sealed; 0 when it is still written.
    sealed: i64,
    /// Everything up to here has been handed out.
    read: i64,
}

/// Which logs are to be relayed.
#[derive(Default)]
struct Marks {
    /// What the own log and the number of inherited ones were.
    seen: (i64, u64),
    /// Inherited logs first, the own one last.
    logs: Vec<Mark>,
    /// The log the last batch came from.
    handed: usize,
}

/// Hands the audited facts of the journal to the relay.
pub(crate) struct JournalOutbox {
    store: Store,
    committed: Arc<Notify>,
    recent: Arc<Mutex<Recent>>,
    marks: tokio::sync::Mutex<Marks>,
}

impl JournalOutbox {
    pub(crate) fn new(store: Store, committed: Arc<Notify>, recent: Arc<Mutex<Recent>>) -> Self {
        Self { store, committed, recent, marks: tokio::sync::Mutex::default() }
    }

    /// Looks which logs there are, whenever that changed.
    async fn look(&self, marks: &mut Marks) -> Result<(), Fault> {
        let seen = {
            let recent = self.recent.lock();
            (recent.log, recent.inherited)
        };
        if seen == marks.seen {
            return Ok(());
        }
        // The own log may never come to an end: what was inherited goes first.
        let sql = "SELECT log, relayed, sealed FROM logs WHERE log = $1 OR heir = $1
             ORDER BY CASE WHEN log = $1 THEN 1 ELSE 0 END, log";
        let rows = self.store.db.query(sql, args![seen.0]).await?;
        marks.seen = seen;
        marks.handed = 0;
        marks.logs.clear();
        for row in &rows {
            let (log, position, sealed) = (row.i64(0)?, row.i64(1)?, row.i64(2)?);
            marks.logs.push(Mark { log, position, sealed, read: position });
        }
        Ok(())
    }

    async fn read(&self, limit: u32) -> Result<Pending, Fault> {
        let mut marks = self.marks.lock().await;
        self.look(&mut marks).await?;
        let mut at = 0;
        while let Some(mut mark) = marks.logs.get(at).copied() {
            let Pending { events, more } = self.events(&mut mark, limit).await?;
            marks.logs[at] = mark;
            if !events.is_empty() {
                marks.handed = at;
                return Ok(Pending { events, more: more || at + 1 < marks.logs.len() });
            }
            if mark.sealed > 0 {
                self.forget(mark.log).await?;
                marks.logs.remove(at);
            } else {
                at += 1;
            }
        }
        Ok(Pending::default())
    }

    /// The events after a mark. Turns that have nothing to tell are passed over.
    async fn events(&self, mark: &mut Mark, limit: u32) -> Result<Pending, Fault> {
        let limit = limit.max(1);
        mark.read = mark.position;
        loop {
            let recent = self.recent.lock().after(mark.log, mark.read, limit as usize);
            let (turns, page) = match recent {
                Some(turns) => (turns, limit),
                None => {
                    let page = limit.div_ceil(4);
                    (self.store.journal(mark.log, mark.read, i64::from(page)).await?, page)
                }
            };
            let Some((last, _)) = turns.last() else { return Ok(Pending::default()) };
            let last = *last;
            let mut more = turns.len() >= page as usize;
            let mut events = Vec::new();
            for (position, turn) in &turns {
                mark.read = *position;
                if sabotage::does(Damage::DropOutbox) && position % 7 == 0 {
                    continue;
                }
                events.extend(turn.events().map(|event| (*position, event)));
                if events.len() >= limit as usize {
                    more = true;
                    break;
                }
            }
            if !events.is_empty() {
                return Ok(Pending { events, more });
            }
            mark.read = last;
        }
    }

    async fn store_mark(&self, position: i64) -> Result<(), Fault> {
        let mut marks = self.marks.lock().await;
        let at = marks.handed;
        let Some(mark) = marks.logs.get_mut(at) else { return Ok(()) };
        // The whole batch is acknowledged at once, with the turns at its end that
        // had nothing to tell.
        let (log, position) = (mark.log, position.max(mark.read));
        self.store
            .db
            .write(move |tx| {
                Box::pin(async move {
                    let sql = "UPDATE logs SET relayed = $1 WHERE log = $2 AND relayed < $1";
                    tx.execute(sql, args![position, log]).await
                })
            })
            .await
            .map_err(|e: probity_storage::Error| Fault::from(e))?;
        mark.position = position;
        Ok(())
    }

    /// A sealed log that is relayed to its end.
    async fn forget(&self, log: i64) -> Result<(), Fault> {
        self.store
            .db
            .write(move |tx| {
                Box::pin(async move {
                    tx.execute("DELETE FROM logs WHERE log = $1 AND sealed > 0", args![log]).await
                })
            })
            .await
            .map(drop)
            .map_err(|e: probity_storage::Error| Fault::from(e))
    }
}

impl Outbox for JournalOutbox {
    fn pending(&self, limit: u32) -> BoxFuture<'_, Result<Pending, Fault>> {
        Box::pin(self.read(limit))
    }

    fn acknowledge(&self, sequence: i64) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(self.store_mark(sequence))
    }

    fn notify(&self) -> Arc<Notify> {
        self.committed.clone()
    }
}
