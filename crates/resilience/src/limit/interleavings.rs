//! Every interleaving of the seats, tried by loom.

use loom::sync::Arc;
use loom::thread;

mod sync {
    pub(super) use loom::sync::atomic::{AtomicUsize, Ordering};
}

#[allow(clippy::duplicate_mod)] // the same lines over other atomics: that is the point
#[path = "seats.rs"]
mod seats;

use seats::Seats;

#[test]
fn the_limit_is_never_passed_and_no_seat_is_lost() {
    loom::model(|| {
        let seats = Arc::new(Seats::new());
        let visit = |seats: &Seats| {
            if let Some(taken) = seats.take(1) {
                assert_eq!(taken, 1);
                seats.give_back();
            }
        };
        let threads = [0, 1].map(|_| {
            let seats = seats.clone();
            thread::spawn(move || visit(&seats))
        });
        visit(&seats);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(seats.taken(), 0);
        assert_eq!(seats.take(1), Some(1));
    });
}
