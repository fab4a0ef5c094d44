//! Restate: a single node with its default durability, from npm, with its worker
//! in Node. Installed into a cache folder outside the repository.

use super::driver::{Call, Line, Steps, Target};
use super::machine;
use crate::peers;
use http::Method;
use probity_testkit::{Child, eventually};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What is installed: exact versions, so that a figure can be repeated.
const PACKAGE: &str = include_str!("../../restate/package.json");
/// The worker.
const SERVICE: &str = include_str!("../../restate/service.mjs");
/// How long a start may take.
const START: Duration = Duration::from_secs(60);
/// Its ports are its own defaults: ingress, administration, worker.
const INGRESS: u16 = 8080;
const ADMIN: u16 = 9070;
const WORKER: u16 = 9080;

/// A running Restate with its worker.
pub struct Restate {
    /// Where calls go.
    pub target: Target,
    /// Where attempts leave their lines.
    pub effects: PathBuf,
    server: Option<Child>,
    worker: Option<Child>,
    dir: PathBuf,
    home: PathBuf,
}

impl Restate {
    /// Starts everything on an empty folder.
    pub async fn start(dir: &Path) -> Self {
        let home = install().expect("Restate from npm");
        let effects = dir.join("effects");
        std::fs::write(&effects, "").expect("the file of effects");
        let mut worker = Command::new("node");
        worker
            .arg("service.mjs")
            .current_dir(&home)
            .env("NODE_ENV", "production")
            .env("RESTATE_LOGGING", "ERROR");
        worker.env("PORT", WORKER.to_string()).env("EFFECTS", &effects);
        let target = local(INGRESS);
        let dir = dir.join("data");
        let worker = Some(Child::spawn(worker));
        let mut restate = Self { target, effects, server: None, worker, dir, home };
        restate.restart().await;
        restate.register().await;
        restate
    }

    /// Tells the server where the worker is.
    async fn register(&self) {
        let admin = local(ADMIN);
        let body = format!(r#"{{"uri":"http://127.0.0.1:{WORKER}","force":true}}"#);
        let call = Call { method: Method::POST, path: "/deployments".to_owned(), key: None, body };
        eventually(START, async || Line::new(&admin).call(&call).await).await;
    }

    /// The process of the server.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.as_ref().and_then(Child::id).expect("it runs")
    }

    /// SIGKILL.
    pub async fn kill(&mut self) {
        if let Some(server) = self.server.take() {
            server.kill().await;
        }
    }

    /// Starts the server on its folder; ready when both its doors answer.
    pub async fn restart(&mut self) {
        let mut command = Command::new(program(&self.home).expect("the server's program"));
        command.args(["--bind-ip", "127.0.0.1", "--no-logo", "--log-filter", "warn", "--base-dir"]);
        command.arg(&self.dir).env("RESTATE_DISABLE_TELEMETRY", "true");
        self.server = Some(Child::spawn(command));
        for (port, path) in [(ADMIN, "/health"), (INGRESS, "/restate/health")] {
            let target = local(port);
            let call = Call { method: Method::GET, path: path.to_owned(), key: None, body: String::new() };
            eventually(START, async || Line::new(&target).call(&call).await).await;
        }
    }

    /// Ends worker and server.
    pub async fn stop(mut self) {
        for child in [self.worker.take(), self.server.take()].into_iter().flatten() {
            child.terminate(START).await;
        }
    }
}

/// Versions of server and worker, for the table.
#[must_use]
pub fn versions() -> String {
    let server = install().and_then(|home| program(&home));
    let server = server.map_or_else(|why| why, |program| machine::version(program, "--version"));
    format!("{server}, Node {}", machine::version("node", "--version"))
}

/// Installs server and SDK, once.
///
/// # Errors
/// Says what is missing: npm, or its registry.
pub fn install() -> Result<PathBuf, String> {
    peers::node("bench-restate", PACKAGE, &[("service.mjs", SERVICE)])
}

fn program(home: &Path) -> Result<PathBuf, String> {
    let scope = home.join("node_modules/@restatedev");
    let folders = std::fs::read_dir(&scope).map_err(|error| format!("{}: {error}", scope.display()))?;
    let programs = folders.flatten().map(|folder| folder.path().join("bin/restate-server"));
    let found = programs.into_iter().find(|program| program.is_file());
    found.ok_or_else(|| "npm has no Restate server for this machine".to_owned())
}

fn local(port: u16) -> Target {
    Target { addr: ([127, 0, 0, 1], port).into(), token: None, run, send, attach, is_done }
}

fn run(key: &str, steps: Steps) -> Call {
    post(format!("/Bench/{key}/run"), steps)
}

fn send(key: &str, steps: Steps) -> Call {
    post(format!("/Bench/{key}/run/send"), steps)
}

fn attach(key: &str, _: Steps) -> Call {
    let path = format!("/restate/workflow/Bench/{key}/attach");
    Call { method: Method::GET, path, key: None, body: String::new() }
}

fn post(path: String, steps: Steps) -> Call {
    let Steps { delay_ms, log } = steps;
    let body = format!(r#"{{"delayMs":{delay_ms},"log":{log}}}"#);
    Call { method: Method::POST, path, key: None, body }
}

fn is_done(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains(r#""state":"RESOLVED""#)
}
