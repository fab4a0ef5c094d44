//! Answers of a worker to tasks of other replicas: sent on to whoever has the
//! execution, over a stream of the same kind and in the worker's name.
//!
//! An answer is kept until the other replica says that it is durable. When the other
//! one is gone, its successor is asked, which may be this replica itself.

use super::{Told, outcome};
use crate::api::Forward;
use crate::blobs::Blobs;
use crate::lane::{Answers, Handle};
use crate::tasks::Token;
use bytes::Bytes;
use probity_proto::orchestrator::{TaskResult, WorkRequest, WorkResponse, WorkerHello};
use probity_types::Ctx;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// An answer whose way is lost is sent again after this.
const AGAIN: Duration = Duration::from_millis(200);
/// For so long: a lease, and the time to take over.
const PATIENCE: Duration = Duration::from_secs(20);
/// Messages on their way.
const BUFFER: usize = 64;

/// What is needed to send answers on.
pub(super) struct Relay {
    pub(super) forward: Forward,
    pub(super) lane: Handle,
    pub(super) ctx: Ctx,
    pub(super) hello: WorkerHello,
    /// Whose worker it is; absent for one that works for everybody.
    pub(super) tenant: Option<String>,
    pub(super) told: mpsc::Sender<Told>,
    pub(super) blobs: Blobs,
}

/// An answer on its way, and until when it is tried.
#[derive(Clone)]
struct Pending {
    result: TaskResult,
    token: Token,
    until: Instant,
}

/// A stream to another replica.
struct Way {
    messages: mpsc::Sender<WorkRequest>,
    sent: HashMap<Bytes, Pending>,
}

/// What was heard on a way.
enum Heard {
    Answer(WorkResponse),
    Lost,
}

/// A relay at work.
struct Running {
    relay: Relay,
    waiting: Vec<Pending>,
    ways: HashMap<String, Way>,
    ear: mpsc::Sender<(String, Heard)>,
}

impl Relay {
    /// Sends answers on until nobody gives any more and all are settled.
    pub(super) async fn run(self, mut answers: mpsc::Receiver<(TaskResult, Token)>) {
        let (ear, mut heard) = mpsc::channel(BUFFER);
        let mut running = Running { relay: self, waiting: Vec::new(), ways: HashMap::new(), ear };
        let mut open = true;
        while open || running.has_some() {
            tokio::select! {
                answer = answers.recv(), if open => match answer {
                    Some(first) => {
                        running.take(first);
                        while let Ok(next) = answers.try_recv() {
                            running.take(next);
                        }
                        running.send().await;
                    }
                    None => open = false,
                },
                Some((address, heard)) = heard.recv() => running.hear(&address, heard),
                () = tokio::time::sleep(AGAIN), if !running.waiting.is_empty() => running.send().await,
            }
        }
    }
}

impl Running {
    fn has_some(&self) -> bool {
        !self.waiting.is_empty() || self.ways.values().any(|way| !way.sent.is_empty())
    }

    fn take(&mut self, (result, token): (TaskResult, Token)) {
        self.waiting.push(Pending { result, token, until: Instant::now() + PATIENCE });
    }

    /// Tells the worker; one that is gone needs no telling.
    fn tell(&self, durable: Vec<Bytes>, moved: Vec<Bytes>) {
        let _ = self.relay.told.try_send(Told { durable, moved });
    }

    /// Sends what waits to whoever has its execution now.
    async fn send(&mut self) {
        let mut here = Vec::new();
        let mut there: HashMap<String, Vec<Pending>> = HashMap::new();
        for pending in std::mem::take(&mut self.waiting) {
            match self.relay.forward.elsewhere(pending.token.order.execution) {
                _ if pending.until < Instant::now() => self.tell(Vec::new(), vec![pending.result.token]),
                Some(address) => there.entry(address).or_default().push(pending),
                None => here.push(pending),
            }
        }
        self.decide(here).await;
        for (address, pending) in there {
            self.send_to(address, pending).await;
        }
    }

    /// What this replica has come to own it decides itself.
    async fn decide(&self, here: Vec<Pending>) {
        if here.is_empty() {
            return;
        }
        let (mut tokens, mut events) = (Vec::with_capacity(here.len()), Vec::with_capacity(here.len()));
        for Pending { result, token, .. } in here {
            tokens.push(result.token.clone());
            let (order, tenant) = (token.order, self.relay.tenant.as_deref());
            let answer = self.relay.blobs.answered_by_worker(tenant, order.execution, outcome(result)).await;
            events.push((order.execution, order.event(answer)));
        }
        let told = self.relay.told.clone();
        let acknowledge = Box::new(move |durable: bool, moved: &[usize]| {
            if durable {
                let _ = told.try_send(Told::of(tokens, moved));
            }
        });
        let tenant = self.relay.tenant.clone();
        let _ = self.relay.lane.answers(Answers { tenant, events, acknowledge }).await;
    }

    async fn send_to(&mut self, address: String, pending: Vec<Pending>) {
        if !self.ways.contains_key(&address) {
            let way = self.open(&address);
            self.ways.insert(address.clone(), way);
        }
        let Some(way) = self.ways.get_mut(&address) else { return };
        let results = pending.iter().map(|pending| pending.result.clone()).collect();
        let message = WorkRequest { results, ..WorkRequest::default() };
        if way.messages.send(message).await.is_ok() {
            way.sent.extend(pending.into_iter().map(|pending| (pending.result.token.clone(), pending)));
        } else {
            self.waiting.extend(pending);
            self.lose(&address);
        }
    }

    /// A stream to another replica; what comes back on it is heard.
    fn open(&self, address: &str) -> Way {
        let (messages, outgoing) = mpsc::channel(BUFFER);
        let first = WorkRequest { hello: Some(self.relay.hello.clone()), ..WorkRequest::default() };
        // The channel is new: there is room.
        let _ = messages.try_send(first);
        let (forward, ctx) = (self.relay.forward.clone(), self.relay.ctx.clone());
        let (ear, address) = (self.ear.clone(), address.to_owned());
        tokio::spawn(async move {
            if let Ok(mut stream) = forward.work(&ctx, &address, outgoing).await {
                while let Ok(Some(answer)) = stream.message().await {
                    if ear.send((address.clone(), Heard::Answer(answer))).await.is_err() {
                        return;
                    }
                }
            }
            let _ = ear.send((address, Heard::Lost)).await;
        });
        Way { messages, sent: HashMap::new() }
    }

    fn hear(&mut self, address: &str, heard: Heard) {
        let Heard::Answer(answer) = heard else { return self.lose(address) };
        if let Some(way) = self.ways.get_mut(address) {
            for token in answer.acknowledged.iter().chain(&answer.dropped) {
                way.sent.remove(token);
            }
        }
        self.tell(answer.acknowledged, answer.dropped);
    }

    /// Whatever was sent there is sent again, perhaps elsewhere.
    fn lose(&mut self, address: &str) {
        if let Some(way) = self.ways.remove(address) {
            self.waiting.extend(way.sent.into_values());
        }
    }
}
