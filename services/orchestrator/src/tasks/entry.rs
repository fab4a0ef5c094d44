//! A task as queues have it, and the names of its queue.

use super::{Serving, Token, task_id};
use crate::dispatch::Task;
use probity_proto::orchestrator::WorkerTask;
use probity_queue::Priority;
use probity_types::Micros;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// A queue belongs to a tenant: what one does to its own changes nobody else's.
pub(super) fn queue_name(tenant: &str, queue: &str) -> Arc<str> {
    format!("{}.{queue}", mark(tenant)).into()
}

/// What the names of the queues of a tenant begin with.
pub(super) fn mark(tenant: &str) -> String {
    hex::encode(&Sha256::digest(tenant.as_bytes())[..8])
}

impl Token {
    /// The shared queue it was taken from, if a worker may speak of it.
    pub(super) fn shared_for(&self, serving: &Serving) -> Option<&Arc<str>> {
        let queue = self.shared.as_ref()?;
        let own = |tenant: &str| queue.split_once('.').is_some_and(|(whose, _)| whose == mark(tenant));
        serving.tenant.as_deref().is_none_or(own).then_some(queue)
    }
}

impl Task {
    /// As it stands in a queue.
    pub(super) fn entry(&self, not_before: Option<Micros>) -> probity_queue::Task {
        let priority = match self.priority {
            0 | 1 => Priority::Low,
            2 => Priority::Normal,
            3 => Priority::High,
            _ => Priority::Critical,
        };
        let (id, queue) = (task_id(self.order), queue_name(&self.tenant, &self.queue));
        let mut entry = probity_queue::Task::new(id, queue, self.tenant.as_str(), bytes::Bytes::new())
            .with_priority(priority);
        if let Some(at) = not_before.max(self.not_before) {
            entry = entry.with_not_before(at);
        }
        if let Some(key) = &self.concurrency {
            entry = entry.with_key(key.clone());
        }
        entry
    }

    /// As a worker gets it, under no lease yet.
    pub(super) fn shown(&self) -> WorkerTask {
        WorkerTask {
            r#type: self.kind.clone(),
            queue: self.queue.clone(),
            input: self.input.clone(),
            idempotency_key: self.key.clone(),
            attempt: i32::try_from(self.order.attempt).unwrap_or(i32::MAX),
            execution: format!("executions/{}", self.order.execution),
            step: self.step.clone(),
            tenant: self.tenant.clone(),
            priority: i32::from(self.priority),
            ..WorkerTask::default()
        }
    }
}
