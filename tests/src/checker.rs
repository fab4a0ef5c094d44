//! The independent checker: reads the stores of a stopped platform and holds them
//! against what was acknowledged.
//!
//! It uses none of the engine: the legal transitions stand here a second time, so
//! that a mistake in the engine's table cannot excuse itself.

use base64::Engine as _;
use probity_storage::{Db, DbConfig, args};
use prost::Message as _;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Everything found wrong; empty when all is well.
#[derive(Debug, Default)]
pub struct Report {
    /// Executions in the journal, those of cases among them.
    pub cases: usize,
    /// Facts in the journal.
    pub facts: usize,
    /// Entries in the log.
    pub entries: usize,
    /// A line for each thing that is wrong.
    pub problems: Vec<String>,
}

/// Where the stores are.
#[derive(Debug, Clone)]
pub struct Stores {
    /// Of the orchestrator.
    pub orchestrator: String,
    /// Of the audit aggregator.
    pub audit: String,
}

impl Stores {
    /// The SQLite files under a data folder.
    #[must_use]
    pub fn sqlite(dir: &Path) -> Self {
        let file = |name: &str| format!("sqlite:{}", dir.join(name).join(format!("{name}.db")).display());
        Self { orchestrator: file("orchestrator"), audit: file("audit-aggregator") }
    }
}

/// A fact of the journal, as far as the checker needs it.
struct Fact {
    kind: String,
    body: Value,
}

/// The transition table, written down independently.
const LEGAL: [(&str, &[&str]); 7] = [
    ("pending", &["investigating", "failed", "cancelled"]),
    ("investigating", &["validating", "failed", "cancelled"]),
    ("validating", &["remediating", "resolved", "failed", "cancelled"]),
    ("remediating", &["resolved", "failed", "cancelled"]),
    ("resolved", &[]),
    ("failed", &[]),
    ("cancelled", &[]),
];
/// Facts that are bookkeeping and not in the log.
const UNAUDITED: [&str; 5] = [
    "step.scheduled",
    "step.attempt_failed",
    "timer.started",
    "compensation.scheduled",
    "compensation.attempt_failed",
];

/// Checks the stores. `acknowledged` are the names of the cases whose opening was
/// answered, by idempotency key.
pub async fn check(stores: &Stores, acknowledged: &BTreeMap<String, String>) -> Report {
    let mut report = Report::default();
    let orchestrator = open(&stores.orchestrator, "orchestrator").await;
    let audit = open(&stores.audit, "audit_aggregator").await;
    let journal = journal(&orchestrator, &mut report).await;
    check_logs(&orchestrator, &mut report).await;
    report.cases = journal.len();
    report.facts = journal.values().map(|h| h.facts.len()).sum();
    check_acknowledged(&journal, acknowledged, &mut report);
    for (name, history) in &journal {
        check_history(name, &history.facts, &mut report);
    }
    check_actions(&orchestrator, &mut report).await;
    check_log(&audit, &journal, &mut report).await;
    orchestrator.close().await;
    audit.close().await;
    report
}

async fn open(url: &str, schema: &str) -> Db {
    let config = DbConfig { url: url.to_owned(), ..DbConfig::default() };
    Db::open(&config, schema, &[]).await.expect("the store opens")
}

/// The history of one execution.
#[derive(Default)]
struct History {
    facts: Vec<Fact>,
    /// The running hash over the stored turns, as the log proves it at the end.
    chain: [u8; 32],
}

impl History {
    fn is_case(&self) -> bool {
        self.facts.first().is_some_and(|f| f.kind == "case.opened")
    }
}

/// Every execution by name, each in the order of its own facts.
async fn journal(db: &Db, report: &mut Report) -> BTreeMap<String, History> {
    use sha2::{Digest as _, Sha256};
    let sql = "SELECT execution, first_fact, facts FROM journal WHERE first_fact > 0 ORDER BY execution, first_fact";
    let mut executions: BTreeMap<Vec<u8>, History> = BTreeMap::new();
    for row in db.query(sql, args![]).await.expect("the journal is read") {
        let id = row.bytes(0).unwrap();
        let history = executions.entry(id.clone()).or_default();
        let first = usize::try_from(row.i64(1).unwrap()).unwrap();
        if first != history.facts.len() + 1 {
            report.problems.push(format!("{}: a hole or an overlap before fact {first}", hex::encode(&id)));
        }
        let text = row.text(2).unwrap();
        history.chain = Sha256::new().chain_update(history.chain).chain_update(&text).finalize().into();
        let turn: Vec<Value> = serde_json::from_str(&text).expect("facts");
        history.facts.extend(
            turn.into_iter().map(|body| Fact { kind: body["type"].as_str().unwrap().to_owned(), body }),
        );
    }
    let named = |(id, history): (Vec<u8>, History)| {
        let kind = if history.is_case() { "cases/case" } else { "executions/exec" };
        (format!("{kind}_{}", hex::encode(id)), history)
    };
    executions.into_iter().map(named).collect()
}

