//! A clock that stands while the machine is too busy to be asked about.
//!
//! A test that runs beside many others may wait a second for a healthy service whose
//! turn it is not. So the processes that are judged are asked all the time for what
//! takes nothing but their turn (`/livez`, on the runtime that serves calls); time in
//! which all of them answered at once counts, other time does not. What stands still
//! altogether is not judged by this clock: its process does not answer either.

use crate::sandbox::get;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How long a question, its answer and the pause after it may take.
const AT_ONCE: Duration = Duration::from_millis(200);
/// Between two questions.
const PACE: Duration = Duration::from_millis(100);

/// The clock; it ends when it is dropped.
#[derive(Debug)]
pub struct Control {
    steady_us: Arc<AtomicU64>,
    asking: JoinHandle<()>,
}

impl Control {
    /// A clock that runs while all of these admin ports answer at once.
    #[must_use]
    pub fn of(admins: Vec<String>) -> Self {
        let steady_us = Arc::new(AtomicU64::new(0));
        let counted = steady_us.clone();
        let asking = tokio::spawn(async move {
            loop {
                let begun = Instant::now();
                let asked = futures::future::join_all(admins.iter().map(|admin| get(admin, "/livez")));
                let all = tokio::time::timeout(AT_ONCE, asked).await;
                let alive = all.is_ok_and(|all| all.iter().all(is_alive));
                tokio::time::sleep(PACE).await;
                let took = begun.elapsed();
                if alive && took <= AT_ONCE {
                    counted.fetch_add(u64::try_from(took.as_micros()).unwrap_or(0), Ordering::Relaxed);
                }
            }
        });
        Self { steady_us, asking }
    }

    /// What it shows.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_micros(self.steady_us.load(Ordering::Relaxed))
    }

    /// What has passed since it showed this.
    #[must_use]
    pub fn since(&self, then: Duration) -> Duration {
        self.now().saturating_sub(then)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

fn is_alive(answer: &std::io::Result<String>) -> bool {
    answer.as_ref().is_ok_and(|text| text.starts_with("HTTP/1.0 200") || text.starts_with("HTTP/1.1 200"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_testkit::eventually;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::sync::watch;

    /// An admin port that answers while it is told to.
    async fn admin(answers: watch::Receiver<bool>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut answers = answers.clone();
                tokio::spawn(async move {
                    let _asked = stream.read(&mut [0; 256]).await;
                    let _told = answers.wait_for(|answers| *answers).await.map(drop);
                    let _answered = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nok\n").await;
                });
            }
        });
        address
    }

    #[tokio::test]
    async fn it_runs_while_all_answer_and_stands_while_one_does_not() {
        let (tell, told) = watch::channel(true);
        let (_, always) = watch::channel(true);
        let control = Control::of(vec![admin(told).await, admin(always).await]);
        let runs = async |from: Duration| {
            eventually(Duration::from_secs(20), async || {
                if control.since(from) >= Duration::from_millis(100) { Ok(()) } else { Err(control.now()) }
            })
            .await;
        };
        runs(control.now()).await;
        tell.send_replace(false);
        // The question under way may still be answered.
        let (begun, before) = (Instant::now(), control.now());
        eventually(Duration::from_secs(20), async || {
            if begun.elapsed() > Duration::from_millis(600) { Ok(()) } else { Err("too soon") }
        })
        .await;
        assert!(control.since(before) <= AT_ONCE, "{:?}", control.since(before));
        tell.send_replace(true);
        runs(control.now()).await;
    }
}
