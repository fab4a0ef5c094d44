//! The end: as decided, as computed, as failed, or as taken back.

use super::attempt::MAX_OUTPUT;
use super::state::Execution;
use super::{StepStatus, Turn};
use crate::case::CaseState;
use crate::definition::Output;
use crate::fact::{Ending, Fact};
use crate::value::{is_larger, written};
use probity_types::Micros;
use serde_json::{Map, Value as Json};

impl Execution {
    /// Every step is done: the first rule that holds decides, or what it gives is
    /// computed. What cannot be computed waits at the last step for a person.
    pub(super) fn decide(&mut self, turn: &mut Turn, now: Micros) {
        let ended = if self.opening.is_case() { self.resolve(turn, now) } else { self.complete(turn, now) };
        let last = self.definition.order.last().copied();
        if let (Err(reason), Some(last)) = (ended, last) {
            self.record(turn, Fact::IncidentOpened { step: self.id(last), item: None, reason }, now);
        }
    }

    fn resolve(&mut self, turn: &mut Turn, now: Micros) -> Result<(), String> {
        let path = self.state.path_to(CaseState::Resolved);
        path.iter().try_for_each(|to| self.guard(*to))?;
        let decided = self.judge().map_err(|e| format!("the verdict cannot be computed: {e}"))?;
        self.record(turn, decided, now);
        for to in path {
            self.move_to(turn, to, None, "every step is done".to_owned(), now);
        }
        let ended = Fact::Ended { ending: Ending::Completed, reason: String::new(), output: None };
        self.record(turn, ended, now);
        Ok(())
    }

    fn complete(&mut self, turn: &mut Turn, now: Micros) -> Result<(), String> {
        let output = self.gives().map_err(|e| format!("the output cannot be computed: {e}"))?;
        if is_larger(&output, MAX_OUTPUT) {
            let size = written(&output);
            return Err(format!("the output has {size} bytes; at most {MAX_OUTPUT} are allowed"));
        }
        let output = Some(output.into());
        self.record(turn, Fact::Ended { ending: Ending::Completed, reason: String::new(), output }, now);
        Ok(())
    }

    /// What the definition says it gives; else the answers of the last steps by
    /// their names.
    fn gives(&self) -> Result<Json, String> {
        match &self.definition.output {
            Some(Output::One(expr)) => expr.evaluate(self),
            Some(Output::Fields(fields)) => {
                let fields = fields.iter().map(|(name, expr)| Ok((name.clone(), expr.evaluate(self)?)));
                fields.collect::<Result<Map<_, _>, String>>().map(Json::Object)
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

    /// Ends as failed at once; nothing is taken back.
    pub(super) fn fail(&mut self, turn: &mut Turn, reason: String, now: Micros) {
        self.cancel_children(&mut turn.commands);
        self.finish(turn, Ending::Failed, reason, now);
    }

    /// Everything is taken back.
    pub(super) fn end(&mut self, turn: &mut Turn, now: Micros) {
        if let Some((ending, reason)) = self.taking_back.clone() {
            self.finish(turn, ending, reason, now);
        }
    }

    fn finish(&mut self, turn: &mut Turn, ending: Ending, reason: String, now: Micros) {
        self.move_to(turn, ending.state(), None, reason.clone(), now);
        self.record(turn, Fact::Ended { ending, reason, output: None }, now);
    }
}
