//! Names, the order of the steps, and cycles.

use crate::definition::finding::Findings;
use crate::definition::raw::{Raw, Text, at};
use crate::definition::{DefinitionError, MAX_STEPS};
use std::collections::{BTreeSet, HashMap};

pub(super) fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    (1..=64).contains(&text.len()) && text.as_bytes()[0].is_ascii_lowercase() && text.bytes().all(plain)
}

pub(super) fn check_name(name: &Text, what: &str) -> Result<(), DefinitionError> {
    if is_name(&name.value) {
        return Ok(());
    }
    let message = format!(
        "{:?} is no {what}: lower-case letters, digits, - and _, at most 64, a letter first",
        name.value
    );
    Err(at(name, message))
}

/// The position of each step. Identifiers appear in expressions, so they must be
/// CEL identifiers.
pub(super) fn index_steps(raw: &Raw, findings: &Findings) -> HashMap<String, usize> {
    if raw.steps.is_empty() || raw.steps.len() > MAX_STEPS {
        let message = format!("there are {} steps; 1 to {MAX_STEPS} are allowed", raw.steps.len());
        findings.error(at(&raw.name, message));
    }
    let mut index = HashMap::new();
    for (position, step) in raw.steps.iter().enumerate() {
        let id = &step.id;
        if !is_name(&id.value) || id.value.contains('-') {
            let message = format!(
                "{:?} is no step id: lower-case letters, digits and _, at most 64, a letter first",
                id.value
            );
            findings.error(at(id, message));
        }
        if index.contains_key(&id.value) {
            findings.error(at(id, format!("there are two steps {:?}; rename one", id.value)));
        } else {
            index.insert(id.value.clone(), position);
        }
    }
    index
}

/// A topological order, in the order of writing where the graph leaves a choice;
/// nothing when there is a cycle, which is told with its full path. `needs` that
/// name no step are told and left out.
pub(super) fn order(raw: &Raw, index: &HashMap<String, usize>, findings: &Findings) -> Option<Vec<usize>> {
    let mut waits_for = vec![BTreeSet::new(); raw.steps.len()];
    for (position, step) in raw.steps.iter().enumerate() {
        for need in &step.needs {
            match index.get(&need.value) {
                Some(before) => drop(waits_for[position].insert(*before)),
                None => {
                    let known: Vec<_> = raw.steps.iter().map(|s| s.id.value.as_str()).collect();
                    let message =
                        format!("there is no step {:?}; there are {}", need.value, known.join(", "));
                    findings.error(at(need, message));
                }
            }
        }
    }
    let mut left: BTreeSet<usize> = (0..raw.steps.len()).collect();
    let mut order = Vec::with_capacity(left.len());
    while let Some(next) = left.iter().copied().find(|step| waits_for[*step].is_disjoint(&left)) {
        left.remove(&next);
        order.push(next);
    }
    if left.is_empty() {
        return Some(order);
    }
    // What is left is on a cycle or behind one.
    let path = left.iter().find_map(|step| cycle_path(raw, index, *step));
    if let Some((start, path)) = path {
        let message = format!("these steps wait for each other: {path}; remove one of the `needs`");
        findings.error(at(&raw.steps[start].id, message));
    }
    None
}

/// The way from a step back to itself, in the direction of `needs`, if there is one.
fn cycle_path(raw: &Raw, index: &HashMap<String, usize>, start: usize) -> Option<(usize, String)> {
    let mut trail = vec![start];
    if !find_cycle(raw, index, start, start, &mut BTreeSet::new(), &mut trail) {
        return None;
    }
    let path = trail.iter().map(|i| raw.steps[*i].id.value.as_str()).collect::<Vec<_>>().join(" -> ");
    Some((start, path))
}

fn find_cycle(
    raw: &Raw,
    index: &HashMap<String, usize>,
    start: usize,
    from: usize,
    seen: &mut BTreeSet<usize>,
    trail: &mut Vec<usize>,
) -> bool {
    for before in raw.steps[from].needs.iter().filter_map(|n| index.get(&n.value).copied()) {
        trail.push(before);
        if before == start || (seen.insert(before) && find_cycle(raw, index, start, before, seen, trail)) {
            return true;
        }
        trail.pop();
    }
    false
}

/// For each step, every step that is certainly done before it.
pub(super) fn upstream(raw: &Raw, index: &HashMap<String, usize>, order: &[usize]) -> Vec<BTreeSet<usize>> {
    let mut upstream = vec![BTreeSet::new(); raw.steps.len()];
    for position in order {
        let mut before = BTreeSet::new();
        for need in raw.steps[*position].needs.iter().filter_map(|n| index.get(&n.value).copied()) {
            before.insert(need);
            before.extend(upstream[need].iter().copied());
        }
        upstream[*position] = before;
    }
    upstream
}
