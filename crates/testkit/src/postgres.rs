//! A throw-away PostgreSQL: a real server in a temporary folder, with `fsync`.
//!
//! Most tests take [`Postgres::database`]: a fresh database on one server that
//! the whole test process shares. Tests that stop or kill the server start their
//! own with [`Postgres::start`].

use crate::free_port;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// PostgreSQL refuses to run as root; Debian's package makes this user.
const USER: &str = "postgres";
const MISSING: &str = "PostgreSQL's programs were not found in /usr/lib/postgresql/*/bin or PATH; \
     install them, on Debian with `apt-get install -y postgresql`";

/// A PostgreSQL server. It is stopped, and its data deleted, when this is dropped.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
}

static SHARED: OnceLock<Postgres> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

impl Postgres {
    /// Makes and starts a server.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("probity-pg-").tempdir().expect("a temporary folder");
        let server = Self { folder, programs: programs(), port: free_port() };
        server.give_away();
        let data = server.data();
        server.run(
            "initdb",
            &["-D", &data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"],
        );
        server.resume();
        server
    }

    /// A fresh, empty database on the server this test process shares; its URL.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn database() -> String {
        SHARED.get_or_init(Self::shared).create()
    }

    /// Statics are never dropped: a shell waits for our end and stops it for us.
    fn shared() -> Self {
        let server = Self::start();
        let script = format!(
            "while kill -0 {us} 2>/dev/null; do sleep 0.2; done; {prefix} {ctl} -D {data} -m immediate stop; \
             rm -rf {folder}",
            us = std::process::id(),
            prefix = if is_root() { as_user().join(" ") } else { String::new() },
            ctl = server.programs.join("pg_ctl").display(),
            data = server.data(),
            folder = server.folder.path().display(),
        );
        let background = "setsid sh -c \"$0\" </dev/null >/dev/null 2>&1 &";
        run_to_end(Command::new("sh").args(["-c", background, &script]));
        server
    }

    /// A fresh, empty database on this server; its URL.
    ///
    /// # Panics
    /// When the server does not answer.
    #[must_use]
    pub fn create(&self) -> String {
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name}"));
        format!("postgres://{USER}@127.0.0.1:{}/{name}", self.port)
    }

    /// Runs SQL as the owner of the server and gives the unaligned output.
    ///
    /// # Panics
    /// When it fails.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let port = self.port.to_string();
        self.run("psql", &["-XqAt", "-h", "127.0.0.1", "-p", &port, "-U", USER, "-d", database, "-c", sql])
    }

    /// The port on the loopback address.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Stops it as a crash would, but without leaving processes (`pg_ctl -m immediate`).
    pub fn stop(&self) {
        self.run("pg_ctl", &["-D", &self.data(), "-m", "immediate", "stop"]);
    }

    /// Kills it and all its sessions with SIGKILL; returns when they are gone.
    pub fn kill(&self) {
        // Stopped, it starts no session that we would not know of.
        self.signal(&[self.pid()], "-STOP");
        let processes = self.processes();
        self.signal(&processes, "-KILL");
        let started = Instant::now();
        while processes.iter().any(|pid| is_alive(pid)) {
            assert!(started.elapsed() < Duration::from_secs(10), "PostgreSQL survives SIGKILL");
            std::thread::sleep(Duration::from_millis(5));
        }
        // Where nobody collects dead processes, the next start would take the
        // process id in these files for a living server.
        let (folder, socket) = (self.folder.path(), format!(".s.PGSQL.{}.lock", self.port));
        for file in [Path::new(&self.data()).join("postmaster.pid"), folder.join(socket)] {
            std::fs::remove_file(file).expect("the lock file of a dead server");
        }
    }

    /// Freezes the server and all its sessions (SIGSTOP).
    pub fn freeze(&self) {
        self.signal(&self.processes(), "-STOP");
    }

    /// Lets a frozen server go on (SIGCONT).
    pub fn thaw(&self) {
        self.signal(&self.processes(), "-CONT");
    }

    /// Starts it again on the same port with the same data.
    ///
    /// # Panics
    /// When it does not start; shows its log.
    pub fn resume(&self) {
        let (data, log) = (self.data(), self.folder.path().join("log").display().to_string());
        let folder = self.folder.path().display();
        let options = format!(
            "-c listen_addresses=127.0.0.1 -c port={} -c unix_socket_directories={folder} \
             -c fsync=on -c max_connections=200",
            self.port
        );
        let mut start = self.command("pg_ctl");
        start.args(["-w", "-s", "-D", &data, "-l", &log, "-o", &options, "start"]).stdin(Stdio::null());
        let status = start.stdout(Stdio::null()).stderr(Stdio::null()).status();
        let started = status.is_ok_and(|status| status.success());
        assert!(started, "PostgreSQL does not start:\n{}", std::fs::read_to_string(&log).unwrap_or_default());
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    fn pid(&self) -> String {
        let file = Path::new(&self.data()).join("postmaster.pid");
        let text = std::fs::read_to_string(&file).expect("a running server has a postmaster.pid");
        text.lines().next().expect("its first line is the process id").trim().to_owned()
    }

    /// The postmaster and its children.
    fn processes(&self) -> Vec<String> {
        let pid = self.pid();
        let children =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        std::iter::once(pid).chain(children.split_whitespace().map(str::to_owned)).collect()
    }

    /// A child may have ended meanwhile, so that not every signal arrives.
    fn signal(&self, processes: &[String], signal: &str) {
        let mut kill = Command::new("kill");
        kill.arg(signal).args(processes).stderr(Stdio::null());
        kill.status().expect("`kill` can be started");
    }

    /// The server's user must own its folder.
    fn give_away(&self) {
        if is_root() {
            run_to_end(Command::new("chown").arg(USER).arg(self.folder.path()));
        }
    }

    fn run(&self, program: &str, args: &[&str]) -> String {
        run_to_end(self.command(program).args(args))
    }

    /// One of PostgreSQL's programs, as the user that may run it.
    fn command(&self, program: &str) -> Command {
        let path = self.programs.join(program);
        let mut command = if is_root() {
            let [setpriv, user @ ..] = as_user();
            let mut command = Command::new(setpriv);
            command.args(user).arg(path);
            command
        } else {
            Command::new(path)
        };
        command.current_dir("/").env_remove("PGDATA");
        command
    }
}

