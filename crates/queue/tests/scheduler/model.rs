//! The queue as a list that is searched from end to end. It does not say which
//! task comes next (turns are a matter of the laws), but what may come, and that
//! something comes while anything may.

use super::id;
use super::ops::Op;
use probity_queue::{
    Held, Lease, Limits, Offered, Policy, Priority, Rate, Refusal, Scheduler, Standing, Task, TaskId,
};
use probity_types::Micros;
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Debug, Clone)]
enum Is {
    Ready,
    Delayed(Micros),
    Leased(u64, Micros),
}

#[derive(Debug, Clone)]
struct Row {
    task: Task,
    is: Is,
    /// Its place in line, 0 when it gets a new one.
    seq: u64,
}

/// Tokens as a list of when each was taken out.
#[derive(Debug, Default)]
struct Spent(Vec<Micros>);

impl Spent {
    /// The time by which it counts: a clock that went back gives no tokens twice.
    fn time(&self, now: Micros) -> Micros {
        self.0.last().map_or(now, |last| now.max(*last))
    }

    /// True when taking one more breaks the rate in some window that ends now.
    fn forbids(&self, rate: &Rate, now: Micros) -> bool {
        let per_us = f64::from(rate.count) / rate.period.as_micros() as f64;
        (0..self.0.len()).any(|from| {
            let window = (self.time(now).0 - self.0[from].0) as f64;
            (self.0.len() - from + 1) as f64 > f64::from(rate.burst) + window * per_us + 1e-6
        })
    }
}

/// See the module documentation.
pub(crate) struct Model {
    limits: Limits,
    names: [Arc<str>; 2],
    policies: [Policy; 2],
    paused: [bool; 2],
    rows: Vec<Row>,
    held: Vec<Held>,
    spent: HashMap<(usize, Option<Arc<str>>), Spent>,
    seq: u64,
    now: Micros,
    latest: Micros,
    last_lease: u64,
}

type Check = Result<(), TestCaseError>;

impl Model {
    pub(crate) fn new(limits: Limits, names: [Arc<str>; 2], policies: [Policy; 2]) -> Self {
        Self {
            limits,
            names,
            policies,
            paused: [false; 2],
            rows: Vec::new(),
            held: Vec::new(),
            spent: HashMap::new(),
            seq: 0,
            now: Micros(1_000_000),
            latest: Micros(1_000_000),
            last_lease: 0,
        }
    }

    /// Does the same to both and compares.
    pub(crate) fn step(&mut self, real: &mut Scheduler, op: &Op) -> Check {
        match op {
            Op::Offer { .. } => self.offer(real, op)?,
            Op::Take { credits, queues } => self.take(real, *credits, *queues)?,
            Op::Finish { which } => self.finish(real, *which)?,
            Op::Release { which, delay } => self.release(real, *which, *delay)?,
            Op::Extend { which } => self.extend(real, *which)?,
            Op::Cancel { n, queue } => self.cancel(real, *n, *queue)?,
            Op::Expire => self.expire(real)?,
            Op::Pause { queue, paused } => {
                self.paused[*queue] = *paused;
                real.pause(&self.names[*queue], *paused).unwrap();
            }
            Op::Wait { us } => {
                self.now = Micros(self.now.0 + us);
                self.latest = self.latest.max(self.now);
            }
        }
        self.compare(real)
    }

    /// Everything ends once limits, pauses and delays are over.
    pub(crate) fn drain(&mut self, real: &mut Scheduler) -> Check {
        for queue in 0..2 {
            self.step(real, &Op::Pause { queue, paused: false })?;
        }
        self.now = self.latest;
        for _ in 0..2_000 {
            if self.rows.is_empty() {
                break;
            }
            self.step(real, &Op::Expire)?;
            self.step(real, &Op::Take { credits: 5, queues: 3 })?;
            while !self.held.is_empty() {
                self.step(real, &Op::Finish { which: 0 })?;
            }
            if let Some(at) = real.next_wake(self.now) {
                self.now = at;
                self.latest = at;
            }
        }
        prop_assert!(self.rows.is_empty() && real.is_empty(), "left over: {:?}", self.rows);
        Ok(())
    }

    fn offer(&mut self, real: &mut Scheduler, op: &Op) -> Check {
        let Op::Offer { n, queue, tenant, rank, key, unique, delay } = op else { return Ok(()) };
        let task = Task {
            priority: Priority::of_rank(*rank),
            key: key.map(|key| format!("k{key}").into()),
            unique: unique.map(|unique| format!("u{unique}").into()),
            not_before: (*delay != 0).then_some(Micros(self.now.0 + delay)),
            ..Task::new(id(*n), Arc::clone(&self.names[*queue]), format!("t{tenant}"), "")
        };
        self.promote();
        let answer = real.offer(task.clone(), self.now);
        prop_assert_eq!(answer, self.accepts(&task, *queue), "offer of {:?}", task);
        Ok(())
    }

