//! One effect for one key: a request that is sent again gets the first answer.
//!
//! A record goes through these states:
//!
//! ```text
//!             begin                    complete
//!  (nothing) ──────▶ PROCESSING ───────────────────▶ COMPLETED ── ttl ──▶ (nothing)
//!                     │      ▲ begin again, by the
//!               fail  ▼      │ next one or when the lease is over
//!                    FAILED ─┘
//! ```
//!
//! Of several requests with one key at once, one runs; the others wait for its
//! answer or get a conflict, as [`Duplicates`] says. The same key with another
//! body is refused. A record is bound to its run by a fence: a run whose lease
//! was taken over cannot store its answer any more.
//!
//! [`Store`] is what keeps records: [`MemoryStore`] here, databases in other
//! crates; all of them pass the suite in `conformance` (feature `conformance`).
//! [`Guard`] wraps a function, [`IdempotencyLayer`] a gRPC server.
//!
//! **Architecture invariant:** this promises at most one *stored answer* a key.
//! That the effect happens at most once follows only where the effect and the
//! record are in one transaction, or the effect takes the key itself.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod guard;
mod key;
mod layer;
mod memory;
mod store;

pub use guard::{Config, Duplicates, Error, Guard};
pub use key::{Fingerprint, Key, MAX_KEY, key_of};
pub use layer::{IDEMPOTENCY_KEY, IdempotencyLayer, IdempotencyService, ScopeOf};
pub use memory::MemoryStore;
pub use store::{Begun, Fence, Statistics, Store, StoreError};
