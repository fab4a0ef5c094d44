//! The way to the lane.

use crate::domain::audit::StoredTurn;
use crate::domain::ownership::Survey;
use crate::error::Error;
use crate::store::{Recent, View};
use crate::watchers::{Watch, Watchers};
use parking_lot::{Mutex, RwLock};
use probity_engine::{Definition, Event, Opening, What};
use probity_storage::idempotency::Scope;
use probity_types::Ctx;
use probity_types::id::{CaseId, ExecutionId};
use serde_json::Value as Json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Notify, mpsc, oneshot};

/// What the lane answers.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The execution as it is now.
    View(View),
    /// The key was used before: this was started then.
    Before(ExecutionId),
}

pub(crate) type Reply = oneshot::Sender<Result<Answer, Error>>;

/// What a caller wants of the lane.
pub(crate) enum Message {
    /// Start an execution.
    Start(Box<Start>),
    /// Start an execution with the results of another.
    Fork(Box<Fork>),
    /// A person does something to an execution.
    Person(Box<Deed>),
    /// Workers have answered.
    Answers(Answers),
    /// Somebody waits for the end.
    AwaitEnd { id: ExecutionId, reply: Reply },
    /// Somebody does not find who has a shard: it may be free.
    Look,
}

/// An execution to start.
pub(crate) struct Start {
    pub(crate) ctx: Ctx,
    /// Its name is given by the lane.
    pub(crate) opening: Opening,
    pub(crate) definition: Arc<Definition>,
    pub(crate) scope: Option<Scope>,
    pub(crate) reply: Reply,
    /// Who waits for the end.
    pub(crate) end: Option<Reply>,
    /// Only make it.
    pub(crate) held: bool,
}

/// An execution to branch off.
pub(crate) struct Fork {
    pub(crate) ctx: Ctx,
    pub(crate) source: ExecutionId,
    /// The first step that is not taken over.
    pub(crate) step: String,
    /// The input of the new one, when it is another.
    pub(crate) input: Option<Json>,
    pub(crate) scope: Option<Scope>,
    pub(crate) reply: Reply,
}

/// What a person does to an execution.
pub(crate) struct Deed {
    pub(crate) ctx: Ctx,
    pub(crate) id: ExecutionId,
    pub(crate) event: Event,
    pub(crate) reply: Reply,
}

/// Answers of workers, all from one message of one stream.
pub(crate) struct Answers {
    /// Whose worker it is; absent for one that works for everybody.
    pub(crate) tenant: Option<String>,
    pub(crate) events: Vec<(ExecutionId, Event)>,
    pub(crate) acknowledge: Told,
}

/// Told whether the events are durable, and which of them, by their place, are for
/// executions that another replica has now: they were not taken.
pub(crate) type Told = Box<dyn FnOnce(bool, &[usize]) + Send>;

impl Start {
    pub(super) fn named(&self, id: ExecutionId) -> Opening {
        let name = match self.opening.what {
            What::Case { .. } => format!("cases/{}", CaseId(id.0)),
            What::Plain => format!("executions/{id}"),
        };
        Opening { name, ..self.opening.clone() }
    }
}

impl Message {
    /// Tells whoever waits that nothing can be changed now.
    pub(super) fn refuse(self, why: &str) {
        let away = || Err(Error::Away(why.to_owned()));
        let _ = match self {
            Self::Start(start) => start.reply.send(away()),
            Self::Fork(fork) => fork.reply.send(away()),
            Self::Person(deed) => deed.reply.send(away()),
            Self::AwaitEnd { reply, .. } => reply.send(away()),
            Self::Answers(answers) => {
                (answers.acknowledge)(false, &[]);
                Ok(())
            }
            Self::Look => Ok(()),
        };
    }
}

/// The way to the lane. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Handle {
    messages: mpsc::Sender<Message>,
    committed: Arc<Notify>,
    watchers: Watchers,
    recent: Arc<Mutex<Recent>>,
    survey: Arc<RwLock<Survey>>,
    owning: Arc<AtomicBool>,
}

impl Handle {
    pub(super) fn new(queue: usize) -> (Self, mpsc::Receiver<Message>) {
        let (messages, inbox) = mpsc::channel(queue);
        let handle = Self {
            messages,
            committed: Arc::default(),
            watchers: Watchers::default(),
            recent: Arc::default(),
            survey: Arc::default(),
            owning: Arc::default(),
        };
        (handle, inbox)
    }

    /// Lets a person do something to an execution.
    pub(crate) async fn person(&self, ctx: &Ctx, id: ExecutionId, event: Event) -> Result<Answer, Error> {
        let ctx = ctx.clone();
        self.ask(|reply| Message::Person(Box::new(Deed { ctx, id, event, reply }))).await
    }

    /// Sends a message and waits for the answer, which comes after the commit.
    pub(crate) async fn ask(&self, make: impl FnOnce(Reply) -> Message) -> Result<Answer, Error> {
        let (reply, answer) = oneshot::channel();
        self.send(make(reply))?;
        answered(answer).await
    }

    /// Sends a message.
    pub(crate) fn send(&self, message: Message) -> Result<(), Error> {
        self.messages.try_send(message).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Error::Busy,
            mpsc::error::TrySendError::Closed(_) => Error::Away("it is shutting down".to_owned()),
        })
    }

    /// Sends answers of workers, waiting for room: nothing of them may be lost.
    pub(crate) async fn answers(&self, answers: Answers) -> Result<(), Error> {
        let sent = self.messages.send(Message::Answers(answers)).await;
        sent.map_err(|_| Error::Away("it is shutting down".to_owned()))
    }

    /// Woken after every commit.
    pub(crate) fn on_commit(&self) -> Arc<Notify> {
        self.committed.clone()
    }

    /// The turns of an execution as they are stored by this replica.
    pub(crate) fn watch(&self, id: ExecutionId) -> Watch {
        self.watchers.watch(id)
    }

    /// What was committed last.
    pub(crate) fn recent(&self) -> Arc<Mutex<Recent>> {
        self.recent.clone()
    }

    /// Where the owner of a shard can be called.
    pub(crate) fn address_of(&self, shard: u8) -> Option<String> {
        self.survey.read().address_of(shard).map(str::to_owned)
    }

    /// A shard of somebody else than the one at this address.
    pub(crate) fn someones(&self, not_at: &str) -> Option<u8> {
        let survey = self.survey.read();
        (0..=u8::MAX).find(|shard| survey.address_of(*shard).is_some_and(|address| address != not_at))
    }

    /// Lets the lane look after shards before its time.
    pub(crate) fn look(&self) {
        let _ = self.send(Message::Look); // a lane that is as busy looks soon enough
    }

    /// Whether this replica has shards, so that something can be started here.
    pub(crate) fn has_shards(&self) -> bool {
        self.owning.load(Ordering::Relaxed)
    }

    pub(super) fn owning(&self, owning: bool) {
        self.owning.store(owning, Ordering::Relaxed);
    }

    pub(super) fn committed(&self, turns: Vec<Arc<StoredTurn>>) {
        self.watchers.tell(&turns);
        self.recent.lock().extend(turns);
        self.committed.notify_one();
    }

    pub(super) fn surveyed(&self, survey: Survey) {
        *self.survey.write() = survey;
    }
}

/// The answer of the lane.
pub(crate) async fn answered(answer: oneshot::Receiver<Result<Answer, Error>>) -> Result<Answer, Error> {
    answer.await.unwrap_or_else(|_| Err(Error::Away("it is shutting down".to_owned())))
}
