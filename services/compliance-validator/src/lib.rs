//! Versioned Rego policies with explanations.