    fn accepts(&mut self, task: &Task, queue: usize) -> Result<Offered, Refusal> {
        let same = |row: &&Row| {
            let other = &row.task;
            let mine = (&other.queue, &other.tenant) == (&task.queue, &task.tenant);
            other.id == task.id || mine && task.unique.is_some() && other.unique == task.unique
        };
        let by_id = self.rows.iter().find(|row| row.task.id == task.id);
        if let Some(row) = by_id.or_else(|| self.rows.iter().find(same)) {
            return Ok(Offered::Open(row.task.id));
        }
        if self.rows.len() >= self.limits.capacity {
            return Err(Refusal::Full { capacity: self.limits.capacity });
        }
        let name = &self.names[queue];
        let capacity = self.limits.queue_capacity;
        if self.rows.iter().filter(|row| row.task.queue == *name).count() >= capacity {
            return Err(Refusal::QueueFull { queue: Arc::clone(name), capacity });
        }
        self.rows.push(Row { task: task.clone(), is: Is::Ready, seq: 0 });
        self.place(self.rows.len() - 1, task.not_before);
        Ok(Offered::Accepted)
    }

    fn place(&mut self, at: usize, not_before: Option<Micros>) {
        let row = &mut self.rows[at];
        if let Some(until) = not_before.filter(|until| *until > self.now) {
            (row.is, row.seq) = (Is::Delayed(until), 0);
            return;
        }
        if row.seq == 0 {
            self.seq += 1;
            row.seq = self.seq;
        }
        row.is = Is::Ready;
    }

    fn promote(&mut self) {
        let mut due: Vec<_> = (0..self.rows.len())
            .filter_map(|at| match self.rows[at].is {
                Is::Delayed(until) if until <= self.now => Some((until, self.rows[at].task.id, at)),
                _ => None,
            })
            .collect();
        due.sort();
        due.into_iter().for_each(|(_, _, at)| self.place(at, None));
    }

    fn take(&mut self, real: &mut Scheduler, credits: usize, queues: u8) -> Check {
        self.promote();
        let chosen: Vec<usize> = (0..2).filter(|queue| queues & 1 << queue != 0).collect();
        let names: Vec<_> = chosen.iter().map(|queue| Arc::clone(&self.names[*queue])).collect();
        let leases = real.take(&names, credits, &"w".into(), self.now);
        prop_assert!(leases.len() <= credits);
        let full = leases.len() == credits;
        for lease in leases {
            self.given(&lease, &chosen)?;
        }
        if !full && self.now == self.latest {
            let left = self.rows.iter().find(|row| {
                let queue = self.queue_of(&row.task);
                chosen.contains(&queue) && self.may_run(row)
            });
            prop_assert!(left.is_none(), "credits are left and so is {left:?}");
        }
        Ok(())
    }

    /// A lease is one that may be.
    fn given(&mut self, lease: &Lease, chosen: &[usize]) -> Check {
        let Some(at) = self.rows.iter().position(|row| row.task == lease.task) else {
            return Err(TestCaseError::fail(format!("given, but not open: {lease:?}")));
        };
        let (row, queue) = (&self.rows[at], self.queue_of(&lease.task));
        prop_assert!(chosen.contains(&queue), "from another queue: {lease:?}");
        prop_assert!(self.may_run(row), "may not run: {row:?}");
        let older = self.rows.iter().find(|other| {
            let same = |task: &Task| (task.queue.clone(), task.tenant.clone(), task.priority);
            same(&other.task) == same(&row.task) && other.seq < row.seq && self.may_run(other)
        });
        prop_assert!(older.is_none(), "{older:?} is older than {row:?}");
        prop_assert!(lease.number.0 > self.last_lease, "lease numbers rise");
        prop_assert!(lease.expires == self.now.plus(self.policies[queue].lease));
        self.last_lease = lease.number.0;
        self.rows[at].is = Is::Leased(lease.number.0, lease.expires);
        self.held.push(lease.held());
        for tenant in [None, Some(Arc::clone(&lease.task.tenant))] {
            let spent = self.spent.entry((queue, tenant)).or_default();
            spent.0.push(spent.time(self.now));
        }
        Ok(())
    }

    fn queue_of(&self, task: &Task) -> usize {
        usize::from(task.queue == self.names[1])
    }

    /// True when it is ready and no limit holds it.
    fn may_run(&self, row: &Row) -> bool {
        let (task, queue) = (&row.task, self.queue_of(&row.task));
        let policy = &self.policies[queue];
        let rule = policy.of(&task.tenant);
        let running = |fits: &dyn Fn(&Task) -> bool| {
            let leased = self.rows.iter().filter(|row| matches!(row.is, Is::Leased(..)));
            leased.filter(|row| row.task.queue == task.queue && fits(&row.task)).count() as u64
        };
        let below = |limit: Option<u32>, count: u64| limit.is_none_or(|limit| count < u64::from(limit));
        let affords = |rate: Option<Rate>, tenant: Option<Arc<str>>| {
            let spent = self.spent.get(&(queue, tenant));
            !rate.zip(spent).is_some_and(|(rate, spent)| spent.forbids(&rate, self.now))
        };
        let keyed = |other: &Task| other.tenant == task.tenant && other.key == task.key;
        let order = |row: &Row| (row.task.priority.rank(), row.seq);
        let ahead = self.rows.iter().filter(|other| {
            let same = other.task.queue == task.queue && keyed(&other.task);
            same && matches!(other.is, Is::Ready) && order(other) < order(row)
        });
        let ahead = ahead.count() as u64;
        matches!(row.is, Is::Ready)
            && !self.paused[queue]
            && below(policy.concurrency, running(&|_| true))
            && below(rule.concurrency, running(&|other| other.tenant == task.tenant))
            && (task.key.is_none() || below(policy.key_concurrency, running(&keyed) + ahead))
            && affords(policy.rate, None)
            && affords(rule.rate, Some(Arc::clone(&task.tenant)))
    }

