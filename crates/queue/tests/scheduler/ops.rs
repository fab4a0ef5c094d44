//! What tests do to a queue.

use probity_queue::{Policy, Rate, TenantRule};
use proptest::prelude::*;
use std::time::Duration;

/// Something that is done to the queue.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Offer { n: u32, queue: usize, tenant: u8, rank: usize, key: Option<u8>, unique: Option<u8>, delay: i64 },
    Take { credits: usize, queues: u8 },
    Finish { which: usize },
    Release { which: usize, delay: Option<i64> },
    Extend { which: usize },
    Cancel { n: u32, queue: usize },
    Expire,
    Pause { queue: usize, paused: bool },
    Wait { us: i64 },
}

/// Any operation; small numbers, so that they meet.
pub(crate) fn op() -> impl Strategy<Value = Op> {
    let maybe = || prop::option::weighted(0.3, 0_u8..2);
    let delay = || prop_oneof![2 => Just(0_i64), 1 => -5_000_i64..15_000];
    let offer = (0_u32..40, 0_usize..2, 0_u8..3, 0_usize..4, maybe(), maybe(), delay()).prop_map(
        |(n, queue, tenant, rank, key, unique, delay)| Op::Offer {
            n,
            queue,
            tenant,
            rank,
            key,
            unique,
            delay,
        },
    );
    prop_oneof![
        8 => offer,
        5 => (0_usize..6, 1_u8..4).prop_map(|(credits, queues)| Op::Take { credits, queues }),
        4 => (0_usize..30).prop_map(|which| Op::Finish { which }),
        2 => ((0_usize..30), prop::option::of(delay())).prop_map(|(which, delay)| Op::Release { which, delay }),
        1 => (0_usize..30).prop_map(|which| Op::Extend { which }),
        1 => (0_u32..40, 0_usize..2).prop_map(|(n, queue)| Op::Cancel { n, queue }),
        2 => Just(Op::Expire),
        1 => (0_usize..2, any::<bool>()).prop_map(|(queue, paused)| Op::Pause { queue, paused }),
        4 => (-500_i64..10_000).prop_map(|us| Op::Wait { us }),
    ]
}

fn rate(count: u32, period_ms: u64, burst: u32) -> Rate {
    Rate { count, period: Duration::from_millis(period_ms), burst }
}

/// Policies with every combination of limits, small enough to be reached.
pub(crate) fn policy() -> impl Strategy<Value = Policy> {
    let few = || prop::option::of(1_u32..4);
    let rates = || prop::option::of((1_u32..5, 1_u64..50, 1_u32..4).prop_map(|(c, p, b)| rate(c, p, b)));
    (few(), few(), few(), rates(), rates(), 1_u32..3).prop_map(|(all, key, tenant, fast, each, weight)| {
        let rule = TenantRule { weight, concurrency: tenant, rate: each };
        let tenants = [("t0".to_owned(), TenantRule { weight: 2, ..TenantRule::default() })].into();
        let lease = Duration::from_millis(20);
        Policy { lease, concurrency: all, key_concurrency: key, rate: fast, tenant: rule, tenants }
    })
}
