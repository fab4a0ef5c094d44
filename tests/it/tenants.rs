//! Two tenants over every name of every RPC: what one tenant has is to the other what
//! does not exist, with the same code, the same words and the same fields; and what
//! only the platform sets, no request sets.

use crate::stand::{Real, Stand};
use probity_proto::prost_reflect::{FieldDescriptor, Kind, MethodDescriptor};
use probity_tests::Embedded;
use probity_tests::doors::{Doors, answer, message, methods, outcome};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tonic::Code;

/// How deep fields are looked for in messages.
const DEPTH: usize = 4;

/// RPCs that answer about the platform as a whole: their names are no tenant's.
const OF_NOBODY: [&str; 3] = ["AuditService", "DrillService", "MonitoringService"];

/// The request of each method in the API documentation, by `package.Service/Method`.
async fn examples(doors: &Doors) -> BTreeMap<String, Value> {
    let document = doors.rest("", "GET /api/openapi.json", "").await.body;
    let mut examples = BTreeMap::new();
    let items = document["paths"].as_object().expect("paths").values();
    for operation in items.flat_map(|item| item.as_object().expect("an item").values()) {
        let sample = operation["x-codeSamples"][1]["source"].as_str().expect("a line for grpcurl");
        let rpc = sample.rsplit(' ').next().unwrap_or_default().to_owned();
        let given = sample.split_once("-d '").and_then(|(_, rest)| rest.rsplit_once("' \\\n"));
        let json = given.map_or_else(|| "{}".to_owned(), |(json, _)| json.replace(r"'\''", "'"));
        examples.entry(rpc).or_insert_with(|| standard(serde_json::from_str(&json).expect("JSON")));
    }
    examples
}

/// The standard form of what grpcurl reads: a field mask is a text.
fn standard(mut request: Value) -> Value {
    if let Some(mask) = request.as_object_mut().and_then(|fields| fields.get_mut("updateMask")) {
        let paths = mask["paths"].as_array().cloned().unwrap_or_default();
        let paths: Vec<_> = paths.iter().filter_map(Value::as_str).map(camel).collect();
        *mask = json!(paths.join(","));
    }
    request
}

/// `max_running` as JSON has it.
fn camel(name: &str) -> String {
    let (first, rest) = name.split_once('_').unwrap_or((name, ""));
    let rest = rest.split('_').filter(|part| !part.is_empty());
    let upper = |part: &str| part[..1].to_uppercase() + &part[1..];
    std::iter::once(first.to_owned()).chain(rest.map(upper)).collect()
}

/// A place in a request where a name stands.
#[derive(Debug, Clone)]
struct Place {
    /// JSON names from the request on.
    path: Vec<String>,
    list: bool,
    /// What the name begins with.
    collection: &'static str,
}

/// The names that a request may carry: of text fields, those whose comment or example
/// spells a collection.
fn places(method: &MethodDescriptor, example: &Value, real: &Real) -> Vec<Place> {
    let mut places = Vec::new();
    let mut todo: Vec<(Vec<String>, FieldDescriptor)> =
        method.input().fields().map(|field| (Vec::new(), field)).collect();
    while let Some((before, field)) = todo.pop() {
        let mut path = before.clone();
        path.push(field.json_name().to_owned());
        match field.kind() {
            Kind::Message(inner) if !field.is_list() && !field.is_map() && path.len() < DEPTH => {
                todo.extend(inner.fields().map(|field| (path.clone(), field)));
            }
            Kind::String if !["filter", "orderBy"].contains(&field.json_name()) => {
                let given = at(example, &path);
                let given = given.as_array().map_or(given, |list| list.first().unwrap_or(&Value::Null));
                let spelled = format!("{} {}", comment(&field), given.as_str().unwrap_or_default());
                let found = real.collections().find(|collection| spelled.contains(&format!("{collection}/")));
                if let Some(collection) = found {
                    places.push(Place { path, list: field.is_list(), collection });
                }
            }
            _ => {}
        }
    }
    places
}

fn comment(field: &FieldDescriptor) -> String {
    let file = field.parent_file();
    let info = file.file_descriptor_proto().source_code_info.clone().unwrap_or_default();
    let at = info.location.iter().find(|location| location.path == field.path());
    at.map(|location| location.leading_comments().to_owned()).unwrap_or_default()
}

fn at<'v>(value: &'v Value, path: &[String]) -> &'v Value {
    path.iter().fold(value, |value, name| &value[name.as_str()])
}

