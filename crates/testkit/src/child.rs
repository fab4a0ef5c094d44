//! A program under test: started, watched, killed.

use rustix::process::{Pid, Signal, kill_process};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::sync::watch;

/// A running program. It is killed when this is dropped.
#[derive(Debug)]
pub struct Child {
    process: tokio::process::Child,
    output: Arc<Mutex<Vec<String>>>,
    lines: watch::Receiver<usize>,
    name: String,
}

/// How a program ended.
#[derive(Debug)]
pub struct ChildExit {
    /// Its status.
    pub status: ExitStatus,
    /// Every line it wrote to standard output and standard error.
    pub output: Vec<String>,
}

impl Child {
    /// Starts a program with captured output.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn spawn(command: std::process::Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut command = Command::from(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started: {error}; build it first"));
        let output = Arc::new(Mutex::new(Vec::new()));
        let (count, lines) = watch::channel(0);
        let count = Arc::new(count);
        let (stdout, stderr) =
            (process.stdout.take().expect("a pipe"), process.stderr.take().expect("a pipe"));
        tokio::spawn(collect(stdout, Arc::clone(&output), Arc::clone(&count)));
        tokio::spawn(collect(stderr, Arc::clone(&output), count));
        Self { process, output, lines, name }
    }

    /// Waits for a line of output that fits and gives it.
    ///
    /// # Panics
    /// When the program ends or the time is over first; shows all output.
    pub async fn wait_for_line(&mut self, timeout: Duration, fits: impl Fn(&str) -> bool) -> String {
        let found = tokio::time::timeout(timeout, self.find_line(fits)).await;
        match found {
            Ok(Some(line)) => line,
            Ok(None) => {
                panic!("{} ended without the line; it wrote:\n{}", self.name, self.output().join("\n"))
            }
            Err(_) => {
                panic!("{} did not write the line in {timeout:?}:\n{}", self.name, self.output().join("\n"))
            }
        }
    }

    async fn find_line(&mut self, fits: impl Fn(&str) -> bool) -> Option<String> {
        let mut seen = 0;
        loop {
            let output = self.output();
            if let Some(line) = output[seen..].iter().find(|line| fits(line)) {
                return Some(line.clone());
            }
            seen = output.len();
            // An error means that both pipes are closed and read to the end.
            if self.lines.wait_for(|count| *count > seen).await.is_err() && self.output().len() == seen {
                return None;
            }
        }
    }

    /// Every line so far, standard output and standard error mixed.
    #[must_use]
    pub fn output(&self) -> Vec<String> {
        self.output.lock().unwrap().clone()
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Sends a signal, such as `Signal::TERM`, `Signal::STOP` or `Signal::CONT`.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn signal(&self, signal: Signal) {
        let id = self.id().unwrap_or_else(|| panic!("{} has ended already", self.name));
        let id = i32::try_from(id).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(id, signal).expect("the signal is sent to our own child");
    }

    /// Kills it at once (SIGKILL) and waits until it is gone.
    pub async fn kill(mut self) -> ChildExit {
        // An error means that it had ended.
        let _ = self.process.start_kill();
        self.wait(Duration::from_secs(10)).await
    }

    /// Asks it to stop (SIGTERM) and waits until it has.
    pub async fn terminate(self, timeout: Duration) -> ChildExit {
        self.signal(Signal::TERM);
        self.wait(timeout).await
    }

    /// Waits until it ends.
    ///
    /// # Panics
    /// When it still runs after `timeout`; shows all output.
    pub async fn wait(mut self, timeout: Duration) -> ChildExit {
        let Ok(status) = tokio::time::timeout(timeout, self.process.wait()).await else {
            panic!("{} still runs after {timeout:?}:\n{}", self.name, self.output().join("\n"));
        };
        while self.lines.changed().await.is_ok() {}
        ChildExit { status: status.expect("the status of our own child"), output: self.output() }
    }
}

async fn collect(
    pipe: impl AsyncRead + Unpin,
    output: Arc<Mutex<Vec<String>>>,
    count: Arc<watch::Sender<usize>>,
) {
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        output.lock().unwrap().push(text);
        count.send_modify(|count| *count += 1);
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Child {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script]);
        Child::spawn(command)
    }

    #[tokio::test]
    async fn waits_for_a_line_and_stops() {
        let mut child = shell("trap 'echo bye; exit 3' TERM; echo READY on 7; while :; do sleep 0.01; done");
        let line = child.wait_for_line(Duration::from_secs(10), |line| line.starts_with("READY")).await;
        assert_eq!(line, "READY on 7");
        let exit = child.terminate(Duration::from_secs(10)).await;
        assert_eq!(exit.status.code(), Some(3));
        assert_eq!(exit.output, ["READY on 7", "bye"]);
    }

    #[tokio::test]
    async fn kills() {
        let mut child = shell("echo up >&2; exec sleep 1000");
        child.wait_for_line(Duration::from_secs(10), |line| line == "up").await;
        let exit = child.kill().await;
        assert!(!exit.status.success(), "{exit:?}");
    }

    #[tokio::test]
    #[should_panic(expected = "ended without the line; it wrote:\nother")]
    async fn shows_the_output_when_the_line_does_not_come() {
        shell("echo other").wait_for_line(Duration::from_secs(10), |line| line == "READY").await;
    }
}
