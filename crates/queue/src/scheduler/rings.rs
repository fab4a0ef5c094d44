//! Whose turn it is: among the priorities by a fixed pattern, among the tenants
//! of a priority by deficit round robin.

use super::tenant::{RANKS, Tenant};
use crate::Policy;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Length of the pattern.
const PERIOD: u32 = 15;

/// The turns of one queue.
#[derive(Debug, Default)]
pub(super) struct Rings {
    /// For each rank the tenants that take part, by ticket; the lowest is next.
    rings: [BTreeMap<u64, Arc<str>>; RANKS],
    /// The last ticket given out.
    ticket: u64,
    /// How many choices were made.
    cursor: u32,
}

impl Rings {
    /// The rank whose turn it is, if anything may be given out. Does not count as
    /// a choice.
    ///
    /// The turns are the ruler sequence: of 15 choices critical has every odd
    /// one, high every second of the rest, and so on down to one for low. A rank
    /// with nothing to give leaves its turn to the most urgent that has.
    pub(super) fn rank(&self) -> Option<usize> {
        let turn = (self.cursor % PERIOD + 1).trailing_zeros() as usize;
        let has = |rank: &usize| !self.rings[*rank].is_empty();
        Some(turn).filter(has).or_else(|| (0..RANKS).find(has))
    }

    /// The tenant whose turn it is in a rank.
    pub(super) fn next(&self, rank: usize) -> Option<Arc<str>> {
        self.rings[rank].first_key_value().map(|(_, tenant)| Arc::clone(tenant))
    }

    /// The tenants that take part in a rank.
    pub(super) fn tenants(&self, rank: usize) -> impl Iterator<Item = &Arc<str>> {
        self.rings[rank].values()
    }

    /// Counts a choice of this tenant in this rank: one less of its turn, or the
    /// end of its turn.
    pub(super) fn chosen(&mut self, rank: usize, name: &Arc<str>, tenant: &mut Tenant, weight: u32) {
        self.cursor = (self.cursor + 1) % PERIOD;
        let lane = &mut tenant.lanes[rank];
        if lane.deficit == 0 {
            lane.deficit = weight;
        }
        lane.deficit -= 1;
        if lane.deficit == 0 {
            self.leave(rank, tenant);
            self.join(rank, name, tenant);
        }
    }

    /// Lets a tenant take part exactly where it has something that may be given
    /// out. Called after every change of the tenant.
    pub(super) fn sync(&mut self, name: &Arc<str>, tenant: &mut Tenant, policy: &Policy) {
        let held = tenant.is_held(policy, name);
        for rank in 0..RANKS {
            let lane = &tenant.lanes[rank];
            match (!held && !lane.tasks.is_empty(), lane.ticket.is_some()) {
                (true, false) => self.join(rank, name, tenant),
                (false, true) => self.leave(rank, tenant),
                _ => {}
            }
        }
    }

    /// To the end of the ring.
    fn join(&mut self, rank: usize, name: &Arc<str>, tenant: &mut Tenant) {
        self.ticket += 1;
        tenant.lanes[rank].ticket = Some(self.ticket);
        self.rings[rank].insert(self.ticket, Arc::clone(name));
    }

    fn leave(&mut self, rank: usize, tenant: &mut Tenant) {
        let lane = &mut tenant.lanes[rank];
        lane.deficit = 0;
        if let Some(ticket) = lane.ticket.take() {
            self.rings[rank].remove(&ticket);
        }
    }
}
