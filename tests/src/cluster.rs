//! Several orchestrators on one store, each called at its own door, as a load
//! balancer would; the other services stand beside them, one process each.

mod gateway;

pub use gateway::Gateway;

use crate::load::Load;
use crate::sandbox::binary;
use probity_proto::intake::UploadDocumentRequest;
use probity_proto::intake::intake_service_client::IntakeServiceClient;
use probity_proto::orchestrator::case_service_client::CaseServiceClient;
use probity_proto::orchestrator::dead_letter_service_client::DeadLetterServiceClient;
use probity_proto::orchestrator::execution_service_client::ExecutionServiceClient;
use probity_proto::orchestrator::task_service_client::TaskServiceClient;
use probity_proto::orchestrator::worker_service_client::WorkerServiceClient;
use probity_proto::orchestrator::workflow_service_client::WorkflowServiceClient;
use probity_proto::orchestrator::{
    Execution, GetExecutionRequest, OpenCaseRequest, RegisterDefinitionRequest, StartExecutionRequest,
    TaskFailure, TaskResult, WorkRequest, WorkerHello, WorkerTask,
};
use probity_runtime::{CALLER_HEADER, IDEMPOTENCY_KEY, Minter};
use probity_testkit::{Child, free_port};
use probity_types::{Ctx, Role, Roles, SystemClock};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

const START: Duration = Duration::from_secs(60);
/// Services an orchestrator calls.
const PEERS: [&str; 5] =
    ["audit-aggregator", "intake", "spam-detection", "anti-corruption", "compliance-validator"];
/// Two steps for workers, one after the other.
const DEFINITION: &str = "name: pair\nsteps:\n  - id: first\n    task: echo\n    input: {number: input.number}\n\
    \x20 - id: second\n    needs: [first]\n    task: echo\n    input: {number: input.number}\noutput: {number: input.number}\n";

/// How an orchestrator is started.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// `trial`: the binary with failpoints and sabotage.
    pub trial: bool,
    /// Environment.
    pub env: Vec<(&'static str, String)>,
}

/// A replica: its process, when it runs, and where it is.
struct Replica {
    child: Option<Child>,
    port: u16,
    admin: String,
}

/// The services.
pub struct Cluster {
    peers: BTreeMap<&'static str, (Option<Child>, u16)>,
    replicas: Vec<Replica>,
    dir: PathBuf,
    /// The PostgreSQL of the orchestrators; the SQLite file of the one when absent.
    database: Option<String>,
}

impl Cluster {
    /// Starts the peers; replicas are started one by one.
    pub async fn start(dir: &Path, database: Option<String>) -> Self {
        let mut cluster =
            Self { peers: BTreeMap::new(), replicas: Vec::new(), dir: dir.to_owned(), database };
        for name in PEERS {
            cluster.peers.insert(name, (None, free_port()));
        }
        for name in PEERS {
            cluster.start_peer(name).await;
        }
        cluster
    }

    /// Starts a peer again, or for the first time.
    pub async fn start_peer(&mut self, name: &'static str) {
        let port = self.peers[name].1;
        let mut child = self.spawn(name, &format!("probity-{name}"), port, &[]);
        ready(&mut child).await;
        self.peers.insert(name, (Some(child), port));
    }

