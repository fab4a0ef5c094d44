//! Durable cases: opens them, runs their workflows step by step, asks people, and
//! remembers everything that was decided.
//!
//! The way of a request: `api` decodes and hands it to the [`lane`], which gives
//! it to the pure core (`probity_engine`), commits what the core decided together
//! with everything else that is waiting, and only then answers and calls peers.
//!
//! **Architecture invariants.** One lane owns the executions; nobody else writes
//! the journal. What is in memory is never ahead of what was answered: a command
//! is carried out, and a caller answered, after the commit. After a failed commit
//! memory is thrown away and read back.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod api;
mod blobs;
mod catalog;
mod config;
mod convert;
mod definitions;
mod dispatch;
mod domain;
mod error;
mod gate;
mod lane;
mod letters;
mod metrics;
mod runnable;
mod sabotage;
mod schedules;
mod store;
mod tasks;
mod views;
mod watchers;

pub use catalog::Contracts;
pub use config::Config;
pub use definitions::SHIPPED;

use api::{Cases, DeadLetters, Executions, Forward, Remediation, Schedules, Tasks, Workers, Workflows};
use blobs::Blobs;
use definitions::Definitions;
use dispatch::{Calls, Dispatcher};
use gate::Gate;
use lane::{Handle, Lane, Parts};
use letters::Keeper;
use metrics::Metrics;
use probity_proto::orchestrator::case_service_server::CaseServiceServer;
use probity_proto::orchestrator::dead_letter_service_server::DeadLetterServiceServer;
use probity_proto::orchestrator::execution_service_server::ExecutionServiceServer;
use probity_proto::orchestrator::remediation_service_server::RemediationServiceServer;
use probity_proto::orchestrator::schedule_service_server::ScheduleServiceServer;
use probity_proto::orchestrator::task_service_server::TaskServiceServer;
use probity_proto::orchestrator::worker_service_server::WorkerServiceServer;
use probity_proto::orchestrator::workflow_service_server::WorkflowServiceServer;
use probity_resilience::cache;
use probity_runtime::{Service, Setup};
use runnable::Runnable;
use schedules::Runner;
use std::sync::Arc;
use std::time::Duration;
use store::{JournalOutbox, Store};
use tasks::{Board, Shared};
use tonic::service::Routes;
use views::{Known, Views};

/// How long what is shown of an execution is kept that nobody asks for or changes.
const VIEWS_KEPT_MS: u64 = 600_000;

/// The service.
pub struct Orchestrator {
    cases: Cases,
    dead_letters: DeadLetters,
    executions: Executions,
    schedules: Schedules,
    tasks: Tasks,
    workers: Workers,
    workflows: Workflows,
    remediation: Remediation,
}

impl Service for Orchestrator {
    const NAME: &'static str = "orchestrator";
    const PACKAGES: &'static [&'static str] = &["probity.orchestrator.v1"];
    type Config = Config;

    async fn build(config: Config, setup: &mut Setup) -> anyhow::Result<Self> {
        let store = Store::new(setup.database(store::MIGRATIONS).await?);
        setup.keeps_answers_for(&store.db, Duration::from_hours(24 * u64::from(config.idempotency_days)));
        setup.answers_once(&store.db, DeadLetters::MANY);
        let metrics = Arc::new(Metrics::new(setup.registry())?);
        let contracts = Arc::new(Contracts::new());
        let clock = setup.clock();
        let definitions = Definitions::open(store.clone(), contracts.clone(), clock.now()).await?;
        let blobs = keep_blobs(setup, &store);
        let (gate, dispatcher) = calls(setup, &config, &contracts, &blobs, &metrics);
        let board = Board::new(clock.clone(), metrics.clone(), shared_queue(&config)?);
        let letters = Keeper::new(&config, store.clone(), clock.clone(), metrics.clone());
        let runnable = Runnable::new(clock.clone(), Duration::from_millis(config.degraded_after_ms));
        watch_over(setup, &runnable, &board, &gate, &metrics);
        setup.shows_dead_letters(Arc::new(letters::Shown(store.clone())));
        let views = views(setup, &config, &store)?;
        let parts = Parts {
            store: store.clone(),
            views: views.clone(),
            definitions: definitions.clone(),
            dispatcher,
            board: board.clone(),
            letters: letters.clone(),
            runnable,
            clock: clock.clone(),
            metrics: metrics.clone(),
        };
        let handle = run_lane(setup, &config, parts);
        keep_tasks(setup, &board, &handle, &store).await?;
        setup.spawn("dead letters", |stop| letters.run(stop));
        let runner = Runner::new(store.clone(), handle.clone(), definitions.clone(), clock.clone(), metrics);
        let runner = run_schedules(setup, runner);
        let own = config.advertise.clone();
        let forward = Forward::new(handle.clone(), setup.dialer("orchestrator"), setup.minter(), own);
        let executions = Executions::new(
            store.clone(),
            views.clone(),
            handle.clone(),
            definitions.clone(),
            clock.clone(),
            forward.clone(),
            blobs.clone(),
        );
        let dead = DeadLetters::new(store.clone(), handle.clone(), contracts, clock.clone(), forward.clone());
        Ok(Self {
            cases: Cases::new(
                store.clone(),
                views,
                handle.clone(),
                definitions.clone(),
                forward.clone(),
                blobs.clone(),
            ),
            dead_letters: dead,
            executions,
            schedules: Schedules::new(store.clone(), definitions.clone(), runner, clock.clone()),
            tasks: Tasks::new(
                store.clone(),
                handle.clone(),
                definitions.clone(),
                board.clone(),
                clock.clone(),
                forward.clone(),
                blobs.clone(),
            ),
            workers: Workers::new(handle.clone(), board, forward.clone(), blobs),
            workflows: Workflows::new(store.clone(), handle, definitions, clock.clone(), forward),
            remediation: Remediation::new(store, clock),
        })
    }

    fn routes(self) -> Routes {
        Routes::new(CaseServiceServer::new(self.cases))
            .add_service(DeadLetterServiceServer::new(self.dead_letters))
            .add_service(ExecutionServiceServer::new(self.executions))
            .add_service(ScheduleServiceServer::new(self.schedules))
            .add_service(TaskServiceServer::new(self.tasks))
            .add_service(WorkerServiceServer::new(self.workers))
            .add_service(WorkflowServiceServer::new(self.workflows))
            .add_service(RemediationServiceServer::new(self.remediation))
    }
}

