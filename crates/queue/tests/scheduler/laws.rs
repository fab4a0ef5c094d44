//! What the documentation promises, each as a test.

use super::{id, task};
use probity_queue::{
    Lease, Limits, Offered, Policy, Priority, Rate, Refusal, Scheduler, Standing, Task, TenantRule,
};
use probity_types::Micros;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

const NOW: Micros = Micros(1_000_000);

fn offer(scheduler: &mut Scheduler, task: Task) {
    assert_eq!(scheduler.offer(task, NOW), Ok(Offered::Accepted));
}

fn take_at(scheduler: &mut Scheduler, credits: usize, now: Micros) -> Vec<Lease> {
    scheduler.take(&["q".into()], credits, &"worker".into(), now)
}

fn take(scheduler: &mut Scheduler, credits: usize) -> Vec<Lease> {
    take_at(scheduler, credits, NOW)
}

fn with(policy: Policy) -> Scheduler {
    let mut scheduler = Scheduler::default();
    policy.validate().unwrap();
    scheduler.configure(&"q".into(), policy).unwrap();
    scheduler
}

/// Who was served, in order.
fn tenants(leases: &[Lease]) -> String {
    leases.iter().map(|lease| &*lease.task.tenant).collect()
}

proptest! {
    /// Whatever else is offered, a priority that has something waits for at most
    /// so many others.
    #[test]
    fn no_priority_starves(mix in prop::collection::vec(prop::collection::vec(0_usize..4, 0..6), 300), tenants in 1_u32..4) {
        let mut scheduler = Scheduler::default();
        let (mut n, mut waited, mut counts) = (0, [0; 4], [0_usize; 4]);
        for ranks in mix {
            for rank in ranks {
                n += 1;
                let tenant = (n % tenants).to_string();
                offer(&mut scheduler, Task { tenant: tenant.into(), ..task(n) }.with_priority(Priority::of_rank(rank)));
                counts[rank] += 1;
            }
            let Some(lease) = take(&mut scheduler, 1).pop() else { continue };
            let served = lease.task.priority.rank();
            counts[served] -= 1;
            for rank in 0..4 {
                waited[rank] = if rank == served || counts[rank] == 0 { 0 } else { waited[rank] + 1 };
                prop_assert!(waited[rank] <= [1, 3, 7, 14][rank], "rank {rank} waited for {}", waited[rank]);
            }
        }
    }

    /// Backlogged tenants get shares in proportion to their weights, to within
    /// one turn, at every moment.
    #[test]
    fn tenants_share_by_weight(weights in prop::collection::vec(1_u32..6, 2..6), served in 1_usize..200) {
        let rule = |weight| TenantRule { weight, ..TenantRule::default() };
        let tenants = weights.iter().enumerate().map(|(n, weight)| (n.to_string(), rule(*weight)));
        let mut scheduler = with(Policy { tenants: tenants.collect(), ..Policy::default() });
        for n in 0..u32::try_from(weights.len()).unwrap() * 200 {
            let tenant = (n as usize % weights.len()).to_string();
            offer(&mut scheduler, Task { tenant: tenant.into(), ..task(n) });
        }
        let leases = take(&mut scheduler, served);
        let total: u32 = weights.iter().sum();
        for (n, weight) in weights.iter().enumerate() {
            let got = leases.iter().filter(|lease| *lease.task.tenant == *n.to_string()).count();
            let rounds = served / total as usize;
            let (least, most) = (rounds * *weight as usize, (rounds + 1) * *weight as usize);
            prop_assert!((least..=most).contains(&got), "tenant {n} of {weights:?}: {got} of {served}");
        }
    }

    /// Of all leases a task ever had only the newest may end it.
    #[test]
    fn late_answers_are_fenced(rounds in 1_usize..20) {
        let mut scheduler = Scheduler::default();
        offer(&mut scheduler, task(1));
        let mut leases = Vec::new();
        let mut now = NOW;
        for delivery in 1..=rounds {
            let lease = take_at(&mut scheduler, 1, now).pop().unwrap();
            prop_assert_eq!(lease.delivery as usize, delivery);
            now = lease.expires;
            leases.push(lease.number);
            if delivery < rounds {
                prop_assert_eq!(scheduler.expire(now), vec![id(1)]);
            }
        }
        let newest = leases.pop().unwrap();
        for late in leases {
            prop_assert!(late < newest);
            prop_assert_eq!(scheduler.extend(id(1), late, now), None);
            prop_assert!(!scheduler.release(id(1), late, None, now));
            prop_assert!(!scheduler.finish(id(1), late, now));
        }
        prop_assert!(scheduler.finish(id(1), newest, now));
    }
}

