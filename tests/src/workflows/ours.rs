//! This platform: a release build of `probity dev` with everything on, and a
//! worker process made with the public client.

use super::driver::{Call, Line, Steps, Target};
use super::machine;
use crate::sandbox::binary;
use http::Method;
use probity_testkit::{Child, Postgres, free_port};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long a start may take.
const START: Duration = Duration::from_secs(60);
/// The log has caught up when it has not grown for this long.
const QUIET: Duration = Duration::from_millis(1_500);

/// The work, as a definition.
const DEFINITION: &str = r#"
name: bench
steps:
  - id: triage
    task: triage
    queue: bench
    input: {case: input.case, delayMs: input.delayMs, log: input.log}
  - id: anticorruption
    task: anticorruption
    queue: bench
    needs: [triage]
    input: {case: input.case, delayMs: input.delayMs, log: input.log}
  - id: compliance
    task: compliance
    queue: bench
    needs: [triage]
    input: {case: input.case, delayMs: input.delayMs, log: input.log}
  - id: audit
    task: audit
    queue: bench
    needs: [anticorruption, compliance]
    input: {case: input.case, delayMs: input.delayMs, log: input.log}
output: {state: "'RESOLVED'", last: steps.audit.step}
"#;

/// Where the orchestrator and the audit log keep their data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Store {
    /// Files beside the process, `synchronous=FULL`.
    Sqlite,
    /// A server of its own, `fsync=on`.
    Postgres,
}

/// A running platform with its worker.
pub struct Ours {
    /// Where calls go.
    pub target: Target,
    /// Where attempts leave their lines.
    pub effects: PathBuf,
    server: Option<Child>,
    worker: Option<Child>,
    dir: PathBuf,
    postgres: Option<(Postgres, String)>,
    redis: Option<String>,
    admin_port: u16,
    settings: Vec<(String, String)>,
    admin: String,
}

impl Ours {
    /// Starts everything on an empty folder.
    pub async fn start(store: Store, dir: &Path) -> Self {
        Self::start_with(store, None, dir).await
    }

    /// As [`Ours::start`], with a Redis for the task queue.
    pub async fn start_with(store: Store, redis: Option<String>, dir: &Path) -> Self {
        Self::start_as(store, redis, 0, Vec::new(), dir).await
    }

    /// As [`Ours::start_with`], with an admin port and settings as variables.
    pub async fn start_as(
        store: Store,
        redis: Option<String>,
        admin_port: u16,
        settings: Vec<(String, String)>,
        dir: &Path,
    ) -> Self {
        let postgres = (store == Store::Postgres).then(|| {
            let server = Postgres::start();
            let url = server.create();
            as_if_it_had_run(&server);
            (server, url)
        });
        let addr = ([127, 0, 0, 1], free_port()).into();
        let target = Target { addr, token: None, run, send, attach: run, is_done };
        let effects = dir.join("effects");
        std::fs::write(&effects, "").expect("the file of effects");
        let mut ours = Self {
            target,
            effects,
            server: None,
            worker: None,
            dir: dir.join("data"),
            postgres,
            redis,
            admin_port,
            settings,
            admin: String::new(),
        };
        ours.restart().await;
        let admin = std::fs::read_to_string(ours.dir.join("token")).expect("the administrator's token");
        ours.admin = format!("Bearer {}", admin.trim());
        ours.set_up().await;
        ours
    }

    /// Tokens, the definition and the worker.
    async fn set_up(&mut self) {
        let worker = self.token("service-accounts/bench-worker", "ROLE_WORKER").await;
        let caller = self.token("service-accounts/bench-caller", "ROLE_SUBMITTER").await;
        self.as_admin(Method::POST, "/v1/definitions", &json!({"source": DEFINITION})).await;
        self.target.token = Some(format!("Bearer {caller}"));
        let mut command = Command::new(binary("bench-worker"));
        command.arg(format!("http://{}", self.target.addr)).arg(&self.effects).env("PROBITY_TOKEN", worker);
        let mut child = Child::spawn(command);
        child.wait_for_line(START, |line| line.starts_with("READY")).await;
        self.worker = Some(child);
    }

    /// A token for a day.
    pub async fn token(&self, actor: &str, role: &str) -> String {
        let body = json!({"actor": actor, "roles": [role], "ttlSeconds": "86400"});
        let answer = self.as_admin(Method::POST, "/v1/tokens", &body).await;
        answer["token"].as_str().expect("a token").to_owned()
    }

    /// Calls as the administrator; the answer as JSON.
    pub async fn as_admin(&self, method: Method, path: &str, body: &Value) -> Value {
        let target = Target { token: Some(self.admin.clone()), ..self.target.clone() };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let call = Call { method, path: path.to_owned(), key: None, body };
        let answer = Line::new(&target).call(&call).await.unwrap_or_else(|why| panic!("{path}: {why}"));
        serde_json::from_slice(&answer).expect("JSON")
    }

