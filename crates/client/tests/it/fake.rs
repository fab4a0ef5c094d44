//! A platform that behaves, or misbehaves, as the test likes.

use parking_lot::Mutex;
use probity_client::Client;
use probity_client::proto::orchestrator::worker_service_server::{WorkerService, WorkerServiceServer};
use probity_client::proto::orchestrator::{TaskResult, WorkRequest, WorkResponse, WorkerHello, WorkerTask};
use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

/// Longest time anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What goes wrong.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// The next so many streams break when results come in, before a word is said.
    pub(crate) break_on_results: usize,
    /// Streams are refused.
    pub(crate) refuse: Option<tonic::Code>,
    /// Nothing is acknowledged.
    pub(crate) silent: bool,
}

/// What the platform has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) hellos: Vec<WorkerHello>,
    pub(crate) results: Vec<TaskResult>,
    pub(crate) heartbeats: BTreeSet<String>,
    /// Messages with results.
    pub(crate) batches: usize,
    /// Credits as they came, stream after stream.
    pub(crate) credits: Vec<i32>,
}

#[derive(Default)]
struct Inner {
    tasks: Mutex<VecDeque<WorkerTask>>,
    drops: Mutex<Vec<bytes::Bytes>>,
    faults: Mutex<Faults>,
    seen: Mutex<Seen>,
    changed: Notify,
}

/// The queue of the test.
#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Inner>);

impl Fake {
    pub(crate) fn with(faults: Faults) -> Self {
        let fake = Self::default();
        *fake.0.faults.lock() = faults;
        fake
    }

    /// Tasks of a type with the numbers as input; their tokens are the same numbers.
    pub(crate) fn give(&self, kind: &str, numbers: std::ops::Range<usize>) {
        let task = |n: usize| WorkerTask {
            token: n.to_string().into(),
            r#type: kind.to_owned(),
            queue: "q".into(),
            input: n.to_string().into(),
            idempotency_key: format!("key-{n}"),
            attempt: 1,
            execution: format!("executions/{n}"),
            ..Default::default()
        };
        self.0.tasks.lock().extend(numbers.map(task));
        self.0.changed.notify_waiters();
    }

    /// Says that a result is not wanted any more.
    pub(crate) fn drop_task(&self, token: &str) {
        self.0.drops.lock().push(token.to_owned().into());
        self.0.changed.notify_waiters();
    }

    pub(crate) fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.0.seen.lock())
    }

    /// Waits until what was seen is as it should be.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&Seen) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let changed = self.0.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if condition(&self.0.seen.lock()) {
                    return;
                }
                changed.await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("{what} did not happen: {:?}", self.0.seen.lock()));
    }

    pub(crate) fn routes(&self) -> Routes {
        Routes::new(WorkerServiceServer::new(self.clone()))
    }

    /// Serves the queue and gives a client for it.
    pub(crate) async fn client(&self) -> Client {
        client(serve(self.routes()).await)
    }

    fn note(&self, request: &WorkRequest) {
        let mut seen = self.0.seen.lock();
        seen.hellos.extend(request.hello.clone());
        seen.credits.push(request.credits);
        seen.batches += usize::from(!request.results.is_empty());
        seen.results.extend(request.results.iter().cloned());
        let text = |token: &bytes::Bytes| String::from_utf8_lossy(token).into_owned();
        seen.heartbeats.extend(request.heartbeats.iter().map(text));
        drop(seen);
        self.0.changed.notify_waiters();
    }

    /// What there is to say to a worker with so much room.
    fn news(&self, room: &mut i64) -> WorkResponse {
        let mut response =
            WorkResponse { dropped: std::mem::take(&mut *self.0.drops.lock()), ..Default::default() };
        let mut tasks = self.0.tasks.lock();
        while *room > 0
            && let Some(task) = tasks.pop_front()
        {
            *room -= 1;
            response.tasks.push(task);
        }
        response
    }

    async fn converse(
        self,
        mut requests: Streaming<WorkRequest>,
        responses: mpsc::Sender<Result<WorkResponse, Status>>,
    ) {
        let mut room = 0;
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let news = self.news(&mut room);
            if news != WorkResponse::default() && responses.send(Ok(news)).await.is_err() {
                return;
            }
            tokio::select! {
                request = requests.message() => {
                    let Ok(Some(request)) = request else { return };
                    room += i64::from(request.credits);
                    self.note(&request);
                    if self.breaks(&request) {
                        let _ = responses.send(Err(Status::unavailable("cut by the test"))).await;
                        return;
                    }
                    let acknowledged: Vec<_> = request.results.into_iter().map(|r| r.token).collect();
                    if !acknowledged.is_empty() && !self.0.faults.lock().silent {
                        let _ = responses.send(Ok(WorkResponse { acknowledged, ..Default::default() })).await;
                    }
                }
                () = changed => {}
            }
        }
    }

    fn breaks(&self, request: &WorkRequest) -> bool {
        let mut faults = self.0.faults.lock();
        let breaks = !request.results.is_empty() && faults.break_on_results > 0;
        faults.break_on_results -= usize::from(breaks);
        breaks
    }
}

#[tonic::async_trait]
impl WorkerService for Fake {
    type WorkStream = ReceiverStream<Result<WorkResponse, Status>>;

    async fn work(
        &self,
        request: Request<Streaming<WorkRequest>>,
    ) -> Result<Response<Self::WorkStream>, Status> {
        if let Some(code) = self.0.faults.lock().refuse {
            return Err(Status::new(code, "refused by the test"));
        }
        let (sender, responses) = mpsc::channel(16);
        tokio::spawn(self.clone().converse(request.into_inner(), sender));
        Ok(Response::new(ReceiverStream::new(responses)))
    }
}

/// Serves routes on a free port.
pub(crate) async fn serve(routes: Routes) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    serve_on(listener, routes);
    addr
}

pub(crate) fn serve_on(listener: TcpListener, routes: Routes) {
    let server = tonic::transport::Server::builder().add_routes(routes);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
}

pub(crate) fn client(addr: SocketAddr) -> Client {
    Client::builder(&format!("http://{addr}")).token("a.b.c").unwrap().connect_lazy().unwrap()
}