    fn spawn(&self, name: &str, program: &str, port: u16, env: &[(&'static str, String)]) -> Child {
        Child::spawn(self.command(name, program, port, env))
    }

    fn command(&self, name: &str, program: &str, port: u16, env: &[(&'static str, String)]) -> Command {
        let mut command = Command::new(binary(program));
        command.arg("--data-dir").arg(&self.dir);
        command.args(["--listen", &format!("127.0.0.1:{port}"), "--admin-listen", "127.0.0.1:0"]);
        let peers = self.peers.iter().map(|(peer, (_, port))| (*peer, *port));
        for (peer, port) in peers.filter(|(peer, _)| *peer != name) {
            command.args(["--peer", &format!("{peer}=http://127.0.0.1:{port}")]);
        }
        command.envs(env.iter().map(|(key, value)| (*key, value.as_str())));
        command
    }

    /// Starts one more replica and answers its number.
    pub async fn join(&mut self, start: &Start) -> usize {
        self.replicas.push(Replica { child: None, port: free_port(), admin: String::new() });
        let number = self.replicas.len() - 1;
        self.start_replica(number, start).await;
        number
    }

    /// Starts a replica that is away and waits until it is ready.
    pub async fn start_replica(&mut self, number: usize, start: &Start) {
        self.launch_replica(number, start);
        let replica = &mut self.replicas[number];
        replica.admin = ready(replica.child.as_mut().expect("it was just started")).await;
    }

    /// Starts a replica that may not live until it is ready.
    pub fn launch_replica(&mut self, number: usize, start: &Start) {
        let port = self.replicas[number].port;
        let mut env = vec![
            ("PROBITY_ORCHESTRATOR__REPLICA", format!("replica-{number}")),
            ("PROBITY_ORCHESTRATOR__ADVERTISE", format!("http://127.0.0.1:{port}")),
            ("PROBITY_ORCHESTRATOR__LEASE_TTL_MS", "1500".to_owned()),
        ];
        env.extend(self.database.iter().map(|url| ("PROBITY_ORCHESTRATOR__DATABASE__URL", url.clone())));
        env.extend(start.env.iter().cloned());
        let program = if start.trial { "probity-orchestrator-trial" } else { "probity-orchestrator" };
        self.replicas[number].child = Some(self.spawn("orchestrator", program, port, &env));
    }

    /// How many replicas there are.
    #[must_use]
    pub const fn replicas(&self) -> usize {
        self.replicas.len()
    }

    /// Where a replica is called.
    #[must_use]
    pub fn port(&self, number: usize) -> u16 {
        self.replicas[number].port
    }

    /// Where the admin port of a replica is since its last start.
    #[must_use]
    pub fn admin(&self, number: usize) -> &str {
        &self.replicas[number].admin
    }

    /// The process of a replica.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn replica(&self, number: usize) -> &Child {
        self.replicas[number].child.as_ref().expect("the replica runs")
    }

    /// Takes the process of a replica, to kill it or to wait for its end.
    ///
    /// # Panics
    /// When it does not run.
    pub fn take(&mut self, number: usize) -> Child {
        self.replicas[number].child.take().expect("the replica runs")
    }

    /// The doors of the replicas that run.
    #[must_use]
    pub fn doors(&self) -> Doors {
        let running = self.replicas.iter().filter(|r| r.child.is_some());
        let doors = running.map(|r| connect(r.port)).collect();
        Doors { replicas: doors, intake: connect(self.peers["intake"].1), tokens: Tokens::new(&self.dir) }
    }

    /// A counter of a replica, as its admin port shows it now.
    pub async fn metric(&self, number: usize, name: &str) -> f64 {
        let admin = self.replicas[number].admin.trim_end_matches('/');
        let mut stream = tokio::net::TcpStream::connect(admin).await.expect("the admin port");
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.expect("a request");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("an answer");
        let line = text.lines().find(|line| line.starts_with(name) && !line.starts_with('#'));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
    }

    /// SIGKILL for everything at once.
    pub async fn kill_all(&mut self) {
        let replicas = self.replicas.iter_mut().map(|r| &mut r.child);
        let peers = self.peers.values_mut().map(|(child, _)| child);
        let all = replicas.chain(peers).filter_map(Option::take);
        futures::future::join_all(all.map(Child::kill)).await;
    }

    /// Starts everything that was started before.
    pub async fn start_again(&mut self, start: &Start) {
        for name in PEERS {
            self.start_peer(name).await;
        }
        for number in 0..self.replicas.len() {
            self.start_replica(number, start).await;
        }
    }

    /// SIGTERM for every replica and then the log, so that the stores can be read.
    pub async fn stop(&mut self) {
        for number in 0..self.replicas.len() {
            if let Some(child) = self.replicas[number].child.take() {
                end(child).await;
            }
        }
        let (child, _) = self.peers.get_mut("audit-aggregator").expect("the log");
        if let Some(child) = child.take() {
            end(child).await;
        }
    }
}

/// Waits until a service is ready; the address of its admin port.
async fn ready(child: &mut Child) -> String {
    let line = child.wait_for_line(START, |line| line.starts_with("READY ")).await;
    line.rsplit("http://").next().unwrap_or_default().trim_end_matches(')').to_owned()
}

async fn end(child: Child) {
    let exit = child.terminate(Duration::from_secs(60)).await;
    assert!(exit.status.success(), "it did not stop cleanly:\n{}", exit.output.join("\n"));
}

fn connect(port: u16) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).expect("an address");
    endpoint.connect_timeout(Duration::from_secs(1)).connect_lazy()
}

/// Caller tokens as the gateway mints them.
#[derive(Clone)]
struct Tokens(Arc<Minter>);

impl Tokens {
    fn new(dir: &Path) -> Self {
        let minter = Minter::open(&dir.join("keys"), "gateway", Arc::new(SystemClock));
        Self(Arc::new(minter.expect("the key of the gateway")))
    }