impl Drop for Postgres {
    /// Without a panic: a failing test may be why it is dropped.
    fn drop(&mut self) {
        if Path::new(&self.data()).join("postmaster.pid").exists() {
            self.thaw();
            let mut stop = self.command("pg_ctl");
            stop.args(["-D", &self.data(), "-m", "immediate", "stop"]);
            let _ = stop.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}

fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    state.is_some_and(|state| state != 'Z')
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

const fn as_user() -> [&'static str; 4] {
    ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
}

/// The folder with `initdb`, `pg_ctl` and `psql`: the newest version wins.
fn programs() -> PathBuf {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<_> = installed.map(|entry| entry.path().join("bin")).collect();
    versions.sort_by_key(|bin| bin.parent().and_then(|p| p.file_name()?.to_str()?.parse::<u32>().ok()));
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates: Vec<_> = std::env::split_paths(&on_path).collect();
    candidates.extend(versions);
    candidates.into_iter().rev().find(|bin| bin.join("initdb").is_file()).expect(MISSING)
}

fn run_to_end(command: &mut Command) -> String {
    // The server inherits what it is given: pipes would stay open for its life.
    let out = tempfile::tempfile().expect("a temporary file");
    let both = |file: &std::fs::File| file.try_clone().expect("a handle of a temporary file");
    let status = command.stdin(Stdio::null()).stdout(both(&out)).stderr(both(&out)).status();
    let status = status.unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    let text = read_back(out);
    assert!(status.success(), "{command:?} failed ({status}):\n{text}");
    text
}

fn read_back(mut file: std::fs::File) -> String {
    use std::io::{Read, Seek};
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).expect("our own temporary file");
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_a_kill_and_a_stop() {
        let server = Postgres::start();
        let url = server.create();
        let name = url.rsplit('/').next().unwrap();
        server.psql(name, "CREATE TABLE t AS SELECT 7 AS n");
        assert_eq!(server.psql(name, "SHOW fsync"), "on");
        server.stop();
        server.resume();
        server.kill();
        server.resume();
        assert_eq!(server.psql(name, "SELECT n FROM t"), "7");
    }

    #[test]
    fn databases_are_fresh() {
        let (one, two) = (Postgres::database(), Postgres::database());
        assert_ne!(one, two);
    }
}
