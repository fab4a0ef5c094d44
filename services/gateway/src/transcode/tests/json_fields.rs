//! Fields that are JSON themselves: any value goes in and comes out unchanged.

use super::super::wire::{Fields, Raw};
use super::*;
use proptest::prelude::*;

/// The item that a body makes; `None` when it is refused.
pub(super) fn item(body: &str) -> Option<Vec<u8>> {
    let found = SHOP.find(&Http::POST, "/v1/items").unwrap_or_else(|miss| panic!("{miss:?}"));
    let request = SHOP.request(&found, &Parts { query: "", body: body.to_owned().into() }).ok()?;
    Some(first_message(&request))
}

fn first_message(request: &[u8]) -> Vec<u8> {
    let mut fields = Fields::of(request).map(|field| field.expect("a message"));
    match fields.find(|(number, _)| *number == 1) {
        Some((_, Raw::Bytes(bytes))) => bytes.to_vec(),
        _ => Vec::new(),
    }
}

/// An item as REST shows it.
pub(super) fn print(item: &[u8]) -> Result<String, String> {
    let method = SHOP.method("/shop.v1.ShopService/GetItem").expect("method");
    let mut out = Vec::new();
    Reply::new(method, item.to_vec().into()).write_json(&mut out)?;
    Ok(String::from_utf8(out).expect("text"))
}

/// The text of a field of an item as it comes out again; `absent` when it does not.
fn there_and_back(body: &str, field: &str) -> String {
    let Some(item) = item(body) else { return "refused".to_owned() };
    let json = print(&item).expect("printed");
    let fields: std::collections::BTreeMap<String, Box<serde_json::value::RawValue>> =
        serde_json::from_str(&json).unwrap_or_else(|error| panic!("{json}: {error}"));
    fields.get(field).map_or("absent", |text| text.get()).to_owned()
}

