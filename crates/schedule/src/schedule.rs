//! Which runs are due: the state machine.
//!
//! A *time* is what the timing names, a *moment* the time with its jitter.

use crate::decided::Decided;
use crate::{Error, Overlap, Spec, Timing, Zone};
use probity_types::Micros;
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// Most times that one turn decides. When more are due, the turn asks to be woken at once.
pub const MAX_PER_TURN: usize = 100;
/// Longest id in bytes.
const MAX_ID: usize = 256;

/// A schedule that has been checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    id: String,
    timing: Timing,
    zone: Zone,
    spec: Spec,
}

/// All that a schedule remembers between turns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The times, with their jitter, that have been decided.
    pub decided: Decided,
    /// Since when it is paused, if it is.
    pub paused: Option<Micros>,
    /// Runs that were started and have not ended, by their times. Not kept where runs may
    /// overlap freely.
    pub running: Vec<Micros>,
    /// The run that waits for another to end.
    pub waiting: Option<Micros>,
    /// Runs started so far.
    pub started: u64,
    /// Times left out so far because of overlap.
    pub skipped: u64,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The time of the timing, without jitter.
    pub at: Micros,
    /// The same for every attempt to start this run: the id of the schedule and the time.
    pub key: String,
}

/// What a schedule wants now. Nothing has changed until `state` is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Runs to start, in order of time.
    pub start: Vec<Run>,
    /// Times of runs to cancel, until [`Schedule::ended`] is told that they have ended.
    pub cancel: Vec<Micros>,
    /// A stretch in which times went by that nobody asked about within their catch-up window.
    pub missed: Option<(Micros, Micros)>,
    /// When to ask again; `None` when nothing more comes by itself.
    pub next_wake: Option<Micros>,
    /// What to store.
    pub state: State,
}

impl State {
    /// The state of a schedule made at `now`: nothing before ever runs.
    #[must_use]
    pub fn new(now: Micros) -> Self {
        Self {
            decided: Decided::up_to(now),
            paused: None,
            running: Vec::new(),
            waiting: None,
            started: 0,
            skipped: 0,
        }
    }
}

impl Schedule {
    /// Checks a schedule.
    ///
    /// # Errors
    /// The first field that is wrong, and what would be right.
    pub fn new(id: &str, spec: &Spec) -> Result<Self, Error> {
        if id.is_empty() || id.len() > MAX_ID {
            return Err(Error::new("id", format!("has {} bytes; from 1 to {MAX_ID}", id.len())));
        }
        let (timing, zone) = spec.read()?;
        Ok(Self { id: id.to_owned(), timing, zone, spec: spec.clone() })
    }

    /// What it was made of.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The next `count` (at most 1,000) times after a point in time, without jitter, whatever
    /// state it is in: what a person wants to see before saving it.
    #[must_use]
    pub fn upcoming(&self, after: Micros, count: usize) -> Vec<Micros> {
        let first = self.next(after);
        std::iter::successors(first, |at| self.next(*at)).take(count.min(1_000)).collect()
    }

    /// What is to be done at a point in time.
    #[must_use]
    pub fn due(&self, state: &State, now: Micros) -> Turn {
        let mut turn = Turn {
            start: Vec::new(),
            cancel: Vec::new(),
            missed: None,
            next_wake: None,
            state: state.clone(),
        };
        if state.paused.is_some() {
            return turn;
        }
        turn.missed = self.missed(state, now);
        if self.spec.overlap == Overlap::BufferOne {
            self.start_waiting(&mut turn);
        }
        let reached = self.decide(&mut turn, now);
        turn.state.decided.add(now.0.saturating_sub(self.spec.catch_up_us), reached.0);
        self.start_waiting(&mut turn);
        if self.spec.overlap == Overlap::CancelRunning && turn.state.waiting.is_some() {
            turn.cancel.clone_from(&turn.state.running);
        }
        turn.next_wake = if reached < now { Some(now) } else { self.wake(&turn.state, now) };
        turn
    }

    /// A run ended, by whatever way. What waited for it starts.
    #[must_use]
    pub fn ended(&self, state: &State, run: Micros, now: Micros) -> Turn {
        let mut state = state.clone();
        state.running.retain(|at| *at != run);
        self.due(&state, now)
    }

    /// Nothing starts until it is resumed. What runs goes on.
    #[must_use]
    pub fn pause(&self, state: &State, now: Micros) -> State {
        State { paused: state.paused.or(Some(now)), ..state.clone() }
    }

    /// It goes on. Times inside the pause are left out for good; those before it that are still
    /// inside their catch-up window start.
    #[must_use]
    pub fn resume(&self, state: &State, now: Micros) -> Turn {
        let mut state = state.clone();
        if let Some(since) = state.paused.take() {
            state.decided.add(since.0.min(now.0).saturating_add(1), now.0);
        }
        self.due(&state, now)
    }

