//! Loads under way, one for each key.

use futures::future::{BoxFuture, FutureExt as _, Shared, WeakShared};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

type Load<T> = BoxFuture<'static, T>;

/// Loads under way. Whoever waits for one drives it; when nobody waits any more
/// it is dropped.
pub(super) struct Flights<T: Clone> {
    numbers: AtomicU64,
    under_way: Mutex<HashMap<String, Flight<T>>>,
}

struct Flight<T: Clone> {
    number: u64,
    load: WeakShared<Load<T>>,
}

/// A load that this reader began or joined.
pub(super) struct Ticket<T: Clone> {
    pub(super) load: Shared<Load<T>>,
    pub(super) joined: bool,
}

impl<T: Clone + Send + Sync + 'static> Flights<T> {
    pub(super) fn new() -> Self {
        Self { numbers: AtomicU64::new(0), under_way: Mutex::default() }
    }

    /// Joins the load of a key, or begins one. `load` gets its number, to ask at
    /// its end whether it is [`Flights::current`].
    pub(super) fn board(&self, key: &str, load: impl FnOnce(u64) -> Load<T>) -> Ticket<T> {
        let mut under_way = self.under_way.lock();
        let known = under_way.get(key).and_then(|flight| flight.load.upgrade());
        if let Some(load) = known {
            return Ticket { load, joined: true };
        }
        // Those that nobody waited for to the end are swept as others begin.
        if under_way.len() >= 1_024 {
            under_way.retain(|_, flight| flight.load.upgrade().is_some());
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let load = load(number).shared();
        if let Some(weak) = load.downgrade() {
            under_way.insert(key.to_owned(), Flight { number, load: weak });
        }
        Ticket { load, joined: false }
    }

    /// Whether a load may be kept: its key was not invalidated since it began.
    pub(super) fn current(&self, key: &str, number: u64) -> bool {
        self.under_way.lock().get(key).is_some_and(|flight| flight.number == number)
    }

    /// A load has ended.
    pub(super) fn land(&self, key: &str, number: u64) {
        let mut under_way = self.under_way.lock();
        if under_way.get(key).is_some_and(|flight| flight.number == number) {
            under_way.remove(key);
        }
    }

    /// Keeps a load from being kept; those who wait for it get its value.
    pub(super) fn forget(&self, key: &str) {
        self.under_way.lock().remove(key);
    }

    pub(super) fn forget_prefix(&self, prefix: &str) {
        self.under_way.lock().retain(|key, _| !key.starts_with(prefix));
    }
}

/// What a load gives to all who wait: values are cheap to clone behind an [`Arc`].
pub(super) type Loaded<V, E> = Result<Option<Arc<V>>, Arc<E>>;
