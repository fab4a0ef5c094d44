//! Immutable documents, addressed by content.
