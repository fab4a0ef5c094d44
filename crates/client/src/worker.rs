//! Workers: programs that do the tasks of workflows.
//!
//! A worker keeps one stream to the platform. It says which queues it serves and
//! how many tasks it has room for; tasks come as there are any, results go back,
//! everything that has finished since the last message in one. A result is kept
//! until the platform has said that it is durable: when the stream breaks, the
//! worker connects again, waits a little longer each time, and sends what was not
//! acknowledged once more. Tasks that take long are kept by heartbeats.
//!
//! The platform hands a task out again when its lease is over, so a handler may
//! run twice for one task, also at once on two machines. What it does to the world
//! outside must happen at most once per [`Task::idempotency_key`].

mod finish;
mod run;
mod state;
mod task;

pub use task::{Failure, Task};

use crate::{Client, Error};
use finish::Handler;
use serde::Serialize;
use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

/// Most queues one worker serves.
const MOST_QUEUES: usize = 64;
/// Most types of task one worker does.
const MOST_TYPES: usize = 256;
/// Most tasks at once.
const MOST_AT_ONCE: usize = 10_000;
/// Longest name.
const LONGEST_NAME: usize = 128;

/// A worker to be run.
#[derive(Debug)]
#[must_use = "it does nothing until it is run"]
pub struct Worker {
    client: Client,
    settings: Settings,
    handlers: BTreeMap<String, Handler>,
    wrong: Option<String>,
}

/// How a worker behaves.
#[derive(Debug, Clone)]
struct Settings {
    name: String,
    queues: Vec<String>,
    concurrency: usize,
    heartbeat: Duration,
    grace: Duration,
}

/// What a worker did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Tasks whose result is durable, successes and failures.
    pub acknowledged: u64,
    /// How many of the results were failures.
    pub failed: u64,
    /// Tasks whose result was not wanted any more.
    pub dropped: u64,
    /// How often the stream was made again.
    pub reconnects: u64,
    /// Tasks that were still running, or results that were still not
    /// acknowledged, when the grace was over. The platform hands them out again.
    pub abandoned: u64,
}

impl Worker {
    /// A worker without queues and handlers yet.
    pub fn new(client: Client) -> Self {
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "worker".to_owned());
        let settings = Settings {
            name: format!("{host}-{}", std::process::id()),
            queues: Vec::new(),
            concurrency: 64,
            heartbeat: Duration::from_secs(5),
            grace: Duration::from_secs(30),
        };
        Self { client, settings, handlers: BTreeMap::new(), wrong: None }
    }

    /// A queue to serve; call it again for more, up to 64.
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.settings.queues.push(queue.into());
        self
    }

    /// Most tasks at once; 64 when not said.
    pub const fn concurrency(mut self, tasks: usize) -> Self {
        self.settings.concurrency = tasks;
        self
    }

    /// A name for people, at most 128 characters; host and process id when not said.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = name.into();
        self
    }

    /// How often the platform hears of tasks that are still running: less than a
    /// third of the shortest lease; 5 s when not said.
    pub const fn heartbeat(mut self, every: Duration) -> Self {
        self.settings.heartbeat = every;
        self
    }

    /// How long running tasks may take to finish once the worker shall stop; 30 s
    /// when not said.
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.settings.grace = grace;
        self
    }

    /// How tasks of a type are done. There must be a handler for every type that is
    /// put into the queues: a task of another one is a failed attempt,
    /// `NO_HANDLER`. What the handler gives is written as JSON
    /// (1 MiB at most); an error, or a panic, is a failed attempt, which the retry
    /// policy of the step decides about.
    pub fn handler<F, Fut, O>(mut self, kind: impl Into<String>, handler: F) -> Self
    where
        F: Fn(Task) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, Failure>> + Send + 'static,
        O: Serialize,
    {
        let kind = kind.into();
        if self.handlers.contains_key(&kind) {
            self.wrong = Some(format!("the type {kind:?} has two handlers"));
        }
        self.handlers.insert(kind, Handler::new(handler));
        self
    }

    /// Works until `shutdown` is ready, then takes no more tasks, finishes those
    /// it has, sends their results and answers what it did.
    ///
    /// # Errors
    /// [`Error::Setting`] before it begins when something cannot be, and
    /// [`Error::Status`] when the platform refuses the worker: a bad token, a role
    /// that may not work. An outage is waited out.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<Summary, Error> {
        self.check().map_err(Error::Setting)?;
        run::run(self.client, self.settings, self.handlers, shutdown).await
    }

    fn check(&self) -> Result<(), String> {
        let Settings { name, queues, concurrency, heartbeat, .. } = &self.settings;
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        if name.is_empty() || name.chars().count() > LONGEST_NAME {
            return Err(format!("the name must have 1 to {LONGEST_NAME} characters"));
        }
        if queues.is_empty() || queues.len() > MOST_QUEUES || queues.iter().any(String::is_empty) {
            return Err(format!("name 1 to {MOST_QUEUES} queues, with queue(…)"));
        }
        if self.handlers.is_empty() || self.handlers.len() > MOST_TYPES {
            return Err(format!("give 1 to {MOST_TYPES} handlers, with handler(…)"));
        }
        if !(1..=MOST_AT_ONCE).contains(concurrency) {
            return Err(format!("concurrency is {concurrency}; it must be from 1 to {MOST_AT_ONCE}"));
        }
        if heartbeat.is_zero() {
            return Err("heartbeat is 0; it must be longer".to_owned());
        }
        Ok(())
    }
}
