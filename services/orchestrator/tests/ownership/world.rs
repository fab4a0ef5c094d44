//! Replicas around one database, and everything that may happen next.
//!
//! Time does not occur: a replica may take any other for dead at any moment, and
//! any of them may stand still between two statements for as long as it likes.
//! That covers every pause, every wrong clock and every lease that ran out.

use super::database::{Database, Key, SHARDS};
use super::protocol::{Failure, Program, Rules, Step, Transaction};

/// What the run of the model is bounded by.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub replicas: usize,
    /// Logs that can be begun.
    pub logs: u8,
    /// Turns of each shard.
    pub turns: u8,
    /// Times a replica loses its memory: a crash, or a commit of unknown outcome.
    pub losses: u8,
    /// Shards let go.
    pub releases: u8,
}

/// A replica: its process and its connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Replica {
    /// The log it writes; 0 when it has to begin one.
    pub log: u8,
    /// The last position it knows to be stored.
    after: u8,
    /// The shards it takes for its own, and their executions as it remembers them.
    pub memory: [Option<u8>; SHARDS],
    /// Shards it has claimed and not read back.
    unread: u8,
    pub transaction: Option<Transaction>,
}

/// Everything at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct World {
    pub db: Database,
    pub replicas: Vec<Replica>,
    /// Commits on their way whose senders do not wait any more.
    orphans: Vec<Transaction>,
    /// Logs that were relayed to their end, as bits.
    pub relayed: u8,
    /// Turns of each shard that were answered.
    pub answered: [u8; SHARDS],
    losses: u8,
    releases: u8,
    /// A stale owner was refused at least once.
    pub refused: bool,
    /// What must never happen and did.
    pub wrong: Option<String>,
}

/// One thing that happens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// With the first statement: to wait before it is to begin later.
    Starts(usize, Program),
    /// The next statement, or the next row of one; after the last comes COMMIT.
    Goes(usize),
    /// A lock was waited for long enough, or a deadlock was found.
    GivesUp(usize),
    /// The database commits.
    Commits(usize),
    ReadsBack(usize),
    /// Crash, restart, or a connection that is lost.
    Forgets(usize),
    OrphanCommits(usize),
    OrphanAborts(usize),
}

impl World {
    pub fn new(bounds: Bounds) -> Self {
        Self { replicas: vec![Replica::default(); bounds.replicas], ..Self::default() }
    }

    /// Everything that may happen next.
    pub fn actions(&self, bounds: Bounds) -> Vec<Action> {
        let mut all = Vec::new();
        for (r, replica) in self.replicas.iter().enumerate() {
            match &replica.transaction {
                Some(t) if t.committing => all.push(Action::Commits(r)),
                Some(_) => all.extend([Action::Goes(r), Action::GivesUp(r)]),
                None if replica.unread > 0 => all.push(Action::ReadsBack(r)),
                None => all.extend(self.programs(replica, bounds).into_iter().map(|p| Action::Starts(r, p))),
            }
            if self.losses < bounds.losses && (replica.log > 0 || replica.transaction.is_some()) {
                all.push(Action::Forgets(r));
            }
        }
        for orphan in 0..self.orphans.len() {
            all.extend([Action::OrphanCommits(orphan), Action::OrphanAborts(orphan)]);
        }
        all
    }

    /// What an idle replica may begin.
    fn programs(&self, replica: &Replica, bounds: Bounds) -> Vec<Program> {
        let me = replica.log;
        if me == 0 {
            let room = self.begun() < bounds.logs;
            return if room { vec![Program::Begin { number: 0 }] } else { Vec::new() };
        }
        let mut all = Vec::new();
        let others = self.db.numbers().filter(|log| *log != me);
        all.extend(others.clone().filter(|l| self.db.is_open(*l)).map(|dead| Program::Seal {
            me,
            dead,
            last: 0,
        }));
        all.extend(others.filter(|log| self.is_left_to(me, *log)).map(|log| Program::Forget { log }));
        let shards = self.free();
        if shards > 0 {
            all.push(Program::Claim { me, shards, got: 0 });
        }
        for shard in 0..u8::try_from(SHARDS).unwrap() {
            let Some(version) = replica.memory[usize::from(shard)] else { continue };
            if version < bounds.turns {
                all.push(Program::Turn { me, at: replica.after + 1, shard, version: version + 1 });
            }
            if self.releases < bounds.releases {
                all.push(Program::Release { me, shard });
            }
        }
        all
    }

    /// How many logs were begun, whether their rows are still there or not.
    fn begun(&self) -> u8 {
        let known = |log: &u8| self.db.log(*log).exists || !self.db.entries(*log).is_empty();
        u8::try_from(self.db.numbers().filter(known).count()).unwrap()
    }

    fn is_left_to(&self, me: u8, log: u8) -> bool {
        let row = self.db.log(log);
        row.exists && row.sealed > 0 && row.heir == me
    }

    /// Shards whose owner is not an open log, as bits: what a survey calls free.
    pub fn free(&self) -> u8 {
        let free = |shard: &u8| !self.db.is_open(self.db.shards[usize::from(*shard)]);
        (0..u8::try_from(SHARDS).unwrap()).filter(free).map(|shard| 1 << shard).sum()
    }