/// Fencing: positions have no gaps, nothing follows a seal, and a log that is not
/// open any more has one.
async fn check_logs(db: &Db, report: &mut Report) {
    let mut logs: BTreeMap<i64, Option<i64>> = BTreeMap::new();
    let sql = "SELECT log, seq, first_fact FROM journal ORDER BY log, seq";
    let mut before = (0, 0);
    for row in db.query(sql, args![]).await.expect("the journal is read") {
        let (log, seq, is_seal) = (row.i64(0).unwrap(), row.i64(1).unwrap(), row.i64(2).unwrap() == 0);
        let expected = if before.0 == log { before.1 + 1 } else { 1 };
        if seq != expected {
            report.problems.push(format!("log {log} has {seq} where {expected} should be"));
        }
        if let Some(Some(sealed)) = logs.get(&log) {
            report.problems.push(format!("log {log} was sealed at {sealed} and written to at {seq}"));
        }
        let seal = logs.entry(log).or_default();
        if is_seal {
            *seal = Some(seq);
        }
        before = (log, seq);
    }
    let open = db.query("SELECT log FROM logs WHERE sealed = 0", args![]).await.expect("logs are read");
    let open: BTreeSet<i64> = open.iter().map(|row| row.i64(0).unwrap()).collect();
    for (log, _) in logs.iter().filter(|(log, seal)| seal.is_none() && !open.contains(log)) {
        report.problems.push(format!("log {log} is given up and not sealed"));
    }
}

/// I1 and I7: every acknowledged case is there, each key has one.
fn check_acknowledged(
    journal: &BTreeMap<String, History>,
    acknowledged: &BTreeMap<String, String>,
    report: &mut Report,
) {
    for (key, name) in acknowledged {
        if !journal.contains_key(name) {
            report.problems.push(format!("{key}: {name} was acknowledged and is lost"));
        }
    }
    let distinct: BTreeSet<_> = acknowledged.values().collect();
    if distinct.len() != acknowledged.len() {
        report.problems.push("two keys have one case".to_owned());
    }
    if !acknowledged.is_empty() && journal.len() > acknowledged.len() {
        let extra = journal.len() - acknowledged.len();
        report.problems.push(format!("{extra} cases were opened that nobody heard of"));
    }
}

/// I3: legal transitions, one beginning, one end, every step done at most once.
fn check_history(case: &str, facts: &[Fact], report: &mut Report) {
    let mut problem = |what: String| report.problems.push(format!("{case}: {what}"));
    let count = |kind: &str| facts.iter().filter(|f| f.kind == kind).count();
    let begins = ["case.opened", "execution.started"];
    let begun = begins.iter().map(|kind| count(kind)).sum::<usize>();
    if facts.first().is_none_or(|f| !begins.contains(&f.kind.as_str())) || begun != 1 {
        problem("it was not opened exactly once".to_owned());
    }
    for once in ["case.decided", "execution.ended"] {
        if count(once) > 1 {
            problem(format!("{once} happened {} times", count(once)));
        }
    }
    if facts.iter().position(|f| f.kind == "execution.ended").is_some_and(|at| at + 1 != facts.len()) {
        problem("something happened after the end".to_owned());
    }
    let mut state = "pending".to_owned();
    for moved in facts.iter().filter(|f| f.kind == "case.transition") {
        let (from, to) = (moved.body["from"].as_str().unwrap(), moved.body["to"].as_str().unwrap());
        let legal = LEGAL.iter().find(|(s, _)| *s == from).is_some_and(|(_, next)| next.contains(&to));
        if from != state || !legal {
            problem(format!("illegal transition {from} -> {to} in {state}"));
        }
        to.clone_into(&mut state);
    }
    let mut done = BTreeSet::new();
    for fact in facts.iter().filter(|f| f.kind == "step.completed") {
        if !done.insert(fact.body["step"].to_string()) {
            problem(format!("step {} was done twice", fact.body["step"]));
        }
    }
}

/// I2: no action of one kind stands twice for one case.
async fn check_actions(db: &Db, report: &mut Report) {
    let sql = "SELECT case_id, type, CAST(COUNT(*) AS BIGINT) FROM actions GROUP BY case_id, type HAVING COUNT(*) > 1";
    for row in db.query(sql, args![]).await.expect("actions are read") {
        let case = hex::encode(row.bytes(0).unwrap());
        report.problems.push(format!(
            "case_{case}: action {} was taken {} times",
            row.i64(1).unwrap(),
            row.i64(2).unwrap()
        ));
    }
}

