//! The way to the server: calls gather while a run of the script is under way,
//! and the next run carries all of them.
//!
//! **Architecture invariant:** there is one run under way at a time, and a call
//! that waits when a run fails fails with it. So nobody waits for one timeout
//! after another.

use super::codec::{Call, list};
use super::policies::Policies;
use super::{Limits, RedisConfig};
use crate::Error;
use bytes::Bytes;
use deadpool_redis::{Connection, Manager, Pool, Runtime};
use probity_types::Clock;
use redis::{AsyncConnectionConfig, Client, RedisError, Script, Value};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// The script: its library, then its calls.
const SCRIPT: &str = concat!(include_str!("queue.lua"), include_str!("calls.lua"));
/// A run carries no further request once it has so many calls or bytes.
const MAX_CALLS: usize = 1_000;
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Connections: the lane's, and one for questions about the server.
const CONNECTIONS: usize = 2;

/// What a server answers that will work again by itself or by an operator's
/// hand; see "Simple errors" in the specification of the Redis protocol.
const PASSING: [&str; 10] = [
    "LOADING",
    "BUSY",
    "MASTERDOWN",
    "READONLY",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "OOM",
    "MISCONF",
    "NOREPLICAS",
    "NOSCRIPT",
];

/// A server and how to reach it.
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) prefix: String,
    pub(super) timeout: Duration,
    server: Arc<str>,
    pool: Pool,
}

impl Link {
    pub(super) fn new(config: &RedisConfig) -> Result<Self, Error> {
        let wrong = |error: &dyn std::fmt::Display| Error::Config {
            key: "url",
            reason: format!("is wrong: {error}"),
        };
        let client = Client::open(config.url.as_str()).map_err(|error| wrong(&error))?;
        let timeout = Some(config.timeout);
        let settings =
            AsyncConnectionConfig::new().set_connection_timeout(timeout).set_response_timeout(timeout);
        let manager =
            Manager::new_with_config(config.url.as_str(), settings).map_err(|error| wrong(&error))?;
        let pool = Pool::builder(manager).max_size(CONNECTIONS).runtime(Runtime::Tokio1);
        let pool = pool.wait_timeout(timeout).create_timeout(timeout).recycle_timeout(timeout).build();
        let pool = pool.map_err(|error| wrong(&error))?;
        let server = client.get_connection_info().addr().to_string().into();
        let prefix = format!("{{{}}}:queue:", config.prefix);
        Ok(Self { client, prefix, timeout: config.timeout, server, pool })
    }

    pub(super) fn server(&self) -> &str {
        &self.server
    }

    async fn connect(&self) -> Result<Connection, Error> {
        self.pool.get().await.map_err(|error| self.away(&error))
    }

    /// A number of the server's present run.
    pub(super) async fn run(&self) -> Result<u64, Error> {
        let mut connection = self.connect().await?;
        let info: String = redis::cmd("INFO")
            .arg("server")
            .query_async(&mut connection)
            .await
            .map_err(|error| self.failed(&error))?;
        let id = info.lines().find_map(|line| line.strip_prefix("run_id:"));
        let id = id.and_then(|id| u64::from_str_radix(id.get(..16)?, 16).ok());
        id.ok_or_else(|| self.odd("INFO names no run_id"))
    }

    /// The server answered with something we cannot use.
    pub(super) fn odd(&self, reason: &str) -> Error {
        Error::Answer { server: Arc::clone(&self.server), reason: reason.into() }
    }

    fn away(&self, reason: &dyn std::fmt::Display) -> Error {
        Error::Unavailable { server: Arc::clone(&self.server), reason: reason.to_string().into() }
    }

    /// Sorts what the client reports.
    fn failed(&self, error: &RedisError) -> Error {
        if error.is_timeout() {
            return Error::Timeout { server: Arc::clone(&self.server), limit: self.timeout };
        }
        match error.code() {
            Some(code) if !PASSING.contains(&code) => self.odd(&error.to_string()),
            _ => self.away(error),
        }
    }
}

/// Calls that belong together, and who waits for their answers.
struct Request {
    calls: Vec<Call>,
    answer: oneshot::Sender<Result<Vec<Value>, Error>>,
}

/// The end of the lane at which calls go in.
pub(super) struct Lane {
    requests: mpsc::Sender<Request>,
    link: Arc<Link>,
    limits: Limits,
}

impl Lane {
    /// Sends calls together and answers with an answer each.
    pub(super) async fn send(&self, calls: Vec<Call>) -> Result<Vec<Value>, Error> {
        let (answer, answered) = oneshot::channel();
        self.requests.try_send(Request { calls, answer }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Error::Overloaded {
                server: Arc::clone(&self.link.server),
                limit: self.requests.max_capacity(),
            },
            mpsc::error::TrySendError::Closed(_) => self.link.away(&"the client is closed"),
        })?;
        answered.await.unwrap_or_else(|_| Err(self.link.away(&"the client is closed")))
    }

    pub(super) const fn limits(&self) -> Limits {
        self.limits
    }
}