    /// The row a worker speaks of, when its lease is the newest.
    fn held_row(&self, held: &Held) -> Option<usize> {
        let fits = |row: &Row| matches!(row.is, Is::Leased(number, _) if number == held.lease.0);
        self.rows.iter().position(|row| row.task.id == held.id && fits(row))
    }

    fn finish(&mut self, real: &mut Scheduler, which: usize) -> Check {
        if which >= self.held.len() {
            return Ok(());
        }
        let held = self.held.remove(which);
        let row = self.held_row(&held);
        prop_assert_eq!(real.finish(held.id, held.lease, self.now), row.is_some());
        prop_assert!(!real.finish(held.id, held.lease, self.now), "finished twice");
        row.map(|at| self.rows.remove(at));
        Ok(())
    }

    fn release(&mut self, real: &mut Scheduler, which: usize, delay: Option<i64>) -> Check {
        let Some(held) = self.held.get(which).cloned() else { return Ok(()) };
        let not_before = delay.map(|delay| Micros(self.now.0 + delay));
        let row = self.held_row(&held);
        prop_assert_eq!(real.release(held.id, held.lease, not_before, self.now), row.is_some());
        if let Some(at) = row {
            self.promote();
            self.place(at, not_before);
        }
        Ok(())
    }

    fn extend(&mut self, real: &mut Scheduler, which: usize) -> Check {
        let Some(held) = self.held.get(which).cloned() else { return Ok(()) };
        let until = self.held_row(&held).map(|at| {
            let until = self.now.plus(self.policies[self.queue_of(&self.rows[at].task)].lease);
            self.rows[at].is = Is::Leased(held.lease.0, until);
            until
        });
        prop_assert_eq!(real.extend(held.id, held.lease, self.now), until);
        Ok(())
    }

    fn cancel(&mut self, real: &mut Scheduler, n: u32, queue: usize) -> Check {
        let name = &self.names[queue];
        let row = self.rows.iter().position(|row| row.task.id == id(n) && row.task.queue == *name);
        prop_assert_eq!(real.cancel(name, id(n), self.now), row.is_some());
        row.map(|at| self.rows.remove(at));
        Ok(())
    }

    fn expire(&mut self, real: &mut Scheduler) -> Check {
        let due = |row: &Row| matches!(row.is, Is::Leased(_, expires) if expires <= self.now);
        let at: Vec<_> = (0..self.rows.len()).filter(|at| due(&self.rows[*at])).collect();
        let mut expect: Vec<TaskId> = at.iter().map(|at| self.rows[*at].task.id).collect();
        at.into_iter().for_each(|at| self.place(at, None));
        self.promote();
        let mut expired = real.expire(self.now);
        expired.sort();
        expect.sort();
        prop_assert_eq!(expired, expect);
        Ok(())
    }

    /// The figures and every task's standing agree.
    fn compare(&self, real: &Scheduler) -> Check {
        prop_assert_eq!(real.len(), self.rows.len());
        for (queue, name) in self.names.iter().enumerate() {
            let rows = || self.rows.iter().filter(|row| row.task.queue == *name);
            let stats = real.stats(name, self.now);
            let count = |fits: fn(&Is) -> bool| rows().filter(|row| fits(&row.is)).count();
            let ready = count(|is| matches!(is, Is::Ready));
            prop_assert_eq!(stats.ready.iter().sum::<usize>() + stats.blocked, ready);
            prop_assert_eq!(stats.delayed, count(|is| matches!(is, Is::Delayed(_))));
            prop_assert_eq!(stats.running, count(|is| matches!(is, Is::Leased(..))));
            prop_assert_eq!(stats.paused, self.paused[queue]);
        }
        for row in &self.rows {
            let standing = real.standing(&row.task.queue, row.task.id);
            let agrees = match (&row.is, &standing) {
                (Is::Ready, Some(Standing::Ready | Standing::Blocked)) => true,
                (Is::Delayed(until), Some(Standing::Delayed { until: real })) => until == real,
                (Is::Leased(_, expires), Some(Standing::Leased { expires: real, .. })) => expires == real,
                _ => false,
            };
            prop_assert!(agrees, "{row:?} stands at {standing:?}");
        }
        Ok(())
    }
}
