//! The stream of a worker, made again whenever it breaks.

use super::finish::{self, Handler, Outcome};
use super::state::State;
use super::task::Task;
use super::{Settings, Summary};
use crate::{Client, Error};
use bytes::Bytes;
use probity_proto::orchestrator::{WorkRequest, WorkResponse, WorkerHello, WorkerTask};
use probity_types::retry::RetryPolicy;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior, sleep_until};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

/// How long to wait before a broken stream is made again.
const RECONNECT: RetryPolicy = RetryPolicy::new(u32::MAX, 50, 2_000);
/// Longest time the platform may take to accept a stream.
const ACCEPT: Duration = Duration::from_secs(10);

pub(super) async fn run(
    client: Client,
    settings: Settings,
    handlers: BTreeMap<String, Handler>,
    shutdown: impl Future<Output = ()>,
) -> Result<Summary, Error> {
    let mut heartbeat = tokio::time::interval(settings.heartbeat);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let state = State::new(settings.concurrency);
    let mut session =
        Session { client, settings, handlers, state, tasks: JoinSet::new(), heartbeat, until: None };
    session.work(pin!(shutdown)).await?;
    let open = u64::try_from(session.state.open()).unwrap_or(u64::MAX);
    Ok(Summary { abandoned: open, ..session.state.summary })
}

/// A worker at work. Handlers that still run end with it.
struct Session {
    client: Client,
    settings: Settings,
    handlers: BTreeMap<String, Handler>,
    state: State,
    tasks: JoinSet<(Bytes, Outcome)>,
    heartbeat: Interval,
    /// When it must be over; set once it shall stop.
    until: Option<Instant>,
}

/// How a stream ended.
enum End {
    /// Everything is done, or the time for it is over.
    Stopped,
    /// It broke. Whether the platform had said anything on it, and why it broke.
    Broken(bool, Status),
}

type Stream = (mpsc::Sender<WorkRequest>, Streaming<WorkResponse>);

impl Session {
    async fn work(&mut self, mut shutdown: Pin<&mut impl Future<Output = ()>>) -> Result<(), Error> {
        let mut failed = 0;
        loop {
            let (lived, status) = match self.stream(&mut shutdown).await {
                End::Stopped => return Ok(()),
                End::Broken(lived, status) => (lived, status),
            };
            if is_refusal(&status) {
                return Err(status.into());
            }
            failed = if lived { 1 } else { failed + 1 };
            let wait = RECONNECT.bound(failed).mul_f64(fastrand::f64());
            if self.pause(wait, &mut shutdown).await {
                return Ok(());
            }
            self.state.summary.reconnects += 1;
        }
    }

    /// One stream, from its beginning to its end.
    async fn stream(&mut self, shutdown: &mut Pin<&mut impl Future<Output = ()>>) -> End {
        let (outbox, mut inbox) = match self.open(shutdown).await {
            Ok(stream) => stream,
            Err(end) => return end,
        };
        let mut lived = false;
        loop {
            if self.is_over() {
                return End::Stopped;
            }
            tokio::select! {
                biased;
                () = shutdown.as_mut(), if self.until.is_none() => self.stop(),
                () = at(self.until), if self.until.is_some() => return End::Stopped,
                message = inbox.message() => match message {
                    Ok(Some(message)) => {
                        lived = true;
                        self.receive(message);
                    }
                    Ok(None) => return End::Broken(lived, Status::unavailable("the stream ended")),
                    Err(status) => return End::Broken(lived, status),
                },
                Some(done) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => self.finish(done),
                _ = self.heartbeat.tick() => self.state.tick(),
                permit = outbox.reserve(), if self.state.has_news() => match permit {
                    Ok(permit) => {
                        self.gather().await;
                        permit.send(self.state.message());
                    }
                    Err(_) => return End::Broken(lived, Status::unavailable("the stream was closed")),
                },
            }
        }
    }

