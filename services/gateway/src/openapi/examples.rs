//! A request for each method that works: what the contract gives in its
//! `probity.common.v1.example` option, else its required fields filled in.

use super::comments::Comments;
use crate::transcode::schema::{is_json, is_required};
use prost_reflect::{FieldDescriptor, Kind, MethodDescriptor};
use serde_json::{Map, Value, json};

/// What stands for a resource in the examples. The ids are of the right form and
/// belong to nothing.
pub const RESOURCES: [(&str, &str); 15] = [
    ("cases", "case_01a1fd0700ff74d588c386b22dc28ceb"),
    ("executions", "exec_01a1fd0700ff74d588c386b22dc28cec"),
    ("findings", "find_01a1fd0700ff74d588c386b22dc28ced"),
    ("tasks", "task_01a1fd0700ff74d588c386b22dc28cee"),
    ("workflows", "exec_01a1fd0700ff74d588c386b22dc28cec"),
    ("documents", "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9"),
    ("deadLetters", "exec_01a1fd0700ff74d588c386b22dc28cec.screen"),
    ("definitions", "screening"),
    ("policies", "procurement"),
    ("queues", "screening"),
    ("entries", "0"),
    ("schedules", "nightly"),
    ("users", "olga"),
    ("service-accounts", "erp"),
    ("evaluations", "eval_01a1fd0700ff74d588c386b22dc28cef"),
];

/// What an id of a collection looks like; without a pattern, 1 to 200 characters.
pub(super) fn pattern(collection: &str) -> Option<&'static str> {
    Some(match collection {
        "cases" => "^case_[0-9a-f]{32}$",
        "executions" | "workflows" => "^exec_[0-9a-f]{32}$",
        "findings" => "^find_[0-9a-f]{32}$",
        "tasks" => "^task_[0-9a-f]{32}$",
        "documents" => "^[0-9a-f]{64}$",
        "deadLetters" => "^exec_[0-9a-f]{32}\\.[A-Za-z0-9_-]{1,64}(\\.[0-9]{1,6})?$",
        "queues" => "^[A-Za-z0-9._-]{1,64}$",
        "entries" => "^[0-9]+$",
        "policies" => "^[a-z][a-z0-9-]{0,62}$",
        _ => return None,
    })
}

/// The fields of a request, by JSON name.
///
/// # Errors
/// When the example of the contract is no JSON object.
pub(super) fn of(method: &MethodDescriptor, comments: &Comments) -> Result<Map<String, Value>, String> {
    let options = method.options();
    let extension = method.parent_pool().get_extension_by_name("probity.common.v1.example");
    if let Some(extension) = extension.filter(|ext| options.has_extension(ext)) {
        let value = options.get_extension(&extension);
        let text = value.as_str().unwrap_or_default();
        return serde_json::from_str(text).map_err(|e| format!("{}: its example: {e}", method.full_name()));
    }
    let needed = method.input().fields().filter(is_required).collect::<Vec<_>>();
    Ok(needed.iter().map(|field| (field.json_name().to_owned(), any(field, comments))).collect())
}

/// Something that fits a field.
fn any(field: &FieldDescriptor, comments: &Comments) -> Value {
    let one = match field.kind() {
        Kind::Bool => json!(true),
        Kind::Enum(values) => json!(values.get_value(1).map_or_else(String::new, |v| v.name().to_owned())),
        Kind::Bytes if is_json(field) => json!({}),
        Kind::Bytes => json!("RnJlZSBvZmZlciE="),
        Kind::String => json!(text(field, comments)),
        Kind::Message(_) => json!({}),
        _ => json!(1),
    };
    if field.is_list() { json!([one]) } else { one }
}

/// The name of a resource where the comment of the field spells one, such as
/// `cases/<id>`.
fn text(field: &FieldDescriptor, comments: &Comments) -> String {
    let about = comments.at(field.parent_file().name(), field.path());
    let spelled = about.split('`').nth(1).unwrap_or_default();
    let parts: Vec<_> = spelled.split('/').collect();
    if !spelled.contains('<') || parts.len() < 2 {
        return match field.name() {
            "reason" | "note" => "Opened twice by mistake.".to_owned(),
            other => other.to_owned(),
        };
    }
    let filled = parts.chunks(2).map(|pair| {
        let id = RESOURCES.iter().find(|(collection, _)| *collection == pair[0]).map_or("1", |(_, id)| *id);
        format!("{}/{id}", pair[0])
    });
    filled.collect::<Vec<_>>().join("/")
}
