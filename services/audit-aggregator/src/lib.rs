//! The tamper-evident log: every decision a leaf, every leaf provable.