/// What calls to peers pass, and who makes them.
fn calls(
    setup: &Setup,
    config: &Config,
    contracts: &Arc<Contracts>,
    blobs: &Blobs,
    metrics: &Arc<Metrics>,
) -> (Gate, Arc<Dispatcher>) {
    let gate = Gate::new(setup.clock());
    let calls = Calls { blobs: blobs.clone(), gate: gate.clone(), metrics: metrics.clone() };
    (gate, Dispatcher::new(setup, contracts.clone(), calls, config))
}

/// The way to documents, which are kept for good once executions name them.
fn keep_blobs(setup: &mut Setup, store: &Store) -> Blobs {
    let blobs = Blobs::new(setup, store.clone());
    let keeping = blobs.clone();
    setup.spawn("blobs", |stop| keeping.keep(stop));
    blobs
}

/// Runs the lane, and hands what it commits to the audit log.
fn run_lane(setup: &mut Setup, config: &Config, parts: Parts) -> Handle {
    let store = parts.store.clone();
    let lane = Lane::new(config, parts);
    let handle = lane.handle();
    if !config.advertise.is_empty() {
        let owning = handle.clone();
        setup.unready_while(move || (!owning.has_shards()).then_some("it has no shards yet"));
    }
    let journal = JournalOutbox::new(store, handle.on_commit(), handle.recent());
    setup.relay("journal", Arc::new(journal));
    setup.spawn("lane", |stop| lane.run(stop));
    handle
}

/// Runs the schedules.
fn run_schedules(setup: &mut Setup, runner: Runner) -> Runner {
    let running = runner.clone();
    setup.spawn("schedules", |stop| running.run(stop));
    runner
}

/// What is shown of executions, for those who read it.
fn views(setup: &mut Setup, config: &Config, store: &Store) -> anyhow::Result<Views> {
    let kept = cache::Config {
        max_entries: config.views_kept,
        ttl_ms: VIEWS_KEPT_MS,
        negative_ttl_ms: 0,
        renew_early: 0.0,
        ..cache::Config::default()
    };
    let known = Known { shown: setup.cache("executions", kept)?, unsealed: setup.fresh("ownership")? };
    Ok(Views::new(store.clone(), known))
}

/// Keeps the settings of queues, the leases of workers, and the queue that replicas
/// share, when there is one.
async fn keep_tasks(setup: &mut Setup, board: &Board, lane: &Handle, store: &Store) -> anyhow::Result<()> {
    board.configure(store.queues().await?);
    let (settings, kept) = (board.clone(), store.clone());
    setup.spawn("queues", |stop| tasks::keep_settings(settings, kept, stop));
    let (watched, answered) = (board.clone(), lane.clone());
    setup.spawn("leases", |stop| tasks::watch_leases(watched, answered, stop));
    if board.is_shared() {
        let (board, lane) = (board.clone(), lane.clone());
        setup.spawn("shared queue", |stop| tasks::keep_shared(board, lane, stop));
    }
    Ok(())
}

/// The queue that replicas share, when there is one.
fn shared_queue(config: &Config) -> anyhow::Result<Option<Shared>> {
    let queue = config.redis.as_ref().map(|redis| probity_queue::Redis::new(&redis.queue())).transpose()?;
    Ok(queue.map(|queue| Shared::new(Arc::new(queue))))
}

/// Lets calls pass whose time has come, and says how long what could be done has waited.
fn watch_over(setup: &mut Setup, runnable: &Runnable, board: &Board, gate: &Gate, metrics: &Arc<Metrics>) {
    let passing = gate.clone();
    setup.spawn("gate", |stop| passing.run(stop));
    let told = runnable.clone();
    setup.degraded_by(move || told.complaint());
    let (watching, board, gate) = (runnable.clone(), board.clone(), gate.clone());
    let metrics = metrics.clone();
    setup.spawn("runnable", |stop| watching.watch(board, gate, metrics, stop));
}
