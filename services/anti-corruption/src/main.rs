//! The anti-corruption binary.

fn main() {}
