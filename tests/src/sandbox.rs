//! The platform as its users run it: real binaries on free ports.

use crate::proxy::Proxy;
use probity_cli::client::Client;
use probity_testkit::{Child, eventually, free_port};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(30);
/// How long the client goes on trying when nobody answers: longer than a restart.
const PATIENCE: Duration = Duration::from_secs(60);

/// The services of the platform in the order they are started.
pub const SERVICES: [&str; 7] = [
    "audit-aggregator",
    "intake",
    "spam-detection",
    "anti-corruption",
    "compliance-validator",
    "orchestrator",
    "gateway",
];

/// A binary of this build; where `PROBITY_BINARIES` names a folder that has it, the
/// one in there: benchmarks measure a build for releases, and need not be one.
///
/// # Panics
/// When it has not been built.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let named = std::env::var_os("PROBITY_BINARIES").map(|dir| Path::new(&dir).join(name));
    if let Some(named) = named.filter(|path| path.is_file()) {
        return named;
    }
    let test = std::env::current_exe().expect("the path of the test");
    let dir = test.ancestors().find(|dir| dir.join(name).is_file());
    let dir =
        dir.unwrap_or_else(|| panic!("{name} is not built: run `cargo build --workspace --bins` first"));
    dir.join(name)
}

/// `probity dev` as a process.
pub struct Embedded {
    child: Child,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// The data folder.
    pub dir: PathBuf,
}

impl Embedded {
    /// Starts it on a folder and waits until it is ready.
    pub async fn start(dir: &Path) -> Self {
        Self::start_at(dir, 0).await
    }

    /// The same on a port, so that clients find it again.
    pub async fn start_at(dir: &Path, port: u16) -> Self {
        Self::start_with(&binary("probity"), dir, port).await
    }

    /// The program of another build, on a free port.
    pub async fn start_program(program: &Path, dir: &Path) -> Self {
        Self::start_with(program, dir, 0).await
    }

    async fn start_with(program: &Path, dir: &Path, port: u16) -> Self {
        let mut command = Command::new(program);
        command.args(["dev", "--port", &port.to_string(), "--no-samples", "--data"]).arg(dir);
        Self::of(Child::spawn(command), dir).await
    }

    /// One that was started with more besides, once it is ready.
    pub async fn of(mut child: Child, dir: &Path) -> Self {
        let line = child.wait_for_line(START, |line| line.starts_with("READY ")).await;
        let url = line.split_whitespace().nth(1).expect("an address").to_owned();
        Self { child, url, dir: dir.to_owned() }
    }

