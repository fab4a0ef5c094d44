//! PostgreSQL under READ COMMITTED, as far as ownership needs it: what a statement
//! sees, which rows it locks, and what it waits for.

/// Most logs a run of the model can number.
pub const LOGS: usize = 5;
/// Shards of the model.
pub const SHARDS: usize = 2;

/// A row of `logs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct LogRow {
    pub exists: bool,
    /// Where it was sealed; 0 when it is open.
    pub sealed: u8,
    pub heir: u8,
}

/// A row of `journal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Entry {
    /// A turn of the execution of a shard, and which one it is.
    Turn { shard: u8, version: u8 },
    /// The position a sealer took.
    #[default]
    Seal,
}

/// The rows of one log, by position from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Entries {
    rows: [Entry; 2 * SHARDS + 1],
    count: u8,
}

impl Entries {
    fn rows(&self) -> &[Entry] {
        &self.rows[..usize::from(self.count)]
    }

    fn push(&mut self, entry: Entry) {
        self.rows[usize::from(self.count)] = entry;
        self.count += 1;
    }
}

/// What is committed. Logs are numbered from 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Database {
    pub logs: [LogRow; LOGS + 1],
    /// By log.
    pub journal: [Entries; LOGS + 1],
    /// Which log has which shard.
    pub shards: [u8; SHARDS],
}

/// What a transaction has written, and so locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Write {
    InsertLog(u8),
    /// Changes nothing and locks the row: a renewed lease.
    RenewLog(u8),
    SealLog {
        log: u8,
        at: u8,
        heir: u8,
    },
    SetHeir {
        log: u8,
        heir: u8,
    },
    DeleteLog(u8),
    InsertEntry {
        log: u8,
        at: u8,
        entry: Entry,
    },
    SetShard {
        shard: u8,
        log: u8,
    },
}

/// A row, or a key nobody has yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Log(u8),
    Entry(u8, u8),
    Shard(u8),
}

impl Write {
    pub const fn key(self) -> Key {
        match self {
            Self::InsertLog(log) | Self::RenewLog(log) | Self::DeleteLog(log) => Key::Log(log),
            Self::SealLog { log, .. } | Self::SetHeir { log, .. } => Key::Log(log),
            Self::InsertEntry { log, at, .. } => Key::Entry(log, at),
            Self::SetShard { shard, .. } => Key::Shard(shard),
        }
    }
}

impl Database {
    pub fn log(&self, log: u8) -> &LogRow {
        &self.logs[usize::from(log)]
    }

    pub fn entries(&self, log: u8) -> &[Entry] {
        self.journal[usize::from(log)].rows()
    }

    /// True when the log can still be written.
    pub fn is_open(&self, log: u8) -> bool {
        log > 0 && self.log(log).exists && self.log(log).sealed == 0
    }

    pub fn numbers(&self) -> std::ops::RangeInclusive<u8> {
        1..=u8::try_from(LOGS).unwrap()
    }

    /// How many turns of a shard are committed.
    pub fn version(&self, shard: u8) -> u8 {
        let all = self.journal.iter().flat_map(Entries::rows);
        let turns = all.filter(|e| matches!(e, Entry::Turn { shard: s, .. } if *s == shard));
        u8::try_from(turns.count()).unwrap()
    }

    /// Commits a transaction; answers what must never happen and did.
    pub fn apply(&mut self, writes: &[Write]) -> Result<(), String> {
        for write in writes {
            match *write {
                Write::InsertLog(log) => {
                    self.logs[usize::from(log)] = LogRow { exists: true, sealed: 0, heir: 0 };
                }
                Write::RenewLog(_) => {}
                Write::SealLog { log, at, heir } => {
                    let row = &mut self.logs[usize::from(log)];
                    (row.sealed, row.heir) = (at, heir);
                }
                Write::SetHeir { log, heir } => self.logs[usize::from(log)].heir = heir,
                Write::DeleteLog(log) => self.logs[usize::from(log)] = LogRow::default(),
                Write::InsertEntry { log, at, entry } => self.insert(log, at, entry)?,
                Write::SetShard { shard, log } => self.shards[usize::from(shard)] = log,
            }
        }
        Ok(())
    }

    fn insert(&mut self, log: u8, at: u8, entry: Entry) -> Result<(), String> {
        if usize::from(at) != self.entries(log).len() + 1 {
            return Err(format!("log {log} has a gap before {at}"));
        }
        if let Entry::Turn { shard, version } = entry {
            if self.log(log).sealed > 0 || !self.log(log).exists {
                return Err(format!("log {log} is sealed and took a turn of shard {shard}"));
            }
            if self.shards[usize::from(shard)] != log {
                let owner = self.shards[usize::from(shard)];
                return Err(format!("log {log} took a turn of shard {shard}, which log {owner} has"));
            }
            if version != self.version(shard) + 1 {
                return Err(format!(
                    "turn {version} of shard {shard} rests on a state that was not the last"
                ));
            }
        }
        self.journal[usize::from(log)].push(entry);
        Ok(())
    }
}