#[test]
fn the_turns_of_the_priorities_are_the_ruler_sequence() {
    let mut scheduler = Scheduler::default();
    for n in 0..60 {
        offer(&mut scheduler, task(n).with_priority(Priority::of_rank(n as usize % 4)));
    }
    let turns: String =
        take(&mut scheduler, 15).iter().map(|l| ["C", "H", "N", "L"][l.task.priority.rank()]).collect();
    assert_eq!(turns, "CHCNCHCLCHCNCHC");
}

#[test]
fn a_flood_of_one_tenant_does_not_delay_another() {
    let mut scheduler = Scheduler::default();
    for n in 0..1_000 {
        offer(&mut scheduler, Task { tenant: "a".into(), ..task(n) });
    }
    offer(&mut scheduler, Task { tenant: "b".into(), ..task(5_000) });
    assert_eq!(tenants(&take(&mut scheduler, 4)), "abaa");
}

#[test]
fn a_lease_number_of_a_lost_queue_fits_no_later_one() {
    let mut first = Scheduler::default();
    offer(&mut first, task(1));
    let old = take(&mut first, 1).pop().unwrap();
    let mut second = Scheduler::default();
    offer(&mut second, task(1));
    let new = take_at(&mut second, 1, Micros(NOW.0 + 1)).pop().unwrap();
    assert!(new.number > old.number);
    assert!(!second.finish(id(1), old.number, NOW));
}

#[test]
fn a_task_that_comes_back_has_its_old_place() {
    let mut scheduler = Scheduler::default();
    (1..=3).for_each(|n| offer(&mut scheduler, task(n)));
    let first = take(&mut scheduler, 1).pop().unwrap();
    assert!(scheduler.release(first.task.id, first.number, None, NOW));
    let order: Vec<_> = take(&mut scheduler, 3).iter().map(|lease| lease.task.id).collect();
    assert_eq!(order, [id(1), id(2), id(3)]);
}

#[test]
fn delayed_tasks_come_when_they_are_due_and_in_that_order() {
    let mut scheduler = Scheduler::default();
    for (n, delay) in [(1, 300), (2, 100), (3, 200)] {
        offer(&mut scheduler, task(n).with_not_before(Micros(NOW.0 + delay)));
    }
    assert!(take(&mut scheduler, 3).is_empty());
    assert_eq!(scheduler.next_wake(NOW), Some(Micros(NOW.0 + 100)));
    let due: Vec<_> = take_at(&mut scheduler, 9, Micros(NOW.0 + 250)).iter().map(|l| l.task.id).collect();
    assert_eq!(due, [id(2), id(3)]);
    assert_eq!(take_at(&mut scheduler, 9, Micros(NOW.0 + 300))[0].task.id, id(1));
}

#[test]
fn the_more_urgent_of_a_key_goes_first_even_when_it_comes_later() {
    let mut scheduler = with(Policy { key_concurrency: Some(1), ..Policy::default() });
    (1..=3).for_each(|n| offer(&mut scheduler, task(n).with_priority(Priority::Low).with_key("k")));
    offer(&mut scheduler, task(4).with_priority(Priority::Critical).with_key("k"));
    assert_eq!(scheduler.standing("q", id(1)), Some(Standing::Blocked));
    let lease = take(&mut scheduler, 9);
    assert_eq!((lease.len(), lease[0].task.id), (1, id(4)));
    assert!(scheduler.finish(id(4), lease[0].number, NOW));
    assert_eq!(take(&mut scheduler, 9)[0].task.id, id(1));
}

#[test]
fn limits_hold_one_tenant_and_not_the_others() {
    let rule = TenantRule { concurrency: Some(2), ..TenantRule::default() };
    let mut scheduler = with(Policy { tenant: rule, ..Policy::default() });
    for n in 0..6 {
        offer(&mut scheduler, Task { tenant: "a".into(), ..task(n) });
    }
    offer(&mut scheduler, Task { tenant: "b".into(), ..task(9) });
    let leases = take(&mut scheduler, 9);
    assert_eq!(tenants(&leases), "aba");
    assert!(scheduler.finish(leases[0].task.id, leases[0].number, NOW));
    assert_eq!(tenants(&take(&mut scheduler, 9)), "a");
}

#[test]
fn a_rate_gives_a_burst_and_then_its_rate() {
    let rate = Rate { count: 10, period: Duration::from_secs(1), burst: 3 };
    let rule = TenantRule { rate: Some(rate), ..TenantRule::default() };
    for policy in
        [Policy { rate: Some(rate), ..Policy::default() }, Policy { tenant: rule, ..Policy::default() }]
    {
        let mut scheduler = with(policy);
        (0..9).for_each(|n| offer(&mut scheduler, task(n)));
        assert_eq!(take(&mut scheduler, 9).len(), 3);
        assert!(take(&mut scheduler, 9).is_empty());
        let wake = scheduler.next_wake(NOW).unwrap();
        assert_eq!(wake, Micros(NOW.0 + 100_000));
        assert_eq!(take_at(&mut scheduler, 9, wake).len(), 1);
        assert_eq!(take_at(&mut scheduler, 9, Micros(wake.0 + 250_000)).len(), 2);
    }
}

