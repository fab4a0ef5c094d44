//! Watching executions, across broken connections.

use crate::error::again;
use crate::{Client, Error};
use probity_proto::orchestrator::{HistoryEvent, WatchExecutionRequest};
use tonic::{Code, Status, Streaming};

/// What happens to an execution, event after event. A broken connection is made
/// again after the last event that was seen, so that none is skipped or told
/// twice.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    name: String,
    after: i64,
    stream: Option<Streaming<HistoryEvent>>,
    ended: bool,
}

impl Watch {
    pub(crate) fn new(client: Client, execution: &str) -> Self {
        let bare = execution.strip_prefix("executions/").unwrap_or(execution);
        Self { client, name: format!("executions/{bare}"), after: 0, stream: None, ended: false }
    }

    /// Goes on after an event that was seen earlier.
    #[must_use]
    pub const fn after(mut self, sequence: i64) -> Self {
        self.after = sequence;
        self
    }

    /// The next event; `None` once the execution has ended and all is told.
    ///
    /// # Errors
    /// [`Error::Status`] when the platform refuses, or stays away for longer than
    /// the retries of the client.
    pub async fn next(&mut self) -> Result<Option<HistoryEvent>, Error> {
        let mut failed = 0;
        while !self.ended {
            match self.step().await {
                Ok(Some(event)) => {
                    self.after = event.sequence;
                    return Ok(Some(event));
                }
                Ok(None) => self.ended = true,
                Err(status) => {
                    self.stream = None;
                    failed += 1;
                    self.pause(failed, status).await?;
                }
            }
        }
        Ok(None)
    }

    async fn step(&mut self) -> Result<Option<HistoryEvent>, Status> {
        if let Some(stream) = &mut self.stream {
            return stream.message().await;
        }
        let request = WatchExecutionRequest { name: self.name.clone(), after_sequence: self.after };
        let stream = self.client.executions().watch_execution(request).await?.into_inner();
        self.stream.insert(stream).message().await
    }

    async fn pause(&self, failed: u32, status: Status) -> Result<(), Error> {
        let wait = self.client.transport().retry_policy().delay(failed, fastrand::f64());
        match (broken(&status), wait) {
            (Some(least), Some(wait)) => {
                tokio::time::sleep(wait.max(least)).await;
                Ok(())
            }
            _ => Err(status.into()),
        }
    }
}

/// How long to wait at least before a stream that ended like this is opened
/// again; `None` when that would not help. Beyond what holds for calls, a
/// connection that broke amid a stream shows as UNKNOWN or CANCELLED, and one
/// whose time was over as DEADLINE_EXCEEDED.
pub(crate) fn broken(status: &Status) -> Option<std::time::Duration> {
    match status.code() {
        Code::Unknown | Code::Cancelled | Code::DeadlineExceeded | Code::Internal => {
            Some(std::time::Duration::ZERO)
        }
        Code::ResourceExhausted => Some(again(status).unwrap_or_default()),
        _ => again(status),
    }
}
