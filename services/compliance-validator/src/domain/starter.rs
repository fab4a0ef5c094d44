//! The policies every tenant begins with. A tenant replaces one by publishing a
//! policy of the same name.
//!
//! A version that was released is never edited: decisions name it. A change is a
//! new version here.

use super::policy::source_sha256;
use super::{CaseKind, Policy, PolicyName};
use std::sync::LazyLock;

/// Who published them, as an answer says it.
pub const PUBLISHER: &str = "probity";

const TEXTS: &[(&str, i64, &str, CaseKind)] = &[
    ("messages", 1, include_str!("../../policies/messages.rego"), CaseKind::Message),
    ("payments", 1, include_str!("../../policies/payments.rego"), CaseKind::Payment),
    ("procurement", 1, include_str!("../../policies/procurement.rego"), CaseKind::Tender),
    ("reports", 1, include_str!("../../policies/reports.rego"), CaseKind::Report),
];

static POLICIES: LazyLock<Vec<Policy>> = LazyLock::new(|| TEXTS.iter().filter_map(policy).collect());

fn policy((name, version, source, kind): &(&str, i64, &str, CaseKind)) -> Option<Policy> {
    let name: PolicyName = name.parse().ok()?;
    Some(Policy {
        name,
        version: *version,
        source: (*source).into(),
        sha256: source_sha256(source),
        kinds: vec![*kind],
        published_by: PUBLISHER.to_owned(),
        publish_time: None,
    })
}

/// The policies by name.
#[must_use]
pub fn policies() -> &'static [Policy] {
    &POLICIES
}

/// The one of that name.
#[must_use]
pub fn find(name: &PolicyName) -> Option<&'static Policy> {
    policies().iter().find(|policy| policy.name == *name)
}

#[cfg(test)]
mod tests;
