//! Which rule leans on which: no circles of calls, and no towers.

use super::super::PolicyError;
use super::tree::{Head, Place, Rule};
use petgraph::algo::{kosaraju_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};
use std::collections::{BTreeMap, BTreeSet};

/// Most levels of expressions on top of each other, over all rules that lean on
/// each other. The stack of an evaluation is made for this: see the sandbox.
pub(super) const MAX_DEPTH: usize = 600;

/// The rules by name, and who uses whom.
pub(super) struct Graph {
    nodes: BTreeMap<String, NodeIndex>,
    functions: BTreeSet<String>,
    /// Every use.
    uses: DiGraph<Node, ()>,
    /// Calls of functions alone.
    calls: DiGraph<String, ()>,
}

struct Node {
    name: String,
    depth: usize,
    place: Place,
}

impl Graph {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let mut graph = Self {
            nodes: BTreeMap::new(),
            functions: BTreeSet::new(),
            uses: DiGraph::new(),
            calls: DiGraph::new(),
        };
        for rule in rules {
            graph.add(rule);
        }
        graph
    }

    fn add(&mut self, rule: &Rule) {
        if rule.head == Head::Function {
            self.functions.insert(rule.name.clone());
        }
        match self.nodes.get(&rule.name) {
            Some(index) => self.uses[*index].depth = self.uses[*index].depth.max(rule.depth),
            None => {
                let node = Node { name: rule.name.clone(), depth: rule.depth, place: rule.place };
                let index = self.uses.add_node(node);
                self.calls.add_node(rule.name.clone());
                self.nodes.insert(rule.name.clone(), index);
            }
        }
    }

    /// A rule reads a name, which may be a rule's.
    pub(super) fn leans_on(&mut self, rule: &str, name: &str) {
        if let (Some(from), Some(to)) = (self.nodes.get(rule), self.nodes.get(name)) {
            self.uses.update_edge(*from, *to, ());
        }
    }

    /// A rule calls a name; false when that is no function of the policy.
    pub(super) fn calls(&mut self, rule: &str, name: &str) -> bool {
        if !self.functions.contains(name) {
            return false;
        }
        self.leans_on(rule, name);
        if let (Some(from), Some(to)) = (self.nodes.get(rule), self.nodes.get(name)) {
            self.calls.update_edge(*from, *to, ());
        }
        true
    }

    /// Refuses circles of calls and towers of rules.
    pub(super) fn check(&self) -> Result<(), PolicyError> {
        if let Err(cycle) = toposort(&self.calls, None) {
            return Err(self.circle(cycle.node_id()));
        }
        self.check_depth()
    }

    fn circle(&self, node: NodeIndex) -> PolicyError {
        let circles = kosaraju_scc(&self.calls);
        let circle = circles.iter().find(|circle| circle.contains(&node));
        let members = || circle.into_iter().flatten();
        let names: BTreeSet<_> = members().map(|index| format!("`{}`", self.calls[*index])).collect();
        let names: Vec<_> = names.into_iter().take(10).collect();
        let place = members().map(|index| self.uses[*index].place).min().unwrap_or(self.uses[node].place);
        match names.as_slice() {
            [one] => place.refuse(format!("the function {one} calls itself; Rego has no recursion")),
            many => place
                .refuse(format!("the functions {} call each other; Rego has no recursion", many.join(", "))),
        }
    }

    /// Rules that read each other in a circle are an error when they are
    /// evaluated, the second time one of them is entered: so a circle is as deep
    /// as all its rules together.
    fn check_depth(&self) -> Result<(), PolicyError> {
        let mut below: BTreeMap<NodeIndex, usize> = BTreeMap::new();
        // Each group comes after those it uses.
        for group in kosaraju_scc(&self.uses) {
            let own: usize = group.iter().map(|index| self.uses[*index].depth + 1).sum();
            let used = group.iter().flat_map(|index| self.uses.neighbors(*index));
            let deepest = used.filter_map(|index| below.get(&index)).max().copied().unwrap_or(0);
            let depth = own + deepest;
            if depth > MAX_DEPTH {
                let rule = &self.uses[group[0]];
                return Err(rule.place.refuse(format!(
                    "`{}` leans on rules that lean on rules, {depth} expressions deep; at most {MAX_DEPTH}",
                    rule.name
                )));
            }
            below.extend(group.iter().map(|index| (*index, depth)));
        }
        Ok(())
    }
}
