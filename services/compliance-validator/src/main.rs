//! The compliance-validator binary.

fn main() {}