    /// The process of the server.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.as_ref().and_then(Child::id).expect("it runs")
    }

    /// Memory of PostgreSQL, where there is one.
    #[must_use]
    pub fn database_mb(&self) -> Option<f64> {
        self.database_pid().map(machine::family_mb)
    }

    /// The first process of PostgreSQL, where there is one.
    #[must_use]
    pub fn database_pid(&self) -> Option<u32> {
        let (server, _) = self.postgres.as_ref()?;
        machine::process_with(&format!("port={} ", server.port()))
    }

    /// Where PostgreSQL's database is, where there is one.
    #[must_use]
    pub fn database(&self) -> Option<&str> {
        self.postgres.as_ref().map(|(_, url)| url.as_str())
    }

    /// What everything stored takes on disk, PostgreSQL's log left out, in megabytes.
    #[must_use]
    pub fn disk_mb(&self) -> f64 {
        let database = self.postgres.as_ref().map_or(0.0, |(server, url)| {
            let name = url.rsplit('/').next().unwrap_or_default();
            let bytes = server.psql(name, "SELECT pg_database_size(current_database())");
            bytes.parse::<f64>().expect("a size in bytes") / 1e6
        });
        machine::folder_mb(&self.dir) + database
    }

    /// SIGKILL.
    pub async fn kill(&mut self) {
        if let Some(server) = self.server.take() {
            server.kill().await;
        }
    }

    /// Starts the server on its folder and its port.
    pub async fn restart(&mut self) {
        let mut command = Command::new(binary("probity"));
        let (port, admin) = (self.target.addr.port().to_string(), self.admin_port.to_string());
        command
            .args(["dev", "--no-samples", "--admin-port", &admin, "--port", &port, "--data"])
            .arg(&self.dir);
        if let Some((_, url)) = &self.postgres {
            for service in ["ORCHESTRATOR", "AUDIT_AGGREGATOR"] {
                command.env(format!("PROBITY_{service}__DATABASE__URL"), url);
            }
        }
        if let Some(url) = &self.redis {
            command.env("PROBITY_ORCHESTRATOR__REDIS__URL", url);
        }
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        let mut child = Child::spawn(command);
        child.wait_for_line(START, |line| line.starts_with("READY ")).await;
        self.server = Some(child);
    }

    /// How long the audit log went on growing, in milliseconds.
    pub async fn audit_ms(&self) -> f64 {
        let (begun, mut last) = (Instant::now(), (Value::Null, Duration::ZERO));
        loop {
            let now = begun.elapsed();
            let mut checkpoint = self.as_admin(Method::GET, "/v1/log/checkpoint", &Value::Null).await;
            let size = checkpoint["treeSize"].take();
            assert!(size.is_string(), "the log tells no size: {checkpoint}");
            if size != last.0 {
                last = (size, now);
            } else if now - last.1 > QUIET {
                return last.1.as_secs_f64() * 1_000.0;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends worker, server and database.
    pub async fn stop(mut self) {
        for child in [self.worker.take(), self.server.take()].into_iter().flatten() {
            child.terminate(START).await;
        }
    }
}

/// A new PostgreSQL makes each file of its log as it comes to it and fills 16 MiB with
/// zeroes while commits wait; one that has run uses old files again.
fn as_if_it_had_run(server: &Postgres) {
    for sql in [
        "ALTER SYSTEM SET min_wal_size = '1GB'",
        "SELECT pg_reload_conf()",
        "SELECT count(pg_logical_emit_message(false, 'fill', repeat('x', 1000000))) FROM generate_series(1, 800)",
        "CHECKPOINT",
    ] {
        server.psql("postgres", sql);
    }
}

fn run(key: &str, steps: Steps) -> Call {
    start(key, steps, r#","wait":"60s""#)
}

fn send(key: &str, steps: Steps) -> Call {
    start(key, steps, "")
}

fn start(key: &str, steps: Steps, wait: &str) -> Call {
    let Steps { delay_ms, log } = steps;
    let input = format!(r#"{{"case":"{key}","delayMs":{delay_ms},"log":{log}}}"#);
    let body = format!(r#"{{"definition":"definitions/bench","input":{input}{wait}}}"#);
    Call { method: Method::POST, path: "/v1/executions".to_owned(), key: Some(key.to_owned()), body }
}

fn is_done(body: &[u8]) -> bool {
    let text = std::str::from_utf8(body).unwrap_or_default();
    text.contains(r#""status":"EXECUTION_STATUS_COMPLETED""#) && text.contains("RESOLVED")
}
