//! Sessions: which refresh token is the newest, and what has ended.

use super::Store;
use super::accounts::{self, Account};
use crate::error::Error;
use probity_storage::{Tx, args, outbox};
use probity_types::{AuditEvent, Micros};
use std::time::Duration;
use uuid::Uuid;

/// Sessions removed with each login, at most.
const SWEPT: i64 = 100;
/// How long ended sessions are remembered.
const REMEMBERED: Duration = Duration::from_secs(31 * 24 * 3_600);

/// A session as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) tenant: String,
    pub(crate) id: Uuid,
    pub(crate) actor: String,
    pub(crate) generation: i64,
    /// When it ends if it is not refreshed.
    pub(crate) expires: Micros,
    /// When it ends anyway.
    pub(crate) limit: Micros,
}

/// What became of a refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Advanced {
    /// The session goes on.
    Next(Session, Box<Account>),
    /// The token was used before, too long ago for a lost answer. The session has
    /// been ended.
    Reused,
    /// There is no such session, or it has ended.
    Over,
}

/// How a session is refreshed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refreshing {
    pub(crate) now: Micros,
    pub(crate) idle: Duration,
    pub(crate) grace: Duration,
}

impl Store {
    /// Begins a session, keeps a better hash of the password where there is one, and
    /// forgets some sessions that ended long ago.
    pub(crate) async fn begin(
        &self,
        session: Session,
        better: Option<(Account, String)>,
        event: AuditEvent,
    ) -> Result<(), Error> {
        self.0
            .write(move |tx| {
                Box::pin(async move {
                    let now = event.time;
                    let sql = "INSERT INTO session (tenant, id, actor, generation, made_us, refreshed_us,
                        expires_us, limit_us, ended_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
                    let Session { tenant, id, actor, generation, expires, limit } = session;
                    tx.execute(sql, args![tenant, id, actor, generation, now, now, expires, limit, 0])
                        .await?;
                    if let Some((account, hash)) = better {
                        accounts::upgrade(tx, &account, &hash).await?;
                    }
                    sweep(tx, now).await?;
                    Ok(outbox::append(tx, &event).await?)
                })
            })
            .await
    }

    /// Takes a refresh token: the next generation, the same answer again when it may
    /// have been lost, or the end of the session. `event` is what the log hears of a
    /// token that was used before.
    pub(crate) async fn advance(
        &self,
        (tenant, id, generation): (String, Uuid, i64),
        how: Refreshing,
        event: impl FnOnce(&str) -> AuditEvent + Send + 'static,
    ) -> Result<Advanced, Error> {
        self.0
            .write(move |tx| {
                Box::pin(async move {
                    let Some((mut session, refreshed)) = living(tx, &tenant, id, how.now).await? else {
                        return Ok(Advanced::Over);
                    };
                    let account = accounts::find(tx, &tenant, &session.actor).await?;
                    let Some(account) = account.filter(|account| !account.disabled) else {
                        return Ok(Advanced::Over);
                    };
                    let lost = session.generation == generation + 1 && how.now.since(refreshed) < how.grace;
                    if session.generation != generation && !lost {
                        end(tx, &tenant, id, how.now).await?;
                        outbox::append(tx, &event(&session.actor)).await?;
                        return Ok(Advanced::Reused);
                    }
                    if !lost {
                        session.generation += 1;
                        session.expires = how.now.plus(how.idle).min(session.limit);
                        let sql = "UPDATE session SET generation = $3, refreshed_us = $4, expires_us = $5
                            WHERE tenant = $1 AND id = $2";
                        let values = args![tenant, id, session.generation, how.now, session.expires];
                        tx.execute(sql, values).await?;
                    }
                    Ok(Advanced::Next(session, Box::new(account)))
                })
            })
            .await
    }

    /// Ends a session; `event` is what the log hears of it, with the actor. Ending it
    /// again changes nothing.
    pub(crate) async fn end(
        &self,
        (tenant, id): (String, Uuid),
        now: Micros,
        event: impl FnOnce(&str) -> AuditEvent + Send + 'static,
    ) -> Result<(), Error> {
        self.0
            .write(move |tx| {
                Box::pin(async move {
                    if let Some((session, _)) = living(tx, &tenant, id, now).await? {
                        end(tx, &tenant, id, now).await?;
                        outbox::append(tx, &event(&session.actor)).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Sessions ended since then.
    pub(crate) async fn ended_since(&self, since: Micros) -> Result<Vec<Uuid>, Error> {
        let rows = self.0.query("SELECT id FROM session WHERE ended_us > $1", args![since]).await?;
        let id = |bytes: Vec<u8>| Uuid::from_slice(&bytes).unwrap_or_default();
        rows.iter().map(|row| Ok(id(row.bytes(0)?))).collect()
    }
}

/// A session that has not ended, and when it was refreshed last.
async fn living(
    tx: &mut Tx,
    tenant: &str,
    id: Uuid,
    now: Micros,
) -> Result<Option<(Session, Micros)>, Error> {
    let sql = "SELECT actor, generation, refreshed_us, expires_us, limit_us FROM session
        WHERE tenant = $1 AND id = $2 AND ended_us = 0 AND expires_us > $3";
    let Some(row) = tx.query_opt(sql, args![tenant, id, now]).await? else { return Ok(None) };
    let session = Session {
        tenant: tenant.to_owned(),
        id,
        actor: row.text(0)?,
        generation: row.i64(1)?,
        expires: Micros(row.i64(3)?),
        limit: Micros(row.i64(4)?),
    };
    Ok(Some((session, Micros(row.i64(2)?))))
}

async fn end(tx: &mut Tx, tenant: &str, id: Uuid, now: Micros) -> Result<(), Error> {
    let sql = "UPDATE session SET ended_us = $3 WHERE tenant = $1 AND id = $2 AND ended_us = 0";
    tx.execute(sql, args![tenant, id, now]).await?;
    Ok(())
}

/// Ends every session of an account.
pub(super) async fn end_all(tx: &mut Tx, tenant: &str, actor: &str, now: Micros) -> Result<(), Error> {
    let sql = "UPDATE session SET ended_us = $3 WHERE tenant = $1 AND actor = $2 AND ended_us = 0";
    tx.execute(sql, args![tenant, actor, now]).await?;
    Ok(())
}

/// Forgets some sessions that nobody can ask for any more.
async fn sweep(tx: &mut Tx, now: Micros) -> Result<(), Error> {
    let before = Micros(now.0 - i64::try_from(REMEMBERED.as_micros()).unwrap_or(i64::MAX));
    let sql = "DELETE FROM session WHERE (tenant, id) IN
        (SELECT tenant, id FROM session WHERE expires_us < $1 LIMIT $2)";
    tx.execute(sql, args![before, SWEPT]).await?;
    Ok(())
}
