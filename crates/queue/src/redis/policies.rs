//! The rules of queues as the script reads them.
//!
//! They are kept here and go along with every call, so that the server may lose
//! everything and the rules still hold. A change reaches a tenant or key that is
//! held by its limit when its next task ends.

use crate::{Policy, Rate, TenantRule};
use parking_lot::RwLock;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// JSON by queue; only of queues that have rules.
#[derive(Debug, Default)]
pub(super) struct Policies(RwLock<HashMap<Arc<str>, Arc<str>>>);

impl Policies {
    pub(super) fn set(&self, queue: &Arc<str>, policy: &Policy) {
        let mut all = self.0.write();
        if *policy == Policy::default() {
            all.remove(queue);
        } else {
            all.insert(Arc::clone(queue), of_policy(policy).to_string().into());
        }
    }

    pub(super) fn get(&self, queue: &str) -> Option<Arc<str>> {
        self.0.read().get(queue).cloned()
    }
}

fn of_policy(policy: &Policy) -> Value {
    let rules = policy.tenants.iter().map(|(tenant, rule)| (tenant.clone(), of_rule(rule)));
    let mut object = object([
        ("c", policy.concurrency.map(Value::from)),
        ("k", policy.key_concurrency.map(Value::from)),
        ("r", policy.rate.map(of_rate)),
    ]);
    object.insert("lease".into(), micros(policy.lease));
    object.insert("t".into(), of_rule(&policy.tenant));
    object.insert("ts".into(), Value::Object(rules.collect()));
    Value::Object(object)
}

fn of_rule(rule: &TenantRule) -> Value {
    let weight = Some(Value::from(rule.weight));
    Value::Object(object([
        ("w", weight),
        ("c", rule.concurrency.map(Value::from)),
        ("r", rule.rate.map(of_rate)),
    ]))
}

fn of_rate(rate: Rate) -> Value {
    json!({ "c": rate.count, "p": micros(rate.period), "b": rate.burst })
}

fn micros(duration: std::time::Duration) -> Value {
    Value::from(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

/// Without the members that have no value: Lua has no use for null.
fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Map<String, Value> {
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}
