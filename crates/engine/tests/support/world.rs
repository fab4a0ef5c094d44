//! A hostile world: answers late, lost and doubled, peers that fail, people and
//! signals that come when they like, a clock that jumps, and a process that dies at
//! any moment.
//!
//! The invariants are those of `check_fact`, `check_state` and `check_end`.

use fastrand::Rng;
use probity_engine::execution::{Execution, StepState};
use probity_engine::{
    CallFailure, CaseState, Command, Definition, Disposition, Event, Fact, Opening, Refusal, Status,
    StepStatus, Turn,
};
use probity_types::{Micros, Role, Roles};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// A call under way: step, item, attempt, compensation.
type Call = (usize, Option<u32>, u32, bool);

pub struct World {
    rng: Rng,
    now: Micros,
    definition: Arc<Definition>,
    pub execution: Execution,
    /// Everything stored, as the journal would have it.
    pub journal: Vec<(Micros, Fact)>,
    /// Calls under way; some of them twice.
    calls: Vec<Call>,
    alarms: Vec<Micros>,
    /// Which message was sent under which key.
    sent: HashMap<String, Arc<Value>>,
    signals: u32,
    findings: i64,
    /// How unfriendly it is, 0 to 1.
    malice: f64,
}

impl World {
    pub fn new(seed: u64, definition: &Arc<Definition>, opening: Opening) -> Self {
        let mut rng = Rng::with_seed(seed);
        let now = Micros(1_700_000_000_000_000);
        let (execution, turn) = Execution::open(definition.clone(), opening, now);
        let (findings, malice) = (rng.i64(0..9) - 2, rng.f64() * 0.6);
        let mut world = Self {
            rng,
            now,
            definition: definition.clone(),
            execution,
            journal: Vec::new(),
            calls: Vec::new(),
            alarms: Vec::new(),
            sent: HashMap::new(),
            signals: 0,
            findings: findings.max(0),
            malice,
        };
        world.settle(turn);
        world
    }