fn put(value: &mut Value, path: &[String], new: Value) {
    let Some((last, before)) = path.split_last() else { return };
    let home = before.iter().fold(value, |value, name| {
        if value.get(name).is_none() {
            value[name.as_str()] = json!({});
        }
        &mut value[name.as_str()]
    });
    home[last.as_str()] = new;
}

/// The request with a name of another one in one place, and names of the caller's own
/// in all others; what it makes is called `new`.
fn request(example: &Value, own: &Real, place: &Place, name: &str, new: &str) -> Value {
    let mut request = own.in_place_of_examples(example);
    renamed(&mut request, new);
    put(&mut request, &place.path, if place.list { json!([name]) } else { json!(name) });
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_tenant_has_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let platform = Embedded::start(dir.path()).await;
    let doors = Doors::open(&platform.url).await;
    let examples = examples(&doors).await;
    let mut home = Stand::new(&platform).await;
    let theirs = home.real("theirs").await;
    let mut other = Stand::of(&platform, "t2").await;
    let own = other.real("own").await;
    let before = theirs.look(&home);
    let (mut asked, mut missing, mut wrong) = (0, 0, Vec::new());
    // The log first: what this tenant does under a name is told there a moment later.
    let mut methods = methods();
    methods.sort_by_key(|method| method.parent_service().name() != "AuditService");
    for method in methods {
        let rpc = format!("{}/{}", method.parent_service().full_name(), method.name());
        let Some(example) = examples.get(&rpc) else { continue };
        for place in places(&method, example, &theirs) {
            let service = method.parent_service();
            // Elsewhere than among accounts, who somebody is is a name and no thing.
            let is_name_only = place.collection == "users" && service.name() != "AccountService";
            let of_nobody = OF_NOBODY.contains(&service.name()) && place.collection != "cases";
            if of_nobody || is_name_only {
                continue;
            }
            let (there, nowhere) = (theirs.name(place.collection), theirs.missing(place.collection));
            let mut outcomes = Vec::new();
            for (round, name) in [&there, &nowhere].into_iter().enumerate() {
                let new = format!("new-{asked}-{round}");
                let bytes = message(&method, &request(example, &own, &place, name, &new));
                let (code, text) = outcome(&method, doors.grpc(other.token(), &method, bytes).await);
                outcomes.push((code, text.replace(name.as_str(), "NAME").replace(&Real::id(name), "ID")));
            }
            asked += 1;
            missing += usize::from(outcomes[0].0 == Code::NotFound);
            let same = steady(&outcomes[0]) == steady(&outcomes[1]);
            if !same || theirs.shows(&outcomes[0].1) {
                wrong.push(format!("{rpc} {:?}:\n  {:?}\n  {:?}", place.path, outcomes[0], outcomes[1]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(theirs.look(&home), before, "nothing was changed from outside");
    println!(
        "{asked} names of requests: a foreign one is answered as a missing one, {missing} with NOT_FOUND"
    );
    assert!(missing > 40, "{missing} of {asked}");
    platform.stop().await;
}

/// An outcome without what differs from call to call: ids that were made for it,
/// hashes and the time.
fn steady((code, text): &(Code, String)) -> (Code, String) {
    if *code != Code::Ok {
        return (*code, text.clone());
    }
    let mut value: Value = serde_json::from_str(text).unwrap_or_default();
    forget(&mut value);
    (*code, without_ids(&value.to_string()))
}

/// Fields that are another one in each answer.
const MADE: [&str; 8] =
    ["name", "index", "eventId", "requestId", "traceId", "leafHash", "receipt", "sequence"];

fn forget(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let passes =
                |name: &str| !name.ends_with("Time") && !name.ends_with("Times") && !name.ends_with("oken");
            fields.retain(|name, _| passes(name) && !MADE.contains(&name.as_str()));
            fields.values_mut().for_each(forget);
        }
        Value::Array(values) => values.iter_mut().for_each(forget),
        _ => {}
    }
}

/// Long numbers in hexadecimal are ids and hashes.
fn without_ids(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_hexdigit()) {
        let digits = word.trim_end_matches(|c: char| !c.is_ascii_hexdigit());
        let shown = if digits.len() >= 16 { "#" } else { digits };
        out.push_str(shown);
        out.push_str(&word[digits.len()..]);
    }
    out
}

/// What a field that only the platform sets is sent as, and what must not come back.
fn hostile(field: &FieldDescriptor) -> Option<Value> {
    let one = match field.kind() {
        Kind::String => json!("hostile-value"),
        Kind::Bool => json!(true),
        Kind::Int32 | Kind::Uint32 => json!(424_242),
        Kind::Int64 | Kind::Uint64 => json!("424242"),
        Kind::Double | Kind::Float => json!(424_242.0),
        Kind::Message(m) if m.full_name() == "google.protobuf.Timestamp" => json!("2001-09-09T01:46:41Z"),
        Kind::Message(m) if m.full_name() == "google.protobuf.Duration" => json!("424242s"),
        Kind::Enum(values) => json!(values.values().last()?.name()),
        Kind::Message(m) if field.is_map() || m.is_map_entry() => return None,
        Kind::Message(m) => {
            let fields =
                m.fields().filter_map(|inner| Some((inner.json_name().to_owned(), hostile_flat(&inner)?)));
            Value::Object(fields.collect())
        }
        _ => return None,
    };
    Some(if field.is_list() { json!([one]) } else { one })
}

/// The same without messages in it.
fn hostile_flat(field: &FieldDescriptor) -> Option<Value> {
    if matches!(field.kind(), Kind::Message(_)) { None } else { hostile(field) }
}

fn is_output_only(field: &FieldDescriptor) -> bool {
    let extension = probity_proto::pool().get_extension_by_name("google.api.field_behavior").expect("known");
    let options = field.options();
    let behaviours = options.get_extension(&extension);
    behaviours.as_list().unwrap_or_default().iter().any(|behaviour| behaviour.as_enum_number() == Some(3))
}

/// The OUTPUT_ONLY fields that a request may carry, with the path to each.
fn output_only(method: &MethodDescriptor) -> Vec<(Vec<String>, FieldDescriptor)> {
    let mut found = Vec::new();
    let mut todo: Vec<(Vec<String>, FieldDescriptor)> =
        method.input().fields().map(|field| (Vec::new(), field)).collect();
    while let Some((before, field)) = todo.pop() {
        let mut path = before;
        path.push(field.json_name().to_owned());
        if is_output_only(&field) {
            found.push((path, field));
        } else if let (Kind::Message(inner), true) = (field.kind(), path.len() < DEPTH)
            && !field.is_list()
            && !inner.full_name().starts_with("google.")
        {
            todo.extend(inner.fields().map(|field| (path.clone(), field)));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_platform_sets_no_request_sets() {
    let dir = tempfile::tempdir().unwrap();
    let platform = Embedded::start(dir.path()).await;
    let doors = Doors::open(&platform.url).await;
    let examples = examples(&doors).await;
    let mut stand = Stand::new(&platform).await;
    let own = stand.real("own").await;
    let (mut sent, mut rpcs, mut wrong) = (0, Vec::new(), Vec::new());
    for method in methods() {
        let rpc = format!("{}/{}", method.parent_service().full_name(), method.name());
        let fields = output_only(&method);
        let Some(example) = examples.get(&rpc).filter(|_| !fields.is_empty()) else { continue };
        rpcs.push(method.name().to_owned());
        let mut answers = Vec::new();
        for attack in [false, true] {
            let mut request = own.in_place_of_examples(example);
            renamed(&mut request, if attack { "attacked" } else { "plain" });
            for (path, field) in fields.iter().filter(|_| attack) {
                if let Some(value) = hostile(field) {
                    put(&mut request, path, value);
                    sent += 1;
                }
            }
            let called = doors.grpc(stand.token(), &method, message(&method, &request)).await;
            match called {
                Ok(bytes) => answers.push(answer(&method, bytes)),
                Err(status) => wrong.push(format!("{rpc} (attack: {attack}): {status:?}")),
            }
        }
        let [plain, attacked] = answers.as_slice() else { continue };
        let text = attacked.to_string();
        for trace in ["hostile-value", "424242", "2001-09-09"] {
            if text.contains(trace) {
                wrong.push(format!("{rpc}: {trace} came back: {text}"));
            }
        }
        let (mut plain, mut attacked) = (plain.clone(), attacked.clone());
        forget(&mut plain);
        forget(&mut attacked);
        if plain != attacked {
            wrong.push(format!("{rpc}:\n  {plain}\n  {attacked}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{sent} fields that only the platform sets, sent to {}: none was taken", rpcs.join(", "));
    assert!(sent > 10, "{sent}");
    platform.stop().await;
}

/// What is made gets a name of its own, so that it can be made twice.
fn renamed(request: &mut Value, suffix: &str) {
    if let Some(id) = request.get_mut("scheduleId") {
        *id = json!(format!("schedule-{suffix}"));
    }
    let fields: Option<&mut Map<String, Value>> = request.as_object_mut();
    let is_new =
        fields.is_some_and(|fields| fields.contains_key("password") && fields.contains_key("account"));
    if is_new {
        request["account"]["name"] = json!(format!("users/{suffix}"));
    }
}
