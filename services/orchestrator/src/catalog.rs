//! The contracts as the engine needs them: which methods may be steps, and their
//! messages to and from JSON. Codecs are looked up once per method.

use probity_engine::{CallFailure, Catalog, MethodSpec};
use probity_proto::access;
use probity_proto::prost_reflect::{DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions};
use prost::Message as _;
use prost::bytes::Bytes;
use serde_json::Value as Json;
use std::collections::HashMap;

/// 64-bit integers stay numbers, names are the proto names and defaults are
/// written out, so that expressions can rely on every field.
const OPTIONS: SerializeOptions = SerializeOptions::new()
    .stringify_64_bit_integers(false)
    .use_proto_field_name(true)
    .skip_default_fields(false);

/// A method a step can call.
#[derive(Debug, Clone)]
pub(crate) struct Method {
    /// `/package.Service/Method`.
    pub(crate) path: http::uri::PathAndQuery,
    /// The service of the platform that serves it.
    pub(crate) service: &'static str,
    input: MessageDescriptor,
    output: MessageDescriptor,
}

/// The contracts of this build.
pub struct Contracts {
    methods: HashMap<String, (Method, MethodSpec)>,
}

impl Default for Contracts {
    fn default() -> Self {
        Self::new()
    }
}

impl Contracts {
    /// Reads the embedded descriptor set.
    #[must_use]
    pub fn new() -> Self {
        let services = probity_proto::pool().services();
        let methods =
            services.flat_map(|s| s.methods().collect::<Vec<_>>()).filter_map(|m| entry(&m)).collect();
        Self { methods }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Method> {
        self.methods.get(name).map(|(method, _)| method)
    }
}

fn entry(descriptor: &MethodDescriptor) -> Option<(String, (Method, MethodSpec))> {
    let package = descriptor.parent_service().parent_file().package_name().to_owned();
    let service = probity_runtime::edges::edges().serving(&package)?.name.as_str();
    let path = access::path(descriptor);
    let options = access::method(&path)?;
    let spec = MethodSpec {
        input: descriptor.input(),
        output: descriptor.output(),
        workflow_callable: options.workflow_callable,
        streaming: descriptor.is_client_streaming() || descriptor.is_server_streaming(),
        default_output: to_json(&DynamicMessage::new(descriptor.output())).ok()?,
    };
    let name = path.trim_start_matches('/').to_owned();
    let path = path.parse().ok()?;
    let method = Method { path, service, input: spec.input.clone(), output: spec.output.clone() };
    Some((name, (method, spec)))
}

/// The service of the platform that serves a method; empty when none does.
pub(crate) fn service_of(method: &str) -> &str {
    let package = method.split('/').next().and_then(|service| service.rsplit_once('.'));
    let serving = package.and_then(|(package, _)| probity_runtime::edges::edges().serving(package));
    serving.map_or("", |service| service.name.as_str())
}

impl Catalog for Contracts {
    fn method(&self, name: &str) -> Option<MethodSpec> {
        self.methods.get(name).map(|(_, spec)| spec.clone())
    }

    fn callable(&self) -> Vec<String> {
        let callable = self.methods.iter().filter(|(_, (_, spec))| spec.workflow_callable && !spec.streaming);
        let mut names: Vec<_> = callable.map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }
}

impl Method {
    /// The message of a call.
    pub(crate) fn encode(&self, input: &Json) -> Result<Bytes, CallFailure> {
        let message = DynamicMessage::deserialize(self.input.clone(), input)
            .map_err(|e| unusable(format!("the message for {} cannot be made: {e}", self.path)))?;
        Ok(message.encode_to_vec().into())
    }

    /// The answer of a call.
    pub(crate) fn decode(&self, bytes: Bytes) -> Result<Json, CallFailure> {
        let message = DynamicMessage::decode(self.output.clone(), bytes).map_err(|e| {
            unusable(format!("the answer of {} is not what its contract says: {e}", self.path))
        })?;
        to_json(&message).map_err(|e| unusable(format!("the answer of {} has no JSON form: {e}", self.path)))
    }
}

fn to_json(message: &DynamicMessage) -> Result<Json, serde_json::Error> {
    message.serialize_with_options(serde_json::value::Serializer, &OPTIONS)
}

fn unusable(message: String) -> CallFailure {
    CallFailure { code: "ORC-0021".to_owned(), message, transient: false, retry_after: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn messages_round_trip_and_mistakes_are_named() {
        let contracts = Contracts::new();
        let method =
            contracts.get("probity.anticorruption.v1.AntiCorruptionService/Investigate").expect("a method");
        let input = json!({"case": "cases/x", "kind": "CASE_KIND_TENDER", "documents": ["documents/a"]});
        assert!(!method.encode(&input).expect("encodes").is_empty());
        let wrong = method.encode(&json!({"cases": "x"})).expect_err("unknown field");
        assert!(wrong.message.contains("cases") && !wrong.transient, "{}", wrong.message);
        let empty = method.decode(Bytes::new()).expect("defaults");
        assert_eq!(empty["finding_count"], json!(0));
        assert_eq!(empty["max_severity"], json!("SEVERITY_UNSPECIFIED"));
        assert!(method.decode(Bytes::from_static(b"\xff\xff\xff")).is_err());
    }
}
