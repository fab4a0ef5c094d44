//! A Redis server, for what may be forgotten: the second tier of caches ([`Values`])
//! and idempotency keys whose second run is harmless ([`Requests`]).
//!
//! **Architecture invariant:** nothing here is the truth. A server that is away or
//! was emptied costs time: a call fails within the configured limit, and the next one
//! connects again. After a FLUSHALL a key may run a second time; so effects that must
//! not happen twice keep their keys in the store of the effect
//! ([`idempotency`](crate::idempotency)), not here.

mod requests;
mod values;

pub use requests::Requests;
pub use values::Values;

use crate::Error;
use deadpool_redis::{Connection, Manager, Pool, Runtime};
use redis::AsyncConnectionConfig;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Where the server is and how it is used.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    /// `redis://[user:password@]host[:port][/database]`.
    pub url: String,
    /// What every key begins with; 1 to 96 of `a-z A-Z 0-9 . _ -`. Platforms that
    /// share a server need different ones.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// The longest a connection or an answer may take, in milliseconds; 10 to 60,000.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// Most connections at once; 1 to 1,000.
    #[serde(default = "connections")]
    pub connections: usize,
}

fn prefix() -> String {
    "probity".to_owned()
}

const fn timeout_ms() -> u64 {
    200
}

const fn connections() -> usize {
    8
}

/// Without the address, which may hold a password.
impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl RedisConfig {
    /// A server with the usual settings.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), prefix: prefix(), timeout_ms: timeout_ms(), connections: connections() }
    }

    /// Refuses what cannot work.
    ///
    /// # Errors
    /// [`Error::Config`] with the key and what would be right.
    pub fn validate(&self) -> Result<(), Error> {
        let wrong = |key, reason: String| Err(Error::Config { key, reason });
        let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if !(1..=96).contains(&self.prefix.len()) || !self.prefix.bytes().all(fine) {
            return wrong("prefix", format!("is {:?}; it must be 1 to 96 of a-z A-Z 0-9 . _ -", self.prefix));
        }
        if !(10..=60_000).contains(&self.timeout_ms) {
            return wrong("timeout_ms", format!("is {}; it must be from 10 to 60000", self.timeout_ms));
        }
        if !(1..=1_000).contains(&self.connections) {
            return wrong("connections", format!("is {}; it must be from 1 to 1000", self.connections));
        }
        Ok(())
    }
}

/// The way to a server, which need not be there yet. Cheap to clone.
#[derive(Clone)]
pub struct RedisLink {
    pool: Pool,
    prefix: String,
}

impl fmt::Debug for RedisLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLink").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// Why a server did not answer: what the pool or the client said.
pub type RedisFailure = Box<dyn std::error::Error + Send + Sync>;

impl RedisLink {
    /// A pool of connections; they are made when they are needed.
    ///
    /// # Errors
    /// [`Error::Config`] when a setting is wrong.
    pub fn new(config: &RedisConfig) -> Result<Self, Error> {
        config.validate()?;
        let wrong = |error: &dyn fmt::Display| Error::Config {
            key: "url",
            reason: format!("is no address of a Redis server: {error}"),
        };
        let limit = Some(Duration::from_millis(config.timeout_ms));
        let settings = AsyncConnectionConfig::new().set_connection_timeout(limit).set_response_timeout(limit);
        let manager = Manager::new_with_config(config.url.as_str(), settings).map_err(|e| wrong(&e))?;
        let pool = Pool::builder(manager).max_size(config.connections).runtime(Runtime::Tokio1);
        let pool = pool.wait_timeout(limit).create_timeout(limit).recycle_timeout(limit).build();
        Ok(Self { pool: pool.map_err(|e| wrong(&e))?, prefix: config.prefix.clone() })
    }

    /// What the keys of one use begin with; in a cluster all of them are on one node.
    fn keys(&self, of: &str) -> String {
        format!("{{{}}}:{of}:", self.prefix)
    }

    /// One command or script. A connection on which something failed is in a state
    /// nobody knows: the pool does not give it out again.
    async fn run<T>(
        &self,
        work: impl AsyncFnOnce(&mut Connection) -> redis::RedisResult<T>,
    ) -> Result<T, RedisFailure> {
        let mut connection = self.pool.get().await?;
        let done = work(&mut connection).await;
        if done.is_err() {
            drop(Connection::take(connection));
        }
        Ok(done?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused() {
        let fine = RedisConfig::new("redis://127.0.0.1:6379");
        let check = |config: RedisConfig, expect: &str| {
            let error = config.validate().and_then(|()| RedisLink::new(&config).map(drop)).unwrap_err();
            assert!(error.to_string().contains(expect), "{error}");
        };
        check(RedisConfig { prefix: "a b".into(), ..fine.clone() }, "prefix");
        check(RedisConfig { prefix: String::new(), ..fine.clone() }, "prefix");
        check(RedisConfig { timeout_ms: 9, ..fine.clone() }, "it must be from 10 to 60000");
        check(RedisConfig { connections: 0, ..fine.clone() }, "it must be from 1 to 1000");
        check(RedisConfig { url: "http://127.0.0.1".into(), ..fine.clone() }, "url");
        assert!(!format!("{:?}", RedisConfig::new("redis://:secret@h")).contains("secret"));
        assert!(fine.validate().is_ok());
    }
}
