//! Page sizes: one rule for every list.

use crate::Fault;

/// Items on a page when the caller does not say.
pub const DEFAULT_PAGE_SIZE: i32 = 50;
/// Most items on a page.
pub const MAX_PAGE_SIZE: i32 = 1_000;

/// The number of items to return for a `page_size` field.
///
/// # Errors
/// A negative size is refused; one over the limit is cut to it (AIP-158).
pub fn size(page_size: i32) -> Result<i64, Fault> {
    match page_size {
        0 => Ok(i64::from(DEFAULT_PAGE_SIZE)),
        n if n < 0 => Err(Fault::invalid("API-0002", "page_size", "must not be negative")),
        n => Ok(i64::from(n.min(MAX_PAGE_SIZE))),
    }
}
