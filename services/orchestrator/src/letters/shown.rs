//! Dead letters as monitoring shows them: how many, and the newest.

use crate::convert::dead_letters::name;
use crate::error::Error;
use crate::store::{Asked, Letter, Listing, Store, letter_schema};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use probity_proto::monitoring::{DeadLetterQueue, RecentDeadLetter};
use probity_proto::time::timestamp;
use probity_runtime::monitoring::DeadLetters;
use probity_types::Fault;

const NEWEST: &str = "open_time desc";

/// Shows the dead letters of a store.
pub(crate) struct Shown(pub(crate) Store);

impl Shown {
    async fn read(&self, tenant: &str, recent: u32) -> Result<DeadLetterQueue, Error> {
        let Some(open) = self.0.open_letters_of(tenant).await? else { return Ok(DeadLetterQueue::default()) };
        let asked = Asked { filter: "", order_by: "", page_token: "", limit: i64::from(recent) };
        let listing = Listing::new(letter_schema(), asked, NEWEST)?;
        let (letters, _) = self.0.letters(tenant, &listing, false, "state < 3").await?;
        Ok(DeadLetterQueue {
            failed: open.failed,
            reviewing: open.reviewing,
            oldest_open_time: Some(timestamp(open.oldest.0)),
            recent: letters.into_iter().map(shown).collect(),
            unreachable: Vec::new(),
        })
    }
}

fn shown(letter: Letter) -> RecentDeadLetter {
    RecentDeadLetter {
        name: name(&letter.id),
        code: letter.code,
        error: letter.error,
        peer: letter.peer,
        operation: letter.operation,
        open_time: Some(timestamp(letter.opened.0)),
    }
}

impl DeadLetters for Shown {
    fn overview<'a>(&'a self, tenant: &'a str, recent: u32) -> BoxFuture<'a, Result<DeadLetterQueue, Fault>> {
        async move { Ok(self.read(tenant, recent).await?) }.boxed()
    }
}
