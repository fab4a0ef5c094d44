//! What is pure here: the audit events of a turn, its dead letters, who owns which
//! shards, and what schedules decide.

pub(crate) mod audit;
pub(crate) mod dead_letters;
pub(crate) mod ownership;
pub(crate) mod schedules;
pub(crate) mod standalone;
