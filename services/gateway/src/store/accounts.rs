//! Accounts: who may begin sessions.

use super::Store;
use crate::error::Error;
use probity_storage::{Row, Tx, args, outbox};
use probity_types::{AuditEvent, Micros, Role, Roles};

const COLUMNS: &str = "tenant, actor, roles, password, disabled, made_us, changed_us, password_us";

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) tenant: String,
    pub(crate) actor: String,
    pub(crate) roles: Roles,
    /// The hash of its password.
    pub(crate) password: String,
    pub(crate) disabled: bool,
    pub(crate) made: Micros,
    pub(crate) changed: Micros,
    pub(crate) password_set: Micros,
}

/// What to change about an account.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    pub(crate) roles: Option<Roles>,
    pub(crate) disabled: Option<bool>,
    /// The hash of a new password.
    pub(crate) password: Option<String>,
}

impl Change {
    /// Whether what the account has begun must end.
    fn ends_sessions(&self) -> bool {
        self.disabled == Some(true) || self.password.is_some()
    }

    fn applied_to(self, mut account: Account, now: Micros) -> Account {
        if let Some(password) = self.password {
            (account.password, account.password_set) = (password, now);
        }
        account.roles = self.roles.unwrap_or(account.roles);
        account.disabled = self.disabled.unwrap_or(account.disabled);
        account.changed = now;
        account
    }
}

impl Store {
    /// An account, if there is one.
    pub(crate) async fn account(&self, tenant: &str, actor: &str) -> Result<Option<Account>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM account WHERE tenant = $1 AND actor = $2");
        let row = self.0.query_opt(&sql, args![tenant, actor]).await?;
        row.as_ref().map(read).transpose()
    }

    /// Accounts of a tenant by name, those after `after`.
    pub(crate) async fn accounts(&self, tenant: &str, after: &str, most: i64) -> Result<Vec<Account>, Error> {
        let sql =
            format!("SELECT {COLUMNS} FROM account WHERE tenant = $1 AND actor > $2 ORDER BY actor LIMIT $3");
        let rows = self.0.query(&sql, args![tenant, after, most]).await?;
        rows.iter().map(read).collect()
    }

    /// Accounts that may do nothing: tenant and actor.
    pub(crate) async fn disabled(&self) -> Result<Vec<(String, String)>, Error> {
        let rows = self.0.query("SELECT tenant, actor FROM account WHERE disabled = 1", args![]).await?;
        rows.iter().map(|row| Ok((row.text(0)?, row.text(1)?))).collect()
    }

    /// Makes an account.
    ///
    /// # Errors
    /// When there is one of that name.
    pub(crate) async fn create(&self, account: Account, event: AuditEvent) -> Result<(), Error> {
        self.0
            .write(move |tx| {
                Box::pin(async move {
                    if find(tx, &account.tenant, &account.actor).await?.is_some() {
                        return Err(Error::AccountExists(account.actor));
                    }
                    put(tx, &account, "").await?;
                    Ok(outbox::append(tx, &event).await?)
                })
            })
            .await
    }

    /// Changes an account, and ends its sessions where they must.
    ///
    /// # Errors
    /// When there is none of that name.
    pub(crate) async fn change(
        &self,
        (tenant, actor): (String, String),
        change: Change,
        event: AuditEvent,
    ) -> Result<Account, Error> {
        self.0
            .write(move |tx| {
                Box::pin(async move {
                    let now = event.time;
                    let known = find(tx, &tenant, &actor).await?;
                    let known = known.ok_or_else(|| Error::NoAccount(actor.clone()))?;
                    if change.ends_sessions() {
                        super::sessions::end_all(tx, &tenant, &actor, now).await?;
                    }
                    let account = change.applied_to(known, now);
                    put(tx, &account, "").await?;
                    outbox::append(tx, &event).await?;
                    Ok(account)
                })
            })
            .await
    }

    /// Carries out a line of the configuration, unless it was before: `line` is its
    /// hash. True when something was changed.
    pub(crate) async fn apply(
        &self,
        account: Account,
        line: String,
        event: AuditEvent,
    ) -> Result<bool, Error> {
        self.0
            .write(move |tx| {
                Box::pin(async move {
                    let sql = "SELECT applied, made_us FROM account WHERE tenant = $1 AND actor = $2";
                    let known = tx.query_opt(sql, args![&account.tenant, &account.actor]).await?;
                    let mut account = account;
                    if let Some(row) = known {
                        if row.text(0)? == line {
                            return Ok(false);
                        }
                        account.made = Micros(row.i64(1)?);
                        super::sessions::end_all(tx, &account.tenant, &account.actor, account.changed)
                            .await?;
                    }
                    put(tx, &account, &line).await?;
                    outbox::append(tx, &event).await?;
                    Ok(true)
                })
            })
            .await
    }
}

pub(super) async fn find(tx: &mut Tx, tenant: &str, actor: &str) -> Result<Option<Account>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM account WHERE tenant = $1 AND actor = $2");
    tx.query_opt(&sql, args![tenant, actor]).await?.as_ref().map(read).transpose()
}

/// Keeps a better hash of the same password, if the old one is still there.
pub(super) async fn upgrade(tx: &mut Tx, account: &Account, hash: &str) -> Result<(), Error> {
    let sql = "UPDATE account SET password = $4 WHERE tenant = $1 AND actor = $2 AND password = $3";
    tx.execute(sql, args![&account.tenant, &account.actor, &account.password, hash]).await?;
    Ok(())
}

/// Stores an account. An empty `line` leaves the one that was applied last.
async fn put(tx: &mut Tx, account: &Account, line: &str) -> Result<(), Error> {
    let sql = "INSERT INTO account (tenant, actor, roles, password, disabled, applied, made_us, changed_us, password_us)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (tenant, actor) DO UPDATE SET roles = excluded.roles, password = excluded.password,
            disabled = excluded.disabled, changed_us = excluded.changed_us, password_us = excluded.password_us,
            applied = CASE WHEN excluded.applied = '' THEN account.applied ELSE excluded.applied END";
    let roles: Vec<_> = account.roles.iter().map(|role| role.as_str()).collect();
    let values = args![
        &account.tenant,
        &account.actor,
        roles.join(","),
        &account.password,
        account.disabled,
        line,
        account.made,
        account.changed,
        account.password_set,
    ];
    tx.execute(sql, values).await?;
    Ok(())
}

fn read(row: &Row) -> Result<Account, Error> {
    let roles = row.text(2)?;
    // a role that this version does not know is one nobody has
    let roles = Roles::new(roles.split(',').filter_map(|role| role.parse::<Role>().ok()));
    Ok(Account {
        tenant: row.text(0)?,
        actor: row.text(1)?,
        roles,
        password: row.text(3)?,
        disabled: row.bool(4)?,
        made: Micros(row.i64(5)?),
        changed: Micros(row.i64(6)?),
        password_set: Micros(row.i64(7)?),
    })
}
