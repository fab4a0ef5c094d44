//! The spam-detection binary.

fn main() {}
