//! Who may call which method. Denied by default.

use probity_proto::access::MethodAccess;
use probity_types::{Role, Roles};

/// What a method asks of its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// Nothing, not even a token.
    Public,
    /// One of these roles; an administrator always has one.
    Roles(Vec<Role>),
    /// To be another service of the platform: nobody outside is.
    Services,
    /// The contract does not say, so nobody may.
    Closed,
}

/// Why a caller may not call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// It lacks all of these roles.
    Role(Vec<Role>),
    /// The method is not for callers from outside.
    Inside,
}

impl Gate {
    /// What the options of a method ask for.
    #[must_use]
    pub fn of(access: &MethodAccess) -> Self {
        if access.public {
            return Self::Public;
        }
        let (service, roles): (Vec<_>, Vec<_>) =
            access.roles.iter().filter_map(|n| Role::from_number(*n)).partition(|r| *r == Role::Service);
        match (service.is_empty(), roles.is_empty()) {
            (_, false) => Self::Roles(roles),
            (false, true) => Self::Services,
            (true, true) => Self::Closed,
        }
    }

    /// Whether a caller with these roles may pass.
    ///
    /// # Errors
    /// What it lacks.
    pub fn admit(&self, roles: &Roles) -> Result<(), Denied> {
        match self {
            Self::Public => Ok(()),
            Self::Roles(allowed) if roles.any_of(allowed) => Ok(()),
            Self::Roles(allowed) => Err(Denied::Role(allowed.clone())),
            Self::Services | Self::Closed => Err(Denied::Inside),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_meets_every_kind_of_gate() {
        let check = |numbers: &[i32], public: bool, role: Role, expect: bool| {
            let access = MethodAccess { roles: numbers.to_vec(), public, ..MethodAccess::default() };
            let got = Gate::of(&access).admit(&Roles::new([role])).is_ok();
            assert_eq!(got, expect, "{numbers:?} {public} {role}");
        };
        for role in Role::ALL {
            check(&[], true, role, true);
            check(&[], false, role, false);
            check(&[6], false, role, false);
            check(&[99], false, role, false);
            check(&[2, 6], false, role, matches!(role, Role::Officer | Role::Admin));
            check(&[5], false, role, role == Role::Admin);
        }
    }

    #[test]
    fn no_service_method_of_the_contracts_is_open_to_an_administrator() {
        let admin = Roles::new([Role::Admin]);
        let closed: Vec<_> = probity_proto::access::methods()
            .filter(|(_, access)| Gate::of(access).admit(&admin).is_err())
            .map(|(path, _)| path)
            .collect();
        assert!(closed.contains(&"/probity.audit.v1.AuditService/Append"), "{closed:?}");
        assert!(closed.contains(&"/probity.orchestrator.v1.RemediationService/TakeAction"), "{closed:?}");
        assert!(!closed.contains(&"/probity.orchestrator.v1.CaseService/OpenCase"), "{closed:?}");
    }
}
