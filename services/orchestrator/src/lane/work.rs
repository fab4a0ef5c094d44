//! One batch in the making: turns, and who waits for them.

use super::{Live, Reply};
use crate::convert;
use crate::domain::audit::StoredTurn;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::store::{Batch, Opened, Opening};
use probity_engine::{Command, Fact, Refusal};
use probity_proto::orchestrator::Case;
use probity_storage::idempotency::Scope;
use probity_types::Micros;
use probity_types::id::CaseId;
use std::collections::{HashMap, HashSet};

#[derive(Default)]
pub(super) struct Work {
    /// Extends the lease even when there is nothing else to store.
    pub(super) renew: bool,
    opens: Vec<(Opening, Reply)>,
    turns: Vec<StoredTurn>,
    commands: Vec<(CaseId, Vec<Command>)>,
    /// The cases that changed, in order, each once.
    changed: Vec<CaseId>,
    seen: HashSet<CaseId>,
    answers: Vec<(CaseId, Reply)>,
    refusals: Vec<(Reply, Refusal)>,
    /// The changed cases as they will be read.
    cases: HashMap<CaseId, Case>,
}

/// What a committed batch leaves to do.
pub(super) struct Settled {
    /// Turns stored.
    pub(super) turns: i64,
    /// Cases that were opened before and are not opened again.
    pub(super) left_out: HashSet<CaseId>,
    pub(super) changed: Vec<CaseId>,
}

impl Work {
    pub(super) fn open(&mut self, case: CaseId, scope: Option<Scope>, reply: Reply) {
        self.opens.push((Opening { case, scope }, reply));
    }

    pub(super) fn add(&mut self, case: CaseId, turn: StoredTurn, commands: Vec<Command>) {
        // An alarm may have to be set anew although nothing was decided.
        if !commands.is_empty() {
            self.commands.push((case, commands));
        }
        if turn.facts.is_empty() {
            return;
        }
        self.turns.push(turn);
        if self.seen.insert(case) {
            self.changed.push(case);
        }
    }

    pub(super) fn answer(&mut self, case: CaseId, reply: Reply) {
        self.answers.push((case, reply));
    }

    pub(super) fn refuse(&mut self, reply: Option<Reply>, refusal: Refusal) {
        self.refusals.extend(reply.map(|reply| (reply, refusal)));
    }

    pub(super) fn len(&self) -> usize {
        self.turns.len() + self.refusals.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0 && self.commands.is_empty() && !self.renew
    }

    /// What to store. The cases are read off the executions as they are now.
    pub(super) fn batch(&mut self, live: &HashMap<CaseId, Live>, now: Micros) -> Batch {
        let mut cases = Vec::with_capacity(self.changed.len());
        for id in &self.changed {
            if let Some(live) = live.get(id) {
                let case = convert::case(&live.execution, live.created, now);
                cases.push((*id, live.tenant.clone(), case.clone(), live.execution.is_active()));
                self.cases.insert(*id, case);
            }
        }
        Batch {
            opens: self.opens.iter().map(|(opening, _)| opening.clone()).collect(),
            turns: self.turns.clone(),
            cases,
        }
    }

    pub(super) fn commands(&mut self) -> Vec<(CaseId, Vec<Command>)> {
        std::mem::take(&mut self.commands)
    }

    /// Nobody knows what became of the batch: everybody is told to ask again.
    pub(super) fn fail(self, error: &Error) {
        let why = error.to_string();
        let opens = self.opens.into_iter().map(|(_, reply)| reply);
        let answers = self.answers.into_iter().map(|(_, reply)| reply);
        let refused = self.refusals.into_iter().map(|(reply, _)| reply);
        for reply in opens.chain(answers).chain(refused) {
            let _ = reply.send(Err(Error::Away(why.clone())));
        }
    }

    /// The batch is stored: answers everybody.
    pub(super) fn settle(mut self, opened: Vec<Opened>, metrics: &Metrics) -> Settled {
        let mut left_out = HashSet::new();
        for ((opening, reply), outcome) in self.opens.into_iter().zip(opened) {
            let answer = match outcome {
                Opened::New => self
                    .cases
                    .get(&opening.case)
                    .cloned()
                    .ok_or_else(|| Error::NoCase(opening.case.to_string())),
                Opened::Before(case) => {
                    left_out.insert(opening.case);
                    Ok(*case)
                }
                Opened::KeyReused(error) => {
                    left_out.insert(opening.case);
                    Err(error.into())
                }
            };
            let _ = reply.send(answer);
        }
        for (case, reply) in self.answers {
            let answer = self.cases.get(&case).cloned().ok_or_else(|| Error::NoCase(case.to_string()));
            let _ = reply.send(answer);
        }
        for (reply, refusal) in self.refusals {
            let _ = reply.send(Err(refusal.into()));
        }
        self.turns.retain(|turn| !left_out.contains(&CaseId(turn.case)));
        self.changed.retain(|case| !left_out.contains(case));
        count(&self.turns, metrics);
        let turns = i64::try_from(self.turns.len()).unwrap_or(i64::MAX);
        Settled { turns, left_out, changed: self.changed }
    }
}

fn count(turns: &[StoredTurn], metrics: &Metrics) {
    for fact in turns.iter().flat_map(|t| &t.facts) {
        match fact {
            Fact::CaseMoved { to, .. } => metrics.transitions.with_label_values(&[to.as_str()]).inc(),
            Fact::CaseOpened { kind, .. } => metrics.opened.with_label_values(&[kind.as_str()]).inc(),
            Fact::IncidentOpened { .. } => metrics.incidents.inc(),
            _ => {}
        }
    }
}
