//! Where a store is and how hard it may work.

use crate::Error;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Which database a store is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backend {
    /// A SQLite file, owned by this process.
    Sqlite,
    /// A schema of a PostgreSQL database, which several processes may share.
    Postgres,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        })
    }
}

/// Settings of a store.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DbConfig {
    /// `sqlite:/path/to/file.db` or `postgres://user:password@host:port/database`.
    pub url: String,
    /// Most read-only connections open at once.
    pub max_readers: u32,
    /// Most writes waiting for their transaction; more are refused.
    pub queue_capacity: usize,
    /// Most writes in one transaction.
    pub max_batch: usize,
    /// How long to wait for a connection or a place in the queue.
    pub acquire_timeout_ms: u64,
    /// How long one write or one query may take.
    pub statement_timeout_ms: u64,
    /// How long to wait for another process to release a SQLite file.
    pub busy_timeout_ms: u64,
    /// How long a process that starts waits for a PostgreSQL that does not answer yet.
    pub start_timeout_ms: u64,
}

impl Default for DbConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            max_readers: 4,
            queue_capacity: 4_096,
            max_batch: 256,
            acquire_timeout_ms: 900,
            statement_timeout_ms: 10_000,
            busy_timeout_ms: 5_000,
            start_timeout_ms: 60_000,
        }
    }
}

/// What a URL points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Sqlite(PathBuf),
    Postgres(String),
}

impl DbConfig {
    /// The settings of a SQLite file.
    pub fn sqlite(path: impl AsRef<std::path::Path>) -> Self {
        Self { url: format!("sqlite:{}", path.as_ref().display()), ..Self::default() }
    }

    /// Checks the settings without opening anything.
    ///
    /// # Errors
    /// Names the key that is wrong and what would be right.
    pub fn validate(&self) -> Result<(), Error> {
        let positive = |key: &'static str, value: u64| match value {
            0 => Err(Error::Config { key, reason: "must be at least 1".into() }),
            _ => Ok(()),
        };
        positive("max_readers", u64::from(self.max_readers))?;
        positive("queue_capacity", self.queue_capacity as u64)?;
        positive("max_batch", self.max_batch as u64)?;
        positive("acquire_timeout_ms", self.acquire_timeout_ms)?;
        positive("statement_timeout_ms", self.statement_timeout_ms)?;
        self.target().map(drop)
    }

    pub(crate) fn target(&self) -> Result<Target, Error> {
        let wrong = |reason: &str| Error::Config { key: "url", reason: reason.to_owned() };
        if let Some(rest) = self.url.strip_prefix("sqlite:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            return match path {
                "" | ":memory:" => Err(wrong("names no file; write sqlite:/path/to/file.db")),
                path if path.contains('?') => Err(wrong("takes no parameters after `?` for SQLite")),
                path => Ok(Target::Sqlite(PathBuf::from(path))),
            };
        }
        if self.url.starts_with("postgres://") || self.url.starts_with("postgresql://") {
            return Ok(Target::Postgres(self.url.clone()));
        }
        Err(wrong("must begin with sqlite: or postgres://"))
    }

    /// Whether it is a SQLite file.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self.target(), Ok(Target::Sqlite(_)))
    }

    pub(crate) const fn acquire_timeout(&self) -> Duration {
        Duration::from_millis(self.acquire_timeout_ms)
    }

    pub(crate) const fn start_timeout(&self) -> Duration {
        Duration::from_millis(self.start_timeout_ms)
    }

    pub(crate) const fn statement_timeout(&self) -> Duration {
        Duration::from_millis(self.statement_timeout_ms)
    }
}

/// The URL without its password, for logs and the configuration page.
pub(crate) fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority_end = rest.find('/').unwrap_or(rest.len());
    let Some(at) = rest[..authority_end].rfind('@') else { return strip_query(url).to_owned() };
    let user = rest[..at].split(':').next().unwrap_or_default();
    format!("{scheme}://{user}:***{}", strip_query(&rest[at..]))
}

/// Parameters can carry a password too.
fn strip_query(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

impl fmt::Debug for DbConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DbConfig")
            .field("url", &redacted(&self.url))
            .field("max_readers", &self.max_readers)
            .field("queue_capacity", &self.queue_capacity)
            .field("max_batch", &self.max_batch)
            .field("acquire_timeout_ms", &self.acquire_timeout_ms)
            .field("statement_timeout_ms", &self.statement_timeout_ms)
            .field("busy_timeout_ms", &self.busy_timeout_ms)
            .field("start_timeout_ms", &self.start_timeout_ms)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_urls() {
        let check = |url: &str, expect: Option<Target>| {
            let config = DbConfig { url: url.to_owned(), ..DbConfig::default() };
            assert_eq!(config.target().ok(), expect, "{url}");
        };
        check("sqlite:/a/b.db", Some(Target::Sqlite("/a/b.db".into())));
        check("sqlite:///a/b.db", Some(Target::Sqlite("/a/b.db".into())));
        check("sqlite:b.db", Some(Target::Sqlite("b.db".into())));
        check("postgres://u@h/d", Some(Target::Postgres("postgres://u@h/d".into())));
        check("postgresql://u@h/d", Some(Target::Postgres("postgresql://u@h/d".into())));
        for bad in ["", "sqlite:", "sqlite::memory:", "sqlite:/a.db?mode=ro", "mysql://h/d", "/a/b.db"] {
            check(bad, None);
        }
    }

    #[test]
    fn never_shows_a_password() {
        let check = |url: &str, expect: &str| assert_eq!(redacted(url), expect);
        check("postgres://u:p@h:5432/d", "postgres://u:***@h:5432/d");
        check("postgres://u:p@ss@h/d?password=x", "postgres://u:***@h/d");
        check("postgres://h/d?password=x", "postgres://h/d");
        check("sqlite:/a/b.db", "sqlite:/a/b.db");
        let config = DbConfig { url: "postgres://u:secret@h/d".into(), ..DbConfig::default() };
        assert!(!format!("{config:?}").contains("secret"));
    }

    #[test]
    fn refuses_unknown_keys_and_zeroes() {
        assert!(toml::from_str::<DbConfig>("max_reader = 3").is_err());
        let config: DbConfig = toml::from_str("url = 'sqlite:/a.db'\nmax_readers = 0").unwrap();
        assert!(config.validate().unwrap_err().to_string().contains("max_readers"));
        assert!(DbConfig::sqlite("/a.db").validate().is_ok());
    }
}
