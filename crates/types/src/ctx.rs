//! Who is calling: the context every operation runs in.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A role of a caller; see `probity.common.v1.Role`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Hands in documents and opens cases.
    Submitter,
    /// Works on cases.
    Officer,
    /// Reads everything, changes nothing.
    Auditor,
    /// Runs the platform.
    Operator,
    /// Everything.
    Admin,
    /// Another service on its own behalf.
    Service,
    /// A program that does the tasks of queues.
    Worker,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 7] = [
        Self::Submitter,
        Self::Officer,
        Self::Auditor,
        Self::Operator,
        Self::Admin,
        Self::Service,
        Self::Worker,
    ];

    /// The role's name in tokens and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Submitter => "submitter",
            Self::Officer => "officer",
            Self::Auditor => "auditor",
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::Service => "service",
            Self::Worker => "worker",
        }
    }

    /// The number of the role in `probity.common.v1.Role`.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Submitter => 1,
            Self::Officer => 2,
            Self::Auditor => 3,
            Self::Operator => 4,
            Self::Admin => 5,
            Self::Service => 6,
            Self::Worker => 7,
        }
    }

    /// The role with that number, if there is one.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.number() == number)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|r| r.as_str()).collect();
            format!("unknown role {text:?}; one of {}", known.join(", "))
        })
    }
}

/// A set of roles.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Roles(Vec<Role>);

impl Roles {
    /// The set of the given roles.
    pub fn new(roles: impl IntoIterator<Item = Role>) -> Self {
        let mut roles: Vec<_> = roles.into_iter().collect();
        roles.sort_unstable();
        roles.dedup();
        Self(roles)
    }

    /// True when the set holds the role.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// True when the set holds one of `allowed`, or [`Role::Admin`].
    #[must_use]
    pub fn any_of(&self, allowed: &[Role]) -> bool {
        self.has(Role::Admin) || allowed.iter().any(|role| self.has(*role))
    }

    /// The roles in order.
    pub fn iter(&self) -> impl Iterator<Item = Role> + '_ {
        self.0.iter().copied()
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Who is calling, for whom, and in which request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ctx {
    /// The tenant: part of every primary key.
    pub tenant: String,
    /// `users/…`, `service-accounts/…` or `services/…`.
    pub actor: String,
    /// What the actor may do.
    pub roles: Roles,
    /// The request this belongs to.
    pub request_id: String,
    /// W3C trace id (32 hex digits), empty when there is no trace.
    #[serde(default)]
    pub trace_id: String,
}

impl Ctx {
    /// The context of a service that acts on its own behalf for a tenant.
    #[must_use]
    pub fn service(name: &str, tenant: &str, request_id: &str) -> Self {
        Self {
            tenant: tenant.to_owned(),
            actor: format!("services/{name}"),
            roles: Roles::new([Role::Service]),
            request_id: request_id.to_owned(),
            trace_id: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_may_everything_and_others_what_they_hold() {
        let check = |have: &[Role], allowed: &[Role], expect: bool| {
            assert_eq!(Roles::new(have.iter().copied()).any_of(allowed), expect, "{have:?} {allowed:?}");
        };
        check(&[Role::Admin], &[Role::Officer], true);
        check(&[Role::Admin], &[], true);
        check(&[Role::Officer], &[Role::Officer, Role::Auditor], true);
        check(&[Role::Submitter], &[Role::Officer], false);
        check(&[], &[Role::Officer], false);
        check(&[Role::Officer], &[], false);
    }

    #[test]
    fn numbers_and_names_round_trip() {
        for role in Role::ALL {
            assert_eq!(Role::from_number(role.number()), Some(role));
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert_eq!(Role::from_number(0), None);
        assert!("root".parse::<Role>().is_err());
    }
}
