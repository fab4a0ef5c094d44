//! What is pure here: the audit events of a turn.

pub(crate) mod audit;
