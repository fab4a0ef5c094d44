//! What holds for any input: nothing panics, what is read prints back, names go
//! through paths unchanged.

use super::json_fields::{item, print};
use super::*;
use proptest::prelude::*;

/// JSON that is near the message: known names, wild values.
fn near() -> impl Strategy<Value = serde_json::Value> {
    let names = [
        "name", "i32", "i64", "f64", "flag", "raw", "colour", "tags", "counts", "children", "parent",
        "parts", "cents", "freeText", "trade", "dueTime", "wait", "mask", "extra", "anyValue", "boxed", "x",
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,12}".prop_map(Into::into),
        Just("COLOUR_RED".into()),
        Just("2024-01-01T00:00:00Z".into()),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::vec((prop::sample::select(names.to_vec()), inner), 0..5).prop_map(|m| {
                serde_json::Value::Object(m.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
            }),
        ]
    })
}

/// An item in JSON as prost-reflect writes it, without the fields that only this
/// platform's option makes JSON.
fn by_the_library(item: &[u8]) -> serde_json::Value {
    const OPTIONS: prost_reflect::SerializeOptions =
        prost_reflect::SerializeOptions::new().skip_default_fields(false);
    let descriptor = shop_pool().get_message_by_name("shop.v1.Item").expect("item");
    let message = DynamicMessage::decode(descriptor, item).expect("decodes");
    let mut json = message.serialize_with_options(serde_json::value::Serializer, &OPTIONS).expect("json");
    with_empty_json_fields(&mut json);
    json
}

/// What is empty base64 for the library is `null` for us, in items of items too.
fn with_empty_json_fields(json: &mut serde_json::Value) {
    match json {
        serde_json::Value::Object(fields) => {
            fields.entry("payload").and_modify(|payload| *payload = serde_json::Value::Null);
            fields.values_mut().for_each(with_empty_json_fields);
        }
        serde_json::Value::Array(values) => values.iter_mut().for_each(with_empty_json_fields),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn on_any_bytes(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = transcode("POST /v1/items", &body);
    }

    #[test]
    fn on_any_near_json_and_what_is_read_prints_back(value in near()) {
        let body = value.to_string();
        if let Ok((_, json)) = transcode("POST /v1/items", body.as_bytes()) {
            let again = json.get("item").map(ToString::to_string).unwrap_or_default();
            let second = transcode("POST /v1/items", again.as_bytes());
            prop_assert_eq!(second.map(|(_, json)| json), Ok(json));
        }
    }

    #[test]
    fn replies_are_printed_as_the_library_of_the_mapping_prints_them(value in near()) {
        if let Some(item) = item(&value.to_string()) {
            let printed: serde_json::Value = serde_json::from_str(&print(&item).expect("printed")).expect("json");
            prop_assert_eq!(printed, by_the_library(&item));
        }
    }

    #[test]
    fn no_reply_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = print(&bytes);
    }

    #[test]
    fn on_any_query(query in "[a-zA-Z.&=%+0-9 é]{0,60}") {
        let _ = transcode(&format!("GET /v1/items?{query}"), b"");
    }

    #[test]
    fn on_any_path(path in "/[a-z0-9/:%*{}.é-]{0,60}") {
        let _ = SHOP.find(&Http::GET, &path);
    }

    #[test]
    fn and_a_resource_name_goes_through_a_path_unchanged(id in "\\PC{1,30}") {
        prop_assume!(id != "." && id != ".." && !id.contains('/'));
        let encoded: String = id.bytes().map(|b| format!("%{b:02X}")).collect();
        let (_, json) = transcode(&format!("GET /v1/items/{encoded}"), b"").expect("read");
        prop_assert_eq!(&json["name"], &serde_json::Value::from(format!("items/{id}")));
    }
}
