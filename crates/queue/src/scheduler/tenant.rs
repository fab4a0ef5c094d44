//! What one tenant has in one queue.

use super::Spot;
use super::bucket::Bucket;
use super::keys::{Key, Move, Place};
use crate::{Policy, TaskId};
use probity_types::Micros;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Number of priorities.
pub(super) const RANKS: usize = 4;

/// The tasks of a tenant with one priority, oldest first, and its place in the
/// ring of that priority.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) tasks: BTreeMap<u64, TaskId>,
    /// Its ticket in the ring; none when it takes no part.
    pub(super) ticket: Option<u64>,
    /// How many more it may have at this turn.
    pub(super) deficit: u32,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Tenant {
    pub(super) lanes: [Lane; RANKS],
    pub(super) running: u32,
    pub(super) bucket: Bucket,
    /// When it may go on, while it waits for tokens.
    pub(super) parked: Option<Micros>,
    /// When the scheduler looks at it again, if that is planned.
    pub(super) timer: Option<Micros>,
    /// Tasks in any state.
    pub(super) open: usize,
    pub(super) unique: HashMap<Arc<str>, TaskId>,
    keys: HashMap<Arc<str>, Key>,
    blocked: usize,
}

impl Tenant {
    /// True when nothing of it may be given out now, whatever its lanes hold.
    pub(super) fn is_held(&self, policy: &Policy, name: &str) -> bool {
        self.parked.is_some() || policy.of(name).concurrency.is_some_and(|limit| self.running >= limit)
    }

    /// Tasks in its lanes, by rank.
    pub(super) fn ready(&self) -> [usize; RANKS] {
        self.lanes.each_ref().map(|lane| lane.tasks.len())
    }

    /// Tasks that wait for others with their key.
    pub(super) const fn blocked(&self) -> usize {
        self.blocked
    }

    /// A task becomes ready.
    pub(super) fn insert(&mut self, spot: &Spot<'_>, limit: u32) {
        match spot.key {
            None => self.apply(Move::In(spot.place())),
            Some(key) => self.keyed(key, limit, |held| held.insert(spot)),
        }
    }

    /// A ready task goes away without having been given out.
    pub(super) fn remove(&mut self, spot: &Spot<'_>, limit: u32) {
        let Some(key) = spot.key else { return self.apply(Move::Out(spot.place())) };
        let mut admitted = false;
        self.keyed(key, limit, |held| admitted = held.remove(spot));
        if admitted {
            self.apply(Move::Out(spot.place()));
        }
    }

    /// The oldest task of a lane is given out.
    pub(super) fn begin(&mut self, place: &Place, key: Option<&Arc<str>>, limit: u32) {
        self.apply(Move::Out(*place));
        self.running += 1;
        if let Some(key) = key {
            self.keyed(key, limit, |held| held.begin(place));
        }
    }

    /// A task that was given out is not any more.
    pub(super) fn end(&mut self, key: Option<&Arc<str>>, limit: u32) {
        self.running = self.running.saturating_sub(1);
        if let Some(key) = key {
            self.keyed(key, limit, Key::end);
        }
    }

    /// True when a ready task waits for others with its key.
    pub(super) fn blocks(&self, spot: &Spot<'_>) -> bool {
        spot.key.and_then(|key| self.keys.get(key)).is_some_and(|held| held.blocks(spot))
    }

    /// Brings every key to a limit that has changed.
    pub(super) fn settle_keys(&mut self, limit: u32) {
        let keys: Vec<_> = self.keys.keys().cloned().collect();
        keys.iter().for_each(|key| self.keyed(key, limit, |_| ()));
    }

    /// Changes a key and carries the consequences into the lanes.
    fn keyed(&mut self, key: &Arc<str>, limit: u32, change: impl FnOnce(&mut Key)) {
        let held = self.keys.entry(Arc::clone(key)).or_default();
        let before = held.waiting();
        change(held);
        let moves: Vec<_> = std::iter::from_fn(|| held.settle(limit)).collect();
        self.blocked = self.blocked + held.waiting() - before;
        if held.is_idle() {
            self.keys.remove(key);
        }
        moves.into_iter().for_each(|step| self.apply(step));
    }

    fn apply(&mut self, step: Move) {
        match step {
            Move::In(place) => self.lanes[place.rank].tasks.insert(place.seq, place.id),
            Move::Out(place) => self.lanes[place.rank].tasks.remove(&place.seq),
        };
    }
}
