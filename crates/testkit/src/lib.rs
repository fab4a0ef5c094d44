//! Helpers for tests: a throw-away PostgreSQL, child processes, eventually-assertions.
