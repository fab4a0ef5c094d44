//! Deadlines, timeouts, retry presets and graceful shutdown as tower layers.