    /// The world after an action; none when it cannot happen now.
    pub fn after(&self, action: &Action, rules: Rules) -> Option<Self> {
        let mut world = self.clone();
        match action {
            Action::Starts(r, program) => {
                world.start(*r, program.clone());
                return world.go(*r, rules).then_some(world);
            }
            Action::Goes(r) => return world.go(*r, rules).then_some(world),
            Action::GivesUp(r) => {
                let waits = self.clone().next_step(*r, rules).0 == Step::Waits;
                world.replicas[*r].fail(Failure::Later);
                return waits.then_some(world);
            }
            Action::Commits(r) => {
                let transaction = world.replicas[*r].transaction.take()?;
                world.commit(&transaction);
                world.settle(*r, &transaction.program, rules);
            }
            Action::ReadsBack(r) => world.read_back(*r),
            Action::Forgets(r) => {
                world.losses += 1;
                let lost = std::mem::take(&mut world.replicas[*r]);
                world.orphans.extend(lost.transaction.filter(|t| t.committing));
            }
            Action::OrphanCommits(at) => {
                let orphan = world.orphans.remove(*at);
                world.commit(&orphan);
            }
            Action::OrphanAborts(at) => drop(world.orphans.remove(*at)),
        }
        Some(world)
    }

    fn start(&mut self, r: usize, program: Program) {
        if let Program::Release { shard, .. } = program {
            self.releases += 1;
            self.replicas[r].memory[usize::from(shard)] = None;
        }
        self.replicas[r].transaction = Some(Transaction::new(program));
    }

    /// What the next statement of a replica would do, and the replica after it.
    fn next_step(mut self, r: usize, rules: Rules) -> (Step, Self) {
        let locked = self.locked_by_others(r);
        let db = self.db.clone();
        let Some(transaction) = &mut self.replicas[r].transaction else { return (Step::Waits, self) };
        let step = transaction.step(&db, &locked, rules);
        (step, self)
    }

    fn go(&mut self, r: usize, rules: Rules) -> bool {
        let (step, next) = self.clone().next_step(r, rules);
        *self = next;
        match step {
            Step::Goes => {
                self.send_commit(r, rules);
                true
            }
            Step::Fails(failure) => {
                let stale = self.replicas[r].fail(failure);
                self.refused |= stale;
                true
            }
            Step::Waits | Step::Done => false,
        }
    }

    /// A finished transaction asks for its commit. To ask later is no other
    /// course of events: the commit itself may come as late as it likes.
    fn send_commit(&mut self, r: usize, rules: Rules) {
        if self.clone().next_step(r, rules).0 != Step::Done {
            return;
        }
        if let Some(transaction) = &mut self.replicas[r].transaction {
            transaction.committing = true;
        }
        if !rules.answer_after_commit {
            self.answer(r);
        }
    }

    fn locked_by_others(&self, r: usize) -> Vec<Key> {
        let others = self.replicas.iter().enumerate().filter(|(other, _)| *other != r);
        let others = others.filter_map(|(_, replica)| replica.transaction.as_ref());
        others.chain(&self.orphans).flat_map(|t| t.writes.iter().map(|w| w.key())).collect()
    }

    fn commit(&mut self, transaction: &Transaction) {
        if let Err(why) = self.db.apply(&transaction.writes) {
            self.wrong.get_or_insert(why);
        }
        if let Program::Forget { log } = transaction.program {
            self.relayed |= 1 << log;
        }
    }

    /// A replica hears that its commit is stored.
    fn settle(&mut self, r: usize, program: &Program, rules: Rules) {
        let replica = &mut self.replicas[r];
        match *program {
            Program::Begin { number } => *replica = Replica { log: number, ..Replica::default() },
            Program::Claim { got, .. } => replica.unread = got,
            Program::Turn { at, shard, version, .. } => {
                replica.after = at;
                replica.memory[usize::from(shard)] = Some(version);
                if rules.answer_after_commit {
                    self.told(shard, version);
                }
            }
            Program::Seal { .. } | Program::Release { .. } | Program::Forget { .. } => {}
        }
    }

    fn answer(&mut self, r: usize) {
        if let Some(Program::Turn { shard, version, .. }) =
            self.replicas[r].transaction.as_ref().map(|t| t.program.clone())
        {
            self.told(shard, version);
        }
    }

    fn told(&mut self, shard: u8, version: u8) {
        let answered = &mut self.answered[usize::from(shard)];
        *answered = version.max(*answered);
    }

    fn read_back(&mut self, r: usize) {
        let unread = std::mem::take(&mut self.replicas[r].unread);
        for shard in (0..u8::try_from(SHARDS).unwrap()).filter(|s| unread & (1 << s) != 0) {
            self.replicas[r].memory[usize::from(shard)] = Some(self.db.version(shard));
        }
    }

    /// An answered turn that is neither stored nor on its way is lost.
    fn lost(&self) -> Option<String> {
        let lost = |shard: &usize| {
            let on_its_way =
                self.orphans.iter().chain(self.replicas.iter().filter_map(|r| r.transaction.as_ref()));
            self.db.version(u8::try_from(*shard).unwrap()) < self.answered[*shard]
                && !on_its_way.into_iter().any(|t| t.committing)
        };
        (0..SHARDS).find(lost).map(|shard| format!("an answered turn of shard {shard} is lost"))
    }

    /// What is wrong with this moment.
    pub fn problem(&self) -> Option<String> {
        self.wrong.clone().or_else(|| self.lost())
    }

    /// The same moment after everybody but one replica is gone for good.
    pub fn left_to(&self, survivor: usize) -> Self {
        let mut world = self.clone();
        world.orphans.clear();
        world.losses = 0;
        world.replicas = vec![world.replicas[survivor].clone()];
        world
    }
}

impl Replica {
    /// The transaction failed; whoever is fenced, or cannot know what is stored,
    /// begins again. Answers whether a stale write was refused.
    fn fail(&mut self, failure: Failure) -> bool {
        let program = self.transaction.take().map(|t| t.program);
        let goes_on = matches!(program, Some(Program::Seal { .. } | Program::Forget { .. }));
        if failure == Failure::Later && goes_on {
            return false;
        }
        *self = Self::default();
        failure == Failure::Fenced && matches!(program, Some(Program::Turn { .. }))
    }
}
