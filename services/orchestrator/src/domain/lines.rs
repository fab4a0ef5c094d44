//! Who may run and who waits, among executions whose definition limits them. Pure: the
//! time is passed in.
//!
//! Executions of one definition of a tenant with the same key stand in one line. All of
//! a line are in one shard, so whoever has the shard decides about all of them, and the
//! limit holds over every replica. Only sub-workflows stand where their parents are.
//!
//! Within a line the urgent go first, and every fourth place goes to whoever waits
//! longest, so that nobody waits for ever.

use probity_engine::definition::Limit;
use probity_engine::{Definition, Execution, Opening};
use probity_types::Micros;
use probity_types::id::ExecutionId;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Every place with this number goes to whoever waits longest.
const TURN: u32 = 4;
/// Low, normal, high, critical.
const PRIORITIES: usize = 4;

/// A line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LineId([u8; 16]);

impl LineId {
    pub(crate) fn new(tenant: &str, definition: &str, key: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [tenant, definition, key] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let hash: [u8; 32] = hash.finalize().into();
        Self(std::array::from_fn(|at| hash[at]))
    }

    /// The line an execution will stand in; `None` when its definition has no limit.
    pub(crate) fn of(tenant: &str, definition: &Arc<Definition>, opening: &Opening) -> Option<Self> {
        let key = Execution::line_key(definition, opening)?;
        Some(Self::new(tenant, &definition.name, &key))
    }

    /// The shard of the executions in it.
    pub(crate) const fn shard(self) -> u8 {
        self.0[0]
    }
}

/// How many may run, and how fast they may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rule {
    running: Option<u32>,
    rate: Option<(u32, Duration)>,
}

impl Rule {
    pub(crate) const fn of(limit: &Limit) -> Self {
        Self { running: limit.running, rate: limit.rate }
    }
}

/// One that stands in a line, or has a place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    pub(crate) line: LineId,
    pub(crate) priority: u8,
    /// Since when.
    pub(crate) since: Micros,
    pub(crate) inside: bool,
}

#[derive(Debug, Default)]
struct Line {
    rule: Rule,
    inside: u32,
    waiting: [BTreeSet<(Micros, ExecutionId)>; PRIORITIES],
    /// Places given so far, to know whose turn it is.
    turn: u32,
    /// When the bucket of the rate is full again, in nanoseconds since 1970.
    full: i128,
}

/// All lines of a replica.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    lines: HashMap<LineId, Line>,
    members: HashMap<ExecutionId, Member>,
    /// When a line must be looked at again.
    due: BTreeSet<(Micros, LineId)>,
    waiting: usize,
}

impl Line {
    fn is_free(&self) -> bool {
        self.inside == 0 && self.waiting.iter().all(BTreeSet::is_empty)
    }

    /// Since when the rate has allowed one more, or from when on it does.
    fn allowed(&self) -> Micros {
        let Some((count, period)) = self.rule.rate else { return Micros(i64::MIN) };
        let (period, one) = (nanos(period), nanos(period) / i128::from(count));
        micros(self.full - (period - one))
    }

    fn begin(&mut self, now: Micros) {
        self.inside += 1;
        if let Some((count, period)) = self.rule.rate {
            let one = nanos(period) / i128::from(count);
            self.full = self.full.max(i128::from(now.0) * 1_000) + one;
        }
    }

    /// Whose turn it is.
    fn next(&mut self) -> Option<(Micros, ExecutionId)> {
        self.turn = self.turn.wrapping_add(1);
        let longest = self.turn.is_multiple_of(TURN);
        let heads = self.waiting.iter().enumerate().rev();
        let heads = heads.filter_map(|(at, line)| line.first().map(|first| (at, *first)));
        let (at, first) =
            if longest { heads.min_by_key(|(_, first)| *first) } else { heads.max_by_key(|(at, _)| *at) }?;
        self.waiting[at].remove(&first);
        Some(first)
    }
}

impl Lines {
    /// Stands in its line, or has its place there; one that does already stays.
    pub(crate) fn join(&mut self, id: ExecutionId, member: Member, rule: Rule) {
        if self.members.contains_key(&id) {
            return;
        }
        let line = self.lines.entry(member.line).or_default();
        line.rule = rule;
        if member.inside {
            line.inside += 1;
        } else {
            line.waiting[rank(member.priority)].insert((member.since, id));
            self.waiting += 1;
        }
        self.members.insert(id, member);
        self.due.insert((Micros(i64::MIN), member.line));
    }

