//! One investigation: read, evaluate, store, or the answer that is stored already.

use crate::config::Config;
use crate::convert::{self, Investigate};
use crate::domain::{self, Document, Index, Kind, Outcome};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::screening::Screening;
use crate::store::{Investigated, Request, Store};
use probity_proto::anticorruption::InvestigateResponse;
use probity_runtime::Caller;
use probity_runtime::documents::Reader;
use probity_types::Clock;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument as _;

/// Code of the fault of a document that is larger than was allowed.
const DOCUMENT_TOO_LARGE: &str = "RUN-0009";

/// From how many bytes it pays to look for a stored answer before evaluating; it
/// is looked for again, in any case, in the transaction that stores the findings.
const LOOK_FIRST_BYTES: usize = 1024 * 1024;

/// Carries out investigations, a bounded number at once.
#[derive(Clone)]
pub(crate) struct Investigator {
    store: Store,
    reader: Reader,
    screening: Screening,
    config: Arc<Config>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    places: Arc<Semaphore>,
}

impl Investigator {
    pub(crate) fn new(
        store: Store,
        reader: Reader,
        screening: Screening,
        config: Arc<Config>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        let places = Arc::new(Semaphore::new(config.max_concurrent));
        Self { store, reader, screening, config, clock, metrics, places }
    }

    /// Investigates the documents of a case, or answers what was stored for this
    /// idempotency key. Once begun it is finished and stored even when the caller
    /// stops waiting, so that a call sent again finds the answer.
    pub(crate) async fn run(
        &self,
        caller: &Caller,
        request: Request,
        work: Investigate,
    ) -> Result<InvestigateResponse, Error> {
        // Waiting for a place ends with the caller: what waits cannot pile up. The
        // semaphore is never closed.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let case = convert::case_name(work.case);
        let task = self.clone().carry_out(caller.clone(), request, work, place).in_current_span();
        let done = tokio::spawn(task).await;
        done.map_err(|error| Error::Broken { case, reason: error.to_string() })?
    }

    async fn carry_out(
        self,
        caller: Caller,
        request: Request,
        work: Investigate,
        _place: Option<OwnedSemaphorePermit>,
    ) -> Result<InvestigateResponse, Error> {
        let started = Instant::now();
        let documents = self.read(&caller, &work.documents).await?;
        if documents.iter().map(|document| document.bytes.len()).sum::<usize>() > LOOK_FIRST_BYTES
            && let Some(answer) = self.store.answered(&request).await?
        {
            return Ok(answer);
        }
        let index = self.screening.index(&caller.ctx.tenant).await?;
        let outcome = Arc::new(self.evaluate(&work, documents, index).await?);
        let (kind, response) = (work.kind, convert::response(work.kind, &outcome));
        let investigated =
            Investigated { work, outcome: Arc::clone(&outcome), response, now: self.clock.now() };
        let answer = self.store.record(request, investigated, self.config.rules.max_rejections).await?;
        self.metrics.investigated(kind, &outcome, started.elapsed());
        Ok(answer)
    }

    /// Reads documents, no more bytes together than allowed.
    async fn read(&self, caller: &Caller, names: &[String]) -> Result<Vec<Document>, Error> {
        let limit = self.config.max_input_bytes;
        let mut left = limit;
        let mut documents = Vec::with_capacity(names.len());
        for name in names {
            let bytes = self.reader.read(caller, name, left).await.map_err(|fault| match fault.code {
                DOCUMENT_TOO_LARGE => Error::TooLarge { limit },
                _ => Error::Peer(fault),
            })?;
            left = left.saturating_sub(bytes.len());
            documents.push(Document { name: name.as_str().into(), bytes });
        }
        Ok(documents)
    }

    /// Applies the rules, away from the threads that serve requests.
    async fn evaluate(
        &self,
        work: &Investigate,
        documents: Vec<Document>,
        index: Arc<Index>,
    ) -> Result<Outcome, Error> {
        let (kind, config): (Kind, _) = (work.kind, Arc::clone(&self.config));
        let evaluated =
            tokio::task::spawn_blocking(move || domain::investigate(kind, &documents, &index, &config.rules))
                .await;
        evaluated
            .map_err(|error| Error::Broken { case: convert::case_name(work.case), reason: error.to_string() })
    }
}
