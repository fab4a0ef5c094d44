//! What happened to an execution: pages of it, and live.

use crate::convert;
use crate::domain::audit::StoredTurn;
use crate::error::Error;
use crate::store::Store;
use crate::watchers::Watch;
use futures::Stream;
use probity_proto::orchestrator::{HistoryEvent, ListHistoryResponse};
use probity_runtime::status;
use probity_types::id::ExecutionId;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Turns read at once.
const TURNS: i64 = 200;
/// Events that wait for a slow watcher.
const WATCHED: usize = 64;
/// A watcher looks again after this long even when nobody knocked: another replica
/// may own the execution.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Events as they happen.
pub(super) type Events = Pin<Box<dyn Stream<Item = Result<HistoryEvent, Status>> + Send>>;

/// A page of history.
pub(super) async fn page(
    store: &Store,
    id: ExecutionId,
    size: i32,
    token: &str,
) -> Result<ListHistoryResponse, Error> {
    let limit = convert::page_size(size)?;
    let mut events = events(store, id, convert::sequence_token(token)?, limit).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = events.len() > limit;
    events.truncate(limit);
    let next = events.last().filter(|_| more).map_or_else(String::new, |e| e.sequence.to_string());
    Ok(ListHistoryResponse { events, next_page_token: next })
}

/// Events after a sequence number; more than `turns` when there are as many.
async fn events(store: &Store, id: ExecutionId, after: i64, turns: i64) -> Result<Vec<HistoryEvent>, Error> {
    let turns = store.turns(id, after, turns.saturating_add(1)).await?;
    Ok(turns.iter().flat_map(|turn| told(turn, after)).collect())
}

/// The events of a turn that come after a sequence number.
fn told(turn: &StoredTurn, after: i64) -> impl Iterator<Item = HistoryEvent> + '_ {
    (turn.first..)
        .zip(&turn.facts)
        .filter(move |(sequence, _)| *sequence > after)
        .map(|(sequence, fact)| convert::history_event(sequence, turn.time, &turn.actor, fact))
}

/// Sends the history from `after` on, then what happens, until the execution has
/// ended or the watcher is gone. `watch` must have begun before this is called.
pub(super) fn watch(store: Store, after: i64, watch: Watch) -> Events {
    let (out, events) = mpsc::channel(WATCHED);
    tokio::spawn(Watcher { store, watch, after, out }.run());
    Box::pin(ReceiverStream::new(events))
}

/// Somebody who watches an execution.
struct Watcher {
    store: Store,
    watch: Watch,
    /// The last event sent.
    after: i64,
    out: mpsc::Sender<Result<HistoryEvent, Status>>,
}

/// There is nothing more to send, or nobody to send it to.
struct Over;

/// What a watcher does next.
enum Next {
    /// Send this.
    Turn(Arc<StoredTurn>),
    /// Read what is stored.
    Look,
}

impl Watcher {
    async fn run(mut self) {
        while self.catch_up().await.is_ok() && self.follow().await.is_ok() {}
    }

    /// Sends what is stored.
    async fn catch_up(&mut self) -> Result<(), Over> {
        loop {
            let turns = match self.store.turns(self.watch.id(), self.after, TURNS).await {
                Ok(turns) => turns,
                Err(error) => {
                    let _ = self.out.send(Err(status(error))).await;
                    return Err(Over);
                }
            };
            for turn in &turns {
                self.send(turn).await?;
            }
            if i64::try_from(turns.len()).unwrap_or(TURNS) < TURNS {
                return Ok(());
            }
        }
    }

    /// Sends what happens here, until the store has to be read again.
    async fn follow(&mut self) -> Result<(), Over> {
        loop {
            match self.next().await? {
                // Another replica had it in between.
                Next::Turn(turn) if turn.first > self.after + 1 => return Ok(()),
                Next::Turn(turn) => self.send(&turn).await?,
                Next::Look => return Ok(()),
            }
        }
    }

    async fn next(&mut self) -> Result<Next, Over> {
        tokio::select! {
            () = self.out.closed() => Err(Over),
            turn = self.watch.next() => Ok(turn.map_or(Next::Look, Next::Turn)),
            () = tokio::time::sleep(LOOK_AGAIN) => Ok(Next::Look),
        }
    }

    async fn send(&mut self, turn: &StoredTurn) -> Result<(), Over> {
        for event in told(turn, self.after) {
            self.after = event.sequence;
            let last = event.r#type == "execution.ended";
            if self.out.send(Ok(event)).await.is_err() || last {
                return Err(Over);
            }
        }
        Ok(())
    }
}