    fn request<T>(
        &self,
        message: T,
        roles: &[Role],
        key: Option<&str>,
        limit: Option<Duration>,
    ) -> Request<T> {
        let ctx = Ctx {
            tenant: "t1".to_owned(),
            actor: "users/olga".to_owned(),
            roles: Roles::new(roles.iter().copied()),
            request_id: "trial".to_owned(),
            trace_id: String::new(),
        };
        let mut request = Request::new(message);
        let token = self.0.mint(&ctx).expect("a token");
        request.metadata_mut().insert(CALLER_HEADER, token.parse().expect("ascii"));
        if let Some(key) = key {
            request.metadata_mut().insert(IDEMPOTENCY_KEY, key.parse().expect("ascii"));
        }
        if let Some(limit) = limit {
            request.set_timeout(limit);
        }
        request
    }
}

/// The doors of the replicas, as callers have them.
#[derive(Clone)]
pub struct Doors {
    replicas: Vec<Channel>,
    intake: Channel,
    tokens: Tokens,
}

impl Doors {
    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.replicas.len()
    }

    fn at(&self, turn: usize) -> Channel {
        self.replicas[turn % self.replicas.len()].clone()
    }

    /// A request as an officer.
    pub fn request<T>(&self, message: T, key: Option<&str>) -> Request<T> {
        let roles = [Role::Officer, Role::Operator, Role::Submitter, Role::Admin];
        self.tokens.request(message, &roles, key, Some(Duration::from_secs(5)))
    }

    /// Registers the definition of the trials with one of them.
    pub async fn register(&self, turn: usize) -> Result<(), Status> {
        self.register_source(turn, DEFINITION).await
    }

    /// Starts an execution with a key of its number; its name.
    pub async fn execute(&self, turn: usize, number: u64) -> Result<String, Status> {
        self.execute_with(&format!("execution {number}"), turn, number).await
    }

    /// Starts an execution with a key; its name.
    pub async fn execute_with(&self, key: &str, turn: usize, number: u64) -> Result<String, Status> {
        let request = StartExecutionRequest {
            definition: "definitions/pair".to_owned(),
            input: format!("{{\"number\": {number}}}").into(),
            ..StartExecutionRequest::default()
        };
        let request = self.request(request, Some(key));
        let started = ExecutionServiceClient::new(self.at(turn)).start_execution(request).await?;
        Ok(started.into_inner().name)
    }

    /// Opens a case with a key; its name.
    pub async fn open(&self, turn: usize, load: Load, number: u64) -> Result<String, Status> {
        let item = load.item(number);
        let piece = UploadDocumentRequest {
            media_type: item.media_type().to_owned(),
            filename: item.filename().to_owned(),
            data: item.bytes().to_vec().into(),
            ..UploadDocumentRequest::default()
        };
        let upload = self.request(futures::stream::iter([piece]), None);
        let document =
            IntakeServiceClient::new(self.intake.clone()).upload_document(upload).await?.into_inner();
        let request = OpenCaseRequest {
            kind: item.kind().proto() as i32,
            documents: vec![document.name],
            subject: item.subject().to_owned(),
            ..OpenCaseRequest::default()
        };
        let request = self.request(request, Some(&format!("case {number}")));
        Ok(CaseServiceClient::new(self.at(turn)).open_case(request).await?.into_inner().name)
    }

    /// Registers a definition with one of them.
    pub async fn register_source(&self, turn: usize, source: &str) -> Result<(), Status> {
        let request = RegisterDefinitionRequest { source: source.to_owned(), validate_only: false };
        WorkflowServiceClient::new(self.at(turn))
            .register_definition(self.request(request, None))
            .await
            .map(drop)
    }

    /// The execution service of one of them.
    #[must_use]
    pub fn executions(&self, turn: usize) -> ExecutionServiceClient<Channel> {
        ExecutionServiceClient::new(self.at(turn))
    }

