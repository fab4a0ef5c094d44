//! What happened to an execution: pages of it, and live.

use crate::convert;
use crate::error::Error;
use crate::store::Store;
use futures::Stream;
use probity_proto::orchestrator::{HistoryEvent, ListHistoryResponse};
use probity_runtime::status;
use probity_types::id::ExecutionId;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};
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
    let all = turns.iter().flat_map(|turn| {
        let facts = (turn.first..).zip(&turn.facts);
        facts.map(|(sequence, fact)| convert::history_event(sequence, turn.time, &turn.actor, fact))
    });
    Ok(all.filter(|event| event.sequence > after).collect())
}

/// Sends the history from `after` on, then what happens, until the execution has
/// ended or the watcher is gone. `changed` must be subscribed before the first read.
pub(super) fn watch(
    store: Store,
    id: ExecutionId,
    after: i64,
    changed: broadcast::Receiver<ExecutionId>,
) -> Events {
    let (out, events) = mpsc::channel(WATCHED);
    tokio::spawn(follow(store, id, after, changed, out));
    Box::pin(ReceiverStream::new(events))
}

async fn follow(
    store: Store,
    id: ExecutionId,
    mut after: i64,
    mut changed: broadcast::Receiver<ExecutionId>,
    out: mpsc::Sender<Result<HistoryEvent, Status>>,
) {
    loop {
        let events = match events(&store, id, after, TURNS).await {
            Ok(events) => events,
            Err(error) => {
                let _ = out.send(Err(status(error))).await;
                return;
            }
        };
        for event in events {
            after = event.sequence;
            let last = event.r#type == "execution.ended";
            if out.send(Ok(event)).await.is_err() || last {
                return;
            }
        }
        if !next_change(&mut changed, id, &out).await {
            return;
        }
    }
}

/// Waits until the execution may have changed; `false` when the watcher is gone.
async fn next_change(
    changed: &mut broadcast::Receiver<ExecutionId>,
    id: ExecutionId,
    out: &mpsc::Sender<Result<HistoryEvent, Status>>,
) -> bool {
    let look_again = tokio::time::sleep(LOOK_AGAIN);
    tokio::pin!(look_again);
    loop {
        tokio::select! {
            () = out.closed() => return false,
            () = &mut look_again => return true,
            change = changed.recv() => match change {
                Ok(other) if other != id => {}
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return true,
                Err(broadcast::error::RecvError::Closed) => return false,
            },
        }
    }
}