    async fn open(&mut self, shutdown: &mut Pin<&mut impl Future<Output = ()>>) -> Result<Stream, End> {
        let hello = WorkerHello { worker: self.settings.name.clone(), queues: self.settings.queues.clone() };
        let mut stream = pin!(connect(self.client.clone(), self.state.begin(hello)));
        loop {
            tokio::select! {
                () = shutdown.as_mut(), if self.until.is_none() => self.stop(),
                () = at(self.until), if self.until.is_some() => return Err(End::Stopped),
                stream = stream.as_mut() => return stream.map_err(|status| End::Broken(false, status)),
            }
        }
    }

    fn receive(&mut self, message: WorkResponse) {
        message.acknowledged.iter().for_each(|token| self.state.acknowledged(token));
        message.dropped.iter().for_each(|token| self.state.dropped(token));
        message.tasks.into_iter().for_each(|task| self.begin(task));
    }

    fn begin(&mut self, task: WorkerTask) {
        let token = task.token.clone();
        if !self.state.take(&token) {
            return;
        }
        let Some(handler) = self.handlers.get(&task.r#type) else {
            let failure = finish::unknown(&task.r#type);
            return self.state.finish(finish::result(token, Err(failure)));
        };
        let work = handler.start(Task::new(task));
        let name = token.clone();
        let abort = self.tasks.spawn(async move { (name, work.await) });
        self.state.can_abort(&token, abort);
    }

    fn finish(&mut self, done: Result<(tokio::task::Id, (Bytes, Outcome)), JoinError>) {
        match done {
            Ok((_, (token, outcome))) => self.state.finish(finish::result(token, outcome)),
            Err(error) if error.is_panic() => {
                if let Some(token) = self.state.token_of(error.id()) {
                    self.state.finish(finish::result(token, Err(finish::panicked())));
                }
            }
            Err(_) => {} // stopped because nobody wants its result
        }
    }

    /// Lets handlers that are about to finish do so, and takes up what is done, so
    /// that one message carries it all.
    async fn gather(&mut self) {
        tokio::task::yield_now().await;
        while let Some(done) = self.tasks.try_join_next_with_id() {
            self.finish(done);
        }
    }

    fn stop(&mut self) {
        self.state.stop();
        self.until = Some(Instant::now() + self.settings.grace);
    }

    fn is_over(&self) -> bool {
        self.until.is_some() && self.state.is_done()
    }

    /// Waits between two streams while handlers go on; true when it is over.
    async fn pause(&mut self, wait: Duration, shutdown: &mut Pin<&mut impl Future<Output = ()>>) -> bool {
        let again = Instant::now() + wait;
        loop {
            if self.is_over() {
                return true;
            }
            tokio::select! {
                () = shutdown.as_mut(), if self.until.is_none() => self.stop(),
                () = at(self.until), if self.until.is_some() => return true,
                () = sleep_until(again) => return false,
                Some(done) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => self.finish(done),
            }
        }
    }
}

/// A stream that begins with this message.
async fn connect(client: Client, first: WorkRequest) -> Result<Stream, Status> {
    let (outbox, requests) = mpsc::channel(1);
    outbox.try_send(first).map_err(|_| Status::internal("a new channel has no room"))?;
    let mut client = client.work();
    let accepted = tokio::time::timeout(ACCEPT, client.work(ReceiverStream::new(requests))).await;
    let accepted = accepted.map_err(|_| Status::unavailable("the stream was not accepted in time"))?;
    Ok((outbox, accepted?.into_inner()))
}

/// Waits for a point in time; for ever when there is none.
async fn at(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// The platform does not want this worker as it is: trying again cannot help.
fn is_refusal(status: &Status) -> bool {
    let refusals =
        [Code::Unauthenticated, Code::PermissionDenied, Code::InvalidArgument, Code::Unimplemented];
    refusals.contains(&status.code())
}
