//! What the contracts say about a method, looked up on every call.

use probity_proto::{access, pool};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::LazyLock;

/// What the layers ask of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Method {
    /// One message in, one message out.
    pub(crate) unary: bool,
    /// It changes nothing.
    pub(crate) read_only: bool,
    /// Calling twice does no more than calling once.
    pub(crate) repeatable: bool,
}

type Table = Paths<Method>;

/// Something by path.
pub(crate) type Paths<T> = HashMap<String, T, BuildHasherDefault<PathHasher>>;

static METHODS: LazyLock<Table> = LazyLock::new(|| {
    let services = pool().services();
    let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
    methods
        .map(|method| {
            let path = access::path(&method);
            let unary = !method.is_client_streaming() && !method.is_server_streaming();
            let access = access::method(&path).cloned().unwrap_or_default();
            (path, Method { unary, read_only: access.read_only, repeatable: access.repeatable })
        })
        .collect()
});

/// The method at an HTTP/2 path; `None` when it is not in the contracts.
pub(crate) fn method(path: &str) -> Option<Method> {
    METHODS.get(path).copied()
}

/// As [`method`], with its path to keep.
pub(crate) fn named(path: &str) -> Option<(&'static str, Method)> {
    METHODS.get_key_value(path).map(|(path, method)| (path.as_str(), *method))
}

/// True for one message in, one message out. A method that is not in the
/// contracts (health, reflection) counts as a stream, which is the shape with
/// fewer assumptions.
pub(crate) fn is_unary(path: &str) -> bool {
    method(path).is_some_and(|method| method.unary)
}

/// FNV-1a over words of eight bytes. Every call asks such a table several times,
/// and no caller can add to one, so a hash that withstands chosen keys is not
/// needed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PathHasher(u64);

impl PathHasher {
    fn add(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }
}

impl Hasher for PathHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        self.add(rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    }

    fn finish(&self) -> u64 {
        self.0
    }
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
        let check = |path: &str, read_only, repeatable| {
            assert_eq!(method(path), Some(Method { unary: true, read_only, repeatable }), "{path}");
        };
        check("/probity.spam.v1.SpamService/Classify", true, true);
        check("/probity.orchestrator.v1.CaseService/OpenCase", false, true);
        assert_eq!(method("/probity.spam.v1.SpamService/Nothing"), None);
    }

    #[test]
    fn paths_spread_over_the_table() {
        use std::hash::BuildHasher as _;
        let hash = |path: &String| METHODS.hasher().hash_one(path);
        let hashes: std::collections::HashSet<_> = METHODS.keys().map(hash).collect();
        assert_eq!(hashes.len(), METHODS.len());
    }
}
