//! What happens because its time has come: delays, leases, tokens.

use super::{MOVED_PER_CALL, Scheduler};
use crate::TaskId;
use probity_types::Micros;
use std::sync::Arc;

impl Scheduler {
    /// Moves what became due. Tasks whose lease ran out are ready again, and are
    /// named: at most [`MOVED_PER_CALL`], so call again while it names as many.
    pub fn expire(&mut self, now: Micros) -> Vec<TaskId> {
        let due = self.leased.range(..=(now, TaskId([0xff; 16]))).take(MOVED_PER_CALL);
        let due: Vec<_> = due.map(|(_, id)| *id).collect();
        for id in &due {
            if let Some(entry) = self.end(*id) {
                if let Some(queue) = self.queues.get_mut(&entry.task.queue) {
                    queue.counters.totals.expired += 1;
                }
                self.place(entry, None, now);
            }
        }
        self.advance(now);
        due
    }

    /// Moves what became due.
    pub(super) fn advance(&mut self, now: Micros) {
        for _ in 0..MOVED_PER_CALL {
            match self.delayed.first() {
                Some(&(until, id)) if until <= now => self.make_ready(until, id, now),
                _ => break,
            }
        }
        for _ in 0..MOVED_PER_CALL {
            match self.timers.first() {
                Some((at, ..)) if *at <= now => self.ring(now),
                _ => break,
            }
        }
    }

    fn make_ready(&mut self, until: Micros, id: TaskId, now: Micros) {
        self.delayed.remove(&(until, id));
        if let Some(entry) = self.tasks.remove(&id) {
            if let Some(queue) = self.queues.get_mut(&entry.task.queue) {
                queue.delayed -= 1;
            }
            self.place(entry, None, now);
        }
    }

    /// The first timer has come.
    fn ring(&mut self, now: Micros) {
        let Some((_, name, tenant)) = self.timers.pop_first() else { return };
        let Some(queue) = self.queues.get_mut(&name) else { return };
        match tenant {
            None => queue.timer = None,
            Some(tenant) => {
                if let Some(again) = queue.wake(&tenant, now) {
                    self.arm(&name, &tenant, again);
                }
            }
        }
    }

    pub(super) fn arm(&mut self, name: &Arc<str>, tenant: &Arc<str>, at: Micros) {
        let Some(replaced) = self.queues.get_mut(name).and_then(|queue| queue.arm(tenant, at)) else {
            return;
        };
        if let Some(replaced) = replaced {
            self.timers.remove(&(replaced, Arc::clone(name), Some(Arc::clone(tenant))));
        }
        self.timers.insert((at, Arc::clone(name), Some(Arc::clone(tenant))));
    }

    pub(super) fn arm_queue(&mut self, name: &Arc<str>, at: Micros) {
        let Some(queue) = self.queues.get_mut(name) else { return };
        if let Some(replaced) = queue.timer.replace(at) {
            self.timers.remove(&(replaced, Arc::clone(name), None));
        }
        self.timers.insert((at, Arc::clone(name), None));
    }

    /// When something will become due by itself: a delayed task, a lease that
    /// runs out, a token. Until then only calls change anything. Never before
    /// `now`; nothing when there is no such time.
    #[must_use]
    pub fn next_wake(&self, now: Micros) -> Option<Micros> {
        let times = [
            self.delayed.first().map(|(at, _)| *at),
            self.leased.first().map(|(at, _)| *at),
            self.timers.first().map(|(at, ..)| *at),
        ];
        times.into_iter().flatten().min().map(|at| at.max(now))
    }
}
