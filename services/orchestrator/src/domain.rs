//! What is pure here: the audit events of a turn, its dead letters, and who owns
//! which shards.

pub(crate) mod audit;
pub(crate) mod dead_letters;
pub(crate) mod ownership;
pub(crate) mod standalone;
