//! The core under a hostile world: answers late, lost and doubled, peers that
//! fail, people who change their mind, and a process that dies at any moment.
//!
//! Every run is made from a seed and leaves a trace; the same seed leaves the same
//! trace. `PROBITY_SIM_SEEDS` sets how many seeds are run (2,000 by default).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use fastrand::Rng;
use probity_engine::execution::Execution;
use probity_engine::{
    CallFailure, CaseKind, CaseState, Command, Definition, Disposition, Event, Fact, Opening, Status,
    StepStatus, Turn, What,
};
use probity_types::{Micros, Role, Roles};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use support::{EVERYTHING, definition};

struct World {
    rng: Rng,
    now: Micros,
    definition: Arc<Definition>,
    execution: Execution,
    /// Everything stored, as the journal would have it.
    journal: Vec<(Micros, Fact)>,
    /// Calls under way; some of them twice.
    calls: Vec<(usize, u32, bool)>,
    alarms: Vec<Micros>,
    findings: i64,
    /// How unfriendly it is, 0 to 1.
    malice: f64,
}

fn opening() -> Opening {
    Opening {
        name: "cases/case_1".into(),
        what: What::Case {
            kind: CaseKind::Payment,
            subject: "simulated".into(),
            documents: vec!["documents/a".into()],
        },
        input: Value::Null,
        priority: 2,
        owner: "users/sam".into(),
        owner_roles: Roles::new([Role::Submitter]),
        parent: None,
    }
}

impl World {
    fn new(seed: u64, definition: &Arc<Definition>) -> Self {
        let mut rng = Rng::with_seed(seed);
        let now = Micros(1_700_000_000_000_000);
        let (execution, turn) = Execution::open(definition.clone(), opening(), now);
        let (findings, malice) = (rng.i64(0..9) - 2, rng.f64() * 0.6);
        let mut world = Self {
            rng,
            now,
            definition: definition.clone(),
            execution,
            journal: Vec::new(),
            calls: Vec::new(),
            alarms: Vec::new(),
            findings: findings.max(0),
            malice,
        };
        world.settle(turn);
        world
    }

    /// Stores the facts, then carries out the commands: the order of the server.
    fn settle(&mut self, turn: Turn) {
        for fact in turn.facts {
            self.check_fact(&fact);
            self.journal.push((self.now, fact));
        }
        self.carry_out(turn.commands);
        self.check_state();
    }

