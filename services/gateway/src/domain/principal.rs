//! Who is at the door.

use probity_types::{Micros, Role, Roles};
use uuid::Uuid;

/// Longest name of an actor, without its prefix.
const MAX_NAME: usize = 128;
/// Longest name of a tenant.
const MAX_TENANT: usize = 63;

/// A caller whose token was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// `users/…` or `service-accounts/…`.
    pub actor: String,
    /// The tenant.
    pub tenant: String,
    /// What the actor may do.
    pub roles: Roles,
    /// When the token ends.
    pub expires: Micros,
    /// The session the token belongs to, if it belongs to one.
    pub session: Option<Uuid>,
}

/// Checks the name of an actor as tokens carry it.
///
/// # Errors
/// Says what is allowed.
pub fn check_actor(actor: &str) -> Result<(), String> {
    let name = actor.strip_prefix("users/").or_else(|| actor.strip_prefix("service-accounts/"));
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-+@".contains(&b);
    match name {
        Some(name) if (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(allowed) => Ok(()),
        _ => Err(format!(
            "must be users/<name> or service-accounts/<name> with 1 to {MAX_NAME} letters, digits and ._-+@"
        )),
    }
}

/// Checks the name of a tenant.
///
/// # Errors
/// Says what is allowed.
pub fn check_tenant(tenant: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=MAX_TENANT).contains(&tenant.len()) && tenant.bytes().all(allowed) {
        return Ok(());
    }
    Err(format!("must have 1 to {MAX_TENANT} lower-case letters, digits and hyphens"))
}

/// Checks the roles a person or a service account may hold: at least one, and
/// never the one by which the services of the platform know each other.
///
/// # Errors
/// Says which role is not allowed.
pub fn check_roles(roles: &[Role]) -> Result<(), String> {
    if roles.is_empty() {
        return Err("must name at least one role".to_owned());
    }
    if roles.contains(&Role::Service) {
        return Err("must not name the role service: it belongs to the platform's own services".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let check = |actor: &str, expect: bool| assert_eq!(check_actor(actor).is_ok(), expect, "{actor}");
        check("users/olga", true);
        check("users/olga.k+x@example.org", true);
        check("service-accounts/erp-1", true);
        check("users/", false);
        check("olga", false);
        check("services/gateway", false);
        check("users/a/b", false);
        check("users/a b", false);
        check("users/é", false);
        check("users/a\n", false);
        check(&format!("users/{}", "a".repeat(128)), true);
        check(&format!("users/{}", "a".repeat(129)), false);
    }

    #[test]
    fn tenants_and_roles_are_checked() {
        for (tenant, expect) in
            [("default", true), ("t-1", true), ("", false), ("T", false), ("a/b", false), ("a b", false)]
        {
            assert_eq!(check_tenant(tenant).is_ok(), expect, "{tenant}");
        }
        assert!(check_roles(&[Role::Officer]).is_ok());
        assert!(check_roles(&[]).is_err());
        assert!(check_roles(&[Role::Admin, Role::Service]).is_err());
    }
}
