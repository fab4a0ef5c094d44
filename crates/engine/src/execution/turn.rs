//! Decisions: what an event leads to.

use super::state::{Execution, StepStatus};
use super::{CallFailure, Command, Event, Refusal, Turn};
use crate::case::{CaseState, join};
use crate::definition::{Action, CallSpec, OnError, Output};
use crate::fact::{Ending, Fact};
use crate::value::{is_larger, written};
use probity_types::Micros;
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

/// Largest answer of a step, as JSON.
pub(super) const MAX_OUTPUT: usize = 1 << 20;

impl Execution {
    /// Takes an event at a point in time. `random`, uniform in `[0, 1)`, spreads
    /// the waits between attempts.
    ///
    /// # Errors
    /// When the event cannot be taken; nothing has changed then.
    pub fn take(&mut self, event: Event, now: Micros, random: f64) -> Result<Turn, Refusal> {
        let mut turn = Turn::default();
        match event {
            Event::CallEnded { step, attempt, compensation, result, item: _ } => {
                if compensation {
                    self.back_ended(&mut turn, step, attempt, result.map(drop), now, random);
                } else {
                    self.call_ended(&mut turn, step, attempt, result, now, random);
                }
            }
            Event::Woken => self.woken(&mut turn, now),
            Event::Decide { actor, disposition, note } => {
                let step = self.deciding_step()?;
                let id = self.id(step);
                self.record(&mut turn, Fact::ApprovalGiven { step: id, actor, disposition, note }, now);
                self.count_votes(&mut turn, step, now);
            }
            Event::Cancel { actor, reason } => {
                self.refuse_ended()?;
                if self.taking_back.is_some() {
                    return Err(Refusal::TakingBack);
                }
                self.take_back(&mut turn, Ending::Cancelled, reason, Some(actor), now);
            }
            Event::RetryStep { actor, step } => self.retry_step(&mut turn, actor, &step, now)?,
            Event::SkipStep { actor, step, reason } => {
                self.skip_step(&mut turn, actor, &step, reason, now)?
            }
        }
        self.advance(&mut turn, now);
        Ok(turn)
    }

    /// An answer that is not awaited any more (a late one, a repeated one)
    /// changes nothing.
    fn call_ended(
        &mut self,
        turn: &mut Turn,
        step: usize,
        attempt: u32,
        result: Result<Json, CallFailure>,
        now: Micros,
        random: f64,
    ) {
        let awaited =
            self.steps.get(step).is_some_and(|s| s.status == StepStatus::Running && s.attempts == attempt);
        if !awaited {
            return;
        }
        match result.and_then(|output| self.check_output(step, output)) {
            Ok(output) => {
                let (step, output) = (self.id(step), Arc::new(output));
                self.record(turn, Fact::StepCompleted { step, attempt, output }, now);
            }
            Err(failure) => self.attempt_failed(turn, step, attempt, failure, now, random),
        }
    }

    fn check_output(&self, step: usize, output: Json) -> Result<Json, CallFailure> {
        let output = check_size(output)?;
        let Some(schema) = &self.definition.steps[step].output_schema else { return Ok(output) };
        schema.check(&output).map(|()| output).map_err(|faults| {
            let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
            refused("ORC-0023", format!("the answer does not fit its output_schema: {}", faults.join("; ")))
        })
    }

    fn attempt_failed(
        &mut self,
        turn: &mut Turn,
        step: usize,
        attempt: u32,
        failure: CallFailure,
        now: Micros,
        random: f64,
    ) {
        let definition = &self.definition.steps[step];
        let on_error = definition.on_error;
        let delay = definition.retry.delay(self.steps[step].round, random).filter(|_| failure.transient);
        let due = delay.map(|d| now.plus(d.max(failure.retry_after.unwrap_or_default())));
        let id = self.id(step);
        let error = failure.message.clone();
        let failed = Fact::StepFailed {
            step: id.clone(),
            attempt,
            code: failure.code,
            error,
            retry_at_us: due.map(|d| d.0),
        };
        self.record(turn, failed, now);
        if let Some(due) = due {
            turn.commands.push(Command::WakeAt(due));
            return;
        }
        let reason = failure.message;
        match on_error {
            OnError::Incident => self.record(turn, Fact::IncidentOpened { step: id, reason }, now),
            OnError::Continue => self.record(turn, Fact::StepSkipped { step: id, reason, actor: None }, now),
            OnError::Fail => {
                self.take_back(turn, Ending::Failed, format!("step {id} failed: {reason}"), None, now)
            }
        }
    }

