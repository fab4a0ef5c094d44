//! Definitions that together have every feature, and what they are opened with.

use probity_engine::{CaseKind, Opening, What};
use probity_types::{Role, Roles};
use serde_json::{Value as Json, json};

/// Lists, children, signals, routes, deadlines, points in time, and a place to wait for.
pub const FLOW: &str = r#"
name: flow
limit: {key: input.what, running: 2}
steps:
  - id: fetch
    task: fetch
    input: {what: input.what}
    retry: {max_attempts: 3, base: 100ms, cap: 1s, jitter: equal, multiplier: 3, total: 20s}
    no_retry_on: [NEVER]
    on_error: {route: rescue}
  - id: rescue
    needs: [fetch]
    task: rescue
    input: {why: steps.fetch.error.code}
  - id: each
    needs: [fetch]
    for_each: input.items
    concurrency: 3
    task: one
    input: {item: item, index: index}
    retry: quick
    deadline: 30s
    compensate: {task: undo_one, input: {item: item}}
  - id: lenient
    needs: [fetch]
    for_each: input.items
    task: maybe
    input: {item: item.name}
    retry: never
    on_error: continue
  - id: child
    needs: [rescue]
    workflow: other
    input: {of: execution.name}
    on_error: compensate
    retry: quick
    compensate: {workflow: undo_other}
  - id: children
    needs: [rescue]
    for_each: input.items
    workflow: other
    input: {of: item.name}
    concurrency: 2
  - id: routed
    needs: [rescue]
    for_each: input.items
    concurrency: 2
    workflow: other
    retry: {max_attempts: 2, base: 1s, cap: 1s}
    deadline: 20s
    on_error: {route: instead}
    compensate: {task: undo_routed, input: {item: item.name}}
  - id: instead
    needs: [routed]
    task: instead
    input: {why: steps.routed.error.code}
  - id: go
    needs: [rescue]
    wait: {signal: go, timeout: 20s, schema: {type: object}}
  - id: also
    needs: [go]
    wait: {signal: go}
  - id: pause
    needs: [rescue]
    wait: {until: "'2023-11-14T22:13:40Z'"}
  - id: last
    needs: [each, lenient, child, children, instead, also, pause]
    task: last
    input: {got: steps.go.received}
    deadline: 5s
    on_error: fail
output: {done: size(steps.last), each: steps.each}
"#;

/// Approvals with everything, states with deadlines and guards.
pub const CASE: &str = r#"
name: officers
states:
  pending: {due: 10s, remind: [5s, 2s], escalate_to: [roles/operator]}
  investigating: {due: 1m, escalate_to: [users/boss]}
  remediating: {guard: "has(steps.look.score) && steps.look.score >= 0", reason: there is no score}
  resolved: {guard: "steps.second.disposition != ''", reason: nobody decided}
steps:
  - id: look
    state: investigating
    task: look
    input: {case: case.name}
    retry: quick
  - id: act
    needs: [look]
    state: remediating
    task: act
    compensate: {task: undo}
  - id: first
    needs: [look]
    wait:
      approval:
        reason: "'look'"
        required: "1"
        assignees: "['roles/officer', 'users/1']"
        due: 30s
        remind: [10s, 20s]
        escalate: {to: [users/boss], after: 25s}
        four_eyes: true
  - id: second
    needs: [first, act]
    wait:
      approval: {reason: "'sure?'", required: "2", four_eyes: true}
verdict:
  - when: steps.second.disposition == 'CONFIRMED'
    outcome: confirmed
    reasons: "['so it is']"
  - outcome: clear
    reasons: "[]"
"#;

/// What an execution that is not a case is opened with.
pub fn plain(input: Json) -> Opening {
    Opening {
        name: "executions/exec_1".into(),
        what: What::Plain,
        input,
        priority: 2,
        owner: "users/0".into(),
        owner_roles: Roles::new([Role::Submitter]),
        parent: None,
    }
}

/// What a case is opened with.
pub fn case() -> Opening {
    let what = What::Case {
        kind: CaseKind::Payment,
        subject: "simulated".into(),
        documents: vec!["documents/a".into()],
    };
    Opening { name: "cases/case_1".into(), what, ..plain(Json::Null) }
}

/// Some items.
pub fn items(count: u32) -> Json {
    let items: Vec<Json> = (0..count).map(|n| json!({"name": format!("item {n}")})).collect();
    json!({"what": "everything", "items": items})
}
