//! Helpers for the integration, scenario and crash tests.