    /// It has ended, or is somebody else's now.
    pub(crate) fn leave(&mut self, id: ExecutionId) {
        let Some(member) = self.members.remove(&id) else { return };
        if let Some(line) = self.lines.get_mut(&member.line) {
            if member.inside {
                line.inside = line.inside.saturating_sub(1);
            } else if line.waiting[rank(member.priority)].remove(&(member.since, id)) {
                self.waiting -= 1;
            }
        }
        self.due.insert((Micros(i64::MIN), member.line));
    }

    /// Gives the places there are, at most `most`; answers to whom.
    pub(crate) fn pass(&mut self, now: Micros, most: usize) -> Vec<ExecutionId> {
        let mut passed = Vec::new();
        while let Some((at, id)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            if passed.len() >= most {
                break;
            }
            self.due.remove(&(at, id));
            self.pass_line(id, now, most, &mut passed);
        }
        passed
    }

    fn pass_line(&mut self, id: LineId, now: Micros, most: usize, passed: &mut Vec<ExecutionId>) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        loop {
            if line.is_free() && line.full <= i128::from(now.0) * 1_000 {
                self.lines.remove(&id);
                return;
            }
            if line.is_free() {
                // Its bucket is remembered until it is full.
                self.due.insert((micros(line.full), id));
                return;
            }
            if line.rule.running.is_some_and(|most| line.inside >= most) {
                return;
            }
            let allowed = line.allowed();
            if allowed > now || passed.len() >= most {
                self.due.insert((allowed, id));
                return;
            }
            let Some((_, next)) = line.next() else { return };
            line.begin(now);
            self.waiting -= 1;
            if let Some(member) = self.members.get_mut(&next) {
                member.inside = true;
            }
            passed.push(next);
        }
    }

    /// When to look again; `None` when only an end makes room.
    pub(crate) fn next_look(&self) -> Option<Micros> {
        self.due.first().map(|(at, _)| *at)
    }

    /// How many wait for a place.
    pub(crate) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Forgets who is in these shards.
    pub(crate) fn forget(&mut self, gone: impl Fn(ExecutionId) -> bool) {
        let ids: Vec<_> = self.members.keys().copied().filter(|id| gone(*id)).collect();
        ids.into_iter().for_each(|id| self.leave(id));
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

fn rank(priority: u8) -> usize {
    usize::from(priority.clamp(1, 4)) - 1
}

fn nanos(time: Duration) -> i128 {
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX)
}

