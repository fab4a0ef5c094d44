//! Keeps one service running: says when it is not ready, starts it again when it died.

use super::process::{Plan, Process};
use super::restarts::Restarts;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How often readiness is asked for.
const LOOK: Duration = Duration::from_secs(2);

/// Something that happened to a service.
#[derive(Debug)]
pub(super) struct News {
    name: String,
    what: String,
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:<22} {}", self.name, self.what)
    }
}

/// A service that is kept running.
pub(super) struct Keeper {
    name: String,
    /// Where it listens, and where its admin port does: the same after every restart.
    pub(super) addr: SocketAddr,
    pub(super) admin: SocketAddr,
    /// Its first process.
    pub(super) id: u32,
    stop: CancellationToken,
    keeping: JoinHandle<Result<(), String>>,
}

impl Keeper {
    /// Starts a service, waits until it is ready, and keeps it running from then on.
    ///
    /// # Errors
    /// When it does not become ready.
    pub(super) async fn start(plan: Plan, news: mpsc::Sender<News>) -> anyhow::Result<Self> {
        let process = plan.start().await?;
        let (addr, admin, id) = (process.addr, process.admin, process.id());
        let (name, stop) = (plan.name.clone(), CancellationToken::new());
        let kept = Kept { plan: Plan { listen: addr, admin, ..plan }, news, stop: stop.clone() };
        Ok(Self { name, addr, admin, id, stop, keeping: tokio::spawn(kept.keep(process)) })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Lets it drain and end.
    ///
    /// # Errors
    /// How it ended instead.
    pub(super) async fn stop(self) -> Result<(), String> {
        self.stop.cancel();
        self.keeping.await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

struct Kept {
    plan: Plan,
    news: mpsc::Sender<News>,
    stop: CancellationToken,
}

impl Kept {
    async fn keep(self, first: Process) -> Result<(), String> {
        let (mut process, mut restarts) = (first, Restarts::default());
        loop {
            let ended = tokio::select! {
                ended = process.ended() => ended,
                never = self.watch() => match never {},
                () = self.stop.cancelled() => return process.stop().await,
            };
            let mut wait = restarts.died(process.ran());
            self.tell(format!("{ended}; it is started again in {wait:?}"));
            process = loop {
                if self.stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                    return Ok(());
                }
                // A start that takes long must not hold up the end.
                let Some(started) = self.stop.run_until_cancelled(self.plan.start()).await else {
                    return Ok(());
                };
                match started {
                    Ok(process) => break process,
                    Err(error) => {
                        wait = restarts.died(Duration::ZERO);
                        self.tell(format!("cannot be started ({error:#}); it is tried again in {wait:?}"));
                    }
                }
            };
            self.tell(format!("is ready again, process {}", process.id()));
        }
    }

    /// Says when it stops being ready and when it is again; never ends.
    async fn watch(&self) -> std::convert::Infallible {
        let (admin, mut was) = (self.plan.admin, true);
        loop {
            tokio::time::sleep(LOOK).await;
            let asked = tokio::task::spawn_blocking(move || probity_runtime::is_ready(admin));
            let is = asked.await.is_ok_and(|answer| answer.unwrap_or(false));
            if is != was {
                self.tell(if is { "is ready" } else { "is not ready" }.to_owned());
            }
            was = is;
        }
    }

    /// Whoever is behind with printing misses news, and holds up nobody.
    fn tell(&self, what: String) {
        let _ = self.news.try_send(News { name: self.plan.name.clone(), what });
    }
}
