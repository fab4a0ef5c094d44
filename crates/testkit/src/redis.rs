//! A throw-away Redis: a real server in a temporary folder on a free port.

use crate::free_port;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const MISSING: &str =
    "redis-server cannot be started; install it, on Debian with `apt-get install -y redis-server`";
/// The longest a start, an end or an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A Redis server with an append-only file. It is killed, and its data deleted,
/// when this is dropped.
#[derive(Debug)]
pub struct Redis {
    folder: TempDir,
    port: u16,
    fsync: &'static str,
    process: Mutex<Option<Child>>,
}

impl Redis {
    /// Makes and starts a server that syncs its file every second.
    ///
    /// # Panics
    /// When Redis is not installed or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::with_fsync("everysec")
    }

    /// The same with another `appendfsync`: `always`, `everysec` or `no`.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    pub fn with_fsync(fsync: &'static str) -> Self {
        let folder = tempfile::Builder::new().prefix("probity-redis-").tempdir().expect("a temporary folder");
        let server = Self { folder, port: free_port(), fsync, process: Mutex::new(None) };
        server.resume();
        server
    }

    /// Where clients connect.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts it again on the same port with the same data.
    ///
    /// # Panics
    /// When it does not start.
    pub fn resume(&self) {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string()]);
        command.args(["--appendonly", "yes", "--appendfsync", self.fsync, "--save", ""]);
        command.arg("--dir").arg(self.folder.path()).arg("--logfile").arg(self.folder.path().join("log"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        *self.process.lock().unwrap() = Some(command.spawn().expect(MISSING));
        let started = Instant::now();
        while self.ask("PING").is_none_or(|answer| !answer.starts_with("+PONG")) {
            assert!(started.elapsed() < PATIENCE, "Redis does not start:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills it with SIGKILL; returns when it is gone.
    pub fn kill(&self) {
        if let Some(mut process) = self.process.lock().unwrap().take() {
            process.kill().expect("the signal is sent to our own child");
            process.wait().expect("the status of our own child");
        }
    }

    /// Freezes it (SIGSTOP).
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a frozen server go on (SIGCONT).
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Runs a command without arguments that hold spaces, such as `FLUSHALL`.
    ///
    /// # Panics
    /// When the server does not answer, or answers with an error.
    pub fn command(&self, command: &str) -> String {
        let answer = self.ask(command).expect("an answer of a running server");
        assert!(!answer.starts_with('-'), "{command}: {answer}");
        answer
    }

    /// One command over a connection of its own; the start of the answer.
    fn ask(&self, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
        let mut answer = [0; 4_096];
        let read = stream.read(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer[..read]).into_owned())
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.lock().unwrap();
        let id = process.as_ref().map(Child::id).expect("a running server");
        let id = i32::try_from(id).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(id, signal).expect("the signal is sent to our own child");
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Redis {
    /// Without a panic: a failing test may be why it is dropped.
    fn drop(&mut self) {
        let process = self.process.get_mut();
        if let Some(process) = process.unwrap_or_else(std::sync::PoisonError::into_inner) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_a_kill_and_loses_everything_on_request() {
        let server = Redis::with_fsync("always");
        server.command("SET a 7");
        server.kill();
        assert!(server.ask("PING").is_none());
        server.resume();
        assert!(server.command("GET a").contains('7'));
        server.command("FLUSHALL");
        assert_eq!(server.command("GET a"), "$-1\r\n");
    }

    #[test]
    fn stands_still_and_goes_on() {
        let server = Redis::start();
        server.freeze();
        server.thaw();
        assert_eq!(server.command("PING"), "+PONG\r\n");
    }
}
