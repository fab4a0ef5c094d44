//! The client side of the gateway: address, token, request ids, and trying again
//! when nobody answers.

use crate::args::Connect;
use crate::failure::{CallFailure, Failure};
use crate::output::note;
use anyhow::Context as _;
use probity_proto::anticorruption::anti_corruption_service_client::AntiCorruptionServiceClient;
use probity_proto::audit::audit_service_client::AuditServiceClient;
use probity_proto::compliance::compliance_service_client::ComplianceServiceClient;
use probity_proto::gateway::account_service_client::AccountServiceClient;
use probity_proto::gateway::auth_service_client::AuthServiceClient;
use probity_proto::gateway::gateway_service_client::GatewayServiceClient;
use probity_proto::intake::intake_service_client::IntakeServiceClient;
use probity_proto::monitoring::drill_service_client::DrillServiceClient;
use probity_proto::monitoring::monitoring_service_client::MonitoringServiceClient;
use probity_proto::orchestrator::case_service_client::CaseServiceClient;
use probity_proto::orchestrator::dead_letter_service_client::DeadLetterServiceClient;
use probity_proto::orchestrator::execution_service_client::ExecutionServiceClient;
use probity_proto::orchestrator::remediation_service_client::RemediationServiceClient;
use probity_proto::orchestrator::schedule_service_client::ScheduleServiceClient;
use probity_proto::orchestrator::task_service_client::TaskServiceClient;
use probity_proto::orchestrator::workflow_service_client::WorkflowServiceClient;
use probity_proto::spam::spam_service_client::SpamServiceClient;
use probity_runtime::{IDEMPOTENCY_KEY, REQUEST_ID};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

/// Longest time one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Where the administrator's token of a platform in this folder is.
const USUAL_TOKEN: &str = "data/token";
/// Largest answer: receipts may have 64 MiB.
const LARGEST_ANSWER: usize = 80 * 1024 * 1024;

/// A platform to talk to. Clones share one connection.
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
    server: Arc<str>,
    token: Arc<str>,
    retry_for: Duration,
    complained: Arc<AtomicBool>,
}

impl Client {
    /// Reads the token and prepares the connection; it is made at the first call.
    ///
    /// # Errors
    /// [`Failure::Usage`] when the address or the token cannot be used.
    pub fn new(connect: &Connect) -> Result<Self, Failure> {
        let token = match &connect.token {
            Some(token) => token.trim().to_owned(),
            None => read_token(connect.token_file.as_deref().unwrap_or_else(|| Path::new(USUAL_TOKEN)))?,
        };
        Self::known_as(connect, &token)
    }

