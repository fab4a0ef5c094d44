//! How long operations take, by operation and provider: counts, mean, p50, p95,
//! p99, success rate, and which ones were slow.
//!
//! Times are kept in high dynamic range histograms (Gil Tene's HdrHistogram),
//! exact to 1% from a microsecond to an hour. A histogram covers the current
//! window and the one before; what nobody called for longer than `forget_ms` is
//! cleaned away. Operations and providers are few and come from the code; beyond
//! [`MOST`] they are counted together as `other`.

mod layer;
mod recorder;

pub use layer::{MeasureFuture, MeasureLayer, MeasureService};
pub use recorder::{Config, MOST, Operation, Performance, Summary};
