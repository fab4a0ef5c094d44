//! Choosing one of the endpoints of a peer.
//!
//! | strategy | chooses | good when |
//! |---|---|---|
//! | [`Strategy::RoundRobin`] | one after the other | calls and endpoints are alike |
//! | [`Strategy::LeastConnections`] | the one with the fewest calls under way | calls differ |
//! | [`Strategy::Weighted`] | in proportion to weights, smoothly | endpoints differ in size |
//! | [`Strategy::Random`] | any | there are many callers |
//! | [`Strategy::PeakEwma`] | the better of two drawn at random | anything, and the default |
//!
//! Weighted is nginx's smooth weighted round-robin. Peak EWMA is Finagle's cost,
//! the moving average of times that jumps up at once and comes down slowly,
//! times calls under way; two random choices are enough for it to be near the
//! best (Mitzenmacher: *The Power of Two Choices in Randomized Load Balancing*,
//! 2001), without all callers running to the same endpoint.
//!
//! [`Picker`] is the state machine. [`outlier`] takes out endpoints that fail,
//! [`watch_health`] those that say they are not serving, and [`Balance`] is the
//! service over all of it. [`age`] says when a connection has lived long enough.

pub mod age;
mod endpoint;
mod health;
pub mod outlier;
mod picker;
mod service;

pub use endpoint::{Ewma, Load};
pub use health::watch_health;
pub use picker::{Picker, Strategy};
pub use service::{Balance, Config, EndpointSnapshot};
