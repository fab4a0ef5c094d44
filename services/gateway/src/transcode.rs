//! REST from the contracts: what the `google.api.http` options of the protos
//! say, carried out at run time.
//!
//! The pieces, in the order a request meets them: [`routes`] finds the RPC for
//! an HTTP method and a path, [`request`] makes its request message out of
//! path, query and body, [`reply`] prints the answer as JSON.
//!
//! **Architecture invariant:** everything here is a pure function of bytes and
//! descriptors. No I/O, no clock, no async; nothing knows who is calling.
//!
//! # The JSON that is written
//! The proto3 JSON mapping: lowerCamelCase names, 64-bit integers as strings,
//! enums by name, bytes in base64, timestamps in RFC 3339. A field without
//! presence is always printed, also when it holds its default (`"nextPageToken":
//! ""`, `"findingCount": "0"`, `"waiting": []`), so that a client finds every
//! field it knows; a message that is not set is absent.
//!
//! # The JSON that is read
//! The same mapping, names also as the protos spell them. Unknown and repeated
//! names are refused with their path rather than dropped. `null` means absent.
//! Fields marked OUTPUT_ONLY are read over and change nothing. A PATCH without an
//! `updateMask` changes the fields that its body names, those it gives as `null` or
//! as zero too.
//!
//! # Fields that are JSON themselves
//! A `bytes` field with the option `(probity.common.v1.json) = true` is not base64
//! but the JSON value itself, of any kind: what a workflow takes and gives, for
//! instance. On the way in its exact text becomes the bytes, blanks inside of it
//! included, so that no digit of a number and no key is lost or put in another
//! order. On the way out the bytes stand in the answer as they are; line breaks
//! between tokens become spaces, so that a line of a stream stays one line.
//!
//! | in REST | bytes of the field |
//! |---|---|
//! | absent, or `null` | none; printed as `null` (absent where the field is `optional`) |
//! | `null` within a list or a map | `null` |
//! | anything else | its text |
//!
//! The limits of a body hold inside as well: its size, and its nesting counted
//! from the outermost bracket. In a query the value is JSON in percent-encoding.
//! Two equal names in one object are for the receiver to judge: they are text
//! here. An answer whose bytes are no JSON is the peer's mistake and is refused.

mod fault;
mod json;
mod layout;
mod mask;
mod percent;
mod print;
mod query;
mod reply;
mod request;
mod routes;
pub(crate) mod rules;
mod scalar;
mod scan;
pub(crate) mod schema;
pub(crate) mod template;
mod wire;

pub use fault::Fault;
pub use reply::Reply;
pub use request::{Limits, Parts, PieceMaker};
pub use routes::{Found, Miss};
pub use rules::{Binding, BodyRule, Method};

use layout::Layouts;
use prost_reflect::DescriptorPool;
use routes::Table;
use schema::Schema;
use std::collections::HashMap;
use std::sync::Arc;

/// The REST side of a descriptor set: all routes with everything about their
/// methods that can be known before the first call.
pub struct Transcoder {
    schema: Schema,
    table: Table<Binding>,
    methods: HashMap<String, Arc<Method>>,
    limits: Limits,
}

impl Transcoder {
    /// Reads the rules of all methods of the pool.
    ///
    /// # Errors
    /// Names the method whose rule cannot be carried out, or the two methods
    /// that claim the same route.
    pub fn new(pool: &DescriptorPool, limits: Limits) -> Result<Self, String> {
        let mut schema = Schema::default();
        let mut table = Table::default();
        let mut methods = HashMap::new();
        let descriptors: Vec<_> = pool.services().flat_map(|s| s.methods().collect::<Vec<_>>()).collect();
        let mut layouts = Layouts::default();
        let replies: Vec<_> = descriptors.iter().map(|d| layouts.take_in(&d.output())).collect();
        let layouts = Arc::new(layouts);
        for (descriptor, reply) in descriptors.into_iter().zip(replies) {
            let method = Arc::new(Method::read(&descriptor, layouts.clone(), reply));
            methods.insert(method.path.as_str().to_owned(), method.clone());
            for rule in rules::of(&descriptor)? {
                let (http, template, binding) = rules::bind(&rule, &method, &descriptor, &mut schema)
                    .map_err(|why| format!("{}: {why}", descriptor.full_name()))?;
                table.insert(http, template, binding).map_err(|taken| {
                    let other = &taken.method.path;
                    format!("{}: the same route belongs to {other} already", descriptor.full_name())
                })?;
            }
        }
        Ok(Self { schema, table, methods, limits })
    }

    /// The RPC behind an HTTP method and a path as it stands in the request.
    ///
    /// # Errors
    /// Whether there is no such path, or only for other methods.
    pub fn find<'t>(&'t self, http: &http::Method, path: &str) -> Result<Found<'t, Binding>, Miss> {
        self.table.find(http, path)
    }

    /// The method at an HTTP/2 path, `/package.Service/Method`.
    #[must_use]
    pub fn method(&self, path: &str) -> Option<&Arc<Method>> {
        self.methods.get(path)
    }

    /// How many routes there are.
    #[must_use]
    pub fn route_count(&self) -> usize {
        self.table.len()
    }

    /// The encoded request message for a found route.
    ///
    /// # Errors
    /// Names the field, or the place in the body, that cannot be read.
    pub fn request(&self, found: &Found<'_, Binding>, parts: &Parts<'_>) -> Result<bytes::Bytes, Fault> {
        request::build(&self.schema, &self.limits, found, parts)
    }
}

#[cfg(test)]
mod tests;
