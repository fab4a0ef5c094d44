//! Pictures: a definition or an execution as DOT, Mermaid and a Gantt chart in SVG.
//!
//! All of it is text made from values: the same input gives the same picture, letter for
//! letter. Names and messages are escaped in every language, so whatever a step answered
//! cannot become part of a picture's code. The SVG stands by itself: no script, no font, no
//! address, and colours for a light and a dark page.
//!
//! Deliberately absent: laying out graphs (Graphviz and Mermaid do that), turning SVG into
//! pixels, and reading any clock: what is still going on ends at the `now` that is passed in.

mod dot;
mod gantt;
mod graph;
mod mermaid;
mod scale;
mod timeline;

pub use gantt::{MAX_ROWS, gantt_svg};
pub use timeline::{Bar, BarKind, MAX_ITEMS, Mark, Row, timeline};

use crate::definition::Definition;
use crate::execution::Execution;

/// A definition as a graph in the DOT language of Graphviz, coloured by where each step of an
/// execution stands when one is given. Steps are grouped by the state of the case they belong
/// to; a dashed line leads to a step that has a condition.
#[must_use]
pub fn dot(definition: &Definition, execution: Option<&Execution>) -> String {
    dot::write(&graph::Graph::of(definition, execution))
}

/// The same graph as a Mermaid flowchart, as Markdown pages show it.
#[must_use]
pub fn mermaid(definition: &Definition, execution: Option<&Execution>) -> String {
    mermaid::write(&graph::Graph::of(definition, execution))
}
