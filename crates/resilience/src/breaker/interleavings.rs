//! Every interleaving of the lock-free part, tried by loom.

use loom::sync::{Arc, Mutex};
use loom::thread;

mod sync {
    pub(super) use loom::sync::atomic::{AtomicU64, Ordering};
}

#[allow(clippy::duplicate_mod)] // the same lines over other atomics: that is the point
#[path = "fast.rs"]
mod fast;

use fast::{Fast, Gate};

/// What a breaker does with a call that went well.
fn record(fast: &Fast, folded: &Mutex<u32>, slot: u32) {
    if !fast.count(slot) {
        let mut folded = folded.lock().unwrap();
        *folded += fast.take(slot).1 + 1;
    }
}

#[test]
fn no_call_is_lost_or_doubled() {
    for slots in [[0, 0], [0, 1]] {
        loom::model(move || {
            let (fast, folded) = (Arc::new(Fast::new()), Arc::new(Mutex::new(0)));
            let other = {
                let (fast, folded) = (fast.clone(), folded.clone());
                thread::spawn(move || slots.iter().for_each(|slot| record(&fast, &folded, *slot)))
            };
            record(&fast, &folded, 0);
            {
                let mut folded = folded.lock().unwrap();
                *folded += fast.take(1).1;
                assert!(*folded <= 3);
            }
            other.join().unwrap();
            assert_eq!(*folded.lock().unwrap() + fast.take(0).1, 3);
        });
    }
}

#[test]
fn a_gate_is_seen_whole() {
    loom::model(|| {
        let fast = Arc::new(Fast::new());
        let writer = {
            let fast = fast.clone();
            thread::spawn(move || {
                fast.show(1, Gate::Open { until_us: 7 });
                fast.show(2, Gate::Ask);
                fast.show(3, Gate::Closed { generation: 3 });
            })
        };
        match fast.gate() {
            Gate::Closed { generation } => assert!(generation == 0 || generation == 3),
            Gate::Open { until_us } => assert_eq!(until_us, 7),
            Gate::Ask => {}
            Gate::Forced => panic!("nobody forced it"),
        }
        writer.join().unwrap();
        assert_eq!(fast.gate(), Gate::Closed { generation: 3 });
    });
}