    /// The task service of one of them.
    #[must_use]
    pub fn tasks(&self, turn: usize) -> TaskServiceClient<Channel> {
        TaskServiceClient::new(self.at(turn))
    }

    /// The dead letters at one of them.
    #[must_use]
    pub fn letters(&self, turn: usize) -> DeadLetterServiceClient<Channel> {
        DeadLetterServiceClient::new(self.at(turn))
    }

    /// The case service of one of them.
    #[must_use]
    pub fn cases(&self, turn: usize) -> CaseServiceClient<Channel> {
        CaseServiceClient::new(self.at(turn))
    }

    /// An execution, whether it runs a case or not.
    pub async fn look(&self, turn: usize, name: &str) -> Result<Execution, Status> {
        let name = name.replace("cases/case_", "executions/exec_");
        let request = self.request(GetExecutionRequest { name }, None);
        Ok(WorkflowServiceClient::new(self.at(turn)).get_execution(request).await?.into_inner())
    }

    /// Works for every replica until this is dropped, coming back whenever a stream ends.
    #[must_use]
    pub fn work(&self) -> Vec<tokio::task::JoinHandle<()>> {
        let done = Arc::new(AtomicU64::new(0));
        let serve = |door: &Channel| {
            tokio::spawn(serve(door.clone(), self.tokens.clone(), done.clone(), ("default", echo)))
        };
        self.replicas.iter().map(serve).collect()
    }

    /// Works for one replica until the answer is dropped.
    #[must_use]
    pub fn work_at(&self, turn: usize) -> AtWork {
        self.serve_at(turn, "default", echo)
    }

    /// Fails every task of a queue for good, at one replica, until the answer is dropped.
    #[must_use]
    pub fn fail_at(&self, turn: usize, queue: &'static str) -> AtWork {
        self.serve_at(turn, queue, fail)
    }

    fn serve_at(&self, turn: usize, queue: &'static str, answer: Answer) -> AtWork {
        let done = Arc::new(AtomicU64::new(0));
        let served = serve(self.at(turn), self.tokens.clone(), done.clone(), (queue, answer));
        AtWork { task: tokio::spawn(served), done }
    }
}

/// A worker at work, until this is dropped.
#[derive(Debug)]
pub struct AtWork {
    task: tokio::task::JoinHandle<()>,
    done: Arc<AtomicU64>,
}

impl AtWork {
    /// How many tasks it has done, some perhaps twice.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::SeqCst)
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a worker makes of a task.
type Answer = fn(WorkerTask) -> TaskResult;

async fn serve(door: Channel, tokens: Tokens, done: Arc<AtomicU64>, work: (&'static str, Answer)) {
    loop {
        // Whatever ends a stream, the worker comes back.
        let _ = work_once(door.clone(), &tokens, &done, work).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn work_once(
    door: Channel,
    tokens: &Tokens,
    done: &AtomicU64,
    (queue, answer): (&'static str, Answer),
) -> Result<(), Status> {
    let (send, messages) = mpsc::channel(64);
    let hello = WorkerHello { worker: "echo".to_owned(), queues: vec![queue.to_owned()] };
    let first = WorkRequest { hello: Some(hello), credits: 32, ..WorkRequest::default() };
    let gone = |_| Status::unavailable("the stream is gone");
    send.send(first).await.map_err(gone)?;
    let request = tokens.request(ReceiverStream::new(messages), &[Role::Worker], None, None);
    let mut stream = WorkerServiceClient::new(door).work(request).await?.into_inner();
    while let Some(message) = stream.message().await? {
        let results: Vec<_> = message.tasks.into_iter().map(answer).collect();
        if !results.is_empty() {
            done.fetch_add(results.len() as u64, Ordering::SeqCst);
            let credits = i32::try_from(results.len()).unwrap_or(0);
            send.send(WorkRequest { results, credits, ..WorkRequest::default() }).await.map_err(gone)?;
        }
    }
    Ok(())
}

fn fail(task: WorkerTask) -> TaskResult {
    let failure = TaskFailure {
        code: "BROKEN".to_owned(),
        message: "it cannot be done".to_owned(),
        permanent: true,
        ..TaskFailure::default()
    };
    TaskResult { token: task.token, failure: Some(failure), ..TaskResult::default() }
}

fn echo(task: WorkerTask) -> TaskResult {
    TaskResult { token: task.token, output: task.input, ..TaskResult::default() }
}
