//! The engines behind one handle.

use super::ours::{Ours, Store};
use super::restate::Restate;
use super::{Target, machine};
use std::fmt;
use std::path::Path;

/// Which engine on which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// This platform.
    Ours(Store),
    /// Restate, a single node with its default durability.
    Restate,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours(Store::Sqlite) => "Probity, SQLite",
            Self::Ours(Store::Postgres) => "Probity, PostgreSQL",
            Self::Restate => "Restate",
        })
    }
}

/// An engine that runs, with its worker.
pub enum Engine {
    /// This platform.
    Ours(Ours),
    /// Restate.
    Restate(Restate),
}

impl Engine {
    /// Starts an engine and its worker on an empty folder; ready when this returns.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(kind: Kind, dir: &Path) -> Self {
        match kind {
            Kind::Ours(store) => Self::Ours(Ours::start(store, dir).await),
            Kind::Restate => Self::Restate(Restate::start(dir).await),
        }
    }

    /// Where its calls go.
    #[must_use]
    pub const fn target(&self) -> &Target {
        match self {
            Self::Ours(ours) => &ours.target,
            Self::Restate(restate) => &restate.target,
        }
    }

    /// The file in which every attempt of a step leaves a line when it is asked to.
    #[must_use]
    pub fn effects(&self) -> &Path {
        match self {
            Self::Ours(ours) => &ours.effects,
            Self::Restate(restate) => &restate.effects,
        }
    }

    /// Memory of the server now and at its peak, and of its database beside it, in
    /// megabytes.
    #[must_use]
    pub fn memory_mb(&self) -> (f64, f64, Option<f64>) {
        let (pid, database) = match self {
            Self::Ours(ours) => (ours.pid(), ours.database_mb()),
            Self::Restate(restate) => (restate.pid(), None),
        };
        let (now, peak) = machine::rss_mb(pid);
        (now, peak, database)
    }

    /// SIGKILL for the server; the worker stays.
    pub async fn kill(&mut self) {
        match self {
            Self::Ours(ours) => ours.kill().await,
            Self::Restate(restate) => restate.kill().await,
        }
    }

    /// Starts the server again on what it has stored; ready when this returns.
    pub async fn restart(&mut self) {
        match self {
            Self::Ours(ours) => ours.restart().await,
            Self::Restate(restate) => restate.restart().await,
        }
    }

    /// How long after now the audit log was still growing, in milliseconds; `None`
    /// for an engine without one.
    pub async fn audit_ms(&self) -> Option<f64> {
        match self {
            Self::Ours(ours) => Some(ours.audit_ms().await),
            Self::Restate(_) => None,
        }
    }

    /// Ends everything.
    pub async fn stop(self) {
        match self {
            Self::Ours(ours) => ours.stop().await,
            Self::Restate(restate) => restate.stop().await,
        }
    }
}
