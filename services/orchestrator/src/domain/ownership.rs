//! Who owns which shards: the decisions, without a database or a clock.
//!
//! Executions fall into [`SHARDS`] virtual shards. Each run of a replica writes a
//! log of its own and owns the shards that point at that log. A replica that gave
//! no sign of life loses its log: somebody else writes the log's next position
//! (it is *sealed*), after which no late commit of the old owner can land, since
//! positions are unique and have no gaps. Its shards are free then.
//!
//! **Architecture invariant:** time decides only when somebody tries to seal a log,
//! never whether a write is accepted. A wrong clock costs availability, not safety.

use probity_types::Micros;
use probity_types::id::ExecutionId;

/// How many shards there are. Fixed for ever: the last byte of an id is its shard.
pub(crate) const SHARDS: usize = 256;

/// The shard of an execution.
pub(crate) fn shard_of(id: ExecutionId) -> u8 {
    let [.., last] = *id.0.as_bytes();
    last
}

/// An id in one of the given shards; `random` picks which.
pub(crate) fn id_in(shards: &[u8], random: usize) -> ExecutionId {
    let id = ExecutionId::new();
    match shards.get(random % shards.len().max(1)) {
        Some(shard) => in_shard(id, *shard),
        None => id,
    }
}

/// The same id moved into a shard.
pub(crate) fn in_shard(id: ExecutionId, shard: u8) -> ExecutionId {
    let mut bytes = *id.0.as_bytes();
    bytes[15] = shard;
    ExecutionId(uuid::Uuid::from_bytes(bytes))
}

/// A log as the others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) log: i64,
    pub(crate) owner: String,
    /// Where its owner can be called; empty when it cannot.
    pub(crate) address: String,
    pub(crate) until: Micros,
    pub(crate) sealed: bool,
}

/// Everything there is to know about ownership at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    pub(crate) logs: Vec<Log>,
    /// Which log has which shard; a shard that is not named is free.
    pub(crate) shards: Vec<(u8, i64)>,
}

/// What to do next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Logs whose owners are gone.
    pub(crate) seal: Vec<i64>,
    /// Free shards to take.
    pub(crate) claim: Vec<u8>,
    /// Own shards to let go.
    pub(crate) release: Vec<u8>,
}

impl Survey {
    /// What the owner of log `me` should do now. `alone` says that nobody else can
    /// have the store open, so every other log is a dead one.
    pub(crate) fn plan(&self, me: i64, owner: &str, alone: bool, now: Micros) -> Plan {
        let open = |log: &&Log| log.log != me && !log.sealed;
        let dead = |log: &&Log| alone || log.owner == owner || log.until < now;
        let seal: Vec<i64> = self.logs.iter().filter(open).filter(dead).map(|log| log.log).collect();
        let living = 1 + self.logs.iter().filter(open).filter(|log| !seal.contains(&log.log)).count();
        let fair = SHARDS.div_ceil(living);
        let holder = self.holders();
        let mine: Vec<u8> = every_shard().filter(|s| holder[usize::from(*s)] == Some(me)).collect();
        let room = fair.saturating_sub(mine.len());
        let free = every_shard().filter(|s| holder[usize::from(*s)].is_none_or(|log| seal.contains(&log)));
        Plan { claim: free.take(room).collect(), release: mine.into_iter().skip(fair).collect(), seal }
    }

    /// The log that has each shard; none when it is free or its log is sealed.
    fn holders(&self) -> Vec<Option<i64>> {
        let mut holders = vec![None; SHARDS];
        for (shard, log) in &self.shards {
            let lives = self.logs.iter().any(|l| l.log == *log && !l.sealed);
            holders[usize::from(*shard)] = Some(*log).filter(|_| lives);
        }
        holders
    }

    /// Where the owner of a shard can be called.
    pub(crate) fn address_of(&self, shard: u8) -> Option<&str> {
        let log = self.holders()[usize::from(shard)]?;
        self.logs.iter().find(|l| l.log == log).map(|l| l.address.as_str()).filter(|a| !a.is_empty())
    }
}

fn every_shard() -> impl Iterator<Item = u8> {
    0..=u8::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(log: i64, until: i64, sealed: bool) -> Log {
        Log { log, owner: format!("o{log}"), address: format!("http://{log}"), until: Micros(until), sealed }
    }

    /// Carries a plan out on a survey, as the database would.
    fn carry_out(survey: &mut Survey, me: i64, plan: &Plan) {
        for log in &mut survey.logs {
            log.sealed |= plan.seal.contains(&log.log);
        }
        survey.shards.retain(|(s, log)| !plan.release.contains(s) && !plan.seal.contains(log));
        let taken: Vec<u8> = survey.shards.iter().map(|(s, _)| *s).collect();
        assert!(plan.claim.iter().all(|s| !taken.contains(s)), "{:?} of {taken:?}", plan.claim);
        survey.shards.extend(plan.claim.iter().map(|s| (*s, me)));
    }

    fn counts(survey: &Survey) -> Vec<usize> {
        survey.logs.iter().map(|l| survey.shards.iter().filter(|(_, log)| *log == l.log).count()).collect()
    }

    #[test]
    fn shards_are_shared_whoever_comes_and_goes() {
        let mut survey = Survey { logs: vec![log(1, 100, false)], shards: Vec::new() };
        let turn = |survey: &mut Survey, me: i64, now: i64| {
            let plan = survey.plan(me, &format!("o{me}"), false, Micros(now));
            carry_out(survey, me, &plan);
        };
        turn(&mut survey, 1, 0);
        assert_eq!(counts(&survey), [256]);
        survey.logs.push(log(2, 100, false));
        survey.logs.push(log(3, 300, false));
        for _ in 0..2 {
            (1..=3).for_each(|me| turn(&mut survey, me, 0));
        }
        assert!(counts(&survey).iter().all(|n| (84..=86).contains(n)), "{:?}", counts(&survey));
        assert_eq!(counts(&survey).iter().sum::<usize>(), 256);
        // The first two fall silent: the third has everything.
        turn(&mut survey, 3, 200);
        turn(&mut survey, 3, 200);
        assert_eq!(counts(&survey), [0, 0, 256]);
        assert_eq!(survey.address_of(7), Some("http://3"));
    }

    #[test]
    fn a_replica_that_comes_back_does_not_wait_for_itself() {
        let mut old = log(1, 1_000_000, false);
        old.owner = "o2".into();
        let survey = Survey { logs: vec![old, log(2, 100, false)], shards: vec![(0, 1), (1, 1)] };
        let plan = survey.plan(2, "o2", false, Micros(0));
        assert_eq!((plan.seal, plan.claim.len()), (vec![1], 256));
        let patient = survey.plan(2, "other", false, Micros(0));
        assert!(patient.seal.is_empty() && patient.claim.len() == 128, "{patient:?}");
        assert_eq!(survey.plan(2, "other", true, Micros(0)).seal, [1]);
    }

    #[test]
    fn an_id_keeps_its_shard_and_its_order() {
        let first = id_in(&[7, 9], 0);
        assert_eq!(shard_of(first), 7);
        assert_eq!(shard_of(id_in(&[7, 9], 3)), 9);
        assert!(id_in(&[0], 0) > in_shard(ExecutionId(uuid::Uuid::nil()), 255));
    }
}
