//! Starting executions.

use crate::{Client, Error};
use probity_proto::orchestrator::{Execution, Priority, StartExecutionRequest};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tonic::Request;

/// Longest wait the platform grants.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// How much longer than its wait a call may take.
const MARGIN: Duration = Duration::from_secs(15);

/// An execution that is about to start.
#[derive(Debug)]
#[must_use = "nothing starts until it is sent"]
pub struct Start {
    client: Client,
    request: StartExecutionRequest,
    wait: Duration,
    wrong: Option<Error>,
}

impl Start {
    pub(crate) fn new(client: Client, definition: &str) -> Self {
        let bare = definition.strip_prefix("definitions/").unwrap_or(definition);
        let request =
            StartExecutionRequest { definition: format!("definitions/{bare}"), ..Default::default() };
        Self { client, request, wait: Duration::ZERO, wrong: None }
    }

    /// The input: anything that is written as JSON, 1 MiB at most. Numbers beyond
    /// 64 bits keep their digits as a `serde_json::value::RawValue`.
    pub fn input<T: Serialize + ?Sized>(mut self, input: &T) -> Self {
        match serde_json::to_vec(input) {
            Ok(json) => self.request.input = json.into(),
            Err(source) => self.wrong = Some(Error::Json { what: "the input cannot be written:", source }),
        }
        self
    }

    /// The input as JSON text that is at hand already.
    pub fn input_json(mut self, json: impl Into<bytes::Bytes>) -> Self {
        self.request.input = json.into();
        self
    }

    /// How urgent it is; normal when not said.
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.request.priority = priority as i32;
        self
    }

    /// A key of at most 128 characters under which this start counts once, however
    /// often it is sent; a new one when not said, which covers the retries of this
    /// call alone.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.request.request_id = key.into();
        self
    }

    /// Answers when the execution has ended, or after this time (5 minutes at
    /// most) with where it stands; at once when not said.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait.min(LONGEST_WAIT);
        self
    }

    /// Starts it. What is answered is durable.
    ///
    /// # Errors
    /// [`Error::Json`] for an input that has no JSON form, [`Error::Status`] when
    /// the platform refuses or stays away for longer than the retries.
    pub async fn send(mut self) -> Result<Execution, Error> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let key = match std::mem::take(&mut self.request.request_id) {
            key if key.is_empty() => uuid::Uuid::now_v7().as_simple().to_string(),
            key => key,
        };
        self.request.request_id = key;
        let mut request = Request::new(self.request);
        if !self.wait.is_zero() {
            request.get_mut().wait = prost_types::Duration::try_from(self.wait).ok();
            request.set_timeout(self.wait + MARGIN);
        }
        if let Ok(key) = request.get_ref().request_id.parse() {
            request.metadata_mut().insert("idempotency-key", key);
        }
        Ok(self.client.executions().start_execution(request).await?.into_inner())
    }
}

/// The output of an execution that completed, read as a type.
///
/// # Errors
/// [`Error::Json`] when it has none or it does not fit.
pub fn output<T: DeserializeOwned>(execution: &Execution) -> Result<T, Error> {
    let json = if execution.output.is_empty() { b"null".as_slice() } else { &execution.output };
    serde_json::from_slice(json).map_err(|source| Error::Json { what: "the output does not fit:", source })
}