    /// Everything that is due goes on.
    fn woken(&mut self, turn: &mut Turn, now: Micros) {
        for step in 0..self.steps.len() {
            match self.steps[step].status {
                StepStatus::BackingOff(at) if at <= now && self.taking_back.is_none() => {
                    self.schedule_again(turn, step, now);
                }
                StepStatus::Timer(at) if at <= now && self.taking_back.is_none() => {
                    let done =
                        Fact::StepCompleted { step: self.id(step), attempt: 1, output: Arc::new(json!({})) };
                    self.record(turn, done, now);
                }
                StepStatus::CompensationBackingOff(at) if at <= now => self.back_again(turn, step, now),
                _ => {}
            }
        }
    }

    fn schedule_again(&mut self, turn: &mut Turn, step: usize, now: Micros) {
        let (attempt, input) = (self.steps[step].attempts + 1, self.steps[step].input.clone());
        self.record(turn, Fact::StepScheduled { step: self.id(step), attempt, input }, now);
        turn.commands.push(self.call(step, false));
    }

    fn deciding_step(&self) -> Result<usize, Refusal> {
        self.refuse_ended()?;
        let waiting = self.steps.iter().position(|s| s.status == StepStatus::Approval);
        waiting.filter(|_| self.taking_back.is_none()).ok_or_else(|| Refusal::NotWaiting {
            state: self.state.as_str().to_uppercase(),
            possible: "cancel the case, or wait until it asks for a decision".to_owned(),
        })
    }

    fn refuse_ended(&self) -> Result<(), Refusal> {
        if self.ended.is_some() {
            return Err(Refusal::Ended { state: self.state.as_str().to_uppercase() });
        }
        Ok(())
    }

    /// Done when as many different people as required say the same.
    fn count_votes(&mut self, turn: &mut Turn, step: usize, now: Micros) {
        let state = &self.steps[step];
        let Some((_, last, note)) = state.votes.last().cloned() else { return };
        let agreed: Vec<String> =
            state.votes.iter().filter(|(_, d, _)| *d == last).map(|(who, ..)| who.clone()).collect();
        if agreed.len() >= state.required as usize {
            let output = json!({ "disposition": last.as_str(), "decided_by": agreed, "note": note });
            let done = Fact::StepCompleted { step: self.id(step), attempt: 1, output: output.into() };
            self.record(turn, done, now);
        }
    }

    fn incident(&self, step: &str) -> Result<usize, Refusal> {
        self.refuse_ended()?;
        let index = self.definition.index(step).ok_or_else(|| Refusal::NoSuchStep {
            step: step.to_owned(),
            known: self.definition.steps.iter().map(|s| s.id.as_str()).collect::<Vec<_>>().join(", "),
        })?;
        let open = self.steps[index].status == StepStatus::Incident;
        open.then_some(index).ok_or_else(|| Refusal::NoIncident { step: step.to_owned() })
    }

    fn retry_step(&mut self, turn: &mut Turn, actor: String, step: &str, now: Micros) -> Result<(), Refusal> {
        let index = self.incident(step)?;
        let state = &self.steps[index];
        let was_called = state.attempts > 0 && state.output.is_none() && self.taking_back.is_none();
        self.record(turn, Fact::IncidentRetried { step: step.to_owned(), actor }, now);
        // A step that was called before goes on with its next attempt and the
        // same message; one whose expression failed is evaluated anew.
        if was_called {
            self.schedule_again(turn, index, now);
        }
        Ok(())
    }

    fn skip_step(
        &mut self,
        turn: &mut Turn,
        actor: String,
        step: &str,
        reason: String,
        now: Micros,
    ) -> Result<(), Refusal> {
        self.incident(step)?;
        let skipped = Fact::StepSkipped { step: step.to_owned(), reason, actor: Some(actor) };
        self.record(turn, skipped, now);
        Ok(())
    }

