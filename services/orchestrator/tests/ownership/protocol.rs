//! The transactions of ownership, statement by statement, as `store/ownership.rs`
//! and `store/commit.rs` send them.

use super::database::{Database, Entry, Key, LOGS, SHARDS, Write};

/// The rules of the protocol. Each can be switched off, to show what it is for.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Sealing takes the next position of the log.
    pub seal_takes_a_position: bool,
    /// Who seals renews its own log first, in the same transaction.
    pub sealer_renews: bool,
    /// Who claims renews its own log first, in the same transaction.
    pub claimer_renews: bool,
    /// A number is never given to a second log.
    pub numbers_are_new: bool,
    /// A caller is answered after the commit.
    pub answer_after_commit: bool,
}

impl Rules {
    /// What the code does.
    pub const SHIPPED: Self = Self {
        seal_takes_a_position: true,
        sealer_renews: true,
        claimer_renews: true,
        numbers_are_new: true,
        answer_after_commit: true,
    };
}

/// A transaction and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Transaction {
    pub program: Program,
    statement: u8,
    pub writes: Vec<Write>,
    /// Of a statement on several rows: what it saw when it began, and the next row.
    cursor: Option<(Box<Database>, u8)>,
    /// COMMIT is on its way: it may happen whether anybody waits for it or not.
    pub committing: bool,
}

/// What a transaction is for. `me` is the log of whoever runs it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Program {
    Begin {
        number: u8,
    },
    Seal {
        me: u8,
        dead: u8,
        last: u8,
    },
    /// The shards, as bits.
    Claim {
        me: u8,
        shards: u8,
        got: u8,
    },
    Release {
        me: u8,
        shard: u8,
    },
    Turn {
        me: u8,
        at: u8,
        shard: u8,
        version: u8,
    },
    Forget {
        log: u8,
    },
}

/// What became of a step.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Goes,
    /// Somebody else's transaction has the row.
    Waits,
    /// The transaction is over; nothing of it is stored.
    Fails(Failure),
    /// Only COMMIT is left.
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Try again some time.
    Later,
    /// The own log is sealed: begin a new one.
    Fenced,
}

impl Transaction {
    pub fn new(program: Program) -> Self {
        Self { program, statement: 0, writes: Vec::new(), cursor: None, committing: false }
    }

    /// Sends the next statement, or goes on with the next row of one.
    pub fn step(&mut self, db: &Database, others: &[Key], rules: Rules) -> Step {
        let place = Place { db, others, rules };
        let step = match self.program.clone() {
            Program::Begin { .. } => self.begin(&place),
            Program::Seal { me, dead, last } => self.seal(&place, me, dead, last),
            Program::Claim { me, shards, .. } => self.claim(&place, me, shards),
            Program::Release { me, shard } => self.release(&place, me, shard),
            Program::Turn { me, at, shard, version } => {
                self.insert(&place, me, at, Entry::Turn { shard, version }, Failure::Fenced)
            }
            Program::Forget { log } => self.forget(&place, log),
        };
        if step == Step::Goes && self.cursor.is_none() {
            self.statement += 1;
        }
        step
    }

    /// INSERT INTO logs SELECT MAX(log) + 1
    fn begin(&mut self, place: &Place<'_>) -> Step {
        if self.statement == 1 {
            return Step::Done;
        }
        let Program::Begin { number } = &mut self.program else { return Step::Done };
        if *number == 0 {
            let used = |log: &u8| {
                place.db.log(*log).exists
                    || (place.rules.numbers_are_new && !place.db.entries(*log).is_empty())
            };
            *number = place.db.numbers().filter(used).max().unwrap_or(0) + 1;
        }
        let number = *number;
        if usize::from(number) > LOGS {
            return Step::Fails(Failure::Later);
        }
        if place.is_locked(Key::Log(number)) {
            return Step::Waits;
        }
        if place.db.log(number).exists {
            return Step::Fails(Failure::Later);
        }
        self.writes.push(Write::InsertLog(number));
        Step::Goes
    }

    fn seal(&mut self, place: &Place<'_>, me: u8, dead: u8, last: u8) -> Step {
        match self.statement {
            0 if place.rules.sealer_renews => self.renew(place, me),
            0 => Step::Goes,
            1 => {
                let last = u8::try_from(place.db.entries(dead).len()).unwrap();
                self.program = Program::Seal { me, dead, last };
                Step::Goes
            }
            2 if place.is_locked(Key::Log(dead)) => Step::Waits,
            2 if !place.db.is_open(dead) => Step::Fails(Failure::Later),
            2 => {
                self.writes.push(Write::SealLog { log: dead, at: last + 1, heir: me });
                Step::Goes
            }
            3 if !place.rules.seal_takes_a_position => Step::Goes,
            // The index on (execution, last_fact) refuses a second seal of one number.
            3 if place.db.entries(dead).contains(&Entry::Seal) => Step::Fails(Failure::Later),
            3 => self.insert(place, dead, last + 1, Entry::Seal, Failure::Later),
            4 => self.rows(place, u8::try_from(LOGS).unwrap() + 1, |row, saw, now| {
                let heir = |db: &Database| row > 0 && db.log(row).exists && db.log(row).heir == dead;
                (heir(saw) && heir(now)).then_some(Write::SetHeir { log: row, heir: me })
            }),
            5 => self.rows(place, u8::try_from(SHARDS).unwrap(), |row, saw, now| {
                let has = |db: &Database| db.shards[usize::from(row)] == dead;
                (has(saw) && has(now)).then_some(Write::SetShard { shard: row, log: 0 })
            }),
            _ => Step::Done,
        }
    }

