//! Requests for tokens, checked, and principals as messages.

pub(crate) mod auth;

use crate::domain::keyring::Ring;
use crate::domain::principal::{Principal, check_actor, check_roles, check_tenant};
use crate::domain::token::Grant;
use crate::error::Error;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use probity_proto::{gateway, time};
use probity_types::{Ctx, Micros, Role, Roles};
use std::time::Duration;

/// Shortest, usual and longest life of a token in seconds.
const TTL: (i64, i64, i64) = (60, 3_600, 2_592_000);

/// What a request for a token asks for.
///
/// # Errors
/// Names the first field that cannot be used.
pub(crate) fn grant(request: gateway::IssueTokenRequest, caller: &Ctx) -> Result<Grant, Error> {
    let wrong = |field: &'static str| move |why: String| Error::Grant { field, why };
    check_actor(&request.actor).map_err(wrong("actor"))?;
    let roles: Vec<_> = request.roles.iter().map(|number| role(*number)).collect::<Result<_, _>>()?;
    check_roles(&roles).map_err(wrong("roles"))?;
    let tenant = if request.tenant.is_empty() { caller.tenant.clone() } else { request.tenant };
    check_tenant(&tenant).map_err(wrong("tenant"))?;
    let ttl = ttl(request.ttl_seconds).map_err(wrong("ttl_seconds"))?;
    Ok(Grant { actor: request.actor, tenant, roles: Roles::new(roles), ttl, session: None })
}

fn role(number: i32) -> Result<Role, Error> {
    Role::from_number(number).ok_or_else(|| Error::Grant {
        field: "roles",
        why: format!("there is no role with the number {number}"),
    })
}

fn ttl(seconds: i64) -> Result<Duration, String> {
    let (least, usual, most) = TTL;
    let seconds = if seconds == 0 { usual } else { seconds };
    match u64::try_from(seconds) {
        Ok(whole) if (least..=most).contains(&seconds) => Ok(Duration::from_secs(whole)),
        _ => Err(format!("must be from {least} to {most} seconds, or 0 for {usual}")),
    }
}

/// The public halves of the keys that sign and have signed tokens, for those who
/// verify them.
pub(crate) fn keys(ring: &Ring, now: Micros) -> gateway::KeySet {
    let key = |(id, public): (&str, [u8; 32])| gateway::Key {
        kty: "OKP".to_owned(),
        crv: "Ed25519".to_owned(),
        x: URL_SAFE_NO_PAD.encode(public),
        kid: id.to_owned(),
        alg: "EdDSA".to_owned(),
        r#use: "sig".to_owned(),
    };
    gateway::KeySet { keys: ring.published(now).map(|known| key(known.public())).collect() }
}

/// A request to check a token has one.
///
/// # Errors
/// When it has none.
pub(crate) fn token(request: &gateway::CheckTokenRequest) -> Result<(), Error> {
    if request.token.is_empty() {
        return Err(Error::Grant { field: "token", why: "must not be empty".to_owned() });
    }
    Ok(())
}

/// What a token turned out to be worth.
pub(crate) fn checked(outcome: Result<Principal, String>) -> gateway::CheckTokenResponse {
    match outcome {
        Ok(known) => {
            let principal = Some(principal(&known));
            gateway::CheckTokenResponse { valid: true, reason: String::new(), principal }
        }
        Err(reason) => gateway::CheckTokenResponse { valid: false, reason, principal: None },
    }
}

/// A principal as callers see themselves.
pub(crate) fn principal(principal: &Principal) -> gateway::Principal {
    gateway::Principal {
        actor: principal.actor.clone(),
        tenant: principal.tenant.clone(),
        roles: principal.roles.iter().map(Role::number).collect(),
        expire_time: Some(time::timestamp(principal.expires.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> gateway::IssueTokenRequest {
        gateway::IssueTokenRequest {
            actor: "users/olga".into(),
            roles: vec![2],
            tenant: String::new(),
            ttl_seconds: 0,
        }
    }

    fn caller() -> Ctx {
        Ctx {
            tenant: "t1".into(),
            actor: "users/admin".into(),
            roles: Roles::new([Role::Admin]),
            request_id: String::new(),
            trace_id: String::new(),
        }
    }

    #[test]
    fn requests_are_checked_field_by_field() {
        let check = |change: fn(&mut gateway::IssueTokenRequest), expect: Option<&str>| {
            let mut request = request();
            change(&mut request);
            let got = match grant(request, &caller()) {
                Ok(_) => None,
                Err(Error::Grant { field, .. }) => Some(field),
                Err(other) => panic!("{other}"),
            };
            assert_eq!(got, expect);
        };
        check(|_| (), None);
        check(|r| r.tenant = "t2".into(), None);
        check(|r| r.ttl_seconds = 60, None);
        check(|r| r.ttl_seconds = 2_592_000, None);
        check(|r| r.actor.clear(), Some("actor"));
        check(|r| r.actor = "services/gateway".into(), Some("actor"));
        check(|r| r.roles.clear(), Some("roles"));
        check(|r| r.roles = vec![0], Some("roles"));
        check(|r| r.roles = vec![6], Some("roles"));
        check(|r| r.roles = vec![5, 99], Some("roles"));
        check(|r| r.tenant = "No Such".into(), Some("tenant"));
        check(|r| r.ttl_seconds = 59, Some("ttl_seconds"));
        check(|r| r.ttl_seconds = -1, Some("ttl_seconds"));
        check(|r| r.ttl_seconds = 2_592_001, Some("ttl_seconds"));
        check(|r| r.ttl_seconds = i64::MIN, Some("ttl_seconds"));
    }

    #[test]
    fn what_is_not_said_is_taken_from_the_caller() {
        let grant = grant(request(), &caller()).expect("good");
        assert_eq!((grant.tenant.as_str(), grant.ttl.as_secs()), ("t1", 3_600));
    }
}