    /// The next time of the timing between `starts` and `ends`.
    fn next(&self, after: Micros) -> Option<Micros> {
        let from = self.spec.starts.map_or(after, |starts| after.max(Micros(starts.0.saturating_sub(1))));
        let next = self.timing.next_after(from, &self.zone)?;
        self.spec.ends.is_none_or(|ends| next <= ends).then_some(next)
    }

    /// A time with its jitter. It stays below the next time, so jitter never changes the order.
    fn with_jitter(&self, at: Micros) -> Micros {
        if self.spec.jitter_us == 0 {
            return at;
        }
        let gap = self.timing.next_after(at, &self.zone).map_or(i64::MAX, |next| next.0 - at.0);
        let most = self.spec.jitter_us.min(gap.saturating_sub(1)).max(0).unsigned_abs();
        let late = mixed(&self.id, at.0) % (most + 1);
        Micros(at.0.saturating_add(i64::try_from(late).unwrap_or(0)))
    }

    /// The first time whose moment with jitter is at or after `from`, with that moment.
    fn first_from(&self, from: i64) -> Option<(Micros, Micros)> {
        let before = from.saturating_sub(self.spec.jitter_us).saturating_sub(1);
        let times = std::iter::successors(self.next(Micros(before)), |at| self.next(*at));
        times.map(|at| (at, self.with_jitter(at))).find(|(_, moment)| moment.0 >= from)
    }

    /// Decides what is due inside the window, oldest first, at most [`MAX_PER_TURN`]. Answers
    /// the moment up to which everything in the window is decided.
    fn decide(&self, turn: &mut Turn, now: Micros) -> Micros {
        let mut from = now.0.saturating_sub(self.spec.catch_up_us);
        for _ in 0..MAX_PER_TURN {
            from = turn.state.decided.first_open(from);
            let next = self.first_from(from).filter(|(_, moment)| *moment <= now);
            let Some((at, moment)) = next else { return now };
            if self.is_exhausted(&turn.state) {
                return now;
            }
            if !turn.state.decided.contains(moment) {
                self.take(turn, at);
            }
            from = moment.0.saturating_add(1);
        }
        Micros(from - 1)
    }

    /// One time is due.
    fn take(&self, turn: &mut Turn, at: Micros) {
        let state = &mut turn.state;
        let free = state.running.is_empty() && state.waiting.is_none();
        // Whoever cancels waits for the end of the turn: a later time may be due as well.
        if self.spec.overlap == Overlap::AllowAll || (free && self.spec.overlap != Overlap::CancelRunning) {
            return self.start(turn, at);
        }
        let skipped = match (self.spec.overlap, state.waiting) {
            (Overlap::BufferOne, None) => {
                state.waiting = Some(at);
                false
            }
            (Overlap::CancelRunning, earlier) => {
                state.waiting = Some(at);
                earlier.is_some()
            }
            _ => true,
        };
        state.skipped += u64::from(skipped);
    }

    fn start(&self, turn: &mut Turn, at: Micros) {
        turn.state.started += 1;
        if self.spec.overlap != Overlap::AllowAll {
            turn.state.running.push(at);
        }
        turn.start.push(Run { at, key: format!("{}/{}", self.id, at.0) });
    }

    fn start_waiting(&self, turn: &mut Turn) {
        if turn.state.running.is_empty()
            && let Some(at) = turn.state.waiting.take()
        {
            self.start(turn, at);
        }
    }

    fn is_exhausted(&self, state: &State) -> bool {
        self.spec.limit.is_some_and(|limit| state.started + u64::from(state.waiting.is_some()) >= limit)
    }

    /// The gap between what was decided and the window, when a time lies in it.
    fn missed(&self, state: &State, now: Micros) -> Option<(Micros, Micros)> {
        let window = now.0.saturating_sub(self.spec.catch_up_us);
        let last = state.decided.before(window)?;
        let (_, moment) = self.first_from(last.saturating_add(1))?;
        (moment.0 < window && !self.is_exhausted(state)).then_some((Micros(last), Micros(window - 1)))
    }

    /// The first moment after `now` that is not decided.
    fn wake(&self, state: &State, now: Micros) -> Option<Micros> {
        let mut from = now.0.saturating_add(1);
        while !self.is_exhausted(state) {
            from = state.decided.first_open(from);
            let (_, moment) = self.first_from(from)?;
            if !state.decided.contains(moment) {
                return Some(moment);
            }
            from = moment.0.saturating_add(1);
        }
        None
    }
}

/// A number that depends on a schedule and a time and on nothing else: FNV-1a over both, its
/// bits mixed by the finaliser of SplitMix64.
fn mixed(id: &str, at: i64) -> u64 {
    let bytes = id.bytes().chain(at.to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