    /// Starts everything that can start; ends the execution when nothing is left.
    pub(super) fn advance(&mut self, turn: &mut Turn, now: Micros) {
        if self.ended.is_some() {
            return;
        }
        if self.taking_back.is_none() {
            let order = self.definition.clone();
            for step in &order.order {
                if self.is_ready(*step) {
                    self.start(turn, *step, now);
                }
                if self.taking_back.is_some() {
                    break;
                }
            }
        }
        if self.taking_back.is_some() {
            self.go_back(turn, now);
        } else if self.steps.iter().all(|s| s.status.is_done()) {
            self.decide(turn, now);
        }
    }

    fn is_ready(&self, step: usize) -> bool {
        self.steps[step].status == StepStatus::Blocked
            && self.definition.steps[step].needs.iter().all(|n| self.steps[*n].status.is_done())
    }

    fn start(&mut self, turn: &mut Turn, step: usize, now: Micros) {
        let definition = self.definition.clone();
        let spec = &definition.steps[step];
        let wanted = spec.when.as_ref().map_or(Ok(true), |when| when.evaluate_bool(self));
        let outcome = match wanted {
            Ok(false) => {
                let reason =
                    spec.when.as_ref().map_or_else(String::new, |w| format!("not needed: {}", w.source()));
                self.record(turn, Fact::StepSkipped { step: spec.id.clone(), reason, actor: None }, now);
                Ok(())
            }
            Ok(true) => {
                if let Some(state) = spec.state {
                    self.enter(turn, state, &spec.id, now);
                }
                self.act(turn, step, &spec.action, now)
            }
            Err(error) => Err(error),
        };
        if let Err(reason) = outcome {
            self.record(turn, Fact::IncidentOpened { step: spec.id.clone(), reason }, now);
        }
    }

    fn act(&mut self, turn: &mut Turn, step: usize, action: &Action, now: Micros) -> Result<(), String> {
        let id = self.id(step);
        match action {
            Action::Call(call) => {
                let input = self.render(call)?.into();
                let attempt = self.steps[step].attempts + 1;
                self.record(turn, Fact::StepScheduled { step: id, attempt, input }, now);
                turn.commands.push(self.call(step, false));
            }
            Action::Fail(reason) => {
                let reason = reason.evaluate_text(self)?;
                let done = Fact::StepCompleted { step: id, attempt: 1, output: Arc::new(json!({})) };
                self.record(turn, done, now);
                self.take_back(turn, Ending::Failed, reason, None, now);
            }
            Action::Approval { reason, required } => {
                let reason = reason.evaluate_text(self)?;
                let people = required.evaluate(self)?;
                let Some(people) = people.as_i64() else {
                    return Err(format!("{} gave {people}, not a number of people", required.source()));
                };
                let required = u32::try_from(people.clamp(1, 10)).unwrap_or(1);
                self.record(turn, Fact::ApprovalRequested { step: id, reason, required }, now);
            }
            Action::Timer(after) => {
                let at = now.plus(*after);
                self.record(turn, Fact::TimerStarted { step: id, at_us: at.0 }, now);
                turn.commands.push(Command::WakeAt(at));
            }
        }
        Ok(())
    }

    /// The message of a call.
    pub(super) fn render(&self, call: &CallSpec) -> Result<Json, String> {
        let fields = call.input.iter().map(|(field, expr)| Ok((field.clone(), expr.evaluate(self)?)));
        fields.collect::<Result<Map<_, _>, _>>().map(Json::Object)
    }

    /// Brings the case into a working state, through legal transitions only. A
    /// parallel branch that is further on keeps the case where it is.
    fn enter(&mut self, turn: &mut Turn, state: CaseState, step: &str, now: Micros) {
        for to in self.state.path_to(state) {
            self.move_to(turn, to, Some(step.to_owned()), format!("step {step} started"), now);
        }
    }

    pub(super) fn move_to(
        &mut self,
        turn: &mut Turn,
        to: CaseState,
        step: Option<String>,
        reason: String,
        now: Micros,
    ) {
        if !self.opening.is_case() {
            return;
        }
        let from = self.state;
        debug_assert!(from.may_become(to), "{from} may become {}, not {to}", join(from.next()));
        self.record(turn, Fact::CaseMoved { from, to, step, reason }, now);
    }

