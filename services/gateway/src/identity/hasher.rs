//! Hashing passwords beside the calls: on threads of its own, so many at a time as
//! there is memory for.

use crate::config::LoginConfig;
use crate::domain::password::{self, Cost, Stored};
use crate::error::Error;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

/// What a password turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Checked {
    /// Another one.
    Wrong,
    /// The right one.
    Right,
    /// The right one, with a better hash of it.
    Better(String),
}

/// Hashes and verifies passwords.
#[derive(Clone)]
pub(crate) struct Hasher {
    cost: Cost,
    places: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    /// The hash that stands for accounts that are not there.
    nobody: Stored,
}

impl Hasher {
    /// # Errors
    /// When the system gives no random bytes.
    pub(crate) fn new(config: &LoginConfig) -> Result<Self, Error> {
        let cost = config.cost();
        Ok(Self {
            cost,
            places: Arc::new(Semaphore::new(config.hashing)),
            queue: Arc::new(Semaphore::new(config.hashing + config.waiting)),
            nobody: password::of_nobody(random()?, random()?, cost),
        })
    }

    /// The hash of a new password.
    pub(crate) async fn hash(&self, password: Zeroizing<String>) -> Result<String, Error> {
        let (salt, cost) = (random()?, self.cost);
        self.run(move || password::hash(&password, salt, cost)).await
    }

    /// Verifies a password. Without a hash to hold it against, the same work is done
    /// and it is wrong.
    pub(crate) async fn check(
        &self,
        password: Zeroizing<String>,
        stored: Option<&str>,
    ) -> Result<Checked, Error> {
        let known = stored.is_some();
        let stored = stored.map_or_else(|| Ok(self.nobody.clone()), Stored::parse).map_err(Error::Hash)?;
        let (salt, cost) = (random()?, self.cost);
        self.run(move || {
            if !stored.is(&password)? || !known {
                return Ok(Checked::Wrong);
            }
            if stored.is_outdated(cost) {
                return password::hash(&password, salt, cost).map(Checked::Better);
            }
            Ok(Checked::Right)
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Result<T, Error> {
        let place = self.place().await?;
        // The place is given back by the thread: a caller that goes away frees no memory.
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            work()
        });
        done.await.map_err(|error| Error::Hash(error.to_string()))?.map_err(Error::Hash)
    }

    async fn place(&self) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), Error> {
        let queued = self.queue.clone().try_acquire_owned().map_err(|_| Error::LoginsBusy)?;
        let place = self.places.clone().acquire_owned().await.map_err(|_| Error::LoginsBusy)?;
        Ok((queued, place))
    }
}

/// Random bytes of the system.
///
/// # Errors
/// When it gives none.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Error::Random(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cheap() -> LoginConfig {
        LoginConfig { memory_kib: 64, passes: 1, lanes: 1, hashing: 1, waiting: 1, ..LoginConfig::default() }
    }

    fn text(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    #[tokio::test]
    async fn passwords_are_verified_and_old_hashes_replaced() {
        let hasher = Hasher::new(&cheap()).unwrap();
        let hash = hasher.hash(text("correct horse")).await.unwrap();
        let check =
            async |password: &str, stored: Option<&str>| hasher.check(text(password), stored).await.unwrap();
        assert_eq!(check("correct horse", Some(&hash)).await, Checked::Right);
        assert_eq!(check("wrong", Some(&hash)).await, Checked::Wrong);
        assert_eq!(check("wrong", None).await, Checked::Wrong);
        let bcrypt = "$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe";
        let Checked::Better(better) = check("password", Some(bcrypt)).await else { panic!("no better hash") };
        assert_eq!(check("password", Some(&better)).await, Checked::Right);
    }

    #[tokio::test]
    async fn more_than_can_wait_are_refused() {
        let hasher = Hasher::new(&cheap()).unwrap();
        let _one = hasher.place().await.unwrap();
        let waits = tokio::spawn({
            let hasher = hasher.clone();
            async move { hasher.place().await.map(|_| ()) }
        });
        while hasher.queue.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(hasher.hash(text("x")).await, Err(Error::LoginsBusy)));
        waits.abort();
    }
}
