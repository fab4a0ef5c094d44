//! Reply messages as JSON, or as the bytes they hold.

use super::rules::Method;
use bytes::Bytes;
use prost_reflect::{DynamicMessage, SerializeOptions, Value};

/// See [the module](super) for what is printed.
const OPTIONS: SerializeOptions = SerializeOptions::new().skip_default_fields(false);

/// A reply message of a method.
pub struct Reply(DynamicMessage);

impl Reply {
    /// Decodes a reply.
    ///
    /// # Errors
    /// When the peer sent something that is no such message.
    pub fn decode(method: &Method, bytes: Bytes) -> Result<Self, String> {
        DynamicMessage::decode(method.output.clone(), bytes).map(Self).map_err(|e| e.to_string())
    }

    /// Appends the JSON of the reply.
    ///
    /// # Errors
    /// When a value has no JSON form, such as a timestamp out of range.
    pub fn write_json(&self, out: &mut Vec<u8>) -> Result<(), String> {
        let mut serializer = serde_json::Serializer::new(out);
        self.0.serialize_with_options(&mut serializer, &OPTIONS).map_err(|e| e.to_string())
    }

    /// The bytes of a reply that holds nothing else.
    #[must_use]
    pub fn into_bytes(mut self, method: &Method) -> Bytes {
        let value = method.bytes_reply.as_ref().and_then(|field| self.0.take_field(field));
        match value {
            Some(Value::Bytes(bytes)) => bytes,
            _ => Bytes::new(),
        }
    }
}
