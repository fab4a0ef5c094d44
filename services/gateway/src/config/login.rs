//! `[gateway.login]` and `[[gateway.accounts]]`: sessions, passwords, keys, and who
//! there is from the start.

use crate::domain::attempts;
use crate::domain::keyring::LONGEST;
use crate::domain::password::{self, Cost};
use crate::domain::principal::{check_actor, check_roles, check_tenant};
use probity_types::Role;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How people log in, and how long that lasts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoginConfig {
    /// How long an access token lasts, in seconds.
    pub access_ttl_s: u64,
    /// A session that is not refreshed for so long ends, in seconds.
    pub idle_ttl_s: u64,
    /// A session ends after so long however often it is refreshed, in seconds.
    pub session_ttl_s: u64,
    /// A refresh token may come again for so long after it was used, in
    /// milliseconds: its answer may have been lost.
    pub refresh_grace_ms: u64,
    /// Failed logins for one account within the window; 0 for no limit.
    pub failures_per_account: u32,
    /// Failed logins from one address (of IPv6, from one /64) within the window; 0
    /// for no limit, for a gateway behind a proxy.
    pub failures_per_address: u32,
    /// The window of failures, in seconds.
    pub failure_window_s: u64,
    /// No login is refused sooner than this, in milliseconds.
    pub failure_delay_ms: u64,
    /// Passwords hashed at the same time; each takes `memory_kib`.
    pub hashing: usize,
    /// Logins that wait for their turn; more are refused.
    pub waiting: usize,
    /// Memory of Argon2id in KiB.
    pub memory_kib: u32,
    /// Passes of Argon2id.
    pub passes: u32,
    /// Lanes of Argon2id.
    pub lanes: u32,
    /// How long a new key is published before it signs, in milliseconds.
    pub key_announce_ms: u64,
    /// How often keys and ended sessions are read again from the store, in
    /// milliseconds: so late does another gateway know of a logout.
    pub refresh_ms: u64,
}

impl Default for LoginConfig {
    fn default() -> Self {
        let Cost { memory_kib, passes, lanes } = password::RECOMMENDED;
        Self {
            access_ttl_s: 900,
            idle_ttl_s: 24 * 3_600,
            session_ttl_s: 7 * 24 * 3_600,
            refresh_grace_ms: 10_000,
            failures_per_account: 10,
            failures_per_address: 100,
            failure_window_s: 900,
            failure_delay_ms: 400,
            hashing: 2,
            waiting: 64,
            memory_kib,
            passes,
            lanes,
            key_announce_ms: 600_000,
            refresh_ms: 2_000,
        }
    }
}

impl LoginConfig {
    /// What hashing a new password costs.
    pub(crate) const fn cost(&self) -> Cost {
        Cost { memory_kib: self.memory_kib, passes: self.passes, lanes: self.lanes }
    }

    /// How many failures are let pass.
    pub(crate) const fn failures(&self) -> attempts::Limit {
        attempts::Limit {
            account: self.failures_per_account,
            address: self.failures_per_address,
            window: Duration::from_secs(self.failure_window_s),
        }
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        let longest = LONGEST.as_secs();
        let wide = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        for (key, value, least, most) in [
            ("access_ttl_s", self.access_ttl_s, 60, 86_400),
            ("idle_ttl_s", self.idle_ttl_s, 60, longest),
            ("session_ttl_s", self.session_ttl_s, self.idle_ttl_s, longest),
            ("refresh_grace_ms", self.refresh_grace_ms, 0, 60_000),
            ("failures_per_account", self.failures_per_account.into(), 0, 1_000_000),
            ("failures_per_address", self.failures_per_address.into(), 0, 1_000_000),
            ("failure_window_s", self.failure_window_s, 1, 86_400),
            ("failure_delay_ms", self.failure_delay_ms, 0, 10_000),
            ("hashing", wide(self.hashing), 1, 64),
            ("waiting", wide(self.waiting), 1, 10_000),
            ("refresh_ms", self.refresh_ms, 50, 60_000),
            ("key_announce_ms", self.key_announce_ms, self.refresh_ms * 2, 86_400_000),
        ] {
            if !(least..=most).contains(&value) {
                return Err(format!("login.{key} = {value}: must be from {least} to {most}"));
            }
        }
        self.cost().check().map(|_| ()).map_err(|why| format!("login: {why}"))
    }
}

/// An account that is there from the start. A line is carried out once: when it is
/// new, and when it was changed. What has been changed in the store since then
/// stays.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AccountConfig {
    /// `users/<name>` or `service-accounts/<name>`.
    pub actor: String,
    /// The tenant; the home tenant when absent.
    #[serde(default)]
    pub tenant: Option<String>,
    /// The roles.
    pub roles: Vec<Role>,
    /// The hash of the password: a PHC string of Argon2id, or one of bcrypt. The
    /// password itself is nowhere in the configuration.
    pub password_hash: String,
}

impl AccountConfig {
    pub(super) fn validate(&self) -> Result<(), String> {
        let wrong = |key: &str, why: String| format!("accounts: {}: {key} {why}", self.actor);
        check_actor(&self.actor).map_err(|why| wrong("actor", why))?;
        if let Some(tenant) = &self.tenant {
            check_tenant(tenant).map_err(|why| wrong("tenant", why))?;
        }
        check_roles(&self.roles).map_err(|why| wrong("roles", why))?;
        password::Stored::parse(&self.password_hash).map_err(|why| wrong("password_hash", why))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_values_are_named() {
        assert_eq!(LoginConfig::default().validate(), Ok(()));
        let check = |change: fn(&mut LoginConfig), part: &str| {
            let mut config = LoginConfig::default();
            change(&mut config);
            let error = config.validate().expect_err(part);
            assert!(error.contains(part), "{error}");
        };
        check(|c| c.access_ttl_s = 1, "login.access_ttl_s = 1: must be from 60");
        check(|c| c.session_ttl_s = 60, "login.session_ttl_s = 60: must be from 86400");
        check(|c| c.key_announce_ms = 10, "login.key_announce_ms = 10: must be from 4000");
        check(|c| c.memory_kib = 8, "Argon2 takes 8 KiB a lane");
    }

    #[test]
    fn accounts_are_checked() {
        let good = AccountConfig {
            actor: "users/olga".into(),
            tenant: None,
            roles: vec![Role::Officer],
            password_hash: "$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe".into(),
        };
        assert_eq!(good.validate(), Ok(()));
        let check = |change: fn(&mut AccountConfig), part: &str| {
            let mut account = good.clone();
            change(&mut account);
            let error = account.validate().expect_err(part);
            assert!(error.contains(part), "{error}");
        };
        check(|a| a.actor = "olga".into(), "actor must be users/<name>");
        check(|a| a.tenant = Some("A".into()), "tenant must have");
        check(|a| a.roles = vec![Role::Service], "roles must not");
        check(|a| a.password_hash = "secret".into(), "password_hash must be $argon2id$");
    }
}