/// The microsecond in which it is reached.
fn micros(nanos: i128) -> Micros {
    Micros(
        i64::try_from(nanos.div_euclid(1_000) + i128::from(nanos.rem_euclid(1_000) > 0)).unwrap_or(i64::MAX),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 1_000;

    fn member(line: u8, priority: u8, since: i64) -> Member {
        let line = LineId::new("t", "d", &line.to_string());
        Member { line, priority, since: Micros(since), inside: false }
    }

    fn rule(running: Option<u32>, rate: Option<(u32, u64)>) -> Rule {
        Rule { running, rate: rate.map(|(count, ms)| (count, Duration::from_millis(ms))) }
    }

    #[derive(Debug, Clone)]
    enum Deed {
        Join(u8, u8),
        Leave(usize),
        Wait(i64),
        /// Everything is read back.
        Restart,
    }

    fn deed() -> impl Strategy<Value = Deed> {
        prop_oneof![
            5 => (0..3_u8, 1..5_u8).prop_map(|(line, priority)| Deed::Join(line, priority)),
            4 => any::<usize>().prop_map(Deed::Leave),
            2 => (1..500_000_i64).prop_map(Deed::Wait),
            1 => Just(Deed::Restart),
        ]
    }

    proptest! {
        /// Whoever comes, goes and is read back: never more than the limit run, none
        /// wait while there is room, and in the end all have had their turn.
        #[test]
        fn the_limit_holds_and_everybody_comes_in(
            deeds in proptest::collection::vec(deed(), 0..200), running in 1..4_u32, rated: bool,
        ) {
            let rule = rule(Some(running), rated.then_some((2, 100)));
            let (mut lines, mut now) = (Lines::default(), Micros(1_000_000));
            let mut all: Vec<(ExecutionId, Member)> = Vec::new();
            let mut wishes = 0_i64;
            for deed in deeds.into_iter().chain((0..600).map(|n| if n % 2 == 0 { Deed::Leave(0) } else { Deed::Wait(60_000) })) {
                match deed {
                    Deed::Join(line, priority) => {
                        wishes += 1;
                        let id = ExecutionId::new();
                        let member = member(line, priority, wishes);
                        lines.join(id, member, rule);
                        lines.join(id, member, rule);
                        all.push((id, member));
                    }
                    Deed::Leave(at) if !all.is_empty() => {
                        let (id, _) = all.swap_remove(at % all.len());
                        lines.leave(id);
                        lines.leave(id);
                    }
                    Deed::Wait(us) => now = Micros(now.0 + us),
                    Deed::Restart => {
                        lines.clear();
                        all.iter().for_each(|(id, member)| lines.join(*id, *member, rule));
                    }
                    Deed::Leave(_) => {}
                }
                for id in lines.pass(now, LIMIT) {
                    let passed = all.iter_mut().find(|(of, member)| *of == id && !member.inside);
                    passed.expect("who has left, or has a place, gets none").1.inside = true;
                }
                for line in 0..3 {
                    let of = LineId::new("t", "d", &line.to_string());
                    let count = |inside| all.iter().filter(|(_, m)| m.line == of && m.inside == inside).count();
                    let (inside, waiting) = (count(true), count(false));
                    prop_assert!(inside <= running as usize);
                    let held = lines.next_look().is_some_and(|at| at > now) && rated;
                    prop_assert!(waiting == 0 || inside == running as usize || held, "{inside} and {waiting} wait");
                }
                prop_assert_eq!(lines.waiting(), all.iter().filter(|(_, m)| !m.inside).count());
            }
            prop_assert!(all.is_empty(), "{} never came in", all.len());
            now = Micros(now.0 + 1_000_000);
            lines.pass(now, LIMIT);
            prop_assert!(lines.lines.is_empty() && lines.due.is_empty(), "nothing is kept of empty lines");
        }

        /// No window of a period sees more than the rate and what a quiet time saves up.
        #[test]
        fn the_rate_holds(steps in proptest::collection::vec((1..90_000_i64, 0..5_u8), 1..80), count in 1..5_u32) {
            let rule = rule(None, Some((count, 100)));
            let (mut lines, mut now) = (Lines::default(), Micros(0));
            let (mut passed, mut wishes) = (Vec::new(), 0);
            for (us, come) in steps {
                now = Micros(now.0 + us);
                for _ in 0..come {
                    wishes += 1;
                    lines.join(ExecutionId::new(), member(0, 2, wishes), rule);
                }
                passed.extend(lines.pass(now, LIMIT).iter().map(|_| now));
            }
            for (at, first) in passed.iter().enumerate() {
                let within = passed[at..].iter().filter(|later| later.0 - first.0 < 100_000).count();
                prop_assert!(within <= 2 * count as usize, "{within} in a period");
            }
        }
    }

    #[test]
    fn the_urgent_go_first_and_who_waits_longest_is_not_forgotten() {
        let mut lines = Lines::default();
        let one = rule(Some(1), None);
        let ids: Vec<_> = [(1, 0), (2, 1), (4, 2), (4, 3), (4, 4), (4, 5), (2, 6)]
            .map(|(priority, since)| {
                let id = ExecutionId::new();
                lines.join(id, member(0, priority, since), one);
                id
            })
            .into();
        let mut order = Vec::new();
        while let [id] = lines.pass(Micros(9), LIMIT)[..] {
            order.push(ids.iter().position(|known| *known == id).unwrap());
            lines.leave(id);
        }
        assert_eq!(order, [2, 3, 4, 0, 5, 1, 6]);
    }

    #[test]
    fn a_line_is_of_its_tenant_definition_and_key() {
        let id = LineId::new("t", "d", "k");
        for (tenant, definition, key) in [("u", "d", "k"), ("t", "e", "k"), ("t", "d", "l"), ("td", "", "k")]
        {
            assert_ne!(LineId::new(tenant, definition, key), id);
        }
        assert_eq!(LineId::new("t", "d", "k"), id);
    }
}
