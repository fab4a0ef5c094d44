//! Executions whose definition limits how many run: who gets a place. Decided in
//! [`crate::domain::lines`]; what was decided is an event like any other.

use super::{Error, Lane, Live};
use crate::domain::lines::{LineId, Member, Rule};
use crate::domain::ownership::{id_in, in_shard};
use probity_engine::{Definition, Event, Opening};
use probity_types::id::ExecutionId;
use std::sync::Arc;

impl Lane {
    /// An id for a new execution: in the shard of its line, when it has one, else in
    /// any of this replica.
    pub(super) fn new_id(
        &self,
        tenant: &str,
        definition: &Arc<Definition>,
        opening: &Opening,
    ) -> Result<ExecutionId, Error> {
        let Some(line) = LineId::of(tenant, definition, opening) else {
            return Ok(id_in(&self.shards, fastrand::usize(..)));
        };
        let id = in_shard(ExecutionId::new(), line.shard());
        if self.owns(id) { Ok(id) } else { Err(Error::Elsewhere(line.shard())) }
    }

    /// What is stored of an execution is made so in the lines: it waits, or it has
    /// ended and makes room.
    pub(super) fn line_up(&mut self, id: ExecutionId) {
        let Some(live) = self.live.get(&id) else { return };
        let Some(limit) = &live.execution.definition.limit else { return };
        match &live.execution.line {
            Some(line) => {
                let member = Member {
                    line: LineId::new(&live.tenant, &live.execution.definition.name, &line.key),
                    priority: live.execution.opening.priority,
                    since: line.since,
                    inside: line.admitted,
                };
                self.lines.join(id, member, Rule::of(limit));
            }
            None => self.lines.leave(id),
        }
    }

    /// Lets in whoever has a place now.
    pub(super) fn let_in(&mut self) {
        let now = self.parts.clock.now();
        if self.lines.next_look().is_some_and(|at| at <= now) {
            let passed = self.lines.pass(now, self.max_batch);
            self.inner.extend(passed.into_iter().map(|id| (id, Event::Admit)));
            let waiting = i64::try_from(self.lines.waiting()).unwrap_or(i64::MAX);
            self.parts.metrics.queued.set(waiting);
        }
    }

    /// Reads back who stands in the lines of these shards.
    pub(super) async fn read_lines(&mut self, shards: &[u8]) -> Result<(), Error> {
        for standing in self.parts.store.standing(shards).await? {
            let (tenant, name, version) = (&standing.tenant, &standing.definition, &standing.version);
            match self.parts.definitions.version(tenant, name, version).await {
                Ok(definition) => {
                    let rule = definition.limit.as_ref().map(Rule::of).unwrap_or_default();
                    self.lines.join(standing.id, standing.member, rule);
                }
                Err(error @ (Error::Definition(_) | Error::NoDefinition(_))) => {
                    let execution = standing.id;
                    tracing::error!(%execution, %error, "an execution that waits for a place cannot be started");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Live {
    /// What is to be stored of its place; nothing when its definition has no limit.
    pub(super) fn line_row(&self) -> Option<crate::store::LineRow> {
        self.execution.definition.limit.as_ref()?;
        let version = self.execution.definition.version.clone();
        Some(crate::store::LineRow { version, line: self.execution.line.clone() })
    }
}
