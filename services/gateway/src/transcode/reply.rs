//! Reply messages as JSON, or as the bytes they hold.

use super::layout::{LayoutId, Layouts};
use super::print;
use super::rules::Method;
use super::wire::{Fields, Raw};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// How the replies of a method are printed.
#[derive(Clone)]
pub(super) struct Form {
    pub(super) layouts: Arc<Layouts>,
    pub(super) id: LayoutId,
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Form").field(&self.id).finish()
    }
}

/// An encoded reply message of a method.
pub struct Reply<'m> {
    method: &'m Method,
    bytes: Bytes,
}

impl<'m> Reply<'m> {
    /// What a method was answered with. It is looked at when it is printed.
    #[must_use]
    pub const fn new(method: &'m Method, bytes: Bytes) -> Self {
        Self { method, bytes }
    }

    /// Appends the JSON of the reply.
    ///
    /// # Errors
    /// When the peer sent something that is no such message, or a value has no
    /// JSON form, such as a timestamp out of range; the text names the field.
    pub fn write_json(&self, out: &mut Vec<u8>) -> Result<(), String> {
        let form = &self.method.form;
        print::message(&form.layouts, form.id, &self.bytes, out)
    }

    /// The bytes of a reply that holds nothing else.
    ///
    /// # Errors
    /// When the peer sent something that is no such message.
    pub fn into_bytes(self) -> Result<Bytes, String> {
        let number = self.method.bytes_reply.as_ref().map_or(0, prost_reflect::FieldDescriptor::number);
        let mut last: &[u8] = &[];
        for field in Fields::of(&self.bytes) {
            match field.map_err(|broken| broken.to_string())? {
                (found, Raw::Bytes(bytes)) if found == number => last = bytes,
                _ => {}
            }
        }
        Ok(self.bytes.slice_ref(last))
    }
}