#[test]
fn any_value_goes_in_and_comes_out_unchanged() {
    let check = |value: &str| {
        assert_eq!(there_and_back(&format!(r#"{{"payload":{value}}}"#), "payload"), value.trim(), "{value}");
    };
    for value in [
        "{}",
        "[]",
        "null",
        "true",
        "0",
        "-0.0",
        r#""""#,
        r#""\u00e9\n\"é""#,
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551615",
        "9007199254740993",
        "0.123456789012345678901234567890",
        "123456789012345678901234567890.5",
        "1e400",
        "1.10",
        r#"{"b":1,"a":[{"c": null , "c":2}]}"#,
        r#"  {"x" : 1}  "#,
        r#"[[[[1]]]]"#,
    ] {
        check(value);
    }
}

#[test]
fn what_is_absent_is_null_and_null_is_absent() {
    let check = |body: &str, field: &str, expect: &str| {
        assert_eq!(there_and_back(body, field), expect, "{body} {field}");
    };
    check("{}", "payload", "null");
    check(r#"{"payload":null}"#, "payload", "null");
    check("{}", "maybe", "absent");
    check(r#"{"maybe":null}"#, "maybe", "absent");
    check(r#"{"maybe":1.50}"#, "maybe", "1.50");
    check("{}", "payloads", "[]");
    check(r#"{"payloads":[null,1.0,{"a":[]}]}"#, "payloads", r#"[null,1.0,{"a":[]}]"#);
    check(r#"{"namedPayloads":{"b":1e5,"a":null}}"#, "namedPayloads", r#"{"a":null,"b":1e5}"#);
    assert_eq!(item(r#"{"payload":null}"#), item("{}"), "no bytes at all");
}

#[test]
fn limits_and_syntax_hold_inside_of_a_value() {
    let check = |body: &str, expect: &str| check("POST /v1/items", body, expect);
    let nested = |levels: usize| format!(r#"{{"payload":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    assert!(item(&nested(63)).is_some());
    check(&nested(64), "json");
    check(&nested(1_000_000), "json");
    check(r#"{"payload":{"a":}}"#, "json");
    check(r#"{"payload":[1,]}"#, "json");
    check(r#"{"payload":NaN}"#, "json");
    check(r#"{"payload":01}"#, "json");
    check(r#"{"payload":"a"#, "json");
    check("{\"payload\":\"a\nb\"}", "json");
    check(r#"{"payload":1,"payload":1}"#, "field item.payload");
    check(r#"{"payloads":1}"#, "field item.payloads");
    check(r#"{"payloads":{"0":1}}"#, "field item.payloads");
}

#[test]
fn a_whole_body_and_a_parameter_can_be_json() {
    let check = |call: &str, body: &str, expect: &[(u32, &str)]| {
        let (http, uri) = call.split_once(' ').expect("method and path");
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let http = Http::from_bytes(http.as_bytes()).expect("method");
        let found = SHOP.find(&http, path).unwrap_or_else(|miss| panic!("{call}: {miss:?}"));
        let request = SHOP.request(&found, &Parts { query, body: body.to_owned().into() });
        let request = request.unwrap_or_else(|fault| panic!("{call} {body}: {fault:?}"));
        let fields: Vec<_> = Fields::of(&request).map(|field| field.expect("a field")).collect();
        let expect: Vec<_> = expect.iter().map(|(n, text)| (*n, Raw::Bytes(text.as_bytes()))).collect();
        assert_eq!(fields, expect, "{call} {body}");
    };
    let name = (1, "items/i1");
    check("PUT /v1/items/i1/payload", r#" {"a": 1.00} "#, &[name, (2, r#"{"a": 1.00}"#)]);
    check("PUT /v1/items/i1/payload", "[1,2]", &[name, (2, "[1,2]")]);
    check("PUT /v1/items/i1/payload", "null", &[name]);
    check("PUT /v1/items/i1/payload", "", &[name]);
    check("PUT /v1/items/i1/payload?hint=%5B1%2C+2%5D", "7", &[name, (2, "7"), (3, "[1, 2]")]);
    super::check("PUT /v1/items/i1/payload?hint=%5B", "7", "parameter hint");
    super::check("PUT /v1/items/i1/payload", "{} {}", "json");
}

#[test]
fn a_line_of_a_stream_stays_a_line() {
    let pretty = "{\"payload\":{\r\n  \"a\": [\n1\n]}}";
    assert_eq!(there_and_back(pretty, "payload"), r#"{    "a": [ 1 ]}"#);
}

#[test]
fn an_answer_that_is_no_json_is_refused_by_name() {
    let method = SHOP.method("/shop.v1.ShopService/PutPayload").expect("method");
    assert!(method.bytes_reply.is_none(), "JSON is no file");
    let check = |payload: &[u8], expect: Result<&str, &str>| {
        let length = u8::try_from(payload.len()).expect("short");
        let reply = [&[0x0a, length], payload].concat();
        let mut out = Vec::new();
        let printed = Reply::new(method, reply.into()).write_json(&mut out);
        match expect {
            Ok(json) => assert_eq!(String::from_utf8_lossy(&out), json),
            Err(part) => assert!(printed.expect_err("refused").contains(part), "{payload:?}"),
        }
    };
    check(b"[1.0]", Ok(r#"{"payload":[1.0]}"#));
    check(b"", Ok(r#"{"payload":null}"#));
    check(b"{", Err(r#""payload": is no JSON"#));
    check(b"1 2", Err("is no JSON"));
    check(b"\xff", Err("is not UTF-8"));
}

#[test]
fn the_options_of_the_contracts_are_seen() {
    let transcoder = Transcoder::new(probity_proto::pool(), Limits::default()).expect("routes");
    let found = transcoder.find(&Http::POST, "/v1/executions").unwrap_or_else(|miss| panic!("{miss:?}"));
    let body = r#"{"definition":"definitions/d","input":{"amount":1.10},"wait":"30s"}"#;
    let request = transcoder.request(&found, &Parts { query: "", body: body.into() }).expect("read");
    let request: probity_proto::orchestrator::StartExecutionRequest =
        prost_reflect::prost::Message::decode(request).expect("decodes");
    assert_eq!(request.input, r#"{"amount":1.10}"#);
}

/// The text of some JSON value: numbers with many digits among them.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|flag| flag.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| number.to_string()),
        "-?(0|[1-9][0-9]{0,29})\\.[0-9]{1,30}",
        "-?[1-9][0-9]{0,29}[eE][+-]?[0-9]{1,4}",
        "\\PC{0,12}".prop_map(|text| serde_json::Value::from(text).to_string()),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        let member = ("[a-z]{1,3}", inner.clone()).prop_map(|(key, value)| format!("\"{key}\":{value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|list| format!("[{}]", list.join(", "))),
            prop::collection::vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn value_in_is_value_out(value in value()) {
        prop_assert_eq!(there_and_back(&format!(r#"{{"payload":{value}}}"#), "payload"), value.as_str());
        let list = there_and_back(&format!(r#"{{"payloads":[{value},{value}]}}"#), "payloads");
        prop_assert_eq!(list, format!("[{value},{value}]"));
        prop_assert_eq!(there_and_back(&format!(r#"{{"parent":{{"payload":{value}}}}}"#), "payload"), "null");
    }
}
