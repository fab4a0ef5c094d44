//! Decisions of people: who is asked, who may answer, and what they agree on.

use super::state::Execution;
use super::{Refusal, StepStatus, Turn};
use crate::definition::{Action, ApprovalSpec};
use crate::expr::Expr;
use crate::fact::{Disposition, Fact};
use probity_types::{Micros, Roles};
use serde_json::json;

/// Most people and roles that are asked.
const MAX_ASSIGNEES: usize = 100;
/// Most people who must agree.
const MAX_REQUIRED: i64 = 10;

impl Execution {
    pub(super) fn ask_people(
        &mut self,
        turn: &mut Turn,
        step: usize,
        spec: &ApprovalSpec,
        now: Micros,
    ) -> Result<(), String> {
        let reason = spec.reason.evaluate_text(self)?;
        let people = spec.required.evaluate(self)?;
        let Some(people) = people.as_i64() else {
            return Err(format!("{} gave {people}, not a number of people", spec.required.source()));
        };
        let required = u32::try_from(people.clamp(1, MAX_REQUIRED)).unwrap_or(1);
        let assignees = spec.assignees.as_ref().map_or(Ok(Vec::new()), |expr| self.assignees(expr))?;
        let due_at_us = spec.due.map(|due| now.plus(due).0);
        let step = self.id(step);
        self.record(turn, Fact::ApprovalRequested { step, reason, required, assignees, due_at_us }, now);
        Ok(())
    }

    fn assignees(&self, expr: &Expr) -> Result<Vec<String>, String> {
        let value = expr.evaluate(self)?;
        let refused = |why: String| format!("{} {why}", expr.source());
        let names: Vec<String> =
            serde_json::from_value(value).map_err(|_| refused("gave no list of texts".to_owned()))?;
        if names.is_empty() || names.len() > MAX_ASSIGNEES {
            return Err(refused(format!("gave {} names; 1 to {MAX_ASSIGNEES} are allowed", names.len())));
        }
        match names.iter().find(|name| !is_assignee(name)) {
            Some(name) => Err(refused(format!("gave {name:?}; write users/<id> or roles/<role>"))),
            None => Ok(names),
        }
    }

    pub(super) fn decided(
        &mut self,
        turn: &mut Turn,
        actor: String,
        roles: &Roles,
        disposition: Disposition,
        note: String,
        now: Micros,
    ) -> Result<(), Refusal> {
        let step = self.deciding_step(&actor, roles)?;
        let id = self.id(step);
        self.record(turn, Fact::ApprovalGiven { step: id, actor, disposition, note }, now);
        self.count_votes(turn, step, now);
        Ok(())
    }

    /// The first approval that waits for this person.
    fn deciding_step(&self, actor: &str, roles: &Roles) -> Result<usize, Refusal> {
        self.refuse_ended()?;
        let waits = |step: &usize| self.steps[*step].status == StepStatus::Approval;
        let mut refusal = Refusal::NotWaiting { state: self.standing(), possible: self.possible() };
        if self.taking_back.is_some() {
            return Err(refusal);
        }
        let mut first = true;
        for step in (0..self.steps.len()).filter(waits) {
            match self.may_decide(step, actor, roles) {
                Ok(()) => return Ok(step),
                Err(why) if first => refusal = why,
                Err(_) => {}
            }
            first = false;
        }
        Err(refusal)
    }

    fn may_decide(&self, step: usize, actor: &str, roles: &Roles) -> Result<(), Refusal> {
        let may = self.steps[step].asked.as_ref().map_or(&[][..], |asked| &asked.assignees);
        let is = |name: &String| match name.strip_prefix("roles/") {
            Some(role) => roles.iter().any(|has| has.as_str() == role),
            None => name == actor,
        };
        let (actor, id) = (actor.to_owned(), self.id(step));
        if !may.is_empty() && !may.iter().any(is) {
            return Err(Refusal::NotAssigned { actor, step: id, may: may.join(", ") });
        }
        match self.other_eyes(step, &actor) {
            Some(why) => Err(Refusal::FourEyes { actor, step: id, why }),
            None => Ok(()),
        }
    }

    /// Why a step that wants other eyes does not want this person's.
    fn other_eyes(&self, step: usize, actor: &str) -> Option<String> {
        let Action::Approval(spec) = &self.definition.steps[step].action else { return None };
        if !spec.four_eyes {
            return None;
        }
        if self.opening.owner == actor {
            return Some("they started it".to_owned());
        }
        let decided = |other: &usize| self.steps[*other].votes.iter().any(|(who, ..)| who == actor);
        let earlier = (0..self.steps.len()).filter(|other| *other != step).find(decided)?;
        Some(format!("they decided step {:?} before", self.id(earlier)))
    }

    pub(super) fn delegated(
        &mut self,
        turn: &mut Turn,
        actor: String,
        roles: &Roles,
        to: String,
        step: &str,
        now: Micros,
    ) -> Result<(), Refusal> {
        self.refuse_ended()?;
        let index = self.find(step)?;
        if self.steps[index].status != StepStatus::Approval || self.taking_back.is_some() {
            return Err(Refusal::NoApproval { step: step.to_owned() });
        }
        self.may_decide(index, &actor, roles)?;
        if !to.starts_with("users/") || !is_assignee(&to) {
            let wanted = "write it as users/<id>";
            return Err(Refusal::Malformed { what: "the person to delegate to", value: to, wanted });
        }
        if let Some(why) = self.other_eyes(index, &to) {
            return Err(Refusal::FourEyes { actor: to, step: step.to_owned(), why });
        }
        self.record(turn, Fact::ApprovalDelegated { step: step.to_owned(), actor, to }, now);
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
            self.complete_step(turn, step, output, now);
        }
    }

    /// Who decided: the people of the last approval, else the definition.
    pub(super) fn deciders(&self) -> (Vec<String>, String) {
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
}

/// `users/<id>` or `roles/<role>`.
pub(crate) fn is_assignee(name: &str) -> bool {
    let rest = name.strip_prefix("users/").map(|id| !id.is_empty());
    let role = |role: &str| role.parse::<probity_types::Role>().is_ok();
    let fits = rest.unwrap_or_else(|| name.strip_prefix("roles/").is_some_and(role));
    fits && name.len() <= 256 && !name.chars().any(char::is_control)
}
