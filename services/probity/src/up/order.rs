//! In which order services are started: whom a service calls is there before it.

use probity_runtime::edges::Edges;

/// Services in groups: each calls only those of groups before its own. What calls
/// itself may do so; should services call each other in a circle, those of the circle
/// are one group.
#[must_use]
pub fn groups(edges: &Edges) -> Vec<Vec<String>> {
    let mut left: Vec<String> = edges.services.iter().map(|service| service.name.clone()).collect();
    let mut groups = Vec::new();
    while !left.is_empty() {
        let waits = |name: &String| {
            edges.edges.iter().any(|edge| edge.from == *name && edge.to != *name && left.contains(&edge.to))
        };
        let (later, mut ready): (Vec<_>, Vec<_>) = left.iter().cloned().partition(waits);
        left = later;
        if ready.is_empty() {
            ready = std::mem::take(&mut left);
        }
        groups.push(ready);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_runtime::edges::{Edge, edges};

    #[test]
    fn whom_a_service_calls_is_there_before_it() {
        let groups = groups(edges());
        let place = |name: &str| groups.iter().position(|group| group.iter().any(|n| n == name)).unwrap();
        for edge in edges().edges.iter().filter(|edge| edge.from != edge.to) {
            assert!(place(&edge.to) < place(&edge.from), "{} calls {}: {groups:?}", edge.from, edge.to);
        }
        assert_eq!(groups.iter().map(Vec::len).sum::<usize>(), edges().services.len());
        assert_eq!(groups.last().unwrap(), &["gateway"]);
    }

    #[test]
    fn a_circle_is_one_group() {
        let edge = |from: &str, to: &str| Edge { from: from.into(), to: to.into(), why: String::new() };
        let mut circle = edges().clone();
        circle.services.retain(|s| ["intake", "gateway", "orchestrator"].contains(&s.name.as_str()));
        circle.edges = vec![edge("intake", "gateway"), edge("gateway", "intake")];
        let groups = groups(&circle);
        assert_eq!(groups.len(), 2, "{groups:?}");
        assert_eq!(groups[0], ["orchestrator"]);
    }
}
