//! One service as a process: started, watched, told to stop.
//!
//! The process ends when its standard input does, so nothing is left behind when this
//! program is killed, and telling it to stop is closing a pipe.

use anyhow::Context as _;
use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

/// How long a start may take.
const START: Duration = Duration::from_secs(60);
/// How long a service may take to drain, beyond what it gives itself.
const STOP: Duration = Duration::from_secs(40);
/// How much of the log is shown when a service does not start.
const SHOWN_LINES: usize = 12;

/// How to start a service.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) data: PathBuf,
    pub(super) config: Option<PathBuf>,
    pub(super) listen: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) peers: BTreeMap<String, String>,
    pub(super) env: Vec<(&'static str, String)>,
}

/// A service that runs.
pub(super) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    began: Instant,
    /// Where it listens, and where its admin port does.
    pub(super) addr: SocketAddr,
    pub(super) admin: SocketAddr,
}

impl Plan {
    /// Where its log is written.
    pub(super) fn log(&self) -> PathBuf {
        self.data.join("logs").join(format!("{}.log", self.name))
    }

    fn command(&self, log: File) -> anyhow::Result<Command> {
        let program = std::env::current_exe().context("the path of this program is not known")?;
        let mut command = Command::new(program);
        command.args(["service", &self.name, "--until-stdin-ends", "--data-dir"]).arg(&self.data);
        command.args(["--listen", &self.listen.to_string(), "--admin-listen", &self.admin.to_string()]);
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        for (peer, url) in &self.peers {
            command.args(["--peer", &format!("{peer}={url}")]);
        }
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        // A group of its own: an interrupt of the terminal is for us, who stop in order.
        command.process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::from(log));
        Ok(command)
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// With the end of its log, when it ends or the time is over before it is ready.
    pub(super) async fn start(&self) -> anyhow::Result<Process> {
        let path = self.log();
        let log = open_log(&path).with_context(|| format!("{} cannot be written", path.display()))?;
        let began_at = log.metadata().map_or(0, |found| found.len());
        let mut child =
            self.command(log)?.spawn().with_context(|| format!("{} cannot be started", self.name))?;
        let (stdin, began) = (child.stdin.take(), Instant::now());
        let stdout = child.stdout.take().context("its output cannot be read")?;
        let mut lines = BufReader::new(stdout).lines();
        let ready = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(found) = read_ready(&line) {
                    return Some(found);
                }
            }
            None
        };
        let found = tokio::time::timeout(START, ready).await;
        let (addr, admin) = found.ok().flatten().with_context(|| {
            let (name, shown) = (&self.name, tail(&path, began_at));
            format!("{name} did not become ready; its log ({}) ends with\n{shown}", path.display())
        })?;
        // Nothing is written after that line, but a full pipe must not stop anybody.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Process { child, stdin, began, addr, admin })
    }
}

fn open_log(path: &Path) -> std::io::Result<File> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    File::options().create(true).append(true).mode(0o600).open(path)
}

/// The last lines that were written since `from`.
fn tail(path: &Path, from: u64) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let own = bytes.get(usize::try_from(from).unwrap_or(0)..).unwrap_or_default();
    let text = String::from_utf8_lossy(own);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}

/// `READY http://ADDR (NAME, admin http://ADMIN)`
fn read_ready(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let rest = line.strip_prefix("READY http://")?;
    let (addr, rest) = rest.split_once(' ')?;
    let admin = rest.rsplit_once("admin http://")?.1.strip_suffix(')')?;
    Some((addr.parse().ok()?, admin.parse().ok()?))
}

impl Process {
    pub(super) fn id(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// How long it has been running.
    pub(super) fn ran(&self) -> Duration {
        self.began.elapsed()
    }

    /// Waits until it ends by itself.
    pub(super) async fn ended(&mut self) -> String {
        said(self.child.wait().await)
    }

    /// Lets it drain; what does not end in time is killed. `Ok` when it ended as it
    /// should.
    ///
    /// # Errors
    /// How it ended instead.
    pub(super) async fn stop(mut self) -> Result<(), String> {
        drop(self.stdin.take());
        match tokio::time::timeout(STOP, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(status) => Err(said(status)),
            Err(_) => {
                // An error means that it has just ended.
                let _ = self.child.kill().await;
                Err(format!("did not end in {} s and was killed", STOP.as_secs()))
            }
        }
    }
}

fn said(status: std::io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| format!("ended: {error}"), |status| format!("ended with {status}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_ready_service_is_read() {
        let check = |line: &str, expect: Option<(&str, &str)>| {
            let expect = expect.map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap()));
            assert_eq!(read_ready(line), expect, "{line}");
        };
        let line = "READY http://127.0.0.1:8086 (intake, admin http://127.0.0.1:9086)";
        check(line, Some(("127.0.0.1:8086", "127.0.0.1:9086")));
        check("READY http://[::1]:1 (x, admin http://[::1]:2)", Some(("[::1]:1", "[::1]:2")));
        for other in
            ["", "READY", "READY http://h:1 (x)", "ready http://127.0.0.1:1 (x, admin http://127.0.0.1:2)"]
        {
            check(other, None);
        }
    }

    #[test]
    fn the_end_of_a_log_is_that_of_this_run() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs").join("x.log");
        std::io::Write::write_all(&mut open_log(&path).unwrap(), b"of another run\n").unwrap();
        let from = std::fs::metadata(&path).unwrap().len();
        let lines: String = (0..20).map(|n| format!("line {n}\n")).collect();
        std::io::Write::write_all(&mut open_log(&path).unwrap(), lines.as_bytes()).unwrap();
        let shown = tail(&path, from);
        assert!(shown.starts_with("line 8\n") && shown.ends_with("line 19"), "{shown}");
        assert_eq!(tail(&path, from + lines.len() as u64), "");
    }
}
