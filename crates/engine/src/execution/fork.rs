//! A new execution with the results of another.

use super::state::Execution;
use super::{Opening, Refusal, StepStatus, Turn};
use crate::fact::Fact;
use probity_types::Micros;

impl Execution {
    /// A new execution of the same definition that takes over every result but
    /// those of `from_step` and of what comes after it, which are computed anew.
    /// What is taken over was the other's doing: it is not taken back with this one.
    ///
    /// # Errors
    /// When there is no such step.
    pub fn fork(&self, from_step: &str, opening: Opening, now: Micros) -> Result<(Self, Turn), Refusal> {
        let first = self.find(from_step)?;
        let anew = self.definition.downstream(first);
        let fact = opening.fact(&self.definition);
        let mut fork = Self::blank(self.definition.clone(), opening);
        let mut turn = Turn::default();
        fork.record(&mut turn, fact, now);
        for step in self.definition.order.iter().filter(|step| !anew.contains(step)) {
            let state = &self.steps[*step];
            let Some(output) = state.output.clone().filter(|_| state.status.is_done()) else { continue };
            let skipped = state.status != StepStatus::Completed;
            let (step, from) = (self.id(*step), self.opening.name.clone());
            fork.record(&mut turn, Fact::StepCopied { step, skipped, output, from }, now);
        }
        fork.queue(&mut turn, now);
        fork.advance(&mut turn, now);
        fork.arm(&mut turn, now);
        Ok((fork, turn))
    }
}
