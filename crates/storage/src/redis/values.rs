//! The second tier of caches, shared by processes.

use super::RedisLink;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use probity_resilience::cache::{Tier, TierError};
use redis::cmd;
use std::time::Duration;

/// Keys asked for in one step of a removal by prefix.
const STEP: usize = 500;
/// Stands in front of a value; a key with nothing behind it says that there is none.
const THERE: u8 = 1;

/// Values of caches on a Redis server.
#[derive(Debug, Clone)]
pub struct Values {
    link: RedisLink,
    keys: String,
}

impl Values {
    /// Values of the caches of one service.
    #[must_use]
    pub fn new(link: RedisLink, service: &str) -> Self {
        let keys = link.keys(&format!("cache:{service}"));
        Self { link, keys }
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.keys)
    }
}

impl Tier for Values {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Option<Vec<u8>>>, TierError>> {
        async move {
            let key = self.key(key);
            let get = async |c: &mut deadpool_redis::Connection| cmd("GET").arg(&key).query_async(c).await;
            let stored: Option<Vec<u8>> = self.link.run(get).await?;
            Ok(stored.map(|bytes| match bytes.split_first() {
                Some((&THERE, value)) => Some(value.to_vec()),
                _ => None,
            }))
        }
        .boxed()
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: Option<Vec<u8>>,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), TierError>> {
        async move {
            let (key, ttl) = (self.key(key), ttl.as_millis().max(1));
            let mut bytes = Vec::new();
            if let Some(value) = value {
                bytes.push(THERE);
                bytes.extend(value);
            }
            let put = async |c: &mut deadpool_redis::Connection| {
                cmd("SET").arg(&key).arg(bytes).arg("PX").arg(ttl.to_string()).query_async(c).await
            };
            self.link.run(put).await
        }
        .boxed()
    }

    fn remove<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), TierError>> {
        async move {
            let key = self.key(key);
            let remove =
                async |c: &mut deadpool_redis::Connection| cmd("UNLINK").arg(&key).query_async(c).await;
            let _removed: i64 = self.link.run(remove).await?;
            Ok(())
        }
        .boxed()
    }

    fn remove_prefix<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<(), TierError>> {
        async move {
            let pattern = format!("{}*", literal(&self.key(prefix)));
            let mut cursor = "0".to_owned();
            loop {
                let scan = async |c: &mut deadpool_redis::Connection| {
                    let mut scan = cmd("SCAN");
                    scan.arg(&cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(STEP);
                    let (next, keys): (String, Vec<Vec<u8>>) = scan.query_async(c).await?;
                    if !keys.is_empty() {
                        let _removed: i64 = cmd("UNLINK").arg(keys).query_async(c).await?;
                    }
                    Ok(next)
                };
                cursor = self.link.run(scan).await?;
                if cursor == "0" {
                    return Ok(());
                }
            }
        }
        .boxed()
    }
}

/// A text as a pattern that matches it alone.
fn literal(text: &str) -> String {
    text.chars().fold(String::new(), |mut pattern, letter| {
        if matches!(letter, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
        pattern
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_its_text_alone() {
        assert_eq!(literal("{p}:cache:a*b?[c]\\"), "{p}:cache:a\\*b\\?\\[c\\]\\\\");
    }
}
