//! One queue: its tenants, its turns, its limits and its figures.

use super::Spot;
use super::bucket::Bucket;
use super::keys::Place;
use super::rings::Rings;
use super::stats::Counters;
use super::tenant::{RANKS, Tenant};
use crate::{Policy, TaskId};
use probity_types::Micros;
use std::collections::HashMap;
use std::sync::Arc;

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) policy: Policy,
    pub(super) paused: bool,
    /// Tasks in any state.
    pub(super) open: usize,
    pub(super) delayed: usize,
    /// When the queue has tokens again, while somebody waits for that.
    pub(super) timer: Option<Micros>,
    pub(super) running: u32,
    pub(super) ready: [usize; RANKS],
    pub(super) blocked: usize,
    pub(super) counters: Counters,
    tenants: HashMap<Arc<str>, Tenant>,
    rings: Rings,
    bucket: Bucket,
}

/// What a look for a task found.
pub(super) enum Found {
    /// A task whose turn it is.
    Task(Choice),
    /// A tenant has to wait for a token; look again.
    Parked(Arc<str>, Micros),
    /// The whole queue has to wait for a token until then.
    Later(Micros),
    /// Nothing may be given out.
    Nothing,
}

/// A task whose turn it is.
pub(super) struct Choice {
    pub(super) tenant: Arc<str>,
    pub(super) place: Place,
}

impl Queue {
    /// True when nothing is lost with it.
    pub(super) fn is_idle(&self) -> bool {
        self.open == 0 && self.tenants.is_empty() && !self.paused && self.policy == Policy::default()
    }

    /// True when some tenant takes part in the turns.
    pub(super) fn has_ready(&self) -> bool {
        self.rings.rank().is_some()
    }

    /// Whose turn it is now.
    pub(super) fn find(&mut self, now: Micros) -> Found {
        if self.paused || self.policy.concurrency.is_some_and(|limit| self.running >= limit) {
            return Found::Nothing;
        }
        let Some(rank) = self.rings.rank() else { return Found::Nothing };
        let ready_at = self.policy.rate.map_or(now, |rate| self.bucket.ready_at(&rate, now));
        if ready_at > now {
            return Found::Later(ready_at);
        }
        let Some(name) = self.rings.next(rank) else { return Found::Nothing };
        self.of_tenant(rank, name, now)
    }

    fn of_tenant(&mut self, rank: usize, name: Arc<str>, now: Micros) -> Found {
        let Some(tenant) = self.tenants.get(&name) else { return Found::Nothing };
        let ready_at = self.policy.of(&name).rate.map_or(now, |rate| tenant.bucket.ready_at(&rate, now));
        if ready_at > now {
            self.park(&name, ready_at);
            return Found::Parked(name, ready_at);
        }
        match tenant.lanes[rank].tasks.first_key_value() {
            Some((&seq, &id)) => Found::Task(Choice { tenant: name, place: Place { rank, seq, id } }),
            None => Found::Nothing,
        }
    }

    /// Gives out what [`find`](Self::find) found. When the tenant used its last
    /// token, answers when it may go on.
    pub(super) fn begin(&mut self, choice: &Choice, key: Option<&Arc<str>>, now: Micros) -> Option<Micros> {
        self.running += 1;
        if let Some(rate) = &self.policy.rate {
            self.bucket.take(rate, now);
        }
        let rule = *self.policy.of(&choice.tenant);
        let limit = self.key_limit();
        if let Some(tenant) = self.tenants.get_mut(&choice.tenant) {
            self.rings.chosen(choice.place.rank, &choice.tenant, tenant, rule.weight);
        }
        self.change(&choice.tenant, |tenant| {
            tenant.begin(&choice.place, key, limit);
            let rate = rule.rate?;
            tenant.bucket.take(&rate, now);
            tenant.parked = Some(tenant.bucket.ready_at(&rate, now)).filter(|at| *at > now);
            tenant.parked
        })
    }

    /// A task that was given out is not any more.
    pub(super) fn end(&mut self, spot: &Spot<'_>) {
        self.running = self.running.saturating_sub(1);
        let limit = self.key_limit();
        self.change(spot.tenant, |tenant| tenant.end(spot.key, limit));
    }

    /// A task becomes ready.
    pub(super) fn insert(&mut self, spot: &Spot<'_>) {
        let limit = self.key_limit();
        self.change(spot.tenant, |tenant| tenant.insert(spot, limit));
    }

    /// A ready task goes away.
    pub(super) fn remove(&mut self, spot: &Spot<'_>) {
        let limit = self.key_limit();
        self.change(spot.tenant, |tenant| tenant.remove(spot, limit));
    }

