//! Living through failures and delays on a virtual clock.

use super::{Answers, BEGINNING, MOST_EVENTS, answer, ending, open, reply, trouble};
use crate::definition::Definition;
use crate::execution::{CallFailure, Command, Event, Execution, Opening, Turn};
use probity_types::Micros;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How long people and signals take, when nothing is said.
const USUAL_WAIT: Duration = Duration::from_secs(60);
/// How long a call takes, when nothing is said.
const USUAL_CALL: Duration = Duration::from_millis(100);

/// What happens in a simulation, by step.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// Answers, as for a dry run.
    pub answers: Answers,
    /// How the attempts of a step go.
    pub steps: BTreeMap<String, Scripted>,
}

/// How the attempts of a step go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scripted {
    /// How many attempts fail before one succeeds.
    pub failures: u32,
    /// Whether these failures may pass by themselves.
    pub transient: bool,
    /// Their code.
    pub code: String,
    /// How long an attempt takes.
    pub takes: Duration,
}

impl Default for Scripted {
    fn default() -> Self {
        Self { failures: 0, transient: true, code: "SCRIPTED".to_owned(), takes: USUAL_CALL }
    }
}

/// What happened when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Since the beginning.
    pub at: Duration,
    /// The type of the fact.
    pub what: &'static str,
    /// The step, with its item.
    pub step: String,
    /// In words.
    pub reason: String,
}

/// What happened from the beginning to the end.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    /// Every fact, in order.
    pub lines: Vec<Line>,
    /// How it ended: `completed`, `failed`, `cancelled`, or where it stopped.
    pub ends: String,
    /// The verdict or the output.
    pub gives: Json,
    /// Why it stopped or failed.
    pub trouble: Vec<String>,
}

/// What is to come, by time; what comes at the same time, in order of asking.
type Agenda = BTreeMap<(Micros, u64), Event>;

struct Simulation<'a> {
    script: &'a Script,
    execution: Execution,
    now: Micros,
    agenda: Agenda,
    count: u64,
    random: u64,
    lines: Vec<Line>,
    failed: BTreeMap<String, u32>,
    /// Waits of people and signals that are on the agenda already.
    expected: BTreeSet<String>,
}

/// Runs a definition on a virtual clock: attempts take as long and fail as often as
/// the script says, people and signals come after a minute. `seed` spreads the
/// waits between attempts; the same seed gives the same timeline.
#[must_use]
pub fn simulate(definition: &Arc<Definition>, opening: Opening, script: &Script, seed: u64) -> Timeline {
    let (execution, turn) = open(definition.clone(), opening);
    let mut simulation = Simulation {
        script,
        execution,
        now: BEGINNING,
        agenda: Agenda::new(),
        count: 0,
        random: seed,
        lines: Vec::new(),
        failed: BTreeMap::new(),
        expected: BTreeSet::new(),
    };
    simulation.settle(turn);
    for _ in 0..MOST_EVENTS {
        if simulation.execution.ended.is_some() || !simulation.step() {
            break;
        }
    }
    let (ends, gives) = ending(&simulation.execution);
    let trouble = trouble(&simulation.execution);
    Timeline { lines: simulation.lines, ends, gives, trouble }
}

impl Simulation<'_> {
    /// The next thing on the agenda; false when there is none.
    fn step(&mut self) -> bool {
        let Some(((at, _), event)) = self.agenda.pop_first() else { return false };
        self.now = self.now.max(at);
        let random = self.draw();
        match self.execution.take(event, self.now, random) {
            Ok(turn) => self.settle(turn),
            // A decision that came when it was made already, for instance.
            Err(why) => self.line("refused", String::new(), why.to_string()),
        }
        true
    }

    fn settle(&mut self, turn: Turn) {
        for fact in &turn.facts {
            let step = fact.step().unwrap_or_default();
            let step = fact.item().map_or_else(|| step.to_owned(), |item| format!("{step}[{item}]"));
            self.line(fact.kind(), step, fact.reason());
        }
        for command in turn.commands {
            match command {
                Command::WakeAt(at) => self.plan(at, Event::Woken),
                Command::Call { step, item, attempt, compensation, key, .. } => {
                    let (takes, result) = self.outcome(step, &key);
                    let event = Event::CallEnded { step, item, attempt, compensation, result };
                    self.plan(self.now.plus(takes), event);
                }
                Command::CancelChild { .. } => {}
            }
        }
        self.expect_people();
    }

    /// How an attempt under this key ends, and after how long.
    fn outcome(&mut self, step: usize, key: &str) -> (Duration, Result<Json, CallFailure>) {
        let definition = &self.execution.definition;
        let scripted = self.script.steps.get(&definition.steps[step].id).cloned().unwrap_or_default();
        let failed = self.failed.entry(key.to_owned()).or_default();
        if *failed < scripted.failures {
            *failed += 1;
            let message = format!("scripted failure {failed} of {}", scripted.failures);
            let (code, transient) = (scripted.code, scripted.transient);
            return (scripted.takes, Err(CallFailure { code, message, transient, retry_after: None }));
        }
        (scripted.takes, Ok(answer(definition, &self.script.answers, step)))
    }

    /// Puts the next decision or signal that is waited for on the agenda, once.
    fn expect_people(&mut self) {
        let round = self.lines.len();
        let Some(event) = reply(&self.execution, &self.script.answers, round) else { return };
        let votes: usize = self.execution.steps.iter().map(|s| s.votes.len()).sum();
        let waiting = self.execution.steps.iter().position(|s| {
            matches!(
                s.status,
                crate::execution::StepStatus::Approval | crate::execution::StepStatus::Signal(_)
            )
        });
        let Some(step) = waiting.map(|index| self.execution.definition.steps[index].id.clone()) else {
            return;
        };
        if self.expected.insert(format!("{step}/{votes}")) {
            let takes = self.script.steps.get(&step).map_or(USUAL_WAIT, |scripted| scripted.takes);
            self.plan(self.now.plus(takes), event);
        }
    }

    fn plan(&mut self, at: Micros, event: Event) {
        self.count += 1;
        self.agenda.insert((at, self.count), event);
    }

    fn line(&mut self, what: &'static str, step: String, reason: String) {
        self.lines.push(Line { at: self.now.since(BEGINNING), what, step, reason });
    }

    /// Uniform in `[0, 1)` (SplitMix64, Steele and others 2014).
    fn draw(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // 53 bits are what a fraction can hold exactly.
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            let at = line.at.as_secs_f64();
            let text = format!("{at:>12.3} s  {:24} {:20} {}", line.what, line.step, line.reason);
            writeln!(f, "{}", text.trim_end())?;
        }
        writeln!(f, "ends {} {}", self.ends, self.gives)?;
        self.trouble.iter().try_for_each(|why| writeln!(f, "     {why}"))
    }
}
