//! The queue of a platform that runs in one process: the scheduler behind a lock.
//!
//! A taker that finds nothing waits on the bells of its queues. A bell is rung
//! once for each task that came, so a batch of tasks wakes as many takers and no
//! more; a ring that a taker no longer needs passes to the next one. Takers also
//! wake by themselves when a task, a lease or a token becomes due.

use crate::bells::Bells;
use crate::ready::check_batch;
use crate::{
    Answer, Error, Held, Lease, Limits, Offered, Policy, ReadyQueue, Refusal, Release, Scheduler, Standing,
    Stats, Take, Task, TaskId,
};
use futures::FutureExt;
use futures::future::ready;
use parking_lot::Mutex;
use probity_types::{Clock, Micros};
use std::sync::Arc;

/// See the [module documentation](self).
pub struct InProcess {
    state: Mutex<State>,
    bells: Arc<Bells>,
    clock: Arc<dyn Clock>,
    incarnation: u64,
}

impl std::fmt::Debug for InProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InProcess").finish_non_exhaustive()
    }
}

struct State {
    scheduler: Scheduler,
    bells: Arc<Bells>,
}

impl State {
    /// Wakes a taker when something has room to run now.
    fn ring_if_ready(&self, queue: &str) {
        if self.scheduler.has_ready(queue) {
            self.bells.ring(queue, 1);
        }
    }

    /// One look for tasks.
    fn take(&mut self, wish: &Take, now: Micros) -> Vec<Lease> {
        let wake = self.scheduler.next_wake(now);
        self.scheduler.expire(now);
        let leases = self.scheduler.take(&wish.queues, wish.credits(), &wish.worker, now);
        let sooner = |next: Micros| wake.is_none_or(|wake| next < wake);
        let earlier = self.scheduler.next_wake(now).is_some_and(sooner);
        for queue in &wish.queues {
            if earlier {
                self.bells.ring(queue, 1); // somebody has to look at the clock again
            } else if !leases.is_empty() {
                self.ring_if_ready(queue);
            }
        }
        leases
    }

    /// True when the task is open in the queue its worker names.
    fn is_there(&self, held: &Held) -> bool {
        self.scheduler.queue_of(held.id).is_some_and(|queue| *queue == held.queue)
    }
}

impl InProcess {
    /// An empty queue.
    #[must_use]
    pub fn new(limits: Limits, clock: Arc<dyn Clock>) -> Self {
        let incarnation = u64::try_from(clock.now().0).unwrap_or(0);
        let bells = Arc::new(Bells::default());
        let state = State { scheduler: Scheduler::new(limits), bells: Arc::clone(&bells) };
        Self { state: Mutex::new(state), bells, clock, incarnation }
    }

    /// Does something to the state at the time it is now.
    fn with<T>(&self, act: impl FnOnce(&mut State, Micros) -> T) -> T {
        let now = self.clock.now();
        act(&mut self.state.lock(), now)
    }

    /// Does something to each item of a batch.
    fn each<I, T>(
        &self,
        items: Vec<I>,
        mut act: impl FnMut(&mut State, I, Micros) -> T,
    ) -> Result<Vec<T>, Error> {
        check_batch(&items)?;
        Ok(self.with(|state, now| items.into_iter().map(|item| act(state, item, now)).collect()))
    }

    async fn wait_and_take(&self, wish: Take) -> Result<Vec<Lease>, Error> {
        wish.check()?;
        let wanted = &wish;
        let look = move || {
            ready(Ok(self.with(|state, now| {
                let leases = state.take(wanted, now);
                (leases, state.scheduler.next_wake(now).map(|at| at.since(now)))
            })))
        };
        self.bells.wait_for(&wish, look).await
    }
}

impl ReadyQueue for InProcess {
    fn offer(&self, tasks: Vec<Task>) -> Answer<'_, Vec<Result<Offered, Refusal>>> {
        let answer = self.each(tasks, |state, task, now| {
            let queue = Arc::clone(&task.queue);
            let answer = state.scheduler.offer(task, now);
            if answer == Ok(Offered::Accepted) {
                state.bells.ring(&queue, 1);
            }
            answer
        });
        ready(answer).boxed()
    }

    fn take(&self, wish: Take) -> Answer<'_, Vec<Lease>> {
        self.wait_and_take(wish).boxed()
    }

    fn extend(&self, held: Vec<Held>) -> Answer<'_, Vec<Option<Micros>>> {
        let answer = self.each(held, |state, held, now| {
            state.is_there(&held).then(|| state.scheduler.extend(held.id, held.lease, now)).flatten()
        });
        ready(answer).boxed()
    }

    fn finish(&self, held: Vec<Held>) -> Answer<'_, Vec<bool>> {
        let answer = self.each(held, |state, held, now| {
            let done = state.is_there(&held) && state.scheduler.finish(held.id, held.lease, now);
            if done {
                state.ring_if_ready(&held.queue);
            }
            done
        });
        ready(answer).boxed()
    }

    fn release(&self, released: Vec<Release>) -> Answer<'_, Vec<bool>> {
        let answer = self.each(released, |state, Release { held, not_before }, now| {
            let back = state.is_there(&held) && state.scheduler.release(held.id, held.lease, not_before, now);
            if back {
                state.bells.ring(&held.queue, 1);
            }
            back
        });
        ready(answer).boxed()
    }

    fn cancel(&self, queue: Arc<str>, ids: Vec<TaskId>) -> Answer<'_, Vec<bool>> {
        let answer = self.each(ids, |state, id, now| {
            let gone = state.scheduler.cancel(&queue, id, now);
            if gone {
                state.ring_if_ready(&queue);
            }
            gone
        });
        ready(answer).boxed()
    }

    fn configure(&self, queue: Arc<str>, policy: Policy) -> Answer<'_, ()> {
        let answer = policy.validate().and_then(|()| {
            self.with(|state, _| {
                state.scheduler.configure(&queue, policy)?;
                state.bells.ring_out(&queue);
                Ok(())
            })
        });
        ready(answer).boxed()
    }

    fn pause(&self, queue: Arc<str>, paused: bool) -> Answer<'_, ()> {
        let answer = self.with(|state, _| {
            state.scheduler.pause(&queue, paused)?;
            state.bells.ring_out(&queue);
            Ok(())
        });
        ready(answer).boxed()
    }

    fn standing(&self, queue: Arc<str>, id: TaskId) -> Answer<'_, Option<Standing>> {
        ready(Ok(self.with(|state, _| state.scheduler.standing(&queue, id)))).boxed()
    }

    fn stats(&self, queue: Arc<str>) -> Answer<'_, Stats> {
        let answer = self.with(|state, now| {
            state.scheduler.expire(now);
            state.scheduler.stats(&queue, now)
        });
        ready(Ok(answer)).boxed()
    }

    fn queues(&self) -> Answer<'_, Vec<Arc<str>>> {
        ready(Ok(self.with(|state, _| state.scheduler.queues()))).boxed()
    }

    fn incarnation(&self) -> Answer<'_, u64> {
        ready(Ok(self.incarnation)).boxed()
    }
}
