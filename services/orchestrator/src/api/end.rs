//! The end of an execution that another replica runs, or has come to run while
//! somebody waits: the store is the only thing both know.

use crate::error::Error;
use crate::store::{Store, View};
use probity_types::id::ExecutionId;
use std::time::Duration;
use tokio::time::Instant;

/// First and longest wait between two looks.
const LOOK: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));

/// Returns when the execution has ended or the time is over.
pub(super) async fn reached(
    store: &Store,
    tenant: &str,
    id: ExecutionId,
    over: Instant,
) -> Result<(), Error> {
    let mut wait = LOOK.0;
    while !has_ended(&store.view(tenant, id).await?) && Instant::now() < over {
        tokio::time::sleep_until(over.min(Instant::now() + wait)).await;
        wait = (wait * 2).min(LOOK.1);
    }
    Ok(())
}

const fn has_ended(view: &View) -> bool {
    match view {
        View::Case(case) => case.end_time.is_some(),
        View::Plain(execution) => execution.end_time.is_some(),
    }
}
