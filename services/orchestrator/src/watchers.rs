//! Who watches which execution on this replica, and what they are handed.
//!
//! **Architecture invariant:** whoever subscribes and then reads the store misses
//! nothing: each turn stored after that is handed over once it is stored, in order, or
//! the watcher learns that it fell behind and reads the store again. What is stored
//! costs those who watch it, and nobody else.

use crate::domain::audit::StoredTurn;
use parking_lot::Mutex;
use probity_types::id::ExecutionId;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::broadcast;

/// Turns a watcher may be behind before it reads the store again.
const BEHIND: usize = 16;

type Rooms = HashMap<ExecutionId, broadcast::Sender<Arc<StoredTurn>>>;

/// The watchers of this replica. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Watchers(Arc<Mutex<Rooms>>);

/// What one watcher is handed.
pub(crate) struct Watch {
    id: ExecutionId,
    turns: broadcast::Receiver<Arc<StoredTurn>>,
    watchers: Watchers,
}

impl Watchers {
    /// From now on the turns of an execution are handed over.
    pub(crate) fn watch(&self, id: ExecutionId) -> Watch {
        let mut rooms = self.0.lock();
        let room = rooms.entry(id).or_insert_with(|| broadcast::channel(BEHIND).0);
        Watch { id, turns: room.subscribe(), watchers: self.clone() }
    }

    /// These turns are stored.
    pub(crate) fn tell(&self, turns: &[Arc<StoredTurn>]) {
        let rooms = self.0.lock();
        if rooms.is_empty() {
            return;
        }
        for turn in turns {
            if let Some(room) = rooms.get(&turn.execution) {
                let _ = room.send(turn.clone());
            }
        }
    }
}

impl Watch {
    pub(crate) fn id(&self) -> ExecutionId {
        self.id
    }

    /// The next turn that is stored here; `None` when some were passed over.
    pub(crate) async fn next(&mut self) -> Option<Arc<StoredTurn>> {
        self.turns.recv().await.ok()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut rooms = self.watchers.0.lock();
        // This one still counts.
        if rooms.get(&self.id).is_some_and(|room| room.receiver_count() <= 1) {
            rooms.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::tests::turn_of;

    #[tokio::test]
    async fn each_is_handed_its_own_turns_in_order() {
        let watchers = Watchers::default();
        let (one, other) = (ExecutionId::new(), ExecutionId::new());
        let (mut first, mut second) = (watchers.watch(one), watchers.watch(one));
        let mut third = watchers.watch(other);
        watchers.tell(&[turn_of(one, 1), turn_of(other, 1), turn_of(ExecutionId::new(), 1)]);
        watchers.tell(&[turn_of(one, 2)]);
        for watch in [&mut first, &mut second] {
            for expect in [1, 2] {
                let turn = watch.next().await.expect("a turn");
                assert_eq!((turn.execution, turn.first), (one, expect));
            }
        }
        assert_eq!(third.next().await.expect("a turn").execution, other);
    }

    #[tokio::test]
    async fn who_falls_behind_is_told_and_who_leaves_is_forgotten() {
        let watchers = Watchers::default();
        let id = ExecutionId::new();
        let (mut slow, gone) = (watchers.watch(id), watchers.watch(id));
        drop(gone);
        for first in 0..40 {
            watchers.tell(&[turn_of(id, first)]);
        }
        assert!(slow.next().await.is_none(), "it is told that turns are missing");
        // Then it goes on with those that are left.
        assert!(slow.next().await.expect("a turn").first > 0);
        assert_eq!(watchers.0.lock().len(), 1);
        drop(slow);
        assert!(watchers.0.lock().is_empty());
    }
}