    fn carry_out(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::WakeAt(at) => self.alarms.push(at),
                Command::Call { step, attempt, compensation, .. } => {
                    self.calls.push((step, attempt, compensation))
                }
            }
        }
    }

    fn check_fact(&self, fact: &Fact) {
        assert!(!self.journal.iter().any(|(_, f)| matches!(f, Fact::Ended { .. })), "{fact:?} after the end");
        match fact {
            Fact::CaseMoved { from, to, .. } => {
                let last = self.journal.iter().rev().find_map(|(_, f)| match f {
                    Fact::CaseMoved { to, .. } => Some(*to),
                    _ => None,
                });
                assert_eq!(*from, last.unwrap_or(CaseState::Pending));
                assert!(from.may_become(*to), "{from} -> {to}");
            }
            Fact::StepCompleted { step, .. } => {
                let done = self
                    .journal
                    .iter()
                    .filter(|(_, f)| matches!(f, Fact::StepCompleted { step: s, .. } if s == step));
                assert_eq!(done.count(), 0, "{step} completed twice");
            }
            Fact::StepScheduled { step, attempt, .. } => {
                let before = self
                    .journal
                    .iter()
                    .filter(|(_, f)| matches!(f, Fact::StepScheduled { step: s, .. } if s == step));
                assert_eq!(before.count(), *attempt as usize - 1, "attempts of {step} have a hole");
                assert!(
                    !self.journal.iter().any(|(_, f)| matches!(f, Fact::CompensationStarted { .. })),
                    "{step} started while taking back"
                );
            }
            _ => {}
        }
    }

    /// The state is what the journal says, and everything under way is known.
    fn check_state(&self) {
        let replayed = Execution::replay(self.definition.clone(), &self.journal).expect("replays");
        assert_eq!(shape(&replayed), shape(&self.execution));
        assert_eq!(replayed.outstanding(), self.execution.outstanding());
        for command in self.execution.outstanding() {
            match command {
                Command::Call { step, attempt, compensation, .. } => {
                    assert!(self.calls.contains(&(step, attempt, compensation)), "a call nobody makes");
                }
                Command::WakeAt(at) => assert!(self.alarms.contains(&at), "an alarm nobody set"),
            }
        }
        assert_eq!(self.execution.is_active(), !self.execution.outstanding().is_empty());
        for (index, step) in self.execution.steps.iter().enumerate() {
            let started = !matches!(step.status, StepStatus::Blocked);
            let ready = self.definition.steps[index]
                .needs
                .iter()
                .all(|n| self.execution.steps[*n].status.is_done() || self.execution.steps[*n].attempts > 0);
            assert!(!started || ready, "{} started before its needs", self.definition.steps[index].id);
        }
    }

    fn answer(&mut self, step: usize) -> Value {
        match self.definition.steps[step].id.as_str() {
            "documents" => json!({"acceptable": self.rng.f64() > 0.1, "reason": "x"}),
            "triage" => json!({"band": "BAND_HAM", "explanation": "e", "probability": 0.1}),
            "investigate" => json!({"finding_count": self.findings, "summary": "s", "findings": []}),
            _ => json!({"name": "cases/case_1/actions/act_1"}),
        }
    }

    fn call_ends(&mut self) -> Option<Event> {
        if self.calls.is_empty() {
            return None;
        }
        let at = self.rng.usize(0..self.calls.len());
        let (step, attempt, compensation) = self.calls[at];
        // A doubled answer leaves the call in place.
        if self.rng.f64() > self.malice * 0.3 {
            self.calls.swap_remove(at);
        }
        let dice = self.rng.f64();
        let result = if dice > self.malice {
            Ok(self.answer(step))
        } else {
            let retry_after = self.rng.bool().then(|| Duration::from_millis(300));
            Err(CallFailure {
                code: "X".into(),
                message: "no".into(),
                transient: dice < self.malice * 0.9,
                retry_after,
            })
        };
        Some(Event::CallEnded { step, item: None, attempt, compensation, result })
    }

    fn time_passes(&mut self) -> Option<Event> {
        let next = self.alarms.iter().min().copied()?;
        self.alarms.retain(|at| *at != next);
        self.now = Micros(self.now.0.max(next.0) + self.rng.i64(0..1_000));
        Some(Event::Woken)
    }

    fn person(&mut self) -> Option<Event> {
        let actor = format!("users/{}", self.rng.u8(0..3));
        let step = self.definition.steps[self.rng.usize(0..self.definition.steps.len())].id.clone();
        Some(match self.rng.u8(0..12) {
            0 => Event::Cancel { actor, reason: "mistake".into() },
            1..3 => Event::SkipStep { actor, step, reason: "not needed".into() },
            3..6 => Event::RetryStep { actor, step },
            _ => Event::Decide { actor, disposition: Disposition::Confirmed, note: "seen".into() },
        })
    }

    /// The process dies and starts again: what it knew is read back; calls under
    /// way may still answer, or never.
    fn crash(&mut self) {
        self.execution = Execution::replay(self.definition.clone(), &self.journal).expect("replays");
        if self.rng.bool() {
            self.calls.clear();
        }
        self.alarms.clear();
        self.carry_out(self.execution.outstanding());
        self.check_state();
    }

    /// One thing happens; the commit of what it led to may be lost with the process.
    fn step(&mut self) {
        self.now = Micros(self.now.0 + self.rng.i64(0..2_000));
        let event = match self.rng.u8(0..10) {
            0..6 => self.call_ends(),
            6..8 => self.time_passes(),
            _ => self.person(),
        };
        let Some(event) = event else { return };
        let random = self.rng.f64();
        let before = shape(&self.execution);
        match self.execution.take(event.clone(), self.now, random) {
            Ok(_) if self.rng.f64() < self.malice * 0.2 => {
                // Killed before the commit: nobody heard of it. The answer may come again.
                if let Event::CallEnded { step, attempt, compensation, .. } = event {
                    self.calls.push((step, attempt, compensation));
                }
                self.crash();
            }
            Ok(turn) => self.settle(turn),
            Err(_) => assert_eq!(before, shape(&self.execution), "a refusal changed something"),
        }
        if self.rng.f64() < self.malice * 0.05 {
            self.crash();
        }
    }

    /// From here on everything works and people are there: it must end.
    fn finish(&mut self) {
        self.malice = 0.0;
        for _ in 0..200 {
            let event = match self.execution.status() {
                Status::Ended(_) => return,
                Status::Incident => {
                    let stuck = self
                        .execution
                        .steps
                        .iter()
                        .position(|s| s.status == StepStatus::Incident)
                        .expect("stuck");
                    let step = self.definition.steps[stuck].id.clone();
                    Some(Event::RetryStep { actor: "users/otto".into(), step })
                }
                Status::Waiting if self.calls.is_empty() && self.alarms.is_empty() => {
                    let actor = format!("users/{}", self.rng.u8(10..20));
                    Some(Event::Decide { actor, disposition: Disposition::Confirmed, note: String::new() })
                }
                _ => self.call_ends().or_else(|| self.time_passes()),
            };
            let event =
                event.unwrap_or_else(|| panic!("nothing is under way in {:?}", self.execution.status()));
            if let Ok(turn) = self.execution.take(event, self.now, 0.5) {
                self.settle(turn);
            }
        }
        panic!("it does not end: {:?}", self.execution.steps.iter().map(|s| s.status).collect::<Vec<_>>());
    }

    /// Everything taken back that was done, when it was taken back.
    fn check_end(&self) {
        assert!(self.execution.state.is_final());
        let mut scheduled: HashMap<&str, i32> = HashMap::new();
        for (_, fact) in &self.journal {
            match fact {
                Fact::StepScheduled { step, .. } => *scheduled.entry(step).or_default() = 1,
                Fact::CompensationCompleted { step } => *scheduled.entry(step).or_default() = 0,
                _ => {}
            }
        }
        if self.execution.taking_back.is_some() {
            for (index, step) in self.definition.steps.iter().enumerate() {
                let skipped = self.execution.steps[index].status == StepStatus::Skipped;
                if step.compensate.is_some() && !skipped {
                    assert_ne!(scheduled.get(step.id.as_str()), Some(&1), "{} was not taken back", step.id);
                }
            }
        }
    }
}

