//! Durable cases and workflow executions.
