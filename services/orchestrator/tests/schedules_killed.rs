//! Schedules while processes are killed: every time has its run, and every run one
//! execution.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

use probity_proto::orchestrator::execution_service_client::ExecutionServiceClient;
use probity_proto::orchestrator::schedule_service_client::ScheduleServiceClient;
use probity_proto::orchestrator::workflow_service_client::WorkflowServiceClient;
use probity_proto::orchestrator::*;
use probity_proto::time::micros;
use probity_runtime::testing::ctx;
use probity_runtime::{CALLER_HEADER, Minter};
use probity_testkit::{Child, Postgres, eventually, free_port};
use probity_types::{Role, SystemClock};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

const SCHEDULES: usize = 5;
const LIMIT: Duration = Duration::from_secs(120);
/// Ends at once.
const TICK: &str = "name: tick\nsteps: [{id: wait, wait: {timer: 1ms}}]\noutput: {at: input.at}\n";

/// Kills: four, or as `PROBITY_ROUNDS` says.
fn kills() -> usize {
    std::env::var("PROBITY_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

/// Orchestrators on one store, without any peer.
struct Replicas {
    dir: PathBuf,
    database: Option<String>,
    ports: Vec<u16>,
    children: Vec<Option<Child>>,
    minter: Minter,
}

impl Replicas {
    async fn start(dir: &Path, database: Option<String>, count: usize) -> Self {
        let minter = Minter::open(&dir.join("keys"), "gateway", Arc::new(SystemClock)).unwrap();
        let ports = (0..count).map(|_| free_port()).collect();
        let children = (0..count).map(|_| None).collect();
        let mut replicas = Self { dir: dir.to_owned(), database, ports, children, minter };
        for number in 0..count {
            replicas.launch(number).await;
        }
        replicas
    }

    async fn launch(&mut self, number: usize) {
        let port = self.ports[number];
        let mut command = Command::new(env!("CARGO_BIN_EXE_probity-orchestrator"));
        command.arg("--data-dir").arg(&self.dir);
        command.args(["--listen", &format!("127.0.0.1:{port}"), "--admin-listen", "127.0.0.1:0"]);
        command.env("PROBITY_ORCHESTRATOR__REPLICA", format!("replica-{number}"));
        command.env("PROBITY_ORCHESTRATOR__ADVERTISE", format!("http://127.0.0.1:{port}"));
        command.env("PROBITY_ORCHESTRATOR__LEASE_TTL_MS", "1500");
        if let Some(url) = &self.database {
            command.env("PROBITY_ORCHESTRATOR__DATABASE__URL", url);
        }
        let mut child = Child::spawn(command);
        child.wait_for_line(LIMIT, |line| line.starts_with("READY ")).await;
        self.children[number] = Some(child);
    }

    async fn kill(&mut self, number: usize) {
        self.children[number].take().unwrap().kill().await;
    }

    /// One that runs.
    fn door(&self) -> Channel {
        let number = self.children.iter().position(Option::is_some).unwrap();
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{}", self.ports[number])).unwrap();
        endpoint.connect_lazy()
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let ctx = ctx("t1", "users/otto", &[Role::Operator, Role::Admin]);
        let mut request = Request::new(message);
        request.metadata_mut().insert(CALLER_HEADER, self.minter.mint(&ctx).unwrap().parse().unwrap());
        request
    }

    fn schedules(&self) -> ScheduleServiceClient<Channel> {
        ScheduleServiceClient::new(self.door())
    }

    async fn runs(&self, schedule: usize) -> Result<Vec<ScheduleRun>, Status> {
        let request = ListScheduleRunsRequest {
            parent: format!("schedules/tick-{schedule}"),
            order_by: "run_time".into(),
            page_size: 1000,
            ..ListScheduleRunsRequest::default()
        };
        Ok(self.schedules().list_schedule_runs(self.request(request)).await?.into_inner().runs)
    }

    async fn all_runs(&self) -> Vec<Vec<ScheduleRun>> {
        let mut all = Vec::new();
        for schedule in 0..SCHEDULES {
            all.push(eventually(LIMIT, async || self.runs(schedule).await).await);
        }
        all
    }

    /// Waits until so many more runs were decided than there are now.
    async fn go_on(&self, more: usize) {
        let count = async || self.all_runs().await.iter().map(Vec::len).sum::<usize>();
        let before = count().await;
        eventually(LIMIT, async || {
            let now = count().await;
            if now >= before + more { Ok(()) } else { Err((before, now)) }
        })
        .await;
    }

    async fn begin(&self) {
        let register = RegisterDefinitionRequest { source: TICK.into(), validate_only: false };
        let mut workflows = WorkflowServiceClient::new(self.door());
        workflows.register_definition(self.request(register)).await.unwrap();
        for number in 0..SCHEDULES {
            let schedule = Schedule {
                definition: "definitions/tick".into(),
                timing: "@every 1s".into(),
                time_field: "at".into(),
                overlap: ScheduleOverlap::AllowAll as i32,
                ..Schedule::default()
            };
            let schedule_id = format!("tick-{number}");
            let create = CreateScheduleRequest { schedule_id, schedule: Some(schedule) };
            self.schedules().create_schedule(self.request(create)).await.unwrap();
        }
    }

    /// Pauses all and waits until no run is open.
    async fn settle(&self) {
        for number in 0..SCHEDULES {
            eventually(LIMIT, async || {
                let name = format!("schedules/tick-{number}");
                self.schedules().pause_schedule(self.request(PauseScheduleRequest { name })).await
            })
            .await;
        }
        eventually(LIMIT, async || {
            let all = self.all_runs().await;
            let open = all.iter().flatten().filter(|run| run.state() != ScheduleRunState::Completed);
            let open: Vec<_> = open.map(|run| (run.name.clone(), run.state(), run.error.clone())).collect();
            if open.is_empty() { Ok(()) } else { Err(open) }
        })
        .await;
    }

    /// The names of all executions.
    async fn executions(&self) -> Vec<String> {
        let (mut names, mut page_token) = (Vec::new(), String::new());
        loop {
            let list = ListExecutionsRequest { page_size: 1000, page_token, filter: String::new() };
            let page = ExecutionServiceClient::new(self.door()).list_executions(self.request(list)).await;
            let page = page.unwrap().into_inner();
            names.extend(page.executions.into_iter().map(|execution| execution.name));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        names
    }
}

async fn nothing_is_lost_or_doubled(database: Option<String>, count: usize) {
    let dir = tempfile::tempdir().unwrap();
    let mut replicas = Replicas::start(dir.path(), database, count).await;
    replicas.begin().await;
    for kill in 0..kills() {
        // Not always at the same place of a second.
        replicas.go_on(SCHEDULES + kill).await;
        replicas.kill(kill % count).await;
        replicas.launch(kill % count).await;
    }
    replicas.go_on(SCHEDULES).await;
    replicas.settle().await;

    let all = replicas.all_runs().await;
    for (schedule, runs) in all.iter().enumerate() {
        let times: Vec<_> = runs.iter().map(|run| micros(run.run_time.as_ref().unwrap())).collect();
        let seconds = (0..times.len() as i64).map(|n| times[0] + n * 1_000_000).collect::<Vec<_>>();
        assert_eq!(times, seconds, "of tick-{schedule} no second is left out and none comes twice");
    }
    let started: BTreeSet<_> = all.iter().flatten().map(|run| run.execution.clone()).collect();
    let runs = all.iter().map(Vec::len).sum::<usize>();
    let executions: BTreeSet<_> = replicas.executions().await.into_iter().collect();
    assert_eq!(started.len(), runs, "every run has an execution of its own");
    assert_eq!(executions, started, "and there is no execution beside");
    println!("{runs} runs of {SCHEDULES} schedules, {} kills", kills());
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_lose_and_double_no_run_on_sqlite() {
    nothing_is_lost_or_doubled(None, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_lose_and_double_no_run_of_two_replicas_on_postgresql() {
    nothing_is_lost_or_doubled(Some(Postgres::database()), 2).await;
}
