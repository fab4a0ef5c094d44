//! Tasks that share a concurrency key.
//!
//! Of the queued tasks with a key only so many are admitted to their lanes as
//! could run beside those that run; the others wait here, the most urgent first.
//! So no search ever meets a task that may not run because of its key.

use super::Spot;
use crate::TaskId;
use std::collections::BTreeMap;

/// The order among tasks with one key: rank, then age.
type Order = (usize, u64);

/// The tasks with one key.
#[derive(Debug, Default)]
pub(super) struct Key {
    running: u32,
    admitted: BTreeMap<Order, TaskId>,
    waiting: BTreeMap<Order, TaskId>,
}

/// What changes in the lanes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Move {
    /// Into its lane.
    In(Place),
    /// Out of its lane.
    Out(Place),
}

/// A task in a lane: which lane, its place there, and which task.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) rank: usize,
    pub(super) seq: u64,
    pub(super) id: TaskId,
}

impl Place {
    const fn new((rank, seq): Order, id: TaskId) -> Self {
        Self { rank, seq, id }
    }
}

impl Key {
    /// A task came.
    pub(super) fn insert(&mut self, spot: &Spot<'_>) {
        self.waiting.insert(order(spot), spot.id);
    }

    /// A queued task goes away; true when it was in its lane.
    pub(super) fn remove(&mut self, spot: &Spot<'_>) -> bool {
        self.waiting.remove(&order(spot)).is_none() && self.admitted.remove(&order(spot)).is_some()
    }

    /// An admitted task was given out.
    pub(super) fn begin(&mut self, place: &Place) {
        self.admitted.remove(&(place.rank, place.seq));
        self.running += 1;
    }

    /// A task that ran does not any more.
    pub(super) fn end(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// True when a queued task waits for others with its key.
    pub(super) fn blocks(&self, spot: &Spot<'_>) -> bool {
        self.waiting.contains_key(&order(spot))
    }

    /// How many wait for others.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.running == 0 && self.admitted.is_empty() && self.waiting.is_empty()
    }

    /// The next change that brings the admitted tasks to what they should be: as
    /// many as the limit leaves room for, and none less urgent than one that waits.
    pub(super) fn settle(&mut self, limit: u32) -> Option<Move> {
        let room = usize::try_from(limit.saturating_sub(self.running)).unwrap_or(usize::MAX);
        let best = self.waiting.first_key_value().map(|(order, _)| *order);
        let worst = self.admitted.last_key_value().map(|(order, _)| *order);
        let crowded = self.admitted.len() > room
            || self.admitted.len() == room && best.zip(worst).is_some_and(|(best, worst)| best < worst);
        if crowded {
            let (order, id) = self.admitted.pop_last()?;
            self.waiting.insert(order, id);
            return Some(Move::Out(Place::new(order, id)));
        }
        if self.admitted.len() == room {
            return None;
        }
        let (order, id) = self.waiting.pop_first()?;
        self.admitted.insert(order, id);
        Some(Move::In(Place::new(order, id)))
    }
}

const fn order(spot: &Spot<'_>) -> Order {
    (spot.rank, spot.seq)
}
