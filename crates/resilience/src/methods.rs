//! What the contracts say about the shape of a method.

use probity_proto::{access, pool};
use std::collections::HashSet;
use std::sync::LazyLock;

static UNARY: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let services = pool().services();
    let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
    methods
        .filter(|m| !m.is_client_streaming() && !m.is_server_streaming())
        .map(|m| access::path(&m))
        .collect()
});

/// True for one message in, one message out. A method that is not in the
/// contracts (health, reflection) counts as a stream, which is the shape with
/// fewer assumptions.
pub(crate) fn is_unary(path: &str) -> bool {
    UNARY.contains(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_comes_from_the_contracts() {
        let check = |path: &str, unary: bool| assert_eq!(is_unary(path), unary, "{path}");
        check("/probity.spam.v1.SpamService/Classify", true);
        check("/probity.intake.v1.IntakeService/UploadDocument", false);
        check("/probity.orchestrator.v1.CaseService/WatchCase", false);
        check("/grpc.health.v1.Health/Watch", false);
        check("", false);
    }
}
