//! Who may call a method, read from its options.

use crate::{common, pool};
use prost_reflect::{MethodDescriptor, prost::Message as _};
use std::collections::HashMap;
use std::sync::LazyLock;

/// What the options of a method say.
#[derive(Debug, Clone, Default)]
pub struct MethodAccess {
    /// Numbers of the roles that may call.
    pub roles: Vec<i32>,
    /// Anybody may call.
    pub public: bool,
    /// A workflow step may call it.
    pub workflow_callable: bool,
    /// Calling twice does no more than calling once
    /// (`idempotency_level` is `IDEMPOTENT` or `NO_SIDE_EFFECTS`).
    pub repeatable: bool,
    /// The call changes nothing (`idempotency_level = NO_SIDE_EFFECTS`).
    pub read_only: bool,
    /// The client streams, so a call cannot be repeated from outside.
    pub client_streaming: bool,
}

static METHODS: LazyLock<HashMap<String, MethodAccess>> = LazyLock::new(|| {
    let services = pool().services();
    services.flat_map(|service| service.methods().collect::<Vec<_>>()).map(|m| (path(&m), read(&m))).collect()
});

/// The HTTP/2 path of a method, `/package.Service/Method`.
#[must_use]
pub fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// What the options of the method at an HTTP/2 path say; `None` for an unknown
/// method. A known method without the `access` option has no roles and is not
/// public: nobody may call it.
#[must_use]
pub fn method(path: &str) -> Option<&'static MethodAccess> {
    METHODS.get(path)
}

/// All methods by path.
pub fn methods() -> impl Iterator<Item = (&'static str, &'static MethodAccess)> {
    METHODS.iter().map(|(path, access)| (path.as_str(), access))
}

fn read(method: &MethodDescriptor) -> MethodAccess {
    const NO_SIDE_EFFECTS: i32 = 1;
    const IDEMPOTENT: i32 = 2;
    let level = method
        .method_descriptor_proto()
        .options
        .as_ref()
        .and_then(|options| options.idempotency_level)
        .unwrap_or_default();
    let options = method.options();
    let access = pool()
        .get_extension_by_name("probity.common.v1.access")
        .filter(|ext| options.has_extension(ext))
        .and_then(|ext| {
            options.get_extension(&ext).as_message().map(prost_reflect::DynamicMessage::encode_to_vec)
        })
        .and_then(|bytes| common::Access::decode(bytes.as_slice()).ok())
        .unwrap_or_default();
    MethodAccess {
        roles: access.roles,
        public: access.public,
        workflow_callable: access.workflow_callable,
        repeatable: level == NO_SIDE_EFFECTS || level == IDEMPOTENT,
        read_only: level == NO_SIDE_EFFECTS,
        client_streaming: method.is_client_streaming(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_says_who_may_call_it() {
        for (path, access) in methods().filter(|(path, _)| path.starts_with("/probity.")) {
            assert!(access.public || !access.roles.is_empty(), "{path} has no access option");
        }
    }

    #[test]
    fn workflow_steps_can_be_repeated() {
        for (path, access) in methods().filter(|(_, access)| access.workflow_callable) {
            assert!(access.repeatable, "{path} is workflow_callable but not idempotent");
            assert!(access.roles.contains(&6), "{path} is workflow_callable but closed to services");
        }
    }

    #[test]
    fn options_survive_the_build() {
        let check = method("/probity.spam.v1.SpamService/Classify");
        assert!(check.is_some_and(|m| m.read_only && m.workflow_callable && !m.public));
        assert!(method("/probity.spam.v1.SpamService/Nothing").is_none());
    }
}
