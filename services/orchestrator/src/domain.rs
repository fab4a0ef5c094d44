//! What is pure here: the audit events of a turn, its dead letters, who owns which
//! shards, what schedules decide, and references to documents, and who runs among
//! executions that are limited.

pub(crate) mod audit;
pub(crate) mod blobs;
pub(crate) mod dead_letters;
pub(crate) mod lines;
pub(crate) mod ownership;
pub(crate) mod schedules;
pub(crate) mod standalone;
