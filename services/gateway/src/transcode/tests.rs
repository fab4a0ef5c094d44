//! The transcoder as a whole, over a contract that has every kind of rule and
//! field, and over the real contracts.

use super::*;
use http::Method as Http;
use prost_reflect::DynamicMessage;
use std::sync::LazyLock;

mod json_fields;
mod laws;
mod speed;

fn shop_pool() -> DescriptorPool {
    let root = env!("CARGO_MANIFEST_DIR");
    let includes = [format!("{root}/tests/proto"), format!("{root}/../../proto")];
    let mut compiler = protox::Compiler::new(includes).expect("folders");
    compiler.include_imports(true).open_file("shop/v1/shop.proto").expect("compiles");
    DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).expect("decodes")
}

static SHOP: LazyLock<Transcoder> =
    LazyLock::new(|| Transcoder::new(&shop_pool(), Limits::default()).expect("routes"));

/// `METHOD path?query` and a body, to `rpc` and the request message as JSON.
fn transcode(call: &str, body: &[u8]) -> Result<(String, serde_json::Value), Fault> {
    let (http, uri) = call.split_once(' ').expect("method and path");
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let http = Http::from_bytes(http.as_bytes()).expect("method");
    let found = SHOP.find(&http, path).unwrap_or_else(|miss| panic!("{call}: {miss:?}"));
    let parts = Parts { query, body: body.to_vec().into() };
    let bytes = SHOP.request(&found, &parts)?;
    let method = &found.rule.method;
    let message = DynamicMessage::decode(method.input.clone(), bytes).expect("a message of the method");
    let rpc = method.path.as_str().rsplit('/').next().unwrap_or_default().to_owned();
    Ok((rpc, serde_json::to_value(&message).expect("json")))
}

fn check(call: &str, body: &str, expect: &str) {
    let got = match transcode(call, body.as_bytes()) {
        Ok((rpc, json)) => format!("{rpc} {json}"),
        Err(Fault::Field { field, .. }) => format!("field {field}"),
        Err(Fault::Parameter { field, .. }) => format!("parameter {field}"),
        Err(Fault::Json(_)) => "json".to_owned(),
        Err(Fault::Encoding(_)) => "encoding".to_owned(),
        Err(Fault::UnexpectedBody) => "body".to_owned(),
    };
    assert_eq!(got, expect, "{call} {body}");
}

