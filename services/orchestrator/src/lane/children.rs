//! Executions started by steps of other executions.
//!
//! A child lives in the shard of its parent, so one lane has both, and its id
//! follows from the parent, the step and the attempt: starting it again after a
//! crash finds the one that is there. How it ends is an answer to the parent's step.

use super::{Error, Lane, Live, Work};
use crate::dispatch::{Child, OrderId};
use crate::domain::ownership::{in_shard, shard_of};
use probity_engine::fact::Ending;
use probity_engine::{CallFailure, Event, Opening, Parent, What};
use probity_types::Ctx;
use probity_types::id::{CaseId, ExecutionId};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

/// How many executions may stand above one another.
const MAX_DEPTH: usize = 8;

/// The id of the child that an attempt of a step starts.
pub(super) fn child_id(order: OrderId, key: &str) -> ExecutionId {
    let parent = order.execution;
    let hash = Sha256::new()
        .chain_update(parent.0.as_bytes())
        .chain_update(order.attempt.to_be_bytes())
        .chain_update(key.as_bytes())
        .finalize();
    let mut bytes = *parent.0.as_bytes();
    // The time of the parent in front keeps lists in order.
    bytes[6..].copy_from_slice(&hash[..10]);
    in_shard(ExecutionId(uuid::Builder::from_custom_bytes(bytes).into_uuid()), shard_of(parent))
}

/// The execution a name stands for, of a case or not.
fn named(name: &str) -> Option<ExecutionId> {
    let of_case = || name.strip_prefix("cases/")?.parse::<CaseId>().ok().map(|id| ExecutionId(id.0));
    name.strip_prefix("executions/").and_then(|id| id.parse().ok()).or_else(of_case)
}

impl Lane {
    /// Starts a child, unless it is there.
    pub(super) async fn start_child(&mut self, child: Child, work: &mut Work) {
        if let Err(why) = self.try_child(&child, work).await {
            let failure = match why {
                Error::Store(_) | Error::Away(_) => return, // asked for again after the next start
                other => failed("ORC-0028", other.to_string()),
            };
            self.decide(child.order.execution, child.order.event(Err(failure)), None, None, work);
        }
    }

    async fn try_child(&mut self, child: &Child, work: &mut Work) -> Result<(), Error> {
        let OrderId { execution, step, item, .. } = child.order;
        self.child_of.insert((execution, step, item), child.id);
        if self.live.contains_key(&child.id) {
            return Ok(());
        }
        let (store, definitions) = (self.parts.store.clone(), self.parts.definitions.clone());
        if store.exists(&child.ctx.tenant, child.id).await? {
            let live = Live::read(&store, &definitions, child.id).await?;
            if let Some(result) = ended(&live) {
                self.inner.push_back((child.order.execution, child.order.event(result)));
            }
            return Ok(());
        }
        if self.depth(child.order.execution) >= MAX_DEPTH {
            let why = format!("more than {MAX_DEPTH} executions would stand above one another");
            return Err(Error::WrongDefinition(why));
        }
        let definition = definitions.named(&child.ctx.tenant, &child.definition).await?;
        if definition.is_case() {
            let why =
                format!("definitions/{} ends in a verdict: a step cannot start a case", child.definition);
            return Err(Error::WrongDefinition(why));
        }
        definition.check_input(&child.input).map_err(|errors| {
            Error::Input(errors.into_iter().map(|error| (error.pointer, error.message)).collect())
        })?;
        let opening = Opening {
            name: format!("executions/{}", child.id),
            what: What::Plain,
            input: Json::clone(&child.input),
            priority: child.priority,
            owner: child.ctx.actor.clone(),
            owner_roles: child.ctx.roles.clone(),
            parent: Some(child.parent.clone()),
        };
        self.begin_execution(child.id, definition, opening, &child.ctx, work);
        Ok(())
    }

