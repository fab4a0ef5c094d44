//! The scheduler against a naive model, and its laws.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "scheduler/laws.rs"]
mod laws;
#[path = "scheduler/model.rs"]
mod model;

use model::{Model, Op};
use probity_queue::{Limits, Policy, Rate, Scheduler, Task, TaskId, TenantRule};
use probity_types::Micros;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// The id with this number.
pub(crate) fn id(n: u32) -> TaskId {
    TaskId(u128::from(n).to_be_bytes())
}

/// A task of tenant `acme` in the queue `q`.
pub(crate) fn task(n: u32) -> Task {
    Task::new(id(n), "q", "acme", "")
}

fn rate(count: u32, period_ms: u64, burst: u32) -> Rate {
    Rate { count, period: Duration::from_millis(period_ms), burst }
}

/// Policies with every combination of limits, small enough to be reached.
fn policy() -> impl Strategy<Value = Policy> {
    let few = || prop::option::of(1_u32..4);
    let rates = || prop::option::of((1_u32..5, 1_u64..50, 1_u32..4).prop_map(|(c, p, b)| rate(c, p, b)));
    (few(), few(), few(), rates(), rates(), 1_u32..3).prop_map(|(all, key, tenant, fast, each, weight)| {
        let rule = TenantRule { weight, concurrency: tenant, rate: each };
        let tenants = [("t0".to_owned(), TenantRule { weight: 2, ..TenantRule::default() })].into();
        let lease = Duration::from_millis(20);
        Policy { lease, concurrency: all, key_concurrency: key, rate: fast, tenant: rule, tenants }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn does_what_the_naive_model_allows(policies in [policy(), policy()], ops in prop::collection::vec(model::op(), 1..120)) {
        let limits = Limits { capacity: 24, queue_capacity: 16, queues: 2, payload_bytes: 8 };
        let mut scheduler = Scheduler::new(limits);
        let names: [Arc<str>; 2] = ["q0".into(), "q1".into()];
        for (name, policy) in names.iter().zip(&policies) {
            scheduler.configure(name, policy.clone()).unwrap();
        }
        let mut model = Model::new(limits, names, policies);
        for op in ops {
            model.step(&mut scheduler, &op)?;
        }
        model.drain(&mut scheduler)?;
    }
}

#[test]
fn the_model_notices_a_wrong_answer() {
    let limits = Limits { capacity: 4, queue_capacity: 4, queues: 2, payload_bytes: 8 };
    let names: [Arc<str>; 2] = ["q0".into(), "q1".into()];
    let mut model = Model::new(limits, names, [Policy::default(), Policy::default()]);
    let mut scheduler = Scheduler::new(limits);
    // The model does not know of this one.
    scheduler.offer(Task::new(id(9), "q0", "t0", ""), Micros(0)).unwrap();
    assert!(model.step(&mut scheduler, &Op::Take { credits: 1, queues: 3 }).is_err());
}
