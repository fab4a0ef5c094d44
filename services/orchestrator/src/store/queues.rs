//! Settings of queues.

use super::Store;
use crate::error::Error;
use probity_queue::{Policy, Rate};
use probity_storage::{Row, args, outbox};
use probity_types::AuditEvent;
use std::time::Duration;

const COLUMNS: &str =
    "tenant, name, paused, lease_ms, max_running, max_running_per_key, rate_count, rate_period_ms,
    rate_burst";

/// The settings of one queue of one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueueSettings {
    pub(crate) tenant: String,
    pub(crate) name: String,
    pub(crate) paused: bool,
    pub(crate) policy: Policy,
}

impl Store {
    /// The settings of all queues.
    pub(crate) async fn queues(&self) -> Result<Vec<QueueSettings>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM queues ORDER BY tenant, name");
        self.db.query(&sql, args![]).await?.iter().map(read).collect()
    }

    /// The settings of a queue, if it has any.
    pub(crate) async fn queue(&self, tenant: &str, name: &str) -> Result<Option<QueueSettings>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM queues WHERE tenant = $1 AND name = $2");
        self.db.query_opt(&sql, args![tenant, name]).await?.as_ref().map(read).transpose()
    }

    /// Keeps settings, with their audit event.
    pub(crate) async fn set_queue(&self, settings: QueueSettings, event: AuditEvent) -> Result<(), Error> {
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    let sql = "INSERT INTO queues (tenant, name, paused, lease_ms, max_running, max_running_per_key,
                            rate_count, rate_period_ms, rate_burst) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                        ON CONFLICT (tenant, name) DO UPDATE SET paused = excluded.paused,
                            lease_ms = excluded.lease_ms, max_running = excluded.max_running,
                            max_running_per_key = excluded.max_running_per_key, rate_count = excluded.rate_count,
                            rate_period_ms = excluded.rate_period_ms, rate_burst = excluded.rate_burst";
                    let QueueSettings { tenant, name, paused, policy } = settings;
                    let rate = policy.rate.unwrap_or(Rate { count: 0, period: Duration::ZERO, burst: 0 });
                    let row = args![
                        tenant,
                        name,
                        paused,
                        millis(policy.lease),
                        i64::from(policy.concurrency.unwrap_or(0)),
                        i64::from(policy.key_concurrency.unwrap_or(0)),
                        i64::from(rate.count),
                        millis(rate.period),
                        i64::from(rate.burst)
                    ];
                    tx.execute(sql, row).await?;
                    outbox::append(tx, &event).await.map_err(Error::Store)
                })
            })
            .await
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn read(row: &Row) -> Result<QueueSettings, Error> {
    let number = |at: usize| row.i64(at).map(|n| u32::try_from(n).unwrap_or(0));
    let limit = |at: usize| number(at).map(|n| Some(n).filter(|n| *n > 0));
    let time = |at: usize| row.i64(at).map(|ms| Duration::from_millis(ms.unsigned_abs()));
    let count = number(6)?;
    let rate = Rate { count, period: time(7)?, burst: number(8)? };
    let policy = Policy {
        lease: time(3)?,
        concurrency: limit(4)?,
        key_concurrency: limit(5)?,
        rate: (count > 0).then_some(rate),
        ..Policy::default()
    };
    Ok(QueueSettings { tenant: row.text(0)?, name: row.text(1)?, paused: row.bool(2)?, policy })
}
