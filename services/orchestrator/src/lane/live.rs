//! An execution in memory, with what its turns and calls need around it.

use crate::catalog::service_of;
use crate::convert;
use crate::definitions::Definitions;
use crate::dispatch::{Call, Task, Work, limited};
use crate::domain::audit::{StoredTurn, chain};
use crate::domain::dead_letters::Letters;
use crate::domain::standalone::{self, Standalone};
use crate::error::Error;
use crate::store::{ExecutionRow, Store, View};
use probity_engine::definition::{Action, CallSpec, Target};
use probity_engine::{Definition, Execution, Fact, Opening, Status, StepStatus, Turn, What};
use probity_types::id::ExecutionId;
use probity_types::{Ctx, Micros};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// More facts than an execution can have: the journal is read in one go.
const ALL: i64 = 10_000_000;

/// Who did a turn, and in which request.
pub(super) struct By<'a> {
    pub(super) actor: &'a str,
    pub(super) request_id: &'a str,
    pub(super) trace_id: &'a str,
}

pub(crate) struct Live {
    pub(crate) id: ExecutionId,
    pub(crate) execution: Execution,
    pub(crate) tenant: String,
    pub(crate) created: Micros,
    /// When it last changed.
    pub(crate) updated: Micros,
    request_id: String,
    trace_id: String,
    chain: [u8; 32],
    letters: Letters,
    /// What its row says; none when it has no row yet.
    shown: Option<Shown>,
    /// Its end is stored, not only decided.
    pub(super) end_stored: bool,
}

/// What decides whether the row must be written again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shown {
    status: Status,
    state: probity_engine::CaseState,
    paused: bool,
    active: bool,
    findings: i64,
    decided: bool,
    admitted: Option<bool>,
    /// The turn, while it waits for a person: whatever they are told may change.
    waits_at: i64,
}

impl Live {
    pub(super) fn open(
        id: ExecutionId,
        definition: Arc<Definition>,
        opening: Opening,
        ctx: &Ctx,
        now: Micros,
    ) -> (Self, Turn) {
        let (execution, turn) = Execution::open(definition, opening, now);
        (Self::of(id, execution, ctx, now), turn)
    }

    /// One that is made and not started.
    pub(super) fn hold(
        id: ExecutionId,
        definition: Arc<Definition>,
        opening: Opening,
        ctx: &Ctx,
        now: Micros,
    ) -> (Self, Turn) {
        let (execution, turn) = Execution::hold(definition, opening, now);
        (Self::of(id, execution, ctx, now), turn)
    }

    /// An execution that has just begun.
    pub(super) fn of(id: ExecutionId, execution: Execution, ctx: &Ctx, now: Micros) -> Self {
        Self {
            id,
            execution,
            tenant: ctx.tenant.clone(),
            created: now,
            updated: now,
            request_id: ctx.request_id.clone(),
            trace_id: ctx.trace_id.clone(),
            chain: [0; 32],
            letters: Letters::default(),
            shown: None,
            end_stored: false,
        }
    }

    /// Reads an execution back from the journal.
    pub(crate) async fn read(
        store: &Store,
        definitions: &Definitions,
        id: ExecutionId,
    ) -> Result<Self, Error> {
        Self::read_with_facts(store, definitions, id).await.map(|(live, _)| live)
    }

    /// Reads an execution back, with its facts.
    pub(crate) async fn read_with_facts(
        store: &Store,
        definitions: &Definitions,
        id: ExecutionId,
    ) -> Result<(Self, Vec<(Micros, Fact)>), Error> {
        let turns = store.turns(id, 0, ALL).await?;
        let broken = |why: &str| Error::Journal { case: id.to_string(), why: why.to_owned() };
        let first = turns.first().ok_or_else(|| broken("it is empty"))?;
        let (Some(Fact::CaseOpened { definition, version, .. })
        | Some(Fact::ExecutionStarted { definition, version, .. })) = first.facts.first()
        else {
            return Err(broken("it does not begin with its opening"));
        };
        let definition = definitions.version(&first.tenant, definition, version).await?;
        let facts: Vec<(Micros, Fact)> =
            turns.iter().flat_map(|t| t.facts.iter().map(|f| (t.time, f.clone()))).collect();
        let execution =
            Execution::replay(definition, &facts).ok_or_else(|| broken("it cannot be replayed"))?;
        let end_stored = execution.ended.is_some();
        let live = Self {
            id,
            execution,
            tenant: first.tenant.clone(),
            created: first.time,
            updated: turns.last().map_or(first.time, |t| t.time),
            request_id: first.request_id.clone(),
            trace_id: first.trace_id.clone(),
            chain: turns.iter().fold([0; 32], |before, turn| chain(&before, &turn.json)),
            letters: Letters::replay(facts.iter().map(|(_, fact)| fact)),
            shown: None,
            end_stored,
        };
        Ok((live, facts))
    }

    pub(super) fn request_id(&self) -> &str {
        &self.request_id
    }

    pub(super) fn trace_id(&self) -> &str {
        &self.trace_id
    }

    /// Whether a call of this step starts another execution.
    pub(super) fn starts_child(&self, step: usize, compensation: bool) -> bool {
        match self.execution.definition.steps.get(step).map(|spec| &spec.action) {
            Some(Action::Call(call)) if !compensation => matches!(call.target, Target::Workflow(_)),
            _ => false,
        }
    }

    pub(crate) fn is_case(&self) -> bool {
        matches!(self.execution.opening.what, What::Case { .. })
    }

    /// Who acts when no person does.
    pub(super) fn itself(&self) -> String {
        format!("definitions/{}", self.execution.definition.name)
    }

