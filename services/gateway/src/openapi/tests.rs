use super::*;
use crate::transcode::Limits;
use std::collections::BTreeSet;

fn made() -> Value {
    let pool = probity_proto::pool();
    let transcoder = Transcoder::new(pool, Limits::default()).expect("the contracts");
    document(pool, &transcoder, "1.2.3").expect("a document")
}

fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let all = paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().expect("an item");
        item.iter().map(move |(verb, operation)| (path.clone(), verb.clone(), operation))
    });
    all.collect()
}

#[test]
fn every_route_is_there_and_whole() {
    let document = made();
    let pool = probity_proto::pool();
    let transcoder = Transcoder::new(pool, Limits::default()).expect("the contracts");
    let operations = operations(&document);
    assert_eq!(operations.len(), transcoder.route_count());
    let mut ids = BTreeSet::new();
    for (path, verb, operation) in operations {
        let at = format!("{verb} {path}");
        assert!(ids.insert(operation["operationId"].to_string()), "{at}: its id is taken");
        assert!(!operation["summary"].as_str().unwrap_or_default().is_empty(), "{at} has no summary");
        assert_eq!(operation["x-codeSamples"].as_array().map(Vec::len), Some(6), "{at}");
        let responses = operation["responses"].as_object().expect("responses");
        assert!(responses.contains_key("200") && responses.contains_key("400"), "{at}");
        for name in path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
            let parameters = operation["parameters"].as_array().expect("parameters");
            assert!(parameters.iter().any(|p| p["name"] == name && p["in"] == "path"), "{at}: {name}");
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(document: &Value, value: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                    let pointer = reference.trim_start_matches('#');
                    assert!(document.pointer(pointer).is_some_and(|v| !v.is_null()), "{reference}");
                }
                fields.values().for_each(|value| walk(document, value));
            }
            Value::Array(values) => values.iter().for_each(|value| walk(document, value)),
            _ => {}
        }
    }
    let document = made();
    walk(&document, &document);
}

#[test]
fn public_operations_need_no_token() {
    let document = made();
    let open: Vec<_> =
        operations(&document).into_iter().filter(|(.., o)| o.get("security").is_some()).collect();
    let paths: Vec<_> = open.iter().map(|(path, ..)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/.well-known/jwks.json",
            "/health/live",
            "/health/ready",
            "/v1/keys",
            "/v1/log/checkpoint",
            "/v1/log/consistency",
            "/v1/log/key",
            "/v1/methods",
            "/v1/platform",
            "/v1/sessions:login",
            "/v1/sessions:logout",
            "/v1/sessions:refresh"
        ]
    );
}

#[test]
fn what_goes_both_ways_is_described_for_both() {
    let document = made();
    let queue = &document["components"]["schemas"]["QueueRate"];
    assert!(queue["required"].as_array().is_some_and(|r| r.iter().any(|f| f == "count")), "{queue}");
    let rate = &document["components"]["schemas"]["QueueRateInput"];
    assert_eq!(rate["additionalProperties"], false);
    assert_eq!(rate["properties"]["count"]["type"], json!(["integer", "null"]), "null is absent");
    let names: Vec<_> = document["components"]["schemas"].as_object().expect("schemas").keys().collect();
    assert!(names.iter().any(|n| *n == "AnticorruptionDisposition"), "{names:?}");
}