    /// A client with the administrator's token.
    #[must_use]
    pub fn client(&self) -> Client {
        client(&self.url, &self.dir.join("token"))
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// SIGKILL.
    pub async fn kill(self) {
        self.child.kill().await;
    }

    /// SIGTERM; everything must end by itself.
    pub async fn stop(self) {
        let exit = self.child.terminate(Duration::from_secs(40)).await;
        assert!(exit.status.success(), "it did not stop cleanly:\n{}", exit.output.join("\n"));
    }
}

fn client(url: &str, token: &Path) -> Client {
    let token = std::fs::read_to_string(token).expect("the token file");
    Client::with_token(url, token.trim(), PATIENCE).expect("a client")
}

/// What an admin port answers, head and all.
///
/// # Errors
/// When it cannot be reached.
pub async fn get(admin: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(admin).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

/// How a process a service is started.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// The PostgreSQL of services that do not use SQLite.
    pub databases: BTreeMap<&'static str, String>,
    /// Environment of every service.
    pub env: Vec<(&'static str, String)>,
    /// Callers and callees whose calls go through a [`Proxy`].
    pub through: Vec<(&'static str, &'static str)>,
}

/// One process a service, with mutual TLS between them.
pub struct Separate {
    children: BTreeMap<&'static str, Child>,
    ports: BTreeMap<&'static str, u16>,
    admins: BTreeMap<&'static str, String>,
    proxies: BTreeMap<(&'static str, &'static str), Proxy>,
    setup: Setup,
    /// The data folder.
    pub dir: PathBuf,
}

impl Separate {
    /// Starts every service. `databases` names the PostgreSQL of services that do
    /// not use SQLite.
    pub async fn start(dir: &Path, databases: BTreeMap<&'static str, String>) -> Self {
        Self::with(dir, Setup { databases, ..Setup::default() }).await
    }

    /// Starts every service like this.
    pub async fn with(dir: &Path, setup: Setup) -> Self {
        let ports: BTreeMap<_, _> = SERVICES.iter().map(|name| (*name, free_port())).collect();
        let mut proxies = BTreeMap::new();
        for edge in &setup.through {
            proxies.insert(*edge, Proxy::start(ports[edge.1]).await);
        }
        let (children, admins, dir) = (BTreeMap::new(), BTreeMap::new(), dir.to_owned());
        let mut platform = Self { children, ports, admins, proxies, setup, dir };
        for name in SERVICES {
            platform.start_service(name).await;
        }
        let token = platform.dir.join("token");
        eventually(START, async || if token.is_file() { Ok(()) } else { Err("no token yet") }).await;
        platform
    }

    /// Starts one service and waits until it is ready.
    pub async fn start_service(&mut self, name: &'static str) {
        let mut command = Command::new(binary(&format!("probity-{name}")));
        let listen = format!("127.0.0.1:{}", self.ports[name]);
        command.arg("--data-dir").arg(&self.dir).args(["--listen", &listen, "--admin-listen", "127.0.0.1:0"]);
        for (peer, port) in self.ports.iter().filter(|(peer, _)| **peer != name) {
            let through = self.proxies.get(&(name, *peer)).map(Proxy::url);
            let url = through.unwrap_or_else(|| format!("http://127.0.0.1:{port}"));
            command.args(["--peer", &format!("{peer}={url}")]);
        }
        command.envs(self.setup.env.iter().map(|(key, value)| (*key, value.as_str())));
        command.env("PROBITY_TLS__DEVELOPMENT", "true").env("PROBITY_HOST__DEVELOPMENT", "true");
        command.env("PROBITY_GATEWAY__ADMIN_TOKEN_FILE", self.dir.join("token"));
        if let Some(url) = self.setup.databases.get(name) {
            let key = format!("PROBITY_{}__DATABASE__URL", name.replace('-', "_").to_uppercase());
            command.env(key, url);
        }
        let mut child = Child::spawn(command);
        let line = child.wait_for_line(START, |line| line.starts_with("READY ")).await;
        let admin = line.rsplit("http://").next().unwrap_or_default().trim_end_matches(')');
        self.admins.insert(name, admin.to_owned());
        self.children.insert(name, child);
    }

    /// The admin port of a service.
    ///
    /// # Panics
    /// When it was never started.
    #[must_use]
    pub fn admin(&self, name: &str) -> String {
        self.admins[name].clone()
    }

    /// The line from one service to another.
    ///
    /// # Panics
    /// When it does not go through a proxy.
    #[must_use]
    pub fn proxy(&self, caller: &'static str, callee: &'static str) -> &Proxy {
        &self.proxies[&(caller, callee)]
    }

    /// The sum of a metric of a service over the lines that have this label.
    ///
    /// # Panics
    /// When its admin port does not answer.
    pub async fn metric(&self, service: &str, name: &str, label: &str) -> f64 {
        let text = get(&self.admins[service], "/metrics").await.expect("the admin port answers");
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// SIGKILL for one service.
    pub async fn kill(&mut self, name: &str) {
        if let Some(child) = self.children.remove(name) {
            child.kill().await;
        }
    }

    /// The process of a service.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn service(&self, name: &str) -> &Child {
        &self.children[name]
    }

    /// A client with the administrator's token.
    #[must_use]
    pub fn client(&self) -> Client {
        client(&format!("http://127.0.0.1:{}", self.ports["gateway"]), &self.dir.join("token"))
    }

    /// SIGTERM for every service, the door first; each must end by itself.
    pub async fn stop(mut self) {
        for name in SERVICES.iter().rev() {
            if let Some(child) = self.children.remove(name) {
                let exit = child.terminate(Duration::from_secs(40)).await;
                assert!(exit.status.success(), "{name} did not stop cleanly:\n{}", exit.output.join("\n"));
            }
        }
    }
}