    /// Lives through `steps` events, then lets everything come to an end.
    pub fn live(&mut self, steps: u32) {
        for _ in 0..steps {
            if self.execution.ended.is_some() && self.rng.f64() > 0.3 {
                break;
            }
            self.step();
        }
        self.finish();
        self.check_end();
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
                Command::CancelChild { step, item, .. } => {
                    // The child ends, and says so to whom it may concern.
                    if let Some(attempt) = self.slot(step, item).map(|s| s.attempts) {
                        self.calls.push((step, item, attempt, false));
                    }
                }
                Command::Call { step, item, attempt, compensation, input, key } => {
                    let before = self.sent.entry(key.clone()).or_insert_with(|| input.clone());
                    assert_eq!(**before, *input, "another message under the key {key}");
                    self.calls.push((step, item, attempt, compensation));
                }
            }
        }
    }

    fn slot(&self, step: usize, item: Option<u32>) -> Option<&StepState> {
        let step = self.execution.steps.get(step)?;
        item.map_or(Some(step), |item| step.items.as_ref()?.states.get(item as usize))
    }

    fn check_fact(&self, fact: &Fact) {
        let facts = || self.journal.iter().map(|(_, fact)| fact);
        let last_rerun = self.journal.iter().rposition(|(_, f)| matches!(f, Fact::Rerun { .. }));
        let since_rerun = || facts().skip(last_rerun.map_or(0, |at| at + 1));
        if !matches!(fact, Fact::Rerun { .. }) {
            let ended = since_rerun().any(|f| matches!(f, Fact::Ended { .. }));
            assert!(!ended, "{fact:?} after the end");
        }
        let of_same = |f: &Fact| f.step() == fact.step() && f.item() == fact.item();
        match fact {
            Fact::CaseMoved { from, to, .. } => {
                let last = facts().rev().find_map(|f| match f {
                    Fact::CaseMoved { to, .. } => Some(*to),
                    _ => None,
                });
                assert_eq!(*from, last.unwrap_or(CaseState::Pending));
                assert!(from.may_become(*to), "{from} -> {to}");
            }
            Fact::StepCompleted { step, .. } | Fact::StepCollected { step } => {
                let again = since_rerun()
                    .any(|f| std::mem::discriminant(f) == std::mem::discriminant(fact) && of_same(f));
                assert!(!again, "{step} completed twice");
            }
            Fact::StepScheduled { step, attempt, .. } => {
                let scheduled = |f: &&Fact| matches!(f, Fact::StepScheduled { .. }) && of_same(f);
                let before = facts().filter(scheduled).filter_map(Fact::attempt).max().unwrap_or(0);
                // The items of a list that is run again begin above every item before.
                assert!(*attempt > before, "attempt {attempt} of {step} after {before}");
                let back = since_rerun().any(|f| matches!(f, Fact::CompensationStarted { .. }));
                assert!(!back, "{step} started while taking back");
                let paused = facts().rfind(|f| {
                    matches!(f, Fact::Paused { .. } | Fact::Resumed { .. } | Fact::CompensationStarted { .. })
                });
                assert!(!matches!(paused, Some(Fact::Paused { .. })), "{step} started while paused");
                let place = facts().rfind(|f| matches!(f, Fact::Queued { .. } | Fact::Admitted {}));
                assert!(!matches!(place, Some(Fact::Queued { .. })), "{step} started without a place");
            }
            Fact::SignalReceived { id, .. } => {
                let twice = facts().any(|f| matches!(f, Fact::SignalReceived { id: i, .. } if i == id));
                assert!(!twice, "the signal {id} counts twice");
            }
            _ => {}
        }
    }

    /// The state is what the journal says, and everything under way is known.
    fn check_state(&self) {
        self.check_needs();
        self.check_items();
        // Reading everything back is most of the time of a life.
        if self.journal.len().is_multiple_of(3) || self.execution.ended.is_some() {
            self.check_replay();
        }
    }

    fn check_replay(&self) {
        let replayed = Execution::replay(self.definition.clone(), &self.journal).expect("replays");
        assert_eq!(shape(&replayed), shape(&self.execution));
        assert_eq!(replayed.outstanding(), self.execution.outstanding());
        let mut under_way = false;
        for command in self.execution.outstanding() {
            match command {
                Command::Call { step, item, attempt, compensation, .. } => {
                    under_way = true;
                    let made = self.calls.contains(&(step, item, attempt, compensation));
                    assert!(made, "a call nobody makes: {step} {item:?} {attempt} {compensation}");
                }
                Command::WakeAt(at) => {
                    under_way = true;
                    assert!(self.alarms.contains(&at), "an alarm nobody set");
                }
                Command::CancelChild { .. } => {}
            }
        }
        assert_eq!(self.execution.is_active(), under_way);
    }

    /// The counts of the items are right, and no more are called than may be.
    fn check_items(&self) {
        for (step, state) in self.execution.steps.iter().enumerate() {
            let Some(items) = &state.items else { continue };
            let most = self.definition.steps[step].each.as_ref().map_or(0, |each| each.concurrency);
            // What people retry comes on top.
            let retried = self
                .journal
                .iter()
                .any(|(_, f)| matches!(f, Fact::IncidentRetried { .. } | Fact::InputEdited { .. }));
            assert!(items.calling + items.backing_off <= most || retried, "more than {most} items at a time");
            let count = |wanted: fn(StepStatus) -> bool| {
                u32::try_from(items.states.iter().filter(|s| wanted(s.status)).count()).unwrap()
            };
            assert_eq!(items.calling, count(|s| s == StepStatus::Running));
            assert_eq!(items.done, count(StepStatus::is_done));
            assert_eq!(u32::try_from(items.incidents.len()).unwrap(), count(|s| s == StepStatus::Incident));
        }
    }

    fn check_needs(&self) {
        for (index, step) in self.execution.steps.iter().enumerate() {
            let started = !matches!(step.status, StepStatus::Blocked | StepStatus::Skipped);
            let ready = self.definition.steps[index].needs.iter().all(|n| {
                let before = &self.execution.steps[*n];
                before.status.is_done() || before.started.is_some() || before.output.is_some()
            });
            assert!(!started || ready, "{} started before its needs", self.definition.steps[index].id);
        }
    }

    fn answer(&mut self, step: usize) -> Value {
        match self.definition.steps[step].id.as_str() {
            "documents" => json!({"acceptable": self.rng.f64() > 0.1, "reason": "x"}),
            "triage" => json!({"band": "BAND_HAM", "explanation": "e", "probability": 0.1}),
            "investigate" => json!({"finding_count": self.findings, "summary": "s", "findings": []}),
            "look" => json!({"score": if self.rng.f64() < self.malice * 0.2 { -1 } else { 1 }}),
            _ => json!({"name": "cases/case_1/actions/act_1"}),
        }
    }

    fn call_ends(&mut self) -> Option<Event> {
        if self.calls.is_empty() {
            return None;
        }
        let at = self.rng.usize(0..self.calls.len());
        let (step, item, attempt, compensation) = self.calls[at];
        // A doubled answer leaves the call in place.
        if self.rng.f64() > self.malice * 0.3 {
            self.calls.swap_remove(at);
        }
        let dice = self.rng.f64();
        let result = if dice > self.malice {
            Ok(self.answer(step))
        } else {
            let retry_after = self.rng.bool().then(|| Duration::from_millis(300));
            let code = if self.rng.u8(0..8) == 0 { "NEVER" } else { "X" };
            let transient = dice < self.malice * 0.9;
            Err(CallFailure { code: code.into(), message: "no".into(), transient, retry_after })
        };
        Some(Event::CallEnded { step, item, attempt, compensation, result })
    }

    fn time_passes(&mut self) -> Option<Event> {
        let next = self.alarms.iter().min().copied()?;
        let at = self.alarms.iter().position(|at| *at == next)?;
        self.alarms.swap_remove(at);
        self.now = Micros(self.now.0.max(next.0) + self.rng.i64(0..1_000));
        Some(Event::Woken)
    }

    fn signal(&mut self) -> Event {
        // Now and then one that was sent already.
        if self.rng.u8(0..4) == 0 {
            self.signals = self.signals.saturating_sub(1);
        }
        self.new_signal()
    }

    fn person(&mut self) -> Event {
        let actor = format!("users/{}", self.rng.u8(0..3));
        let roles = Roles::new(self.rng.bool().then_some(Role::Officer));
        let mut step = self.definition.steps[self.rng.usize(0..self.definition.steps.len())].id.clone();
        if self.rng.u8(0..6) == 0 {
            step = format!("{step}[{}]", self.rng.u8(0..4));
        }
        let reason = "so it is".to_owned();
        match self.rng.u8(0..26) {
            0 => Event::Cancel { actor, reason },
            1..3 => Event::SkipStep { actor, step, reason },
            3..9 => Event::RetryStep { actor, step },
            9..11 => Event::EditInput { actor, step, input: json!({"edited": self.rng.u8(..)}) },
            11 => Event::Pause { actor, reason },
            12..15 => Event::Resume { actor },
            15 => Event::Rerun { actor, step, reason },
            16 => Event::Delegate { actor, roles, to: "users/2".into(), step },
            17..20 => self.signal(),
            _ => Event::Decide { actor, roles, disposition: Disposition::Confirmed, note: "seen".into() },
        }
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
        if self.rng.f64() < self.malice * 0.05 {
            self.now = Micros(self.now.0 + self.rng.i64(-40_000_000..40_000_000));
        }
        let event = match self.rng.u8(0..10) {
            0..4 if self.execution.is_queued() => Some(Event::Admit),
            0..6 => self.call_ends(),
            6..8 => self.time_passes(),
            _ => Some(self.person()),
        };
        let Some(event) = event else { return };
        let (random, before) = (self.rng.f64(), shape(&self.execution));
        let sent = self.sent.clone();
        match self.execution.take(event.clone(), self.now, random) {
            Ok(_) if self.rng.f64() < self.malice * 0.2 => {
                // Killed before the commit: nobody heard of it. The answer may come again.
                if let Event::CallEnded { step, item, attempt, compensation, .. } = event {
                    self.calls.push((step, item, attempt, compensation));
                }
                self.sent = sent;
                self.crash();
            }
            Ok(turn) => {
                self.settle(turn);
                self.repeat(&event);
            }
            Err(_) => assert_eq!(before, shape(&self.execution), "a refusal changed something"),
        }
        if self.rng.f64() < self.malice * 0.05 {
            self.crash();
        }
    }

    /// Somebody who lost the answer asks again: nothing happens, and no refusal.
    fn repeat(&mut self, event: &Event) {
        if matches!(event, Event::RetryStep { .. } | Event::SkipStep { .. } | Event::Signal { .. })
            && self.execution.ended.is_none()
        {
            let turn = match self.execution.take(event.clone(), self.now, 0.5) {
                Ok(turn) => turn,
                // What was retried failed at once, as an expression does.
                Err(Refusal::Paused) => return,
                Err(why) => panic!("{event:?} again: {why}"),
            };
            let again = matches!(event, Event::RetryStep { .. }) && !turn.facts.is_empty();
            assert!(turn.facts.is_empty() || again, "{event:?} happened twice: {:?}", turn.facts);
            self.settle(turn);
        }
    }

    /// From here on everything works and people are there: it must end.
    fn finish(&mut self) {
        self.malice = 0.0;
        let actor = || "users/otto".to_owned();
        for round in 0..600 {
            let event = match self.execution.status() {
                Status::Ended(_) => return,
                Status::Paused => Some(Event::Resume { actor: actor() }),
                Status::Queued => Some(Event::Admit),
                Status::Incident => Some(self.mend(round)),
                Status::Running if round % 3 == 0 && self.waits_for_signal() => Some(self.new_signal()),
                Status::Waiting if self.calls.is_empty() => Some(Event::Decide {
                    actor: format!("users/{}", self.rng.u8(10..20)),
                    roles: Roles::new([Role::Officer]),
                    disposition: Disposition::Confirmed,
                    note: String::new(),
                }),
                _ => self
                    .call_ends()
                    .or_else(|| self.time_passes())
                    .or_else(|| self.waits_for_signal().then(|| self.new_signal())),
            };
            let event =
                event.unwrap_or_else(|| panic!("nothing is under way in {:?}", self.execution.status()));
            match self.execution.take(event, self.now, 0.5) {
                Ok(turn) => self.settle(turn),
                Err(Refusal::NotAssigned { .. } | Refusal::FourEyes { .. }) => self.hand_over(),
                Err(_) => {}
            }
        }
        panic!("it does not end: {:?}", self.execution.steps.iter().map(|s| s.status).collect::<Vec<_>>());
    }

    /// Retries what waits; what no retry mends is skipped or cancelled.
    fn mend(&mut self, round: u32) -> Event {
        let actor = "users/otto".to_owned();
        let stuck =
            self.execution.steps.iter().position(|s| s.status == StepStatus::Incident).expect("stuck");
        let step = self.definition.steps[stuck].id.clone();
        let reason = "no way".to_owned();
        match round {
            0..300 => Event::RetryStep { actor, step },
            _ if self.execution.taking_back.is_none() => Event::Cancel { actor, reason },
            _ => Event::SkipStep { actor, step, reason },
        }
    }

    fn waits_for_signal(&self) -> bool {
        self.execution.steps.iter().any(|s| matches!(s.status, StepStatus::Signal(_)))
    }

    fn new_signal(&mut self) -> Event {
        self.signals += 1;
        let (id, name) = (format!("signal {}", self.signals), "go".to_owned());
        Event::Signal { actor: "users/x".into(), id, name, payload: json!({"n": self.signals}) }
    }

    /// Whoever is named lets somebody else decide.
    fn hand_over(&mut self) {
        let waiting = self.execution.steps.iter().position(|s| s.status == StepStatus::Approval);
        let Some(step) = waiting else { return };
        let asked = self.execution.steps[step].asked.as_ref().expect("asked").assignees.clone();
        let id = self.definition.steps[step].id.clone();
        for actor in asked {
            let to = format!("users/{}", self.rng.u8(10..20));
            let event = Event::Delegate { actor, roles: Roles::default(), to, step: id.clone() };
            if let Ok(turn) = self.execution.take(event, self.now, 0.5) {
                self.settle(turn);
            }
        }
    }

    /// Everything taken back that was done, when it was taken back.
    fn check_end(&self) {
        if self.execution.opening.is_case() {
            assert!(self.execution.state.is_final());
        } else {
            assert_eq!(self.execution.state, CaseState::Pending);
        }
        if self.execution.taking_back.is_none() {
            return;
        }
        let mut standing = BTreeSet::new();
        for (_, fact) in &self.journal {
            let of = fact.step().map(|step| (step.to_owned(), fact.item()));
            match (fact, of) {
                (Fact::StepScheduled { .. }, Some(of)) => drop(standing.insert(of)),
                (Fact::CompensationCompleted { .. } | Fact::StepSkipped { actor: Some(_), .. }, Some(of)) => {
                    standing.remove(&of);
                    if of.1.is_none() {
                        standing.retain(|(step, _)| *step != of.0);
                    }
                }
                (Fact::Rerun { steps, .. }, _) => standing.retain(|(step, _)| !steps.contains(step)),
                _ => {}
            }
        }
        for (step, item) in standing {
            let spec = &self.definition.steps[self.definition.index(&step).unwrap()];
            assert!(spec.compensate.is_none(), "{step} {item:?} was not taken back");
        }
    }
}

/// What can be seen of an execution.
pub fn shape(execution: &Execution) -> String {
    let steps: Vec<_> = execution.steps.iter().map(step_shape).collect();
    let ends = (&execution.verdict, &execution.taking_back, &execution.ended, &execution.paused);
    let signals: Vec<_> = execution.signals().collect();
    format!(
        "{:?} {} {steps:?} {ends:?} {:?} {signals:?} {:?}",
        execution.state, execution.sequence, execution.output, execution.line
    )
}

fn step_shape(step: &StepState) -> String {
    let items: Vec<_> = step.items.iter().flat_map(|items| &items.states).map(step_shape).collect();
    let counts =
        step.items.as_ref().map(|i| (i.next, i.calling, i.backing_off, i.done, i.bytes, &i.incidents));
    format!(
        "{:?} {} {} {} {} {:?} {:?} {:?} {:?} {:?} {counts:?} {items:?}",
        step.status,
        step.attempts,
        step.round,
        step.back_attempts,
        step.generation,
        step.output,
        step.votes,
        step.asked,
        step.started,
        step.ended
    )
}
