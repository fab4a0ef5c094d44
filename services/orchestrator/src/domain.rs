//! What is pure here: the audit events of a turn, and who owns which shards.

pub(crate) mod audit;
pub(crate) mod ownership;
