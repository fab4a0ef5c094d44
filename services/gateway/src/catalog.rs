//! What there is to call here, and how much of it: from the contracts and the
//! configuration.

use crate::config::Config;
use crate::transcode::rules;
use probity_proto::{access, gateway};

/// Every method of the platform, by name.
///
/// # Errors
/// When a rule of the contracts cannot be read.
pub(crate) fn methods() -> Result<Vec<gateway::Method>, String> {
    let services = probity_proto::pool().services();
    let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>()).map(|method| {
        let path = access::path(&method);
        let access = access::method(&path).cloned().unwrap_or_default();
        Ok(gateway::Method {
            name: path.trim_start_matches('/').to_owned(),
            routes: rules::spelled(&method)?,
            roles: access.roles,
            public: access.public,
            repeatable: access.repeatable,
            read_only: access.read_only,
        })
    });
    let mut methods = methods.collect::<Result<Vec<_>, String>>()?;
    methods.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(methods)
}

/// The limits of this gateway.
pub(crate) fn limits(config: &Config) -> gateway::Limits {
    let wide = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let long = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let narrow = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let rate =
        |per_second, burst| Some(gateway::Rate { per_second: narrow(per_second), burst: narrow(burst) });
    gateway::Limits {
        json_bytes: wide(config.max_json_bytes),
        upload_bytes: long(config.max_upload_bytes),
        uri_bytes: wide(config.max_uri_bytes),
        header_bytes: wide(config.max_header_bytes),
        nesting: i32::try_from(config.max_nesting).unwrap_or(i32::MAX),
        call_ms: long(config.request_timeout_ms),
        stream_ms: long(config.stream_timeout_ms),
        address: rate(config.rate_address_per_s, config.rate_address_burst),
        principal: rate(config.rate_principal_per_s, config.rate_principal_burst),
        tenant: rate(config.rate_tenant_per_s, config.rate_tenant_burst),
    }
}