#[test]
fn a_changed_policy_holds_for_what_is_there() {
    let tight = Policy { key_concurrency: Some(1), concurrency: Some(1), ..Policy::default() };
    let mut scheduler = with(tight);
    (0..5).for_each(|n| offer(&mut scheduler, task(n).with_key("k")));
    assert_eq!(take(&mut scheduler, 9).len(), 1);
    scheduler.configure(&"q".into(), Policy::default()).unwrap();
    assert_eq!(take(&mut scheduler, 9).len(), 4);
}

#[test]
fn several_queues_take_turns_and_a_paused_one_gives_nothing() {
    let mut scheduler = Scheduler::default();
    for n in 0..6 {
        offer(&mut scheduler, Task { queue: ["a", "b"][n as usize % 2].into(), ..task(n) });
    }
    let queues: [Arc<str>; 2] = ["a".into(), "b".into()];
    let served = |leases: Vec<Lease>| leases.iter().map(|l| l.task.queue.to_string()).collect::<Vec<_>>();
    let mut both = served(scheduler.take(&queues, 2, &"w".into(), NOW));
    both.sort();
    assert_eq!(both, ["a", "b"]);
    scheduler.pause(&queues[0], true).unwrap();
    assert_eq!(served(scheduler.take(&queues, 9, &"w".into(), NOW)), ["b", "b"]);
    scheduler.pause(&queues[0], false).unwrap();
    assert_eq!(served(scheduler.take(&queues, 9, &"w".into(), NOW)), ["a", "a"]);
}

#[test]
fn what_does_not_fit_is_refused_with_the_reason() {
    let limits = Limits { capacity: 3, queue_capacity: 2, queues: 2, payload_bytes: 1 };
    let mut scheduler = Scheduler::new(limits);
    let in_queue = |n, queue: &str| Task { queue: queue.into(), ..task(n) };
    offer(&mut scheduler, in_queue(1, "a"));
    offer(&mut scheduler, in_queue(2, "a"));
    let check = |scheduler: &mut Scheduler, task: Task, expect: &str| {
        let refused =
            scheduler.offer(task, NOW).map_or_else(|refusal| refusal.to_string(), |_| String::new());
        assert!(refused.starts_with(expect) && !expect.is_empty(), "{refused}");
    };
    check(&mut scheduler, in_queue(3, "a"), "queue a holds 2 open tasks");
    offer(&mut scheduler, in_queue(3, "b"));
    check(&mut scheduler, in_queue(4, "b"), "the queues hold 3 open tasks");
    assert!(scheduler.cancel("a", id(1), NOW));
    check(&mut scheduler, in_queue(4, "c"), "queue c would be one more than the 2 queues");
    assert!(scheduler.cancel("b", id(3), NOW));
    offer(&mut scheduler, in_queue(4, "c")); // b is idle and makes room
    check(&mut scheduler, Task { payload: "xx".into(), ..task(5) }, "the payload has 2 bytes");
    assert!(matches!(scheduler.pause(&"no way".into(), true), Err(Refusal::Name { .. })));
}

#[test]
fn the_age_of_the_oldest_ready_task_is_told() {
    let mut scheduler = Scheduler::default();
    offer(&mut scheduler, task(1));
    offer(&mut scheduler, Task { tenant: "b".into(), ..task(2) });
    let later = NOW.plus(Duration::from_secs(5));
    assert_eq!(scheduler.stats("q", later).oldest_ready, Some(Duration::from_secs(5)));
    take(&mut scheduler, 2);
    assert_eq!(scheduler.stats("q", later).oldest_ready, None);
}

/// A hundred thousand tasks in every kind of place, and each operation still
/// touches few of them: the whole run would not end in time otherwise.
#[test]
fn many_tasks_cost_little_each() {
    let rule = TenantRule { concurrency: Some(1), ..TenantRule::default() };
    let mut scheduler = with(Policy {
        key_concurrency: Some(1),
        tenants: [("a".to_owned(), rule)].into(),
        ..Policy::default()
    });
    for n in 0..100_000 {
        let task = match n % 4 {
            0 => Task { tenant: "a".into(), ..task(n) },
            1 => task(n).with_key("one"),
            2 => task(n).with_not_before(Micros(NOW.0 + i64::from(n))),
            _ => Task { tenant: format!("t{}", n % 1_000).into(), ..task(n) },
        };
        offer(&mut scheduler, task);
    }
    let started = std::time::Instant::now();
    let mut served = 0;
    while served < 20_000 {
        for lease in take(&mut scheduler, 100) {
            assert!(scheduler.finish(lease.task.id, lease.number, NOW));
            served += 1;
        }
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}
