//! The scheduler against a naive model, and its laws.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "scheduler/laws.rs"]
mod laws;
#[path = "scheduler/model.rs"]
mod model;
#[path = "scheduler/ops.rs"]
mod ops;

use model::Model;
use ops::{Op, policy};
use probity_queue::{Limits, Policy, Scheduler, Task, TaskId};
use probity_types::Micros;
use proptest::prelude::*;
use std::sync::Arc;

/// The id with this number.
pub(crate) fn id(n: u32) -> TaskId {
    TaskId(u128::from(n).to_be_bytes())
}

/// A task of tenant `acme` in the queue `q`.
pub(crate) fn task(n: u32) -> Task {
    Task::new(id(n), "q", "acme", "")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn does_what_the_naive_model_allows(policies in [policy(), policy()], ops in prop::collection::vec(ops::op(), 1..120)) {
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
