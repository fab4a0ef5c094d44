//! What a queue does, whatever it is made of.

use crate::{Bench, id, numbers, of_tenant, one, task};
use probity_queue::ready::MAX_BATCH;
use probity_queue::{Error, Limits, Offered, Priority, Release, Standing, Take, Task};
use std::time::Duration;

pub(crate) async fn a_task_goes_through(new: impl Fn(Limits) -> Bench) {
    let bench = new(Limits::default());
    let sent =
        task(1).with_priority(Priority::High).with_key("k").with_unique("u").with_not_before(bench.in_ms(-5));
    bench.offer([sent.clone()]).await;
    assert_eq!(bench.queue.standing("q".into(), id(1)).await.unwrap(), Some(Standing::Ready));
    let lease = bench.take(10).await.pop().unwrap();
    assert_eq!(lease.task, sent);
    assert_eq!((lease.delivery, lease.expires), (1, bench.in_ms(30_000)));
    let leased = Standing::Leased { worker: "worker".into(), expires: lease.expires };
    assert_eq!(bench.queue.standing("q".into(), id(1)).await.unwrap(), Some(leased));
    assert!(bench.take(10).await.is_empty());
    assert!(bench.finish(&lease).await);
    assert!(!bench.finish(&lease).await);
    assert_eq!(bench.queue.standing("q".into(), id(1)).await.unwrap(), None);
}

pub(crate) async fn what_is_open_is_not_taken_twice(new: impl Fn(Limits) -> Bench) {
    let bench = new(Limits::default());
    bench
        .offer([task(1).with_unique("u"), of_tenant(2, "other").with_unique("u"), task(3).with_unique("v")])
        .await;
    let check = async |task: Task, expect| assert_eq!(bench.offer_one(task).await, Ok(expect));
    check(task(1), Offered::Open(id(1))).await;
    check(task(4).with_unique("u"), Offered::Open(id(1))).await;
    let elsewhere = Task { queue: "q2".into(), ..task(5).with_unique("u") };
    check(elsewhere, Offered::Accepted).await;
    for lease in bench.take(10).await {
        check(task(6).with_unique("u"), Offered::Open(id(1))).await;
        if lease.task.id == id(1) {
            assert!(bench.finish(&lease).await);
            break;
        }
    }
    check(task(6).with_unique("u"), Offered::Accepted).await;
}

pub(crate) async fn late_answers_are_fenced(new: impl Fn(Limits) -> Bench) {
    let bench = new(Limits::default());
    bench.offer([task(1)]).await;
    let first = bench.take(1).await.pop().unwrap();
    bench.clock.advance(Duration::from_secs(31));
    let second = bench.take(1).await.pop().unwrap();
    assert!(second.number > first.number);
    assert_eq!(second.delivery, 2);
    assert_eq!(one(bench.queue.extend(vec![first.held()])).await, None);
    let release = Release { held: first.held(), not_before: None };
    assert!(!one(bench.queue.release(vec![release])).await);
    assert!(!bench.finish(&first).await);
    let mut elsewhere = second.held();
    elsewhere.queue = "q2".into();
    assert!(!one(bench.queue.finish(vec![elsewhere])).await);
    assert!(bench.finish(&second).await);
}

pub(crate) async fn an_expired_lease_comes_back(new: impl Fn(Limits) -> Bench) {
    let bench = new(Limits::default());
    bench.offer([task(1), task(2), task(3)]).await;
    assert_eq!(numbers(&bench.take(2).await), [1, 2]);
    bench.clock.advance(Duration::from_secs(30));
    assert_eq!(numbers(&bench.take(9).await), [1, 2, 3]);
    assert_eq!(bench.queue.stats("q".into()).await.unwrap().totals.expired, 2);
}

pub(crate) async fn a_sign_of_life_extends(new: impl Fn(Limits) -> Bench) {
    let bench = new(Limits::default());
    bench.offer([task(1)]).await;
    let lease = bench.take(1).await.pop().unwrap();
    for _ in 0..5 {
        bench.clock.advance(Duration::from_secs(20));
        assert_eq!(one(bench.queue.extend(vec![lease.held()])).await, Some(bench.in_ms(30_000)));
        assert!(bench.take(1).await.is_empty());
    }
    assert!(bench.finish(&lease).await);
}

pub(crate) async fn a_released_task_waits_for_its_time(new: impl Fn(Limits) -> Bench) {
    let bench = new(Limits::default());
    bench.offer([task(1), task(2)]).await;
    let release = async |not_before| {
        let lease = bench.take(1).await.pop().unwrap();
        assert_eq!(lease.task.id, id(1));
        assert!(one(bench.queue.release(vec![Release { held: lease.held(), not_before }])).await);
    };
    release(None).await;
    release(Some(bench.in_ms(-1))).await;
    release(Some(bench.in_ms(50))).await;
    let until = bench.in_ms(50);
    assert_eq!(bench.queue.standing("q".into(), id(1)).await.unwrap(), Some(Standing::Delayed { until }));
    assert_eq!(numbers(&bench.take(9).await), [2]);
    bench.clock.advance(Duration::from_millis(50));
    let again = bench.take(9).await.pop().unwrap();
    assert_eq!((again.task.id, again.delivery), (id(1), 4));
}

pub(crate) async fn delayed_tasks_come_in_order(new: impl Fn(Limits) -> Bench) {
    let bench = new(Limits::default());
    for (n, ms) in [(1, 30), (2, 10), (3, 20), (4, 40)] {
        bench.offer([task(n).with_not_before(bench.in_ms(ms))]).await;
    }
    assert!(bench.take(9).await.is_empty());
    bench.clock.advance(Duration::from_millis(35));
    assert_eq!(numbers(&bench.take(9).await), [2, 3, 1]);
    assert_eq!(bench.queue.stats("q".into()).await.unwrap().delayed, 1);
}

