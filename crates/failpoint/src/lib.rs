//! Places where a test kills the process: around every commit, every call to a
//! peer and every step of a relay.
//!
//! A product build has none of it: without the feature `armed`, [`hit`] is empty
//! and inlined away. With it, `PROBITY_FAILPOINT=name:count:deed` names one of
//! [`POINTS`], the how manieth time it is reached, and what happens then: `kill`
//! (SIGKILL: no destructor runs, no buffer is flushed) or `stop` (SIGSTOP: the
//! process stands still until it gets SIGCONT).

/// Every place, in the order of a turn: decided, stored, answered, carried out,
/// relayed; then those of ownership.
pub const POINTS: [&str; 13] = [
    "lane.before_commit",
    "storage.begun",
    "storage.statement",
    "storage.before_commit",
    "storage.after_commit",
    "lane.after_commit",
    "lane.answered",
    "call.before",
    "call.after",
    "relay.before_send",
    "relay.after_send",
    "relay.acknowledged",
    "own.claimed",
];

/// The process is at this place.
#[cfg(not(feature = "armed"))]
#[inline(always)]
pub const fn hit(_point: &str) {}

#[cfg(feature = "armed")]
pub use armed::hit;

#[cfg(feature = "armed")]
mod armed {
    use rustix::process::{Signal, getpid, kill_process};
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Which place, and what happens there.
    #[derive(Debug, PartialEq, Eq)]
    pub(super) struct Trap {
        point: String,
        count: u64,
        signal: Signal,
    }

    static TRAP: LazyLock<Option<Trap>> =
        LazyLock::new(|| std::env::var("PROBITY_FAILPOINT").ok().and_then(|text| parse(&text)));
    static HITS: AtomicU64 = AtomicU64::new(0);

    /// `name:count:deed`; none when it names no place or no deed.
    pub(super) fn parse(text: &str) -> Option<Trap> {
        let (point, rest) = text.split_once(':')?;
        let (count, deed) = rest.split_once(':')?;
        let signal = match deed {
            "kill" => Signal::KILL,
            "stop" => Signal::STOP,
            _ => return None,
        };
        let known = super::POINTS.contains(&point);
        known.then(|| Some(Trap { point: point.to_owned(), count: count.parse().ok()?, signal }))?
    }

    /// The process is at this place.
    pub fn hit(point: &str) {
        let Some(trap) = TRAP.as_ref().filter(|trap| trap.point == point) else { return };
        if HITS.fetch_add(1, Ordering::SeqCst) + 1 == trap.count {
            // A process can always signal itself.
            let _ = kill_process(getpid(), trap.signal);
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn names_a_place_a_count_and_a_deed() {
            let check = |text: &str, expect: Option<(u64, Signal)>| {
                assert_eq!(parse(text).map(|trap| (trap.count, trap.signal)), expect, "{text}");
            };
            check("call.before:3:kill", Some((3, Signal::KILL)));
            check("storage.statement:1:stop", Some((1, Signal::STOP)));
            for bad in [
                "",
                "call.before",
                "call.before:3",
                "call.before:x:kill",
                "nowhere:1:kill",
                "call.before:1:sing",
            ] {
                check(bad, None);
            }
        }
    }
}
