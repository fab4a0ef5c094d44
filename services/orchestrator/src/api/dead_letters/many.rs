//! Many letters at once: batches and exports.

use super::{DISCARD, DeadLetters, Deed, OLDEST, REQUEUE};
use crate::convert::dead_letters as letters;
use crate::error::Error;
use crate::store::{Asked, LetterId, Listing, letter_schema};
use futures::{Stream, StreamExt as _, stream};
use probity_proto::orchestrator::{
    BatchDeadLettersResponse, DeadLetter, DeadLetterRefusal, DiscardDeadLetterRequest,
    RequeueDeadLetterRequest,
};
use probity_runtime::status;
use probity_types::{AuditEvent, Ctx};
use serde_json::json;
use std::pin::Pin;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Letters of a batch that are worked on at once.
const AT_ONCE: usize = 32;
/// Letters of an export read at once: with their payloads at most 6 MiB.
const EXPORTED: i64 = 100;
/// Letters that wait for a slow reader.
const BUFFERED: usize = 16;

impl DeadLetters {
    /// Does the same to every open letter a filter selects, the oldest first.
    pub(super) async fn batch(
        &self,
        ctx: &Ctx,
        filter: &str,
        limit: i32,
        validate_only: bool,
        deed: Deed,
    ) -> Result<BatchDeadLettersResponse, Error> {
        let filter = letters::batch_filter(filter)?;
        let asked = Asked { filter, limit: letters::batch_limit(limit)?, ..Asked::default() };
        let listing = Listing::new(letter_schema(), asked, OLDEST)?;
        let (found, more) = self.store.letters(&ctx.tenant, &listing, false, "state < 3").await?;
        let count = i32::try_from(found.len()).unwrap_or(i32::MAX);
        let mut response =
            BatchDeadLettersResponse { found: count, more: !more.is_empty(), ..Default::default() };
        if validate_only {
            return Ok(response);
        }
        let deed = &deed;
        let work = found.iter().map(|letter| async move {
            (letters::name(&letter.id), self.wherever(ctx, &letter.id, deed).await)
        });
        let mut done = stream::iter(work.collect::<Vec<_>>()).buffered(AT_ONCE);
        while let Some((name, outcome)) = done.next().await {
            match outcome {
                Ok(()) => response.changed += 1,
                // What only an operator of the platform may read stays in its log.
                Err(refused) => {
                    let reason = refused.message().to_owned();
                    response.refused.push(DeadLetterRefusal { name, reason });
                }
            }
        }
        Ok(response)
    }

    /// Does it to one letter, or has the replica do it that has its execution.
    async fn wherever(&self, ctx: &Ctx, id: &LetterId, deed: &Deed) -> Result<(), Status> {
        let name = letters::name(id);
        let own = self.carry_out(ctx, id, deed).await.map(|()| DeadLetter::default());
        let answer = match deed {
            Deed::Requeue { .. } => {
                let request = RequeueDeadLetterRequest { name, ..Default::default() };
                self.forward.one(ctx, REQUEUE, request, own).await
            }
            Deed::Discard { reason } => {
                let request = DiscardDeadLetterRequest { name, reason: reason.clone() };
                self.forward.one(ctx, DISCARD, request, own).await
            }
        };
        answer.map(drop)
    }

    /// Streams what a filter selects, once the audit log is sure to be told.
    pub(super) async fn export(
        &self,
        ctx: &Ctx,
        filter: &str,
    ) -> Result<Pin<Box<dyn Stream<Item = Result<DeadLetter, Status>> + Send>>, Error> {
        // Refused before anything is recorded.
        Listing::new(letter_schema(), Asked { filter, ..Asked::default() }, OLDEST)?;
        let event = AuditEvent::new(ctx, self.clock.now(), "dead_letters.exported", "deadLetters")
            .with_detail(&json!({ "filter": filter }));
        self.store.record(event).await?;
        let (out, sent) = mpsc::channel(BUFFERED);
        let (these, tenant, filter) = (self.clone(), ctx.tenant.clone(), filter.to_owned());
        tokio::spawn(async move {
            if let Err(error) = these.send_all(&tenant, &filter, &out).await {
                let _ = out.send(Err(status(error))).await;
            }
        });
        Ok(Box::pin(ReceiverStream::new(sent)))
    }

    async fn send_all(
        &self,
        tenant: &str,
        filter: &str,
        out: &mpsc::Sender<Result<DeadLetter, Status>>,
    ) -> Result<(), Error> {
        let mut token = String::new();
        loop {
            let asked = Asked { filter, order_by: "create_time", page_token: &token, limit: EXPORTED };
            let listing = Listing::new(letter_schema(), asked, "")?;
            let (found, next) = self.store.letters(tenant, &listing, true, "TRUE").await?;
            for letter in found {
                if out.send(Ok(letters::letter(letter))).await.is_err() {
                    return Ok(());
                }
            }
            if next.is_empty() {
                return Ok(());
            }
            token = next;
        }
    }
}
