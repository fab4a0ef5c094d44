//! Spam triage as pure functions: bytes → message → tokens → features → score.
//!
//! Deliberately absent: I/O, clocks and anything that knows one corpus. No host
//! name, address, date or header value is ever a feature; of headers only their
//! structure speaks (a missing date, a reply address of another domain).
//!
//! **Architecture invariant.** The trainer and the service extract features
//! with the same functions, so a score means the same on both sides.

pub mod classify;
pub mod explain;
pub mod facts;
pub mod features;
pub mod fold;
pub mod headers;
pub mod html;
pub mod lex;
pub mod message;
pub mod mime;
pub mod model;
pub mod shapes;

pub use classify::{Band, Classifier, Thresholds, Verdict};
pub use facts::{Fact, Facts};
pub use features::Features;
pub use message::{Form, Message};
pub use model::Model;