    /// How many executions stand above, this one included.
    fn depth(&self, id: ExecutionId) -> usize {
        let above =
            |id: &ExecutionId| named(&self.live.get(id)?.execution.opening.parent.as_ref()?.execution);
        std::iter::successors(Some(id), above).take(MAX_DEPTH + 1).count()
    }

    /// Tells the parent of an execution that has ended.
    pub(super) fn tell_parent(&mut self, id: ExecutionId) {
        let Some(live) = self.live.get(&id) else { return };
        let (Some(result), Some(parent)) = (ended(live), &live.execution.opening.parent) else { return };
        let Some(parent_id) = named(&parent.execution) else { return };
        let Some(waiting) = self.live.get(&parent_id) else { return };
        let mut calls = waiting.children(parent_id);
        if let Some((order, _)) = calls.find(|(order, key)| child_id(*order, key) == id) {
            drop(calls);
            self.child_of.remove(&(parent_id, order.step, order.item));
            self.inner.push_back((parent_id, order.event(result)));
        }
    }

    /// Cancels the child that a step started last.
    pub(super) fn cancel_child(&mut self, parent: ExecutionId, step: usize, item: Option<u32>) {
        let Some(actor) = self.live.get(&parent).map(Live::itself) else { return };
        if let Some(child) = self.child_of.get(&(parent, step, item)) {
            let reason = "the step that started it does not wait for it any more".to_owned();
            self.inner.push_back((*child, Event::Cancel { actor, reason }));
        }
    }

    /// An event of one execution for another, which may rest on disk.
    pub(super) async fn inner_event(&mut self, id: ExecutionId, event: Event, work: &mut Work) {
        if !self.live.contains_key(&id)
            && let Ok(live) = Live::read(&self.parts.store, &self.parts.definitions, id).await
        {
            self.live.insert(id, live);
        }
        self.decide(id, event, None, None, work);
    }
}

/// How an execution ended, as the answer to the step that started it.
fn ended(live: &Live) -> Option<Result<Json, CallFailure>> {
    Some(match live.execution.ended? {
        Ending::Completed => Ok(live.execution.output.as_deref().cloned().unwrap_or(Json::Null)),
        Ending::Failed => Err(failed("ORC-0028", format!("it failed: {}", live.execution.end_reason))),
        Ending::Cancelled => Err(failed("ORC-0028", "it was cancelled".to_owned())),
    })
}

fn failed(code: &str, message: String) -> CallFailure {
    CallFailure { code: code.to_owned(), message, transient: false, retry_after: None }
}

impl Live {
    /// In whose name it acts.
    pub(super) fn ctx(&self) -> Ctx {
        let opening = &self.execution.opening;
        Ctx {
            tenant: self.tenant.clone(),
            actor: opening.owner.clone(),
            roles: opening.owner_roles.clone(),
            request_id: self.request_id().to_owned(),
            trace_id: self.trace_id().to_owned(),
        }
    }

    /// The steps that wait for children, with the keys of their calls.
    pub(super) fn children(&self, id: ExecutionId) -> impl Iterator<Item = (OrderId, String)> + '_ {
        self.execution.outstanding().into_iter().filter_map(move |command| match command {
            probity_engine::Command::Call { step, item, attempt, compensation, key, .. }
                if self.starts_child(step, compensation) =>
            {
                Some((OrderId { execution: id, step, item, attempt, compensation }, key))
            }
            _ => None,
        })
    }

    /// The child a call asks for.
    pub(super) fn child(
        &self,
        order: OrderId,
        definition: &str,
        input: std::sync::Arc<Json>,
        key: &str,
    ) -> Child {
        let step = &self.execution.definition.steps[order.step].id;
        Child {
            id: child_id(order, key),
            order,
            definition: definition.to_owned(),
            input,
            priority: self.execution.opening.priority,
            ctx: self.ctx(),
            parent: Parent {
                execution: self.execution.opening.name.clone(),
                step: step.to_string(),
                item: order.item,
            },
        }
    }
}