#[test]
fn path_query_and_body_make_the_request() {
    check("GET /v1/items/i1", "", r#"GetItem {"name":"items/i1"}"#);
    check("GET /v1/items/i1?deep=true", "", r#"GetItem {"deep":true,"name":"items/i1"}"#);
    check("GET /v1/items?pageSize=5&page_token=a%26b", "", r#"ListItems {"pageSize":5,"pageToken":"a&b"}"#);
    check("GET /v1/shelves/s1/items", "", r#"ListItems {"parent":"shelves/s1"}"#);
    check("GET /v1/items?", "", "ListItems {}");
    check("GET /v1/items?&&pageSize=5&", "", r#"ListItems {"pageSize":5}"#);
    check("POST /v1/items", r#"{"name":"a"}"#, r#"CreateItem {"item":{"name":"a"}}"#);
    check(
        "POST /v1/items?validateOnly=true",
        r#"{"name":"a"}"#,
        r#"CreateItem {"item":{"name":"a"},"validateOnly":true}"#,
    );
    check("POST /v1/items", "", "CreateItem {}");
    check("POST /v1/items", "null", "CreateItem {}");
    check(
        "PATCH /v1/items/i1?updateMask=i32,flag",
        r#"{"i32":5}"#,
        r#"UpdateItem {"item":{"i32":5,"name":"items/i1"},"updateMask":"i32,flag"}"#,
    );
    check("PUT /v1/items/i1", r#"{"item":{"i32":5}}"#, r#"ReplaceItem {"item":{"i32":5,"name":"items/i1"}}"#);
    check("DELETE /v1/items/i1", "", r#"DeleteItem {"name":"items/i1"}"#);
    check("POST /v1/items/i1:tag", r#"["a","b"]"#, r#"Tag {"name":"items/i1","tags":["a","b"]}"#);
    check("GET /v1/items:watch?pageSize=1", "", r#"WatchItems {"pageSize":1}"#);
    check("GET /v1/files/a/b:read", "", r#"ReadFile {"path":"files/a/b"}"#);
    check(
        "POST /v1/files/a?mediaType=text/plain",
        "hi",
        r#"WriteFile {"data":"aGk=","mediaType":"text/plain","path":"files/a"}"#,
    );
}

#[test]
fn query_parameters_reach_every_kind_of_field() {
    let check = |query: &str, expect: &str| check(&format!("GET /v1/items?{query}"), "", expect);
    check("colours=COLOUR_RED&colours=2", r#"ListItems {"colours":["COLOUR_RED","COLOUR_BLUE"]}"#);
    check("like.parent.flag=true", r#"ListItems {"like":{"parent":{"flag":true}}}"#);
    check("like.i64=-9223372036854775808", r#"ListItems {"like":{"i64":"-9223372036854775808"}}"#);
    check("like.dueTime=2024-02-29T00:00:00Z", r#"ListItems {"like":{"dueTime":"2024-02-29T00:00:00Z"}}"#);
    check("like.wait=1.5s", r#"ListItems {"like":{"wait":"1.500s"}}"#);
    check("like.boxed=7", r#"ListItems {"like":{"boxed":"7"}}"#);
    check("like.boxedFlag=true", r#"ListItems {"like":{"boxedFlag":true}}"#);
    check("like.numbers=1&like.numbers=2", r#"ListItems {"like":{"numbers":["1","2"]}}"#);
    check("like.note=", r#"ListItems {"like":{"note":""}}"#);
    check("cursor=AP8", r#"ListItems {"cursor":"AP8="}"#);
    check("like.owner=me", "ListItems {}");
    check("like.createTime=whenever", "ListItems {}");
}

#[test]
fn wrong_query_parameters_are_named() {
    let check = |query: &str, expect: &str| check(&format!("GET /v1/items?{query}"), "", expect);
    check("nope=1", "parameter nope");
    check("pageSize", "parameter pageSize");
    check("pageSize=", "parameter pageSize");
    check("pageSize=x", "parameter pageSize");
    check("pageSize=99999999999", "parameter pageSize");
    check("pageSize=1&pageSize=1", "parameter pageSize");
    check("pageSize=1&page_size=1", "parameter page_size");
    check("colours=PURPLE", "parameter colours");
    check("like=x", "parameter like");
    check("like.nope=1", "parameter like.nope");
    check("like.i32.x=1", "parameter like.i32.x");
    check("like.counts=1", "parameter like.counts");
    check("like.counts.a=1", "parameter like.counts.a");
    check("like.parts.flag=true", "parameter like.parts.flag");
    check("like.cents=1&like.freeText=x", "parameter like.freeText");
    check("like.trade.flag=true&like.cents=1", "parameter like.cents");
    check("like.dueTime=yesterday", "parameter like.dueTime");
    check("cursor=%FF", "parameter cursor");
    check("%FF=1", "encoding");
    check("=1", "parameter ");
    check(&format!("{}flag=true", "like.parent.".repeat(500)), &{
        let long = format!("{}flag", "like.parent.".repeat(500));
        format!("parameter {}…", &long[..80])
    });
}

#[test]
fn a_field_is_given_in_one_place() {
    check("GET /v1/items/i1?name=items/i2", "", "parameter name");
    check("GET /v1/shelves/s/items?parent=x", "", "parameter parent");
    check("PATCH /v1/items/i1?item.flag=true", "{}", "parameter item.flag");
    check("PATCH /v1/items/i1", r#"{"name":"items/i2"}"#, "parameter item.name");
    check(
        "PATCH /v1/items/i1",
        r#"{"i32":0,"flag":null}"#,
        r#"UpdateItem {"item":{"name":"items/i1"},"updateMask":"flag,i32"}"#,
    );
    check("PATCH /v1/items/i1", r#"{"name":"items/i1"}"#, r#"UpdateItem {"item":{"name":"items/i1"}}"#);
    check("PUT /v1/items/i1?updateMask=x", "{}", "parameter updateMask");
    check("PUT /v1/items/i1", r#"{"item":{"name":"x"}}"#, "parameter item.name");
    check("POST /v1/files/a?data=eA", "x", "parameter data");
    check("GET /v1/items/i1", "{}", "body");
    check("DELETE /v1/items/i1", "x", "body");
}

#[test]
fn json_values_are_read_as_proto3_says() {
    let check = |body: &str, expect: &str| {
        check("POST /v1/items", body, &format!(r#"CreateItem {{"item":{expect}}}"#));
    };
    check(r#"{"i32":5,"i64":"6","u32":7.0,"u64":8e0}"#, r#"{"i32":5,"i64":"6","u32":7,"u64":"8"}"#);
    check(r#"{"i64":9007199254740993}"#, r#"{"i64":"9007199254740993"}"#);
    check(r#"{"u64":18446744073709551615}"#, r#"{"u64":"18446744073709551615"}"#);
    check(r#"{"f64":"NaN","f32":"-Infinity"}"#, r#"{"f32":"-Infinity","f64":"NaN"}"#);
    check(r#"{"f64":1,"f32":"2.5"}"#, r#"{"f32":2.5,"f64":1.0}"#);
    check(r#"{"flag":true,"raw":"-_8","colour":2}"#, r#"{"colour":"COLOUR_BLUE","flag":true,"raw":"+/8="}"#);
    check(r#"{"colour":"COLOUR_RED","free_text":"x"}"#, r#"{"colour":"COLOUR_RED","freeText":"x"}"#);
    check(r#"{"tags":["a","é","\u00e9"]}"#, r#"{"tags":["a","é","é"]}"#);
    check(r#"{"counts":{"a":1,"b":2}}"#, r#"{"counts":{"a":1,"b":2}}"#);
    check(r#"{"children":{"-1":{"flag":true}}}"#, r#"{"children":{"-1":{"flag":true}}}"#);
    check(r#"{"parts":[{"i32":1},{}]}"#, r#"{"parts":[{"i32":1},{}]}"#);
    check(r#"{"parent":{},"note":""}"#, r#"{"note":"","parent":{}}"#);
    check(r#"{"dueTime":"2024-02-29T12:00:00.5+01:00"}"#, r#"{"dueTime":"2024-02-29T11:00:00.500Z"}"#);
    check(
        r#"{"extra":{"a":[1,null,{"b":true}]},"anyValue":null}"#,
        r#"{"anyValue":null,"extra":{"a":[1.0,null,{"b":true}]}}"#,
    );
    check(
        r#"{"i32":null,"tags":null,"parent":null,"counts":null,"cents":null,"freeText":"x"}"#,
        r#"{"freeText":"x"}"#,
    );
    check(r#"{"owner":"me","createTime":{"what":["ever"]},"i32":1}"#, r#"{"i32":1}"#);
    check(" {\n\t\"i32\" : 1 } \r\n", r#"{"i32":1}"#);
}

#[test]
fn wrong_json_values_are_named_by_their_path() {
    let check = |body: &str, expect: &str| check("POST /v1/items", body, expect);
    check(r#"{"nope":1}"#, "field item.nope");
    check(r#"{"parent":{"nope":1}}"#, "field item.parent.nope");
    check(r#"{"parts":[{},{"nope":1}]}"#, "field item.parts[1].nope");
    check(r#"{"children":{"7":{"i32":"x"}}}"#, "field item.children[\"7\"].i32");
    check(r#"{"children":{"x":{}}}"#, "field item.children[\"x\"]");
    check(r#"{"counts":{"a":1,"a":2}}"#, "field item.counts[\"a\"]");
    check(r#"{"i32":1,"i32":1}"#, "field item.i32");
    check(r#"{"freeText":"a","free_text":"a"}"#, "field item.freeText");
    check(r#"{"cents":1,"freeText":"a"}"#, "field item.freeText");
    check(r#"{"i32":1.5}"#, "field item.i32");
    check(r#"{"i32":2147483648}"#, "field item.i32");
    check(r#"{"i64":1e19}"#, "field item.i64");
    check(r#"{"i64":9223372036854775808}"#, "field item.i64");
    check(r#"{"u32":-1}"#, "field item.u32");
    check(r#"{"i32":"1e3"}"#, "field item.i32");
    check(r#"{"i32":true}"#, "field item.i32");
    check(r#"{"i32":{}}"#, "field item.i32");
    check(r#"{"flag":"true ","name":1}"#, "field item.flag");
    check(r#"{"name":1}"#, "field item.name");
    check(r#"{"raw":"not base64!"}"#, "field item.raw");
    check(r#"{"colour":"red"}"#, "field item.colour");
    check(r#"{"colour":9}"#, "field item.colour");
    check(r#"{"tags":"a"}"#, "field item.tags");
    check(r#"{"tags":["a",null]}"#, "field item.tags[1]");
    check(r#"{"tags":["a",["b"]]}"#, "field item.tags[1]");
    check(r#"{"parent":[]}"#, "field item.parent");
    check(r#"{"parent":"x"}"#, "field item.parent");
    check(r#"{"dueTime":"soon"}"#, "field item.dueTime");
    check(r#"{"dueTime":7}"#, "field item.dueTime");
    check(r#"{"wait":"1 hour"}"#, "field item.wait");
    check(r#"{"f32":1e39}"#, "field item.f32");
}

#[test]
fn what_is_no_json_is_refused() {
    let deep_list = format!(r#"{{"extra":{}1{}}}"#, r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    let deep_message = r#"{"parent":"#.repeat(100_000);
    let check = |body: &[u8]| {
        let got = transcode("POST /v1/items", body);
        assert!(matches!(got, Err(Fault::Json(_) | Fault::Field { .. })), "{got:?}");
    };
    for body in [
        "{",
        "}",
        "[",
        "{]",
        "nul",
        "tru",
        "{\"i32\":}",
        "{\"i32\":01}",
        "{\"i32\":1,}",
        "{,}",
        "{'i32':1}",
        "{\"i32\":+1}",
        "{\"i32\":.5}",
        "{\"i32\":0x1}",
        "{\"f64\":NaN}",
        "{\"f64\":Infinity}",
        "{} {}",
        "{}x",
        "\u{feff}{}",
        "{\"name\":\"a\nb\"}",
        "{\"name\":\"\\x\"}",
        "{\"name\":\"\\ud800\"}",
        "{\"name\":\"a",
        "// no\n{}",
        "{\"i32\":1e99999999}",
        "[]",
        "\"x\"",
        "1",
        "true",
        &deep_list,
        &deep_message,
        &"[".repeat(100_000),
        &format!("{{\"i32\":{}}}", "9".repeat(100_000)),
    ] {
        check(body.as_bytes());
    }
    check(b"{\"name\":\"\xff\xfe\"}");
    check(b"\xff\xfe{\0}\0");
    check(b"{\"name\":\"\xed\xa0\x80\"}");
    check(b"\0");
}

#[test]
fn nesting_is_limited_and_the_limit_is_usable() {
    let nested =
        |levels: usize| format!("{}{}", r#"{"parent":"#.repeat(levels - 1) + "{}", "}".repeat(levels - 1));
    assert!(transcode("POST /v1/items", nested(64).as_bytes()).is_ok());
    let fault = transcode("POST /v1/items", nested(65).as_bytes()).expect_err("too deep");
    assert!(matches!(&fault, Fault::Json(why) if why.contains("64 levels")), "{fault:?}");
}

#[test]
fn a_hundred_thousand_keys_end_at_the_first_unknown_one() {
    let keys: Vec<_> = (0..100_000).map(|i| format!("\"k{i}\":0")).collect();
    check("POST /v1/items", &format!("{{{}}}", keys.join(",")), "field item.k0");
    let entries = format!("{{\"counts\":{{{}}}}}", keys.join(","));
    assert!(transcode("POST /v1/items", entries.as_bytes()).is_ok(), "a map may have many");
}

#[test]
fn errors_hold_no_control_characters_and_stay_short() {
    let long = "x".repeat(100_000);
    for body in [
        r#"{"a\r\n\u001b[31m\u202eb":1}"#.to_owned(),
        r#"{"colour":"\r\nred\u202e"}"#.to_owned(),
        r#"{"dueTime":"\u0000\u001b"}"#.to_owned(),
        r#"{"i32":"\u202e1"}"#.to_owned(),
        format!(r#"{{"{long}":1}}"#),
        format!(r#"{{"i32":"{long}"}}"#),
        format!(r#"{{"parent":"{long}"}}"#),
        format!(r#"{{"counts":{{"{long}":"x"}}}}"#),
    ] {
        let fault = transcode("POST /v1/items", body.as_bytes()).expect_err("refused");
        let Fault::Field { field, description } = fault else { panic!("{fault:?}") };
        let text = format!("{field} {description}");
        assert!(text.len() < 600, "{} {text}", text.len());
        assert!(text.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{text:?}");
    }
}

#[test]
fn an_unknown_field_is_answered_with_the_known_ones() {
    let fault = transcode("PUT /v1/items/i1", br#"{"itm":{}}"#).expect_err("refused");
    let Fault::Field { description, .. } = fault else { panic!("{fault:?}") };
    assert!(description.contains("one of item, updateMask"), "{description}");
}

#[test]
fn replies_print_every_field_without_presence() {
    let method = SHOP.method("/shop.v1.ShopService/ListItems").expect("method");
    let mut out = Vec::new();
    Reply::new(method, bytes::Bytes::new()).write_json(&mut out).expect("json");
    assert_eq!(String::from_utf8_lossy(&out), r#"{"items":[],"nextPageToken":""}"#);
    let bad = Reply::new(method, bytes::Bytes::from_static(b"\x0a\xff")).write_json(&mut out);
    assert!(bad.is_err(), "a broken reply is an error and not a panic");
}

#[test]
fn replies_of_bytes_can_be_taken_as_they_are() {
    let method = SHOP.method("/shop.v1.ShopService/ReadFile").expect("method");
    assert!(method.bytes_reply.is_some());
    let reply = Reply::new(method, bytes::Bytes::from_static(b"\x0a\x03abc"));
    assert_eq!(reply.into_bytes().as_deref(), Ok(&b"abc"[..]));
    let broken = Reply::new(method, bytes::Bytes::from_static(b"\x0a\x09abc"));
    assert!(broken.into_bytes().is_err());
    assert!(SHOP.method("/shop.v1.ShopService/GetItem").expect("method").bytes_reply.is_none());
}

#[test]
fn every_rule_of_the_contracts_can_be_carried_out() {
    let pool = probity_proto::pool();
    let transcoder = Transcoder::new(pool, Limits::default()).expect("routes");
    assert!(transcoder.route_count() >= 30, "{}", transcoder.route_count());
    let found =
        transcoder.find(&Http::POST, "/v1/cases/case_1:close").unwrap_or_else(|miss| panic!("{miss:?}"));
    assert_eq!(found.rule.method.path.as_str(), "/probity.orchestrator.v1.CaseService/CloseCase");
    let upload = transcoder.find(&Http::POST, "/v1/documents").unwrap_or_else(|miss| panic!("{miss:?}"));
    assert_eq!(upload.rule.body_rule(), BodyRule::Bytes);
}

#[test]
fn a_contract_that_cannot_be_carried_out_is_refused_at_start() {
    let check = |rule: &str, expect: &str| {
        let source = format!(
            r#"syntax = "proto3"; package bad.v1; import "google/api/annotations.proto";
            import "probity/common/v1/common.proto";
            message M {{ string name = 1; M child = 2; repeated string list = 3;
              bytes text = 4 [(probity.common.v1.json) = true]; }}
            service S {{
              rpc A(M) returns (M) {{ option (google.api.http) = {{ {rule} }}; }}
              rpc B(M) returns (M) {{ option (google.api.http) = {{ get: "/v1/b" }}; }}
              rpc C(stream M) returns (M) {{}}
            }}"#
        );
        let dir = tempfile::tempdir().expect("folder");
        std::fs::write(dir.path().join("bad.proto"), source).expect("written");
        let protos = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
        let mut compiler = protox::Compiler::new([dir.path(), protos.as_path()]).expect("folders");
        compiler.include_imports(true).open_file("bad.proto").expect("compiles");
        let pool = DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).expect("decodes");
        let error = Transcoder::new(&pool, Limits::default()).err().unwrap_or_default();
        assert!(error.contains(expect), "{rule}: {error}");
    };
    check(r#"get: "/v1/b""#, "belongs to");
    check(r#"get: "/v1/{nope}""#, "no such field");
    check(r#"get: "/v1/{child}""#, "no single scalar");
    check(r#"get: "/v1/{text}""#, "no path can hold");
    check(r#"get: "/v1/{list}""#, "no single scalar");
    check(r#"get: "/v1/{name.x}""#, "has no fields");
    check(r#"get: "/v1/a", body: "*""#, "takes no body");
    check(r#"post: "/v1/a", body: "nope""#, "no field nope");
    check(r#"post: "/v1/a", response_body: "name""#, "response_body");
    check(r#"custom: {kind: "LIST", path: "/v1/a"}"#, "custom");
    check(r#"get: "v1/a""#, "slash");
    check(r#"body: "*""#, "no path");
}