    fn claim(&mut self, place: &Place<'_>, me: u8, shards: u8) -> Step {
        let renews = place.rules.claimer_renews;
        match self.statement {
            0 if renews => self.renew(place, me),
            0 => Step::Goes,
            1 => {
                let step = self.rows(place, u8::try_from(SHARDS).unwrap(), |row, saw, now| {
                    let free = |db: &Database| {
                        let log = db.shards[usize::from(row)];
                        // Without the renewal, what a sealed log has is free as well.
                        log == 0 || (!renews && saw.log(log).exists && saw.log(log).sealed > 0)
                    };
                    let wanted = shards & (1 << row) != 0 && (renews || saw.is_open(me));
                    (wanted && free(saw) && free(now)).then_some(Write::SetShard { shard: row, log: me })
                });
                let got = self.writes.iter().filter_map(|write| match write {
                    Write::SetShard { shard, .. } => Some(1 << shard),
                    _ => None,
                });
                self.program = Program::Claim { me, shards, got: got.sum() };
                step
            }
            _ => Step::Done,
        }
    }

    fn release(&mut self, place: &Place<'_>, me: u8, shard: u8) -> Step {
        match self.statement {
            0 if place.is_locked(Key::Shard(shard)) => Step::Waits,
            0 => {
                if place.db.shards[usize::from(shard)] == me {
                    self.writes.push(Write::SetShard { shard, log: 0 });
                }
                Step::Goes
            }
            _ => Step::Done,
        }
    }

    fn forget(&mut self, place: &Place<'_>, log: u8) -> Step {
        match self.statement {
            0 if place.is_locked(Key::Log(log)) => Step::Waits,
            0 => {
                if place.db.log(log).sealed > 0 {
                    self.writes.push(Write::DeleteLog(log));
                }
                Step::Goes
            }
            _ => Step::Done,
        }
    }

    /// UPDATE logs SET until_us = ... WHERE log = me AND sealed = 0
    fn renew(&mut self, place: &Place<'_>, me: u8) -> Step {
        if place.is_locked(Key::Log(me)) {
            return Step::Waits;
        }
        if !place.db.is_open(me) {
            return Step::Fails(Failure::Fenced);
        }
        self.writes.push(Write::RenewLog(me));
        Step::Goes
    }

    /// An insert waits for whoever inserts the same key, then meets what they left.
    fn insert(&mut self, place: &Place<'_>, log: u8, at: u8, entry: Entry, taken: Failure) -> Step {
        if self.writes.iter().any(|w| w.key() == Key::Entry(log, at)) {
            return Step::Done;
        }
        if place.is_locked(Key::Entry(log, at)) {
            return Step::Waits;
        }
        if place.db.entries(log).len() >= usize::from(at) {
            return Step::Fails(taken);
        }
        self.writes.push(Write::InsertEntry { log, at, entry });
        Step::Goes
    }

    /// An UPDATE of several rows. It sees what was committed when it began; a row
    /// that changed since is looked at again as it is now.
    fn rows(
        &mut self,
        place: &Place<'_>,
        rows: u8,
        change: impl Fn(u8, &Database, &Database) -> Option<Write>,
    ) -> Step {
        let (saw, from) = self.cursor.take().unwrap_or_else(|| (Box::new(place.db.clone()), 0));
        for row in from..rows {
            // Only rows that fitted when the statement began are touched at all.
            let Some(write) = change(row, &saw, &saw) else { continue };
            if place.is_locked(write.key()) {
                self.cursor = Some((saw, row));
                return Step::Waits;
            }
            self.writes.extend(change(row, &saw, place.db));
            if (row + 1..rows).any(|later| change(later, &saw, &saw).is_some()) {
                self.cursor = Some((saw, row + 1));
            }
            return Step::Goes;
        }
        Step::Goes
    }
}

/// What a statement meets.
struct Place<'a> {
    db: &'a Database,
    /// What transactions of others have written.
    others: &'a [Key],
    rules: Rules,
}

impl Place<'_> {
    fn is_locked(&self, key: Key) -> bool {
        self.others.contains(&key)
    }
}