/// I4: every audited fact is in the log exactly once and nothing else of a case
/// is; indices have no holes; the tree of the leaves is the one that was signed.
async fn check_log(db: &Db, journal: &BTreeMap<String, History>, report: &mut Report) {
    let rows = db.query("SELECT idx, leaf FROM entry ORDER BY idx", args![]).await.expect("the log is read");
    report.entries = rows.len();
    let mut logged: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    let mut leaves = Vec::with_capacity(rows.len());
    for (expected, row) in (0..).zip(&rows) {
        if row.i64(0).unwrap() != expected {
            report.problems.push(format!("the log has a hole at {expected}"));
            return;
        }
        let leaf = row.bytes(1).unwrap();
        let entry = probity_proto::audit::Entry::decode(leaf.as_slice()).expect("an entry");
        if let Some(name) = execution_of(&entry) {
            check_entry(&name, &entry, journal, &mut logged, report);
        }
        leaves.push(leaf);
    }
    for (case, history) in journal {
        let facts = (1..).zip(&history.facts);
        let audited: BTreeSet<u64> =
            facts.filter(|(_, f)| is_audited(f, history.is_case())).map(|(n, _)| n).collect();
        let found = logged.remove(case).unwrap_or_default();
        if audited != found {
            let missing: Vec<_> = audited.difference(&found).collect();
            let extra: Vec<_> = found.difference(&audited).collect();
            report
                .problems
                .push(format!("{case}: missing in the log {missing:?}, not in the journal {extra:?}"));
        }
    }
    for case in logged.keys() {
        report.problems.push(format!("{case} is in the log and not in the journal"));
    }
    check_root(db, &leaves, report).await;
}

/// The execution an entry of the orchestrator speaks of.
fn execution_of(entry: &probity_proto::audit::Entry) -> Option<String> {
    if entry.service != "orchestrator" {
        return None;
    }
    let name = if entry.case.is_empty() { entry.subject.as_str() } else { entry.case.as_str() };
    let parts: Vec<_> = name.splitn(3, '/').take(2).collect();
    ["cases", "executions"].contains(parts.first()?).then(|| parts.join("/"))
}

fn check_entry(
    name: &str,
    entry: &probity_proto::audit::Entry,
    journal: &BTreeMap<String, History>,
    logged: &mut BTreeMap<String, BTreeSet<u64>>,
    report: &mut Report,
) {
    let detail: Value = serde_json::from_str(&entry.detail).unwrap_or_default();
    let Some(sequence) = detail["sequence"].as_u64() else { return };
    if !logged.entry(name.to_owned()).or_default().insert(sequence) {
        report.problems.push(format!("{name}: fact {sequence} is in the log twice"));
    }
    if entry.action == "execution.ended"
        && let Some(history) = journal.get(name)
        && detail["history_sha256"] != hex::encode(history.chain)
    {
        report.problems.push(format!("{name}: the log proves another history than the journal has"));
    }
}

/// Of an execution without a case the log has no steps, only their hash.
fn is_audited(fact: &Fact, of_case: bool) -> bool {
    let by_person = fact.body["actor"].is_string();
    let skipped = fact.kind == "step.skipped" && !by_person;
    let step = fact.kind == "step.completed" && !of_case;
    !UNAUDITED.contains(&fact.kind.as_str()) && !skipped && !step
}

/// The root of the leaves under the newest checkpoint is the one it signs.
async fn check_root(db: &Db, leaves: &[Vec<u8>], report: &mut Report) {
    let sql = "SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1";
    let Some(row) = db.query_opt(sql, args![]).await.expect("checkpoints are read") else {
        if !leaves.is_empty() {
            report.problems.push("the log has entries and no checkpoint".to_owned());
        }
        return;
    };
    let (size, note) = (row.i64(0).unwrap(), row.text(1).unwrap());
    if usize::try_from(size).unwrap() != leaves.len() {
        report.problems.push(format!("the newest checkpoint covers {size} of {} entries", leaves.len()));
        return;
    }
    let signed = note.lines().nth(2).unwrap_or_default();
    let root = base64::engine::general_purpose::STANDARD.encode(root(leaves));
    if signed != root {
        report.problems.push(format!("the checkpoint signs {signed}, the entries give {root}"));
    }
}

/// RFC 6962, section 2.1, written down independently of the log's own code.
fn root(leaves: &[Vec<u8>]) -> [u8; 32] {
    use sha2::{Digest as _, Sha256};
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => Sha256::new().chain_update([0]).chain_update(leaf).finalize().into(),
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            let (left, right) = leaves.split_at(split);
            Sha256::new()
                .chain_update([1])
                .chain_update(root(left))
                .chain_update(root(right))
                .finalize()
                .into()
        }
    }
}
