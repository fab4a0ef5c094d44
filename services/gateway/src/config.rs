//! `[gateway]`: what may come in, and how long it may take.

mod login;

pub use login::{AccountConfig, LoginConfig};

use probity_runtime::ServiceConfig;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Configuration of the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to write a token for `users/admin` at start, mode 0600, when there
    /// is none or it has less than a day left. Nothing is written when absent.
    pub admin_token_file: Option<PathBuf>,
    /// The tenant of the administrator who runs the platform. Only its
    /// administrators may issue tokens for other tenants.
    pub home_tenant: String,
    /// Largest JSON body in bytes.
    pub max_json_bytes: usize,
    /// Largest upload in bytes; intake has a limit of its own.
    pub max_upload_bytes: u64,
    /// Largest reply of a peer in bytes.
    pub max_reply_bytes: usize,
    /// Longest path with its query in bytes.
    pub max_uri_bytes: usize,
    /// Most bytes of header names and values.
    pub max_header_bytes: usize,
    /// Most headers.
    pub max_headers: usize,
    /// How deep JSON may be nested.
    pub max_nesting: usize,
    /// Longest time for a call with one request and one reply, in milliseconds;
    /// a shorter `grpc-timeout` of the caller goes before. Longer than the five
    /// minutes an execution may be waited for.
    pub request_timeout_ms: u64,
    /// Longest time for a stream, in milliseconds.
    pub stream_timeout_ms: u64,
    /// Longest pause within a request body, in milliseconds.
    pub body_idle_timeout_ms: u64,
    /// Verified tokens remembered, so that a signature is checked once.
    pub remembered_tokens: usize,
    /// Different denials written to the audit log each second; more are counted
    /// together.
    pub denials_per_second: usize,
    /// Calls a second from one address (of IPv6, from one /64); 0 for no limit.
    pub rate_address_per_s: u32,
    /// Most calls at once from one address.
    pub rate_address_burst: u32,
    /// Calls a second of one user or service account; 0 for no limit.
    pub rate_principal_per_s: u32,
    /// Most calls at once of one user or service account.
    pub rate_principal_burst: u32,
    /// Calls a second of one tenant; 0 for no limit.
    pub rate_tenant_per_s: u32,
    /// Most calls at once of one tenant.
    pub rate_tenant_burst: u32,
    /// Origins whose pages may read answers, such as `https://console.example.org`;
    /// `*` for all. Without any, browsers keep pages of other origins out.
    pub cors_origins: Vec<String>,
    /// How people log in, and how long that lasts.
    pub login: LoginConfig,
    /// Accounts that are there from the start.
    pub accounts: Vec<AccountConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            admin_token_file: None,
            home_tenant: "default".to_owned(),
            max_json_bytes: 1 << 20,
            max_upload_bytes: 512 << 20,
            max_reply_bytes: 32 << 20,
            max_uri_bytes: 8 << 10,
            max_header_bytes: 24 << 10,
            max_headers: 100,
            max_nesting: 64,
            request_timeout_ms: 310_000,
            stream_timeout_ms: 3_600_000,
            body_idle_timeout_ms: 30_000,
            remembered_tokens: 4_096,
            denials_per_second: 20,
            rate_address_per_s: 20_000,
            rate_address_burst: 40_000,
            rate_principal_per_s: 10_000,
            rate_principal_burst: 20_000,
            rate_tenant_per_s: 20_000,
            rate_tenant_burst: 40_000,
            cors_origins: Vec::new(),
            login: LoginConfig::default(),
            accounts: Vec::new(),
        }
    }
}

impl ServiceConfig for Config {
    fn validate(&self) -> Result<(), String> {
        crate::domain::principal::check_tenant(&self.home_tenant)
            .map_err(|why| format!("home_tenant = {:?}: {why}", self.home_tenant))?;
        if let Some(wrong) = self.cors_origins.iter().find(|origin| !crate::door::is_origin(origin)) {
            return Err(format!("cors_origins: {wrong:?} is no origin; write https://HOST, or * for all"));
        }
        self.login.validate()?;
        self.accounts.iter().try_for_each(AccountConfig::validate)?;
        let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        for (key, value, least, most) in [
            ("max_json_bytes", number(self.max_json_bytes), 1_024, 64 << 20),
            ("max_upload_bytes", self.max_upload_bytes, 1_024, 1 << 40),
            ("max_reply_bytes", number(self.max_reply_bytes), 64 << 10, 1 << 30),
            ("max_uri_bytes", number(self.max_uri_bytes), 256, 60_000),
            ("max_header_bytes", number(self.max_header_bytes), 1_024, 1 << 20),
            ("max_headers", number(self.max_headers), 16, 1_000),
            ("max_nesting", number(self.max_nesting), 4, 100),
            ("request_timeout_ms", self.request_timeout_ms, 10, 600_000),
            ("stream_timeout_ms", self.stream_timeout_ms, 1_000, 86_400_000),
            ("body_idle_timeout_ms", self.body_idle_timeout_ms, 10, 600_000),
            ("remembered_tokens", number(self.remembered_tokens), 1, 1 << 20),
            ("denials_per_second", number(self.denials_per_second), 1, 1_000),
            ("rate_address_per_s", self.rate_address_per_s.into(), 0, 10_000_000),
            ("rate_address_burst", self.rate_address_burst.into(), 1, 10_000_000),
            ("rate_principal_per_s", self.rate_principal_per_s.into(), 0, 10_000_000),
            ("rate_principal_burst", self.rate_principal_burst.into(), 1, 10_000_000),
            ("rate_tenant_per_s", self.rate_tenant_per_s.into(), 0, 10_000_000),
            ("rate_tenant_burst", self.rate_tenant_burst.into(), 1, 10_000_000),
        ] {
            if !(least..=most).contains(&value) {
                return Err(format!("{key} = {value}: must be from {least} to {most}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_bad_values_are_named() {
        assert_eq!(Config::default().validate(), Ok(()));
        let check = |change: fn(&mut Config), part: &str| {
            let mut config = Config::default();
            change(&mut config);
            let error = config.validate().expect_err(part);
            assert!(error.contains(part), "{error}");
        };
        check(|c| c.max_json_bytes = 0, "max_json_bytes = 0: must be from 1024");
        check(|c| c.max_nesting = 10_000, "max_nesting");
        check(|c| c.home_tenant = "A b".into(), "home_tenant");
        check(|c| c.denials_per_second = 0, "denials_per_second");
        check(|c| c.cors_origins = vec!["example.org".into()], "cors_origins");
    }
}
