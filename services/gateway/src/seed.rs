//! Accounts that the configuration brings along.

use crate::config::{AccountConfig, Config};
use crate::store::{Account, Store};
use anyhow::Context as _;
use probity_types::{AuditEvent, Ctx, Micros, Roles};
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// Carries out the lines that are new or were changed.
///
/// # Errors
/// When the store does not answer.
pub(crate) async fn apply(config: &Config, store: &Store, now: Micros) -> anyhow::Result<()> {
    for line in &config.accounts {
        let account = account(line, &config.home_tenant, now);
        let (actor, tenant) = (account.actor.clone(), account.tenant.clone());
        let ctx = Ctx::service("gateway", &tenant, "");
        let roles: Vec<_> = account.roles.iter().map(|role| role.as_str()).collect();
        let event = AuditEvent::new(&ctx, now, "account.configured", actor.as_str())
            .with_detail(&json!({"tenant": tenant, "roles": roles}));
        let applied = store.apply(account, fingerprint(line)?, event).await;
        if applied.with_context(|| format!("the account {actor} of the configuration cannot be stored"))? {
            tracing::info!(account = actor, "account of the configuration stored");
        }
    }
    Ok(())
}

fn account(line: &AccountConfig, home: &str, now: Micros) -> Account {
    Account {
        tenant: line.tenant.clone().unwrap_or_else(|| home.to_owned()),
        actor: line.actor.clone(),
        roles: Roles::new(line.roles.iter().copied()),
        password: line.password_hash.clone(),
        disabled: false,
        made: now,
        changed: now,
        password_set: now,
    }
}

fn fingerprint(line: &AccountConfig) -> serde_json::Result<String> {
    Ok(hex::encode(Sha256::digest(serde_json::to_vec(line)?)))
}
