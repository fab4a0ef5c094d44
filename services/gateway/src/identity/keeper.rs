//! What every call is held against: the keys, the sessions that have ended, the
//! accounts that are disabled. Read from the store again every few seconds, and at
//! once after a change of this gateway's own.

use super::hasher::random;
use crate::config::LoginConfig;
use crate::domain::keyring::{Ring, rotate};
use crate::domain::principal::Principal;
use crate::domain::token::{LEEWAY, Refused};
use crate::error::Error;
use crate::store::Store;
use arc_swap::ArcSwap;
use ed25519_dalek::SigningKey;
use probity_types::{AuditEvent, Clock, Micros};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// What was read last.
pub(crate) struct Known {
    pub(crate) ring: Ring,
    ended: HashSet<Uuid>,
    disabled: HashSet<(String, String)>,
}

impl Known {
    /// Refuses a caller whose session has ended or whose account is disabled.
    fn admits(&self, principal: &Principal) -> Result<(), Refused> {
        let ended = principal.session.is_some_and(|id| self.ended.contains(&id));
        let disabled = !self.disabled.is_empty()
            && self.disabled.contains(&(principal.tenant.clone(), principal.actor.clone()));
        if ended || disabled { Err(Refused::Ended) } else { Ok(()) }
    }
}

/// Keeps it.
pub(crate) struct Keeper {
    store: Store,
    file: SigningKey,
    clock: Arc<dyn Clock>,
    access_ttl: Duration,
    announce: Duration,
    every: Duration,
    known: ArcSwap<Known>,
}

impl Keeper {
    /// Reads everything for the first time.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn open(
        store: Store,
        file: SigningKey,
        clock: Arc<dyn Clock>,
        config: &LoginConfig,
    ) -> Result<Self, Error> {
        let access_ttl = Duration::from_secs(config.access_ttl_s);
        let known = read(&store, &file, clock.now(), access_ttl).await?;
        Ok(Self {
            store,
            file,
            clock,
            access_ttl,
            announce: Duration::from_millis(config.key_announce_ms),
            every: Duration::from_millis(config.refresh_ms),
            known: ArcSwap::from_pointee(known),
        })
    }

    /// What was read last.
    pub(crate) fn known(&self) -> Arc<Known> {
        self.known.load_full()
    }

    /// Who a token speaks of.
    ///
    /// # Errors
    /// Why it is refused.
    pub(crate) fn verify(&self, token: &str, now: Micros) -> Result<Principal, Refused> {
        let known = self.known.load();
        let principal = known.ring.verify(token, now)?;
        known.admits(&principal).map(|()| principal)
    }

    /// Whether somebody whose token was verified by these keys may still pass.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn admits(&self, principal: &Principal) -> Result<(), Refused> {
        self.known.load().admits(principal)
    }

    /// Whether a key still verifies.
    pub(crate) fn trusts(&self, key: &str, now: Micros) -> bool {
        self.known.load().ring.published(now).any(|known| known.id() == key)
    }

    /// Reads everything again.
    ///
    /// # Errors
    /// When the store does not answer; what was read before stays.
    pub(crate) async fn reload(&self) -> Result<(), Error> {
        let known = read(&self.store, &self.file, self.clock.now(), self.access_ttl).await?;
        self.known.store(Arc::new(known));
        Ok(())
    }

    /// Makes another key sign, after a while or at once.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn rotate(&self, at_once: bool, event: AuditEvent) -> Result<(), Error> {
        let (salt, now) = (random()?, event.time);
        let announce = (!at_once).then_some(self.announce);
        self.store.rotate(move |known| rotate(known, salt, now, announce), event).await?;
        self.reload().await
    }

    /// Reads again and again until `stop`. `after` runs each time something was read.
    pub(crate) async fn keep(self: Arc<Self>, after: impl AsyncFn() + Send, stop: CancellationToken) {
        while tokio::time::timeout(self.every, stop.cancelled()).await.is_err() {
            match self.reload().await {
                Ok(()) => after().await,
                Err(error) => tracing::warn!(%error, "keys and ended sessions could not be read again"),
            }
        }
    }
}

async fn read(store: &Store, file: &SigningKey, now: Micros, access_ttl: Duration) -> Result<Known, Error> {
    let ring = Ring::new(file, &store.keys(now).await?);
    // Tokens of sessions that ended earlier have ended as well.
    let life = access_ttl + LEEWAY * 2;
    let since = Micros(now.0 - i64::try_from(life.as_micros()).unwrap_or(i64::MAX));
    let ended = store.ended_since(since).await?.into_iter().collect();
    let disabled = store.disabled().await?.into_iter().collect();
    Ok(Known { ring, ended, disabled })
}
