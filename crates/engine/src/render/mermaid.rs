//! The graph as a Mermaid flowchart.

use super::graph::{Graph, Node, Shape, Tone};
use std::fmt::Write as _;

pub(super) fn write(graph: &Graph) -> String {
    let mut out = String::from("flowchart LR\n");
    for (index, (state, members)) in graph.groups().iter().enumerate() {
        if let Some(state) = state {
            let _ = writeln!(out, "  subgraph g{index}[\"{}\"]", state.as_str().to_uppercase());
        }
        for member in members {
            if let Some(node) = graph.nodes.get(*member) {
                let _ = writeln!(out, "    n{member}{}:::{}", shaped(node), node.tone.style().0);
            }
        }
        if state.is_some() {
            out.push_str("  end\n");
        }
    }
    for edge in &graph.edges {
        let arrow = if edge.conditional { "-.->" } else { "-->" };
        let _ = writeln!(out, "  n{} {arrow} n{}", edge.from, edge.to);
    }
    for tone in Tone::ALL.into_iter().filter(|tone| graph.nodes.iter().any(|node| node.tone == *tone)) {
        let (name, fill, line) = tone.style();
        let _ = writeln!(out, "  classDef {name} fill:{fill},stroke:{line},color:#0f172a");
    }
    out
}

fn shaped(node: &Node) -> String {
    let label = node.lines.iter().map(|line| escaped(line)).collect::<Vec<_>>().join("<br/>");
    match node.shape {
        Shape::Call => format!("(\"{label}\")"),
        Shape::Workflow => format!("[[\"{label}\"]]"),
        Shape::People => format!("{{{{\"{label}\"}}}}"),
        Shape::Wait => format!("([\"{label}\"])"),
        Shape::End => format!(">\"{label}\"]"),
    }
}

/// Everything that is not a letter, a digit, a space or harmless becomes an entity: Mermaid
/// reads Markdown and HTML inside quotes.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_alphanumeric() || " .,:/()'_-+=…".contains(c) {
            out.push(c);
        } else {
            let _ = write!(out, "#{};", u32::from(c));
        }
    }
    out
}
