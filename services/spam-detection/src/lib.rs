//! Spam triage of messages and reports with an explainable linear model.
