//! The watchlists in memory: one index a tenant, made from the store and swapped
//! in whole.
//!
//! Before each use the index is compared with the store, so that a list another
//! process imported is searched from the next call on.

use crate::config::Config;
use crate::convert::Import;
use crate::domain::Index;
use crate::domain::watchlist::{self, List};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::store::{Imported, Request, Store, StoredList};
use bytes::Bytes;
use parking_lot::RwLock;
use probity_proto::anticorruption::Watchlist;
use probity_resilience::cache::Fresh;
use probity_runtime::documents::Reader;
use probity_runtime::{CacheMetrics, Caller};
use probity_types::Clock;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

/// How often loading is tried again when a list is replaced meanwhile.
const LOAD_ATTEMPTS: usize = 3;

/// An index and the lists it was made from.
#[derive(Clone)]
struct Loaded {
    lists: Vec<StoredList>,
    index: Arc<Index>,
}

/// Searches and imports watchlists. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Screening {
    store: Store,
    reader: Reader,
    config: Arc<Config>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    loaded: Arc<RwLock<HashMap<String, Loaded>>>,
    known: Known,
}

/// Questions that many ask at once.
#[derive(Clone)]
pub(crate) struct Known {
    /// Which lists there are now.
    pub(crate) lists: Fresh<Vec<StoredList>, Error>,
    /// The index over them, when it is not in memory.
    pub(crate) loads: Fresh<Arc<Index>, Error>,
    pub(crate) metrics: CacheMetrics,
}

/// The indexes in memory, as the label names them.
const CACHE: &str = "watchlists";

impl Screening {
    pub(crate) fn new(
        store: Store,
        reader: Reader,
        config: Arc<Config>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        known: Known,
    ) -> Self {
        Self { store, reader, config, clock, metrics, loaded: Arc::default(), known }
    }

    /// Loads the lists of every tenant that has some.
    pub(crate) async fn load_all(&self) -> Result<(), Error> {
        for tenant in self.store.tenants_with_lists().await? {
            self.index(&tenant).await?;
        }
        Ok(())
    }

    /// The index over a tenant's lists as they are stored now. Many who ask at once
    /// compare once, and one of them loads.
    pub(crate) async fn index(&self, tenant: &str) -> Result<Arc<Index>, Error> {
        let (store, whose) = (self.store.clone(), tenant.to_owned());
        let lists = self.known.lists.get(tenant, || async move { store.watchlists(&whose).await.map(Some) });
        let lists = lists.await?.unwrap_or_default();
        let current = self.current(tenant, &lists);
        self.known.metrics.asked(CACHE, current.is_some());
        if let Some(index) = current {
            return Ok(index);
        }
        let (screening, whose) = (self.clone(), tenant.to_owned());
        let load = || async move { screening.load_newest(&whose).await.map(Some) };
        let index = self.known.loads.get(tenant, load).await?;
        index.map(|index| Arc::clone(&*index)).ok_or_else(unsteady)
    }

    /// The index in memory, if it was made from these lists.
    fn current(&self, tenant: &str, lists: &[StoredList]) -> Option<Arc<Index>> {
        let loaded = self.loaded.read();
        loaded.get(tenant).filter(|loaded| loaded.lists == lists).map(|loaded| Arc::clone(&loaded.index))
    }

    async fn load_newest(&self, tenant: &str) -> Result<Arc<Index>, Error> {
        let mut lists = self.store.watchlists(tenant).await?;
        for _ in 0..LOAD_ATTEMPTS {
            if let Some(index) = self.current(tenant, &lists) {
                return Ok(index);
            }
            let index = self.load(tenant, &lists).await?;
            let now = self.store.watchlists(tenant).await?;
            if now == lists {
                self.swap_in(tenant, Loaded { lists, index: Arc::clone(&index) });
                return Ok(index);
            }
            lists = now;
        }
        Err(unsteady())
    }

    async fn load(&self, tenant: &str, lists: &[StoredList]) -> Result<Arc<Index>, Error> {
        let mut read = Vec::with_capacity(lists.len());
        for list in lists {
            read.push((list.name.clone(), self.store.entries(tenant, &list.name).await?));
        }
        let built = tokio::task::spawn_blocking(move || Index::new(read)).await;
        built.map(Arc::new).map_err(|error| broken("the watchlists", &error))
    }

    fn swap_in(&self, tenant: &str, loaded: Loaded) {
        let mut all = self.loaded.write();
        all.insert(tenant.to_owned(), loaded);
        let oldest = all.values().flat_map(|loaded| &loaded.lists).map(|list| list.loaded).min();
        self.metrics.loaded(all.values().map(|loaded| loaded.index.entries()).sum(), oldest);
    }

    /// Counts a name that was screened.
    pub(crate) fn count(&self, lists: usize, hits: usize) {
        self.metrics.screened(lists, hits);
    }

    /// Replaces a list as a whole. A list that cannot be trusted changes nothing.
    pub(crate) async fn import(
        &self,
        caller: &Caller,
        request: Request,
        work: Import,
    ) -> Result<Watchlist, Error> {
        if let Some(answer) = self.store.answered(&request).await? {
            return Ok(answer);
        }
        let (primary, aliases) = self.documents(caller, &work).await?;
        let (list, sha256) =
            parse(&work.name, primary, aliases).await.inspect_err(|_| self.metrics.import_refused())?;
        let imported = Imported { name: work.name, list, sha256, now: self.clock.now() };
        let answer = self.store.import(request, imported).await.inspect_err(|error| {
            if matches!(error, Error::Watchlist { .. }) {
                self.metrics.import_refused();
            }
        })?;
        self.index(&caller.ctx.tenant).await?;
        Ok(answer)
    }

    async fn documents(&self, caller: &Caller, work: &Import) -> Result<(Bytes, Bytes), Error> {
        let limit = self.config.max_watchlist_bytes;
        let primary = self.reader.read(caller, &work.primary, limit).await.map_err(Error::Peer)?;
        let left = limit.saturating_sub(primary.len());
        let aliases = match &work.aliases {
            Some(name) => self.reader.read(caller, name, left).await.map_err(Error::Peer)?,
            None => Bytes::new(),
        };
        Ok((primary, aliases))
    }
}

fn unsteady() -> Error {
    let reason = "the lists were replaced again and again while they were loaded".to_owned();
    Error::Unreadable { what: "watchlist", reason }
}

/// Reads a list and hashes what it came from.
async fn parse(name: &str, primary: Bytes, aliases: Bytes) -> Result<(List, String), Error> {
    let parsed = tokio::task::spawn_blocking(move || {
        let hash = Sha256::new().chain_update(&primary).chain_update(&aliases).finalize();
        watchlist::parse(&primary, &aliases).map(|list| (list, hex::encode(hash)))
    });
    let parsed = parsed.await.map_err(|error| broken(name, &error))?;
    parsed.map_err(|reason| Error::Watchlist { name: name.to_owned(), reason })
}

fn broken(what: &str, error: &tokio::task::JoinError) -> Error {
    Error::Broken { case: what.to_owned(), reason: error.to_string() }
}
