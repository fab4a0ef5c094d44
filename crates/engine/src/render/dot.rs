//! The graph in the language of Graphviz.

use super::graph::{Graph, Node, Shape};
use std::fmt::Write as _;

pub(super) fn write(graph: &Graph) -> String {
    let mut out = format!("digraph {} {{\n", quoted(&graph.name));
    out.push_str("  graph [rankdir=LR, bgcolor=\"transparent\", fontname=\"sans-serif\", fontsize=11, compound=true];\n");
    out.push_str("  node [fontname=\"sans-serif\", fontsize=11, margin=\"0.15,0.08\"];\n");
    out.push_str("  edge [color=\"#64748b\", arrowsize=0.8];\n");
    for (index, (state, members)) in graph.groups().iter().enumerate() {
        if let Some(state) = state {
            let label = quoted(&state.as_str().to_uppercase());
            let _ = writeln!(
                out,
                "  subgraph cluster_{index} {{\n    label={label}; color=\"#94a3b8\"; fontcolor=\"#64748b\"; style=rounded;"
            );
        }
        for member in members {
            if let Some(step) = graph.nodes.get(*member) {
                let _ = writeln!(out, "    n{member} [{}];", attributes(step));
            }
        }
        if state.is_some() {
            out.push_str("  }\n");
        }
    }
    for edge in &graph.edges {
        let style = if edge.conditional { " [style=dashed]" } else { "" };
        let _ = writeln!(out, "  n{} -> n{}{style};", edge.from, edge.to);
    }
    out.push_str("}\n");
    out
}

fn attributes(node: &Node) -> String {
    let (shape, style) = match node.shape {
        Shape::Call => ("box", "filled,rounded"),
        Shape::Workflow => ("component", "filled"),
        Shape::People => ("hexagon", "filled"),
        Shape::Wait => ("ellipse", "filled"),
        Shape::End => ("octagon", "filled"),
    };
    let (_, fill, line) = node.tone.style();
    let label = node.lines.iter().map(|line| escaped(line)).collect::<Vec<_>>().join("\\n");
    let many = if node.many { ", peripheries=2" } else { "" };
    format!(
        "label=\"{label}\", shape={shape}{many}, style=\"{style}\", fillcolor=\"{fill}\", color=\"{line}\""
    )
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

/// Inside quotes, DOT knows `\"`, and in labels `\n`, `\l`, `\N` and more. Entities of HTML are
/// resolved there too, so `&` is written as one.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('&', "&amp;")
}
