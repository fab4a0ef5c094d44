//! Who may pass: token, role, and the platform's own token for the way inside.

use super::Door;
use super::arrival::Arrival;
use crate::domain::access::Gate;
use crate::domain::principal::Principal;
use crate::error::Error;
use http::{HeaderMap, HeaderValue};
use probity_proto::access;
use probity_resilience::Criticality;
use probity_resilience::deadline::{GRPC_TIMEOUT, format_timeout};
use probity_resilience::limit::CRITICALITY_HEADER;
use probity_runtime::denials::Denial;
use probity_runtime::{CALLER_HEADER, IDEMPOTENCY_KEY, REQUEST_ID};
use probity_types::{Ctx, Fault, Role, Roles};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Who calls a public method without a token.
const ANONYMOUS: &str = "anonymous";

/// What each method asks of its caller.
pub(super) struct Gates(HashMap<&'static str, Gate>);

/// Where a call comes from, for the RPCs the gateway answers itself.
#[derive(Debug, Clone)]
pub(crate) struct CallerAddress(pub(crate) String);

/// A caller who may pass.
pub(super) struct Admitted {
    pub(super) ctx: Ctx,
    /// Absent for a public method called without a token.
    pub(super) principal: Option<Arc<Principal>>,
    address: CallerAddress,
}

impl Admitted {
    /// The caller, for the RPCs the gateway answers itself.
    pub(super) fn mark(&self, extensions: &mut http::Extensions) {
        extensions.insert(self.ctx.clone());
        extensions.insert(self.address.clone());
        if let Some(principal) = &self.principal {
            extensions.insert(principal.clone());
        }
    }
}

impl Gates {
    pub(super) fn of_contracts() -> Self {
        Self(access::methods().map(|(path, access)| (path, Gate::of(access))).collect())
    }

    fn of(&self, path: &str) -> &Gate {
        self.0.get(path).unwrap_or(&Gate::Closed)
    }
}

/// Anybody may say that a call can wait; that it must get through when others do not is
/// for those to say who are called when nothing works.
fn most_important(roles: &Roles) -> Criticality {
    let operates = roles.any_of(&[Role::Operator]);
    if operates { Criticality::CriticalPlus } else { Criticality::Critical }
}

impl Door {
    /// Lets a caller pass to a method, or takes note of the denial.
    pub(super) fn admit(
        &self,
        path: &str,
        headers: &HeaderMap,
        arrival: &mut Arrival,
    ) -> Result<Admitted, Error> {
        let caller = self.identity.caller(headers);
        if let Ok(principal) = &caller {
            self.rate_principal(principal, arrival)?;
        }
        match self.gates.of(path) {
            Gate::Public => Ok(self.admitted(caller.ok(), arrival)),
            gate => {
                let principal = caller.inspect_err(|error| self.denied(path, None, error, arrival))?;
                let passed = gate.admit(&principal.roles).map_err(Error::from);
                passed.inspect_err(|error| self.denied(path, Some(&principal), error, arrival))?;
                Ok(self.admitted(Some(principal), arrival))
            }
        }
    }

    fn admitted(&self, principal: Option<Arc<Principal>>, arrival: &Arrival) -> Admitted {
        let known = principal.as_deref();
        let ctx = Ctx {
            tenant: known.map_or_else(|| self.config.home_tenant.clone(), |p| p.tenant.clone()),
            actor: known.map_or_else(|| ANONYMOUS.to_owned(), |p| p.actor.clone()),
            roles: known.map_or_else(Roles::default, |p| p.roles.clone()),
            request_id: arrival.request_id.clone(),
            trace_id: arrival.trace_id.clone(),
        };
        Admitted { ctx, principal, address: CallerAddress(arrival.address.clone()) }
    }

    fn denied(&self, path: &str, who: Option<&Principal>, error: &Error, arrival: &Arrival) {
        self.metrics.denied(error.code());
        let denial = Denial {
            tenant: who.map_or_else(|| self.config.home_tenant.clone(), |p| p.tenant.clone()),
            actor: who.map_or_else(|| ANONYMOUS.to_owned(), |p| p.actor.clone()),
            address: arrival.address.clone(),
            method: path.to_owned(),
            code: error.code(),
            reason: error.to_string(),
        };
        self.denials.note(denial, &arrival.request_id);
    }

    /// The headers of the call to a peer: the platform's own token and what of
    /// the caller's marks a service may rely on. Nothing else of the request's
    /// headers goes further, so nobody outside can speak as the platform.
    pub(super) fn outgoing(
        &self,
        admitted: &Admitted,
        arrival: &Arrival,
        timeout: Duration,
    ) -> Result<HeaderMap, Fault> {
        let mut headers = HeaderMap::with_capacity(8);
        let mut put = |name: &'static str, text: &str| {
            let value = HeaderValue::from_str(text).map_err(|_| Error::OwnHeader(name))?;
            headers.insert(name, value);
            Ok::<_, Error>(())
        };
        put(CALLER_HEADER, &self.minter.mint(&admitted.ctx)?)?;
        put(REQUEST_ID, &arrival.request_id)?;
        put(GRPC_TIMEOUT, &format_timeout(timeout))?;
        let important = arrival.criticality.min(most_important(&admitted.ctx.roles));
        if important != Criticality::default() {
            headers.insert(CRITICALITY_HEADER, HeaderValue::from_static(important.name()));
        }
        if let Some(key) = &arrival.idempotency_key {
            headers.insert(IDEMPOTENCY_KEY, key.clone());
        }
        if let Some(trace) = &arrival.trace {
            probity_telemetry::trace::inject(trace, &mut headers);
        }
        Ok(headers)
    }
}
