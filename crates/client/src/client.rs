//! The platform as its clients see it.

use crate::Error;
use crate::settings::ClientBuilder;
use crate::start::Start;
use crate::transport::Transport;
use crate::watch::Watch;
use probity_proto::anticorruption::anti_corruption_service_client::AntiCorruptionServiceClient;
use probity_proto::audit::audit_service_client::AuditServiceClient;
use probity_proto::compliance::compliance_service_client::ComplianceServiceClient;
use probity_proto::gateway::gateway_service_client::GatewayServiceClient;
use probity_proto::intake::intake_service_client::IntakeServiceClient;
use probity_proto::orchestrator::case_service_client::CaseServiceClient;
use probity_proto::orchestrator::dead_letter_service_client::DeadLetterServiceClient;
use probity_proto::orchestrator::execution_service_client::ExecutionServiceClient;
use probity_proto::orchestrator::task_service_client::TaskServiceClient;
use probity_proto::orchestrator::worker_service_client::WorkerServiceClient;
use probity_proto::orchestrator::workflow_service_client::WorkflowServiceClient;
use probity_proto::spam::spam_service_client::SpamServiceClient;
use tonic::transport::Channel;

/// A platform to talk to. Clones share one connection; it is made again whenever
/// it breaks.
#[derive(Debug, Clone)]
pub struct Client {
    transport: Transport,
    largest_answer: usize,
}

/// Generated clients, one a service, ready to be called.
macro_rules! services {
    ($($(#[$doc:meta])* $name:ident: $client:ident;)*) => {
        $($(#[$doc])*
        #[must_use]
        pub fn $name(&self) -> $client<Transport> {
            $client::new(self.transport.clone()).max_decoding_message_size(self.largest_answer)
        })*
    };
}

impl Client {
    /// Connects to the gateway at `endpoint`, `http://HOST:PORT`, with a bearer
    /// token.
    ///
    /// # Errors
    /// [`Error::Setting`] for an address or a token that is none,
    /// [`Error::Connect`] when nobody answers there.
    pub async fn connect(endpoint: &str, token: &str) -> Result<Self, Error> {
        Self::builder(endpoint).token(token)?.connect().await
    }

    /// A client with settings of its own: patience, retries, tokens that change.
    #[must_use]
    pub fn builder(endpoint: &str) -> ClientBuilder {
        ClientBuilder::new(endpoint)
    }

    pub(crate) fn new(channel: Channel, settings: &ClientBuilder) -> Self {
        Self { transport: Transport::new(channel, settings), largest_answer: settings.largest_answer }
    }

    pub(crate) const fn transport(&self) -> &Transport {
        &self.transport
    }

    /// An execution of `definition` to start, such as `screening` or
    /// `definitions/screening`.
    pub fn start(&self, definition: &str) -> Start {
        Start::new(self.clone(), definition)
    }

    /// What happens to an execution, from the beginning.
    #[must_use]
    pub fn watch(&self, execution: &str) -> Watch {
        Watch::new(self.clone(), execution)
    }

    services! {
        /// Executions of workflow definitions.
        executions: ExecutionServiceClient;
        /// Workflow definitions, task queues and incidents.
        workflows: WorkflowServiceClient;
        /// Cases.
        cases: CaseServiceClient;
        /// Tasks of their own and the queues they wait in.
        tasks: TaskServiceClient;
        /// What failed for good, until somebody has decided about it.
        dead_letters: DeadLetterServiceClient;
        /// Tasks, as a [`Worker`](crate::Worker) takes them.
        work: WorkerServiceClient;
        /// Documents.
        documents: IntakeServiceClient;
        /// Findings and watchlists.
        findings: AntiCorruptionServiceClient;
        /// The classifier of unwanted messages.
        spam: SpamServiceClient;
        /// Policies and evaluations.
        compliance: ComplianceServiceClient;
        /// The log.
        audit: AuditServiceClient;
        /// Tokens and the state of the platform.
        gateway: GatewayServiceClient;
    }
}