    /// A client without a token, for what is open to everybody.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn anonymous(connect: &Connect) -> Result<Self, Failure> {
        Self::known_as(connect, "")
    }

    fn known_as(connect: &Connect, token: &str) -> Result<Self, Failure> {
        let client = Self::with_token(&connect.server, token, Duration::from_secs(connect.retry_for))?;
        let Some(name) = &connect.authority else { return Ok(client) };
        let origin = format!("http://{name}").parse().map_err(|error| {
            Failure::Usage(format!("--authority {name}: {error}; write a name such as probity.example.org"))
        })?;
        Ok(Self { channel: endpoint(&connect.server)?.origin(origin).connect_lazy(), ..client })
    }

    /// A client for an address and a token at hand.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn with_token(server: &str, token: &str, retry_for: Duration) -> Result<Self, Failure> {
        if !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Failure::Usage("the token holds characters that no token has".to_owned()));
        }
        Ok(Self {
            channel: endpoint(server)?.connect_lazy(),
            server: server.into(),
            token: token.into(),
            retry_for,
            complained: Arc::new(AtomicBool::new(false)),
        })
    }

    /// How long to go on trying when nobody answers.
    #[must_use]
    pub const fn retry_for(&self) -> Duration {
        self.retry_for
    }

    /// The address of the platform.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Makes a call, again and again while nobody answers and time is left. Only
    /// for calls that do no more when they are made twice.
    ///
    /// # Errors
    /// [`Failure::Call`] with the last answer.
    pub async fn call<M, R, F, Fut>(
        &self,
        what: &'static str,
        key: Option<&str>,
        message: M,
        call: F,
    ) -> Result<R, Failure>
    where
        M: Clone,
        F: Fn(Self, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<R>, Status>>,
    {
        let begin = Instant::now();
        let mut backoff = Duration::from_millis(100);
        loop {
            let (request, request_id) = self.request(message.clone(), key);
            let status = match call(self.clone(), request).await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => status,
            };
            let left = self.retry_for.saturating_sub(begin.elapsed());
            if !may_pass(&status) || left < backoff {
                return Err(self.failure(what, request_id, status));
            }
            self.complain(&status);
            let wait =
                probity_runtime::fault_of(&status).retry_after.unwrap_or(backoff).max(backoff).min(left);
            tokio::time::sleep(wait.mul_f64(0.75 + fastrand::f64() / 4.0)).await;
            backoff = (backoff * 2).min(Duration::from_secs(2));
        }
    }

    /// A request with token, request id, deadline and, if given, idempotency key;
    /// and its request id.
    pub fn request<M>(&self, message: M, key: Option<&str>) -> (Request<M>, String) {
        let (mut request, request_id) = self.endless_request(message, key);
        request.set_timeout(CALL_TIMEOUT);
        (request, request_id)
    }

    /// As [`Client::request`] without a deadline, for what is watched.
    pub fn endless_request<M>(&self, message: M, key: Option<&str>) -> (Request<M>, String) {
        let mut request = Request::new(message);
        let request_id = uuid::Uuid::now_v7().to_string();
        let bearer = (!self.token.is_empty()).then(|| format!("Bearer {}", self.token));
        for (name, text) in [
            ("authorization", bearer.as_deref()),
            (REQUEST_ID, Some(request_id.as_str())),
            (IDEMPOTENCY_KEY, key),
        ] {
            if let Some(Ok(value)) = text.map(MetadataValue::try_from) {
                request.metadata_mut().insert(name, value);
            }
        }
        (request, request_id)
    }

    /// The failure of a call.
    #[must_use]
    pub fn failure(&self, what: &'static str, request_id: String, status: Status) -> Failure {
        let given = status.metadata().get(REQUEST_ID).and_then(|id| id.to_str().ok());
        let request_id = given.map_or(request_id, ToOwned::to_owned);
        Failure::Call(Box::new(CallFailure { what, server: self.server.to_string(), request_id, status }))
    }

    /// Says once that the platform does not answer, so that the silence has a
    /// reason.
    fn complain(&self, status: &Status) {
        if !self.complained.swap(true, Ordering::Relaxed) {
            let seconds = self.retry_for.as_secs();
            note(format_args!(
                "{}: {}; trying for {seconds} s",
                self.server,
                crate::output::plain(status.message())
            ));
        }
    }

    /// Cases.
    #[must_use]
    pub fn cases(&self) -> CaseServiceClient<Channel> {
        CaseServiceClient::new(self.channel.clone())
    }

    /// Workflow definitions.
    #[must_use]
    pub fn workflows(&self) -> WorkflowServiceClient<Channel> {
        WorkflowServiceClient::new(self.channel.clone())
    }

    /// Executions.
    #[must_use]
    pub fn executions(&self) -> ExecutionServiceClient<Channel> {
        ExecutionServiceClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER)
    }

    /// Schedules.
    #[must_use]
    pub fn schedules(&self) -> ScheduleServiceClient<Channel> {
        ScheduleServiceClient::new(self.channel.clone())
    }

    /// Tasks and queues.
    #[must_use]
    pub fn tasks(&self) -> TaskServiceClient<Channel> {
        TaskServiceClient::new(self.channel.clone())
    }

    /// Steps that failed for good.
    #[must_use]
    pub fn dead_letters(&self) -> DeadLetterServiceClient<Channel> {
        DeadLetterServiceClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER)
    }

    /// Actions taken for cases.
    #[must_use]
    pub fn actions(&self) -> RemediationServiceClient<Channel> {
        RemediationServiceClient::new(self.channel.clone())
    }

    /// Documents.
    #[must_use]
    pub fn documents(&self) -> IntakeServiceClient<Channel> {
        IntakeServiceClient::new(self.channel.clone())
    }

    /// Findings and watchlists.
    #[must_use]
    pub fn findings(&self) -> AntiCorruptionServiceClient<Channel> {
        AntiCorruptionServiceClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER)
    }

    /// Evaluations.
    #[must_use]
    pub fn compliance(&self) -> ComplianceServiceClient<Channel> {
        ComplianceServiceClient::new(self.channel.clone())
    }

    /// The log.
    #[must_use]
    pub fn audit(&self) -> AuditServiceClient<Channel> {
        AuditServiceClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER)
    }

    /// The platform itself.
    #[must_use]
    pub fn gateway(&self) -> GatewayServiceClient<Channel> {
        GatewayServiceClient::new(self.channel.clone())
    }

    /// Sessions and the keys of tokens.
    #[must_use]
    pub fn auth(&self) -> AuthServiceClient<Channel> {
        AuthServiceClient::new(self.channel.clone())
    }

    /// Accounts.
    #[must_use]
    pub fn accounts(&self) -> AccountServiceClient<Channel> {
        AccountServiceClient::new(self.channel.clone())
    }

    /// Classifications.
    #[must_use]
    pub fn spam(&self) -> SpamServiceClient<Channel> {
        SpamServiceClient::new(self.channel.clone())
    }

    /// How the services are doing.
    #[must_use]
    pub fn monitoring(&self) -> MonitoringServiceClient<Channel> {
        MonitoringServiceClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER)
    }

    /// Faults for drills.
    #[must_use]
    pub fn drills(&self) -> DrillServiceClient<Channel> {
        DrillServiceClient::new(self.channel.clone())
    }
}