    /// Every step is done: the first rule that holds decides, or what it gives is
    /// computed. What cannot be computed waits at the last step for a person.
    fn decide(&mut self, turn: &mut Turn, now: Micros) {
        let ended = if self.opening.is_case() { self.resolve(turn, now) } else { self.complete(turn, now) };
        let last = self.definition.order.last().copied();
        if let (Err(reason), Some(last)) = (ended, last) {
            self.record(turn, Fact::IncidentOpened { step: self.id(last), reason }, now);
        }
    }

    fn resolve(&mut self, turn: &mut Turn, now: Micros) -> Result<(), String> {
        let decided = self.judge().map_err(|e| format!("the verdict cannot be computed: {e}"))?;
        self.record(turn, decided, now);
        for to in self.state.path_to(CaseState::Resolved) {
            self.move_to(turn, to, None, "every step is done".to_owned(), now);
        }
        let ended = Fact::Ended { ending: Ending::Completed, reason: String::new(), output: None };
        self.record(turn, ended, now);
        Ok(())
    }

    fn complete(&mut self, turn: &mut Turn, now: Micros) -> Result<(), String> {
        let output = self.gives().map_err(|e| format!("the output cannot be computed: {e}"))?;
        if is_larger(&output, MAX_OUTPUT) {
            return Err(format!(
                "the output has {} bytes; at most {MAX_OUTPUT} are allowed",
                written(&output)
            ));
        }
        let ended =
            Fact::Ended { ending: Ending::Completed, reason: String::new(), output: Some(output.into()) };
        self.record(turn, ended, now);
        Ok(())
    }

    /// What the definition says it gives; else the answers of the last steps by
    /// their names.
    fn gives(&self) -> Result<Json, String> {
        match &self.definition.output {
            Some(Output::One(expr)) => expr.evaluate(self),
            Some(Output::Fields(fields)) => {
                let fields = fields.iter().map(|(name, expr)| Ok((name.clone(), expr.evaluate(self)?)));
                fields.collect::<Result<Map<_, _>, _>>().map(Json::Object)
            }
            None => {
                let done = |step: &&usize| self.steps[**step].status == StepStatus::Completed;
                let last = self.definition.last.iter().filter(done);
                let answers = last.filter_map(|step| {
                    Some((self.id(*step), Json::clone(self.steps[*step].output.as_ref()?)))
                });
                Ok(Json::Object(answers.collect()))
            }
        }
    }

    fn judge(&self) -> Result<Fact, String> {
        for rule in &self.definition.verdict {
            if rule.when.as_ref().map_or(Ok(true), |when| when.evaluate_bool(self))? {
                let reasons = rule.reasons.evaluate(self)?;
                let reasons =
                    serde_json::from_value(reasons).map_err(|e| format!("{}: {e}", rule.reasons.source()))?;
                let (decided_by, note) = self.deciders();
                return Ok(Fact::Decided { outcome: rule.outcome, reasons, decided_by, note });
            }
        }
        Err("no rule of `verdict` holds".to_owned())
    }

    /// Who decided: the people of the last approval, else the definition.
    fn deciders(&self) -> (Vec<String>, String) {
        let people =
            self.steps.iter().rev().find(|s| !s.votes.is_empty() && s.status == StepStatus::Completed);
        match people {
            Some(step) => {
                let last = step.votes.last();
                let agreed = step.votes.iter().filter(|v| last.is_some_and(|l| l.1 == v.1));
                (agreed.map(|v| v.0.clone()).collect(), last.map_or_else(String::new, |l| l.2.clone()))
            }
            None => (vec![format!("definitions/{}", self.definition.name)], String::new()),
        }
    }

    pub(super) fn id(&self, step: usize) -> String {
        self.definition.steps[step].id.clone()
    }
}

fn check_size(output: Json) -> Result<Json, CallFailure> {
    if !is_larger(&output, MAX_OUTPUT) {
        return Ok(output);
    }
    let message = format!(
        "the answer has {} bytes; at most {MAX_OUTPUT} are allowed: hand it over as a document",
        written(&output)
    );
    Err(refused("ORC-0020", message))
}

/// A failure that trying again does not mend.
fn refused(code: &str, message: String) -> CallFailure {
    CallFailure { code: code.to_owned(), message, transient: false, retry_after: None }
}
