//! Limits of rate, number and size.

use crate::{Bench, id, numbers, of_tenant, task};
use probity_queue::{Limits, Policy, Priority, Rate, Refusal, Standing, Task, TenantRule};
use std::time::Duration;

pub(crate) async fn tenants_have_their_limit(new: impl Fn(Limits) -> Bench) {
    let bench = new(Limits::default());
    let two = TenantRule { concurrency: Some(2), ..TenantRule::default() };
    let four = TenantRule { concurrency: Some(4), ..TenantRule::default() };
    bench
        .configure(Policy { tenant: two, tenants: [("b".to_owned(), four)].into(), ..Policy::default() })
        .await;
    bench.offer((0..6).map(|n| of_tenant(n, "a"))).await;
    bench.offer((10..16).map(|n| of_tenant(n, "b"))).await;
    let leases = bench.take(20).await;
    assert_eq!(numbers(&leases), [0, 10, 1, 11, 12, 13]);
    assert!(bench.finish(&leases[0]).await);
    assert_eq!(numbers(&bench.take(20).await), [2]);
}

pub(crate) async fn queues_have_their_limit(new: impl Fn(Limits) -> Bench) {
    let bench = new(Limits::default());
    bench.configure(Policy { concurrency: Some(3), ..Policy::default() }).await;
    bench.offer((0..6).map(task)).await;
    let leases = bench.take(20).await;
    assert_eq!(leases.len(), 3);
    assert!(bench.take(20).await.is_empty());
    assert!(bench.finish(&leases[1]).await);
    assert_eq!(numbers(&bench.take(20).await), [3]);
    bench.clock.advance(Duration::from_secs(31));
    assert_eq!(numbers(&bench.take(20).await), [0, 2, 3]);
}

pub(crate) async fn keys_have_their_limit(new: impl Fn(Limits) -> Bench) {
    let bench = new(Limits::default());
    bench.configure(Policy { key_concurrency: Some(2), ..Policy::default() }).await;
    bench.offer((0..5).map(|n| task(n).with_key("k"))).await;
    bench.offer([task(5), task(6).with_key("l"), of_tenant(7, "other").with_key("k")]).await;
    assert_eq!(bench.queue.standing("q".into(), id(2)).await.unwrap(), Some(Standing::Blocked));
    assert_eq!(bench.queue.stats("q".into()).await.unwrap().blocked, 3);
    let leases = bench.take(20).await;
    assert_eq!(numbers(&leases), [0, 7, 1, 5, 6]);
    assert!(bench.finish(&leases[0]).await);
    assert_eq!(numbers(&bench.take(20).await), [2]);
    assert_eq!(bench.queue.cancel("q".into(), vec![id(1), id(3)]).await.unwrap(), [true, true]);
    assert_eq!(numbers(&bench.take(20).await), [4]);
}

pub(crate) async fn the_urgent_of_a_key_goes_first(new: impl Fn(Limits) -> Bench) {
    let bench = new(Limits::default());
    bench.configure(Policy { key_concurrency: Some(1), ..Policy::default() }).await;
    bench.offer((1..3).map(|n| task(n).with_key("k").with_priority(Priority::Low))).await;
    bench.offer([task(3).with_key("k").with_priority(Priority::Critical)]).await;
    for expect in [3, 1, 2] {
        let leases = bench.take(9).await;
        assert_eq!(numbers(&leases), [expect]);
        assert!(bench.finish(&leases[0]).await);
    }
}

pub(crate) async fn rates_are_kept(new: impl Fn(Limits) -> Bench) {
    let rate = Some(Rate { count: 3, period: Duration::from_secs(1), burst: 2 });
    let of_queue = Policy { rate, ..Policy::default() };
    let of_tenants = Policy { tenant: TenantRule { rate, ..TenantRule::default() }, ..Policy::default() };
    for policy in [of_queue, of_tenants] {
        let bench = new(Limits::default());
        bench.configure(policy).await;
        bench.offer((0..9).map(task)).await;
        let mut given = vec![];
        for _ in 0..20 {
            given.push(bench.take(9).await.len());
            bench.clock.advance(Duration::from_millis(100));
        }
        // A token every 333.3 ms: seen at 400, 700, 1000, ...
        assert_eq!(given, [2, 0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0]);
    }
}

pub(crate) async fn weights_are_kept(new: impl Fn(Limits) -> Bench) {
    let bench = new(Limits::default());
    let heavy = TenantRule { weight: 3, ..TenantRule::default() };
    bench.configure(Policy { tenants: [("a".to_owned(), heavy)].into(), ..Policy::default() }).await;
    bench.offer((0..8).map(|n| of_tenant(n, "a"))).await;
    bench.offer((10..18).map(|n| of_tenant(n, "b"))).await;
    assert_eq!(numbers(&bench.take(9).await), [0, 1, 2, 10, 3, 4, 5, 11, 6]);
}

pub(crate) async fn what_does_not_fit_is_refused(new: impl Fn(Limits) -> Bench) {
    let bench = new(Limits { capacity: 3, queue_capacity: 2, queues: 2, payload_bytes: 20 });
    bench.offer([task(1), task(2)]).await;
    let refused = async |task: Task, expect: Refusal| assert_eq!(bench.offer_one(task).await, Err(expect));
    let other = |n, queue: &str| Task { queue: queue.into(), ..task(n) };
    refused(task(3), Refusal::QueueFull { queue: "q".into(), capacity: 2 }).await;
    bench.offer([other(3, "r")]).await;
    refused(other(4, "r"), Refusal::Full { capacity: 3 }).await;
    let large = Task { payload: vec![0; 21].into(), ..task(5) };
    refused(large, Refusal::TooLarge { size: 21, limit: 20 }).await;
    assert_eq!(bench.queue.cancel("q".into(), vec![id(1)]).await.unwrap(), [true]);
    refused(other(4, "s"), Refusal::TooManyQueues { queue: "s".into(), limit: 2 }).await;
    let batch = bench.queue.offer(vec![task(1), task(7), task(2), task(8)]).await.unwrap();
    let taken: Vec<_> = batch.iter().map(Result::is_ok).collect();
    assert_eq!(taken, [true, false, true, false]);
}

pub(crate) async fn idle_queues_make_room(new: impl Fn(Limits) -> Bench) {
    let bench = new(Limits { queues: 2, ..Limits::default() });
    for n in 0..6 {
        bench.offer([Task { queue: format!("q{n}").into(), ..task(n) }]).await;
        assert_eq!(bench.queue.cancel(format!("q{n}").into(), vec![id(n)]).await.unwrap(), [true]);
    }
    assert!(bench.queue.queues().await.unwrap().len() <= 2);
}