    /// True when a ready task waits for others with its key.
    pub(super) fn blocks(&self, spot: &Spot<'_>) -> bool {
        self.tenants.get(spot.tenant).is_some_and(|tenant| tenant.blocks(spot))
    }

    /// The open task of a tenant with a unique key.
    pub(super) fn unique(&self, tenant: &str, unique: &str) -> Option<TaskId> {
        self.tenants.get(tenant)?.unique.get(unique).copied()
    }

    /// A task is open from now on.
    pub(super) fn open(&mut self, id: TaskId, tenant: &Arc<str>, unique: Option<&Arc<str>>) {
        self.open += 1;
        let tenant = self.tenants.entry(Arc::clone(tenant)).or_default();
        tenant.open += 1;
        if let Some(unique) = unique {
            tenant.unique.insert(Arc::clone(unique), id);
        }
    }

    /// A task is not open any more. Answers when the tenant can be forgotten, if
    /// its use of tokens has to be remembered until then.
    pub(super) fn close(
        &mut self,
        name: &Arc<str>,
        unique: Option<&Arc<str>>,
        now: Micros,
    ) -> Option<Micros> {
        self.open -= 1;
        let tenant = self.tenants.get_mut(name)?;
        tenant.open -= 1;
        if let Some(unique) = unique {
            tenant.unique.remove(unique);
        }
        self.forget(name, now)
    }

    /// Notes the one time at which [`wake`](Self::wake) is to be called for a
    /// tenant. Answers the time that it replaces, or nothing when an earlier one
    /// stands: then the wake-up comes early and asks again.
    pub(super) fn arm(&mut self, name: &Arc<str>, at: Micros) -> Option<Option<Micros>> {
        let timer = &mut self.tenants.get_mut(name)?.timer;
        if timer.is_some_and(|stands| stands <= at) {
            return None;
        }
        Some(timer.replace(at))
    }

    /// The time of a tenant's timer has come: it may have tokens again, or be
    /// forgotten. Answers when to look again.
    pub(super) fn wake(&mut self, name: &Arc<str>, now: Micros) -> Option<Micros> {
        let tenant = self.tenants.get_mut(name)?;
        tenant.timer = None;
        match tenant.parked {
            Some(at) if at > now => return Some(at),
            Some(_) => self.change(name, |tenant| tenant.parked = None),
            None => {}
        }
        self.forget(name, now)
    }

    /// Forgets a tenant that has nothing here and owes no tokens; when it does,
    /// answers until when.
    fn forget(&mut self, name: &Arc<str>, now: Micros) -> Option<Micros> {
        let tenant = self.tenants.get(name)?;
        if tenant.open > 0 {
            return None;
        }
        let full_at = self.policy.of(name).rate.map_or(now, |rate| tenant.bucket.full_at(&rate, now));
        if full_at > now {
            return Some(full_at);
        }
        self.tenants.remove(name);
        None
    }

    /// Other rules from now on.
    pub(super) fn configure(&mut self, policy: Policy) {
        self.policy = policy;
        let limit = self.key_limit();
        let names: Vec<_> = self.tenants.keys().cloned().collect();
        for name in &names {
            self.change(name, |tenant| {
                tenant.parked = None; // whoever still lacks tokens is parked at its next turn
                tenant.settle_keys(limit);
            });
        }
    }

    /// The ready task next in line of each tenant that may have one given out.
    pub(super) fn heads(&self) -> impl Iterator<Item = TaskId> {
        let lanes = (0..RANKS).flat_map(|rank| self.rings.tenants(rank).map(move |name| (rank, name)));
        lanes.filter_map(|(rank, name)| {
            self.tenants.get(name)?.lanes[rank].tasks.first_key_value().map(|(_, id)| *id)
        })
    }

    fn park(&mut self, name: &Arc<str>, until: Micros) {
        self.change(name, |tenant| tenant.parked = Some(until));
    }

    fn key_limit(&self) -> u32 {
        self.policy.key_concurrency.unwrap_or(u32::MAX)
    }

    /// Changes a tenant and brings figures and turns to what follows from it.
    fn change<T: Default>(&mut self, name: &Arc<str>, change: impl FnOnce(&mut Tenant) -> T) -> T {
        let Some(tenant) = self.tenants.get_mut(name) else { return T::default() };
        let (ready, blocked) = (tenant.ready(), tenant.blocked());
        let answer = change(tenant);
        for (rank, now) in tenant.ready().into_iter().enumerate() {
            self.ready[rank] = self.ready[rank] + now - ready[rank];
        }
        self.blocked = self.blocked + tenant.blocked() - blocked;
        self.rings.sync(name, tenant, &self.policy);
        answer
    }
}