/// Whether the same call may pass later without any change.
pub(crate) fn may_pass(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::ResourceExhausted)
}

fn endpoint(server: &str) -> Result<Endpoint, Failure> {
    let usage = |why: &str| Failure::Usage(format!("--server {server}: {why}"));
    if server.starts_with("https://") {
        return Err(usage("this build speaks h2c only; use http:// or put a TLS proxy in between"));
    }
    if !server.starts_with("http://") {
        return Err(usage("an address looks like http://127.0.0.1:8080"));
    }
    let endpoint = Endpoint::from_shared(server.to_owned()).map_err(|e| usage(&e.to_string()))?;
    Ok(endpoint
        .connect_timeout(Duration::from_secs(5))
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10))
        .tcp_nodelay(true)
        .user_agent(concat!("probity-cli/", env!("CARGO_PKG_VERSION")))
        .with_context(|| "the user agent cannot be set")?)
}

fn read_token(file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        let file = file.display();
        let hint = "log in with `probity login`, or give --token-file; `probity dev --data DIR` writes one to DIR/token";
        Failure::Usage(format!("the token file {file} cannot be read ({error}); {hint}"))
    })?;
    let token = text.trim();
    if token.is_empty() {
        return Err(Failure::Usage(format!("the token file {} is empty", file.display())));
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_and_tokens_are_checked_first() {
        let check = |server: &str, token: &str, fits: bool| {
            let client = Client::with_token(server, token, Duration::ZERO);
            assert_eq!(client.is_ok(), fits, "{server} {token}");
            assert!(!matches!(client, Err(Failure::Other(_) | Failure::Call(_))));
        };
        check("http://127.0.0.1:8080", "a.b.c", true);
        check("http://127.0.0.1:8080", "a\nb", false);
        check("https://example.org", "t", false);
        check("127.0.0.1:8080", "t", false);
        check("http://", "t", false);
    }

    #[tokio::test]
    async fn requests_carry_who_which_and_once() {
        let client = Client::with_token("http://h:1", "tok", Duration::ZERO).unwrap();
        let (request, id) = client.request((), Some("key-1"));
        let text = |name: &str| request.metadata().get(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!(text("authorization"), "Bearer tok");
        assert_eq!(text("idempotency-key"), "key-1");
        assert_eq!(text("x-request-id"), id);
        assert!(request.metadata().contains_key("grpc-timeout"));
    }
}
