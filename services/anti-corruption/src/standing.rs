//! How often the flags of each rule are wrong, as metrics: counted from what people say
//! of findings now, whoever recorded it on whichever replica.

use crate::convert;
use crate::domain::rates::Rates;
use crate::domain::rules;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::store::Store;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Counted this often.
const LOOK: Duration = Duration::from_secs(15);
/// What is no rule of ours any more has one label for all.
const OTHER: &str = "other";

/// Counts until `stop`.
pub(crate) async fn watch(store: Store, metrics: Metrics, stop: CancellationToken) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = look.tick() => {}
        }
        match rates(&store).await {
            Ok(rates) => metrics.rates(&rates),
            Err(error) => {
                tracing::warn!(%error, "what people say of findings cannot be counted; trying again")
            }
        }
    }
}

async fn rates(store: &Store) -> Result<Rates, Error> {
    let counts = store.all_disposition_counts().await?;
    let said = counts.iter().filter_map(|count| {
        let rule = rules::find(&count.rule).map_or(OTHER, |rule| rule.id);
        Some((rule, convert::said(count.disposition)?, count.count))
    });
    Ok(Rates::of(said))
}
