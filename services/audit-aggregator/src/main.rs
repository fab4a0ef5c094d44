//! The audit-aggregator binary.

fn main() {}