/// A lane, and the work that carries what is sent on it.
pub(super) fn open(
    config: &RedisConfig,
    link: Arc<Link>,
    policies: Arc<Policies>,
    clock: Option<Arc<dyn Clock>>,
) -> (Lane, impl Future<Output = ()> + Send + 'static) {
    let (requests, incoming) = mpsc::channel(config.waiting);
    let lane = Lane { requests, link: Arc::clone(&link), limits: config.limits };
    let carrier = Carrier {
        incoming,
        link,
        policies,
        clock,
        limits: config.limits,
        script: Script::new(SCRIPT),
        connection: None,
        next: None,
    };
    (lane, carrier.run())
}

struct Carrier {
    incoming: mpsc::Receiver<Request>,
    link: Arc<Link>,
    policies: Arc<Policies>,
    clock: Option<Arc<dyn Clock>>,
    limits: Limits,
    script: Script,
    connection: Option<Connection>,
    /// A request that did not fit into the last run.
    next: Option<Request>,
}

impl Carrier {
    async fn run(mut self) {
        while let Some(first) = self.first().await {
            let batch = self.gather(first);
            let outcome = self.carry(&batch).await;
            match outcome {
                Ok(answers) => self.hand_out(batch, answers),
                Err(error) => self.fail(batch, &error),
            }
        }
    }

    async fn first(&mut self) -> Option<Request> {
        match self.next.take() {
            Some(request) => Some(request),
            None => self.incoming.recv().await,
        }
    }

    /// Everything that waits, up to the bounds of a run. Requests whose caller
    /// went away are left out.
    fn gather(&mut self, first: Request) -> Vec<Request> {
        let size = |request: &Request| -> usize {
            request.calls.iter().flat_map(|call| &call.args).map(Bytes::len).sum()
        };
        let (mut calls, mut bytes) = (first.calls.len(), size(&first));
        let mut batch = vec![first];
        while let Ok(request) = self.incoming.try_recv() {
            (calls, bytes) = (calls + request.calls.len(), bytes + size(&request));
            if calls > MAX_CALLS || bytes > MAX_BYTES {
                self.next = Some(request);
                break;
            }
            batch.push(request);
        }
        batch.retain(|request| !request.answer.is_closed());
        batch
    }

    /// One run of the script.
    async fn carry(&mut self, batch: &[Request]) -> Result<Vec<Value>, Error> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.link.connect().await?,
        };
        let invocation = self.invocation(batch);
        match invocation.invoke_async::<Value>(&mut connection).await {
            Ok(value) => {
                self.connection = Some(connection);
                list(value).ok_or_else(|| self.link.odd("the script gave no list"))
            }
            Err(error) => {
                // Its state is unknown: the pool must not give it out again.
                drop(Connection::take(connection));
                Err(self.link.failed(&error))
            }
        }
    }

    fn invocation(&self, batch: &[Request]) -> redis::ScriptInvocation<'_> {
        let calls = || batch.iter().flat_map(|request| &request.calls);
        let queues: HashSet<_> = calls().flat_map(|call| &call.queues).collect();
        let policies: Vec<_> =
            queues.into_iter().filter_map(|queue| Some((queue, self.policies.get(queue)?))).collect();
        let mut invocation = self.script.key(&self.link.prefix);
        invocation.arg(self.clock.as_ref().map_or(0, |clock| clock.now().0));
        invocation.arg(self.limits.capacity).arg(self.limits.queue_capacity).arg(self.limits.queues);
        invocation.arg(policies.len());
        for (queue, policy) in &policies {
            invocation.arg(&***queue).arg(&**policy);
        }
        for argument in calls().flat_map(|call| &call.args) {
            invocation.arg(&**argument);
        }
        invocation
    }

    fn hand_out(&self, batch: Vec<Request>, answers: Vec<Value>) {
        let mut answers = answers.into_iter();
        for request in batch {
            let mine: Vec<_> = answers.by_ref().take(request.calls.len()).collect();
            let complete = mine.len() == request.calls.len();
            let answer = if complete { Ok(mine) } else { Err(self.link.odd("answers are missing")) };
            // A caller that went away needs no answer, here and below.
            let _ = request.answer.send(answer);
        }
    }

    /// The run failed: so does everything that waits.
    fn fail(&mut self, batch: Vec<Request>, error: &Error) {
        let waiting = std::iter::from_fn(|| self.incoming.try_recv().ok());
        for request in batch.into_iter().chain(self.next.take()).chain(waiting) {
            let _ = request.answer.send(Err(error.clone()));
        }
    }
}
