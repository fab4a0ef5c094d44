//! Runs the classifier without holding up the other calls of the process.

use crate::domain::{Classifier, Form, Model, Thresholds, Verdict};
use crate::error::Error;
use crate::metrics::Metrics;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;

/// Up to this size a message is classified in place: it takes less time than
/// handing it to another thread is worth.
const IN_PLACE_BYTES: usize = 16 * 1024;

/// What is answered: a verdict, and how many documents it was chosen from.
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    pub(crate) of: usize,
}

/// The classifier with its workers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Triage {
    classifier: Arc<Classifier>,
    /// So many large messages are in work at once.
    workers: Arc<Semaphore>,
    metrics: Metrics,
}

impl Triage {
    pub(crate) fn new(model: Model, thresholds: Thresholds, metrics: Metrics) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let classifier = Arc::new(Classifier::new(model, thresholds));
        Self { classifier, workers: Arc::new(Semaphore::new(cores)), metrics }
    }

    pub(crate) fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    /// Classifies one message.
    pub(crate) async fn judge(&self, content: Bytes, form: Form) -> Result<Verdict, Error> {
        if content.len() <= IN_PLACE_BYTES {
            return Ok(self.timed(&content, form));
        }
        // The permit goes along: the work is not over when the caller gives up.
        let permit = Arc::clone(&self.workers).acquire_owned().await;
        let this = self.clone();
        let work = move || {
            let verdict = this.timed(&content, form);
            drop(permit);
            verdict
        };
        Ok(tokio::task::spawn_blocking(work).await?)
    }

    fn timed(&self, content: &[u8], form: Form) -> Verdict {
        let start = Instant::now();
        let verdict = self.classifier.classify(content, form);
        self.metrics.classified(verdict.band, start.elapsed());
        verdict
    }
}