/// What can be seen of an execution.
fn shape(execution: &Execution) -> String {
    let steps: Vec<_> = execution
        .steps
        .iter()
        .map(|s| {
            (
                s.status,
                s.attempts,
                s.round,
                s.back_attempts,
                s.output.clone(),
                s.votes.clone(),
                s.started,
                s.ended,
            )
        })
        .collect();
    let verdict = (&execution.verdict, &execution.taking_back, &execution.ended);
    format!("{:?} {} {steps:?} {verdict:?}", execution.state, execution.sequence)
}

fn run(seed: u64, definition: &Arc<Definition>) -> (CaseState, String) {
    let mut world = World::new(seed, definition);
    for _ in 0..60 {
        if world.execution.ended.is_some() {
            break;
        }
        world.step();
    }
    world.finish();
    world.check_end();
    (world.execution.state, format!("{:?}", world.journal))
}

#[test]
fn no_seed_breaks_an_invariant() {
    let seeds = std::env::var("PROBITY_SIM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000);
    let definition = definition(EVERYTHING);
    let mut ends: HashMap<&str, u32> = HashMap::new();
    for seed in 0..seeds {
        let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(seed, &definition)))
            .unwrap_or_else(|_| panic!("seed {seed}"));
        *ends.entry(end.0.as_str()).or_default() += 1;
    }
    println!("{seeds} seeds: {ends:?}");
    for state in ["resolved", "failed", "cancelled"] {
        assert!(ends.contains_key(state), "no run ended {state}: the world is too narrow");
    }
}

#[test]
fn the_same_seed_leaves_the_same_trace() {
    let definition = definition(EVERYTHING);
    for seed in [1, 7, 42] {
        assert_eq!(run(seed, &definition), run(seed, &definition));
    }
}