    /// The turn as it is stored. Machine turns belong to the request that started
    /// the execution.
    pub(super) fn stored(
        &mut self,
        first: i64,
        facts: Vec<Fact>,
        by: Option<&By<'_>>,
        time: Micros,
    ) -> Result<StoredTurn, Error> {
        let json = serde_json::to_string(&facts)
            .map_err(|e| Error::Journal { case: self.id.to_string(), why: e.to_string() })?;
        self.chain = chain(&self.chain, &json);
        self.updated = time;
        let letters = self.letters.take(&facts, &self.execution, service_of);
        let task = standalone::Change::of(&facts, &self.execution);
        let case = if self.is_case() { self.execution.opening.name.clone() } else { String::new() };
        let own = |of_by: Option<&str>, own: &str| of_by.unwrap_or(own).to_owned();
        Ok(StoredTurn {
            execution: self.id,
            case,
            tenant: self.tenant.clone(),
            time,
            actor: by.map_or_else(|| self.itself(), |by| by.actor.to_owned()),
            request_id: own(by.map(|b| b.request_id), &self.request_id),
            trace_id: own(by.map(|b| b.trace_id), &self.trace_id),
            first,
            facts,
            json,
            chain: self.chain,
            letters,
            task,
        })
    }

    /// The execution as it is shown.
    pub(crate) fn view(&self) -> View {
        if self.is_case() {
            View::Case(Box::new(convert::case(&self.execution, self.created, self.updated)))
        } else {
            View::Plain(Box::new(convert::summary(self)))
        }
    }

    /// The row, when it no longer says what is so.
    pub(super) fn row(&mut self) -> Option<ExecutionRow> {
        let execution = &self.execution;
        let status = execution.status();
        let waits = matches!(status, Status::Waiting | Status::Incident);
        let shown = Shown {
            status,
            state: execution.state,
            paused: execution.paused.is_some(),
            active: execution.is_active(),
            findings: execution.finding_count(),
            decided: execution.verdict.is_some(),
            admitted: execution.line.as_ref().map(|line| line.admitted),
            waits_at: if waits { execution.sequence } else { 0 },
        };
        if self.shown == Some(shown) {
            return None;
        }
        self.shown = Some(shown);
        let waiting = execution.steps.iter().find_map(|s| match s.status {
            StepStatus::Incident => Some(2),
            StepStatus::Approval if execution.taking_back.is_none() => Some(1),
            _ => None,
        });
        let (kind, state) = match &execution.opening.what {
            What::Case { kind, .. } => (convert::kind_number(*kind), convert::state_number(execution.state)),
            What::Plain => (0, 0),
        };
        Some(ExecutionRow {
            id: self.id,
            tenant: self.tenant.clone(),
            kind,
            state,
            status: convert::status_number(status),
            definition: execution.definition.name.clone(),
            owner: execution.opening.owner.clone(),
            priority: execution.opening.priority,
            waiting: waiting.filter(|_| execution.ended.is_none()).unwrap_or(0),
            paused: shown.paused,
            active: shown.active,
            created: self.created,
            updated: self.updated,
            body: self.view().encode(),
            line: self.line_row(),
        })
    }

    /// What a step, or its compensation, has to do.
    pub(super) fn work(&self, order: Order) -> Option<Work> {
        let spec = self.execution.definition.steps.get(order.step)?;
        let call: &CallSpec = match &spec.action {
            _ if order.compensation => spec.compensate.as_ref()?,
            Action::Call(call) => call,
            _ => return None,
        };
        let opening = &self.execution.opening;
        let key = format!("{}/{}", self.id, order.key);
        let limit_key =
            (!order.compensation).then(|| self.execution.limit_key(order.step, order.id.item)).flatten();
        Some(match &call.target {
            Target::Method(method) => Work::Call(Call {
                tenant: self.tenant.clone(),
                owner: opening.owner.clone(),
                owner_roles: opening.owner_roles.clone(),
                request_id: self.request_id.clone(),
                trace_id: self.trace_id.clone(),
                step: spec.id.clone(),
                method: method.clone(),
                priority: opening.priority,
                input: order.input,
                key,
                timeout: spec.timeout,
                order: order.id,
                limit: if order.compensation {
                    None
                } else {
                    let (definition, key) = (&self.execution.definition, limit_key.as_deref());
                    limited(&self.tenant, definition, order.step, key, opening.priority)
                },
            }),
            Target::Task { kind, queue } => {
                let task = Task {
                    order: order.id,
                    kind: kind.clone(),
                    queue: queue.clone(),
                    tenant: self.tenant.clone(),
                    priority: opening.priority,
                    step: spec.id.clone(),
                    input: order.input.to_string().into(),
                    key,
                    timeout: spec.timeout,
                    not_before: None,
                    concurrency: limit_key.filter(|key| !key.is_empty()).map(concurrency_key),
                };
                Work::Task(match Standalone::of(&self.execution) {
                    Some(asked) => task.of(asked, &order.input),
                    None => task,
                })
            }
            Target::Workflow(name) => Work::Child(self.child(order.id, name, order.input, &order.key)),
        })
    }
}

/// As the queue takes it: what is too long, or no plain text, by its hash.
fn concurrency_key(key: String) -> Arc<str> {
    let plain = key.len() <= probity_queue::task::MAX_KEY && !key.chars().any(char::is_control);
    if plain { key.into() } else { hex::encode(Sha256::digest(key.as_bytes())).into() }
}

/// A [`probity_engine::Command::Call`] of one execution.
pub(super) struct Order {
    pub(super) id: crate::dispatch::OrderId,
    pub(super) step: usize,
    pub(super) compensation: bool,
    pub(super) input: Arc<Json>,
    pub(super) key: String,
}