pub(crate) async fn turns_of_priorities(new: impl Fn(Limits) -> Bench) {
    let bench = new(Limits::default());
    bench.offer((0..60).map(|n| task(n).with_priority(Priority::of_rank(n as usize % 4)))).await;
    let leases = bench.take(15).await;
    let turns: String = leases.iter().map(|lease| ["C", "H", "N", "L"][lease.task.priority.rank()]).collect();
    assert_eq!(turns, "CHCNCHCLCHCNCHC");
}

pub(crate) async fn turns_of_tenants(new: impl Fn(Limits) -> Bench) {
    let bench = new(Limits::default());
    bench.offer((0..20).map(|n| of_tenant(n, "a"))).await;
    bench.offer([of_tenant(20, "b"), of_tenant(21, "c"), of_tenant(22, "c")]).await;
    assert_eq!(numbers(&bench.take(7).await), [0, 20, 21, 1, 22, 2, 3]);
}

pub(crate) async fn turns_of_queues(new: impl Fn(Limits) -> Bench) {
    let bench = new(Limits::default());
    bench.offer((0..8).map(|n| Task { queue: format!("q{}", n % 2).into(), ..task(n) })).await;
    let wish = Take { queues: vec!["q0".into(), "q1".into(), "none".into()], ..Take::now("q", 6, "w") };
    let leases = bench.queue.take(wish).await.unwrap();
    let of = |name: &str| leases.iter().filter(|lease| *lease.task.queue == *name).count();
    assert_eq!((leases.len(), of("q0"), of("q1")), (6, 3, 3));
}

pub(crate) async fn a_cancelled_task_is_gone(new: impl Fn(Limits) -> Bench) {
    let bench = new(Limits::default());
    bench.offer([task(1), task(2), task(3).with_not_before(bench.in_ms(9)), task(4).with_unique("u")]).await;
    let lease = bench.take(1).await.pop().unwrap();
    assert_eq!(bench.queue.cancel("other".into(), vec![id(1)]).await.unwrap(), [false]);
    let ids = vec![id(1), id(3), id(4), id(9)];
    assert_eq!(bench.queue.cancel("q".into(), ids).await.unwrap(), [true, true, true, false]);
    assert!(!bench.finish(&lease).await);
    bench.offer([task(5).with_unique("u")]).await;
    bench.clock.advance(Duration::from_secs(60));
    assert_eq!(numbers(&bench.take(9).await), [2, 5]);
}

pub(crate) async fn a_paused_queue_gives_nothing(new: impl Fn(Limits) -> Bench) {
    let bench = new(Limits::default());
    bench.offer([task(1), task(2)]).await;
    let lease = bench.take(1).await.pop().unwrap();
    bench.queue.pause("q".into(), true).await.unwrap();
    assert!(bench.take(1).await.is_empty());
    bench.offer([task(3)]).await;
    assert!(bench.finish(&lease).await);
    assert!(bench.queue.stats("q".into()).await.unwrap().paused);
    bench.queue.pause("q".into(), false).await.unwrap();
    assert_eq!(numbers(&bench.take(9).await), [2, 3]);
}

pub(crate) async fn the_figures_add_up(new: impl Fn(Limits) -> Bench) {
    let bench = new(Limits::default());
    let urgent = task(1).with_priority(Priority::Critical);
    bench.offer([urgent, task(2), task(3), task(4).with_not_before(bench.in_ms(1)), task(5)]).await;
    let leases = bench.take(2).await;
    assert!(bench.finish(&leases[0]).await);
    assert!(one(bench.queue.release(vec![Release { held: leases[1].held(), not_before: None }])).await);
    assert!(one(bench.queue.cancel("q".into(), vec![id(5)])).await);
    bench.clock.advance(Duration::from_millis(500));
    let stats = bench.queue.stats("q".into()).await.unwrap();
    let waiting = stats.ready.iter().sum::<usize>() + stats.delayed;
    assert_eq!((waiting, stats.running, stats.blocked, stats.paused), (3, 0, 0, false));
    assert_eq!(stats.oldest_ready, Some(Duration::from_millis(500)));
    let totals = stats.totals;
    assert_eq!((totals.offered, totals.taken, totals.finished), (5, 2, 1));
    assert_eq!((totals.released, totals.expired, totals.cancelled), (1, 0, 1));
    assert!(stats.offered_per_s > stats.taken_per_s && stats.taken_per_s > stats.finished_per_s);
    assert_eq!(bench.queue.queues().await.unwrap(), [std::sync::Arc::<str>::from("q")]);
    assert_eq!(bench.queue.stats("other".into()).await.unwrap(), probity_queue::Stats::default());
}

pub(crate) async fn large_batches_are_refused_whole(new: impl Fn(Limits) -> Bench) {
    let bench = new(Limits::default());
    let many = || (0..=u32::try_from(MAX_BATCH).unwrap()).map(task);
    assert!(matches!(bench.queue.offer(many().collect()).await, Err(Error::Batch { .. })));
    bench.offer(many().take(MAX_BATCH)).await;
    let leases = bench.take(MAX_BATCH * 2).await;
    assert_eq!(leases.len(), MAX_BATCH);
    let held: Vec<_> = leases.iter().map(probity_queue::Lease::held).collect();
    assert_eq!(bench.queue.finish(held).await.unwrap(), vec![true; MAX_BATCH]);
    assert!(bench.queue.offer(vec![]).await.unwrap().is_empty());
    assert!(matches!(bench.queue.take(Take::now("q", 1, "")).await, Err(Error::Request(_))));
    assert!(matches!(bench.queue.pause("no name".into(), true).await, Err(Error::Request(_))));
}
