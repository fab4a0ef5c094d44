//! Registered definitions: every version is kept, each is compiled once.

use crate::catalog::Contracts;
use crate::domain::standalone;
use crate::error::Error;
use crate::store::{DefinitionsMark, Store, StoredDefinition};
use parking_lot::{Mutex, RwLock};
use probity_engine::{CaseKind, Definition};
use probity_storage::Backend;
use probity_types::{AuditEvent, Ctx, Micros};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The definitions that are shipped, by name.
pub const SHIPPED: [(&str, &str); 4] = [
    ("tender", include_str!("../definitions/tender.yaml")),
    ("payment", include_str!("../definitions/payment.yaml")),
    ("message", include_str!("../definitions/message.yaml")),
    ("report", include_str!("../definitions/report.yaml")),
];

/// The tenant of what is shipped; its definitions are there for everybody.
const EVERYBODY: &str = "";

/// So long what other replicas register may go unnoticed.
const LOOK: Duration = Duration::from_secs(1);

/// Definitions by tenant and name. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Definitions(Arc<Inner>);

struct Inner {
    store: Store,
    contracts: Arc<Contracts>,
    /// By tenant, name and version.
    compiled: RwLock<HashMap<(String, String, String), Arc<Definition>>>,
    /// The newest of each tenant and name, as stored.
    newest: RwLock<HashMap<(String, String), StoredDefinition>>,
    /// What the store said when it was last read, and when it was last asked.
    seen: Mutex<(DefinitionsMark, Option<Instant>)>,
}

impl Definitions {
    /// Reads what is registered and adds what is shipped.
    pub(crate) async fn open(store: Store, contracts: Arc<Contracts>, now: Micros) -> Result<Self, Error> {
        let (compiled, newest, seen) = (RwLock::default(), RwLock::default(), Mutex::default());
        let definitions = Self(Arc::new(Inner { store, contracts, compiled, newest, seen }));
        definitions.refresh().await?;
        let tasks = standalone::sources().iter().map(|(_, source)| source.as_str());
        for source in SHIPPED.into_iter().map(|(_, source)| source).chain(tasks) {
            let definition = definitions.compile(source)?;
            definitions.add(EVERYBODY, definition, now, None).await?;
        }
        Ok(definitions)
    }

    /// Checks a source and stores nothing.
    pub(crate) fn compile(&self, source: &str) -> Result<Arc<Definition>, Error> {
        Ok(Arc::new(Definition::compile(source, &*self.0.contracts)?))
    }

    /// Registers a definition for the caller's tenant.
    pub(crate) async fn register(
        &self,
        ctx: &Ctx,
        definition: Arc<Definition>,
        now: Micros,
    ) -> Result<StoredDefinition, Error> {
        let event =
            AuditEvent::new(ctx, now, "definition.registered", format!("definitions/{}", definition.name))
                .with_detail(&json!({ "version": definition.version }));
        self.add(&ctx.tenant, definition, now, Some(event)).await
    }

    async fn add(
        &self,
        tenant: &str,
        definition: Arc<Definition>,
        now: Micros,
        event: Option<AuditEvent>,
    ) -> Result<StoredDefinition, Error> {
        let stored = Self::unstored(tenant, &definition, now);
        self.0.store.add_definition(stored.clone(), event).await?;
        self.0.compiled.write().insert(key(tenant, &stored.name, &stored.version), definition);
        self.remember(stored.clone());
        Ok(stored)
    }

    fn remember(&self, stored: StoredDefinition) {
        self.0.newest.write().insert((stored.tenant.clone(), stored.name.clone()), stored);
    }

    /// Reads what is stored when that changed: another replica may have registered
    /// something.
    async fn refresh(&self) -> Result<(), Error> {
        let mark = self.0.store.definitions_mark().await?;
        let known = self.0.seen.lock().0;
        if mark != known {
            for stored in self.0.store.definitions().await? {
                self.remember(stored);
            }
        }
        *self.0.seen.lock() = (mark, Some(Instant::now()));
        Ok(())
    }

    /// Looks whether others have registered something, at most every [`LOOK`].
    async fn look(&self) -> Result<(), Error> {
        let alone = self.0.store.db.backend() == Backend::Sqlite;
        let fresh = self.0.seen.lock().1.is_some_and(|at| at.elapsed() < LOOK);
        if alone || fresh { Ok(()) } else { self.refresh().await }
    }

    /// The newest version of a name: the tenant's own, else the shipped one. What
    /// another replica registered is known after [`LOOK`], and what is not known at
    /// all is looked for at once.
    pub(crate) async fn newest(&self, tenant: &str, name: &str) -> Result<StoredDefinition, Error> {
        self.look().await?;
        if let Ok(found) = self.known_newest(tenant, name) {
            return Ok(found);
        }
        self.refresh().await?;
        self.known_newest(tenant, name)
    }

    fn known_newest(&self, tenant: &str, name: &str) -> Result<StoredDefinition, Error> {
        let newest = self.0.newest.read();
        let own = newest.get(&(tenant.to_owned(), name.to_owned()));
        own.or_else(|| newest.get(&(EVERYBODY.to_owned(), name.to_owned())))
            .cloned()
            .ok_or_else(|| Error::NoDefinition(format!("definitions/{name}")))
    }

    /// The built-in definition of that name, whatever the tenant has registered.
    pub(crate) async fn built_in(&self, name: &str) -> Result<Arc<Definition>, Error> {
        self.named(EVERYBODY, name).await
    }

    /// The newest version of every name the tenant can use, by name.
    pub(crate) async fn list(&self, tenant: &str) -> Result<Vec<StoredDefinition>, Error> {
        self.look().await?;
        Ok(self.known_all(tenant))
    }

    fn known_all(&self, tenant: &str) -> Vec<StoredDefinition> {
        let newest = self.0.newest.read();
        let mut all: HashMap<&str, &StoredDefinition> = HashMap::new();
        for whose in [EVERYBODY, tenant] {
            let of = newest.values().filter(|d| d.tenant == whose && !is_built_in(d));
            all.extend(of.map(|d| (d.name.as_str(), d)));
        }
        let mut all: Vec<_> = all.into_values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The definition a case of this kind runs on when none is named: the one the
    /// tenant registered last for the kind, else the shipped one.
    pub(crate) async fn default_for(&self, tenant: &str, kind: CaseKind) -> Result<Arc<Definition>, Error> {
        self.look().await?;
        let chosen = {
            let newest = self.0.newest.read();
            let of = |whose: &str| {
                newest
                    .values()
                    .filter(|d| d.tenant == whose && d.kind == kind.as_str())
                    .max_by_key(|d| d.created)
                    .cloned()
            };
            of(tenant).filter(|_| tenant != EVERYBODY).or_else(|| of(EVERYBODY))
        };
        let chosen = chosen.ok_or_else(|| Error::NoDefinition(format!("for the kind {}", kind.as_str())))?;
        self.version(&chosen.tenant, &chosen.name, &chosen.version).await
    }

    /// The newest version of a name, ready to run.
    pub(crate) async fn named(&self, tenant: &str, name: &str) -> Result<Arc<Definition>, Error> {
        let stored = self.newest(tenant, name).await?;
        self.version(&stored.tenant, &stored.name, &stored.version).await
    }

    /// One version, ready to run: the tenant's own or a shipped one.
    pub(crate) async fn version(
        &self,
        tenant: &str,
        name: &str,
        version: &str,
    ) -> Result<Arc<Definition>, Error> {
        if let Some(found) =
            self.known(tenant, name, version).or_else(|| self.known(EVERYBODY, name, version))
        {
            return Ok(found);
        }
        let stored = self.0.store.definition(tenant, name, version).await?;
        let definition = self.compile(&stored.source)?;
        self.0.compiled.write().insert(key(&stored.tenant, name, version), definition.clone());
        Ok(definition)
    }

    fn known(&self, tenant: &str, name: &str, version: &str) -> Option<Arc<Definition>> {
        self.0.compiled.read().get(&key(tenant, name, version)).cloned()
    }

    /// A definition as it would be stored.
    pub(crate) fn unstored(tenant: &str, definition: &Definition, now: Micros) -> StoredDefinition {
        StoredDefinition {
            tenant: tenant.to_owned(),
            name: definition.name.clone(),
            version: definition.version.clone(),
            kind: definition.kind.map_or_else(String::new, |k| k.as_str().to_owned()),
            source: definition.source.clone(),
            created: now,
        }
    }
}

/// Those of tasks of their own are how EnqueueTask works, not for people to run.
fn is_built_in(definition: &StoredDefinition) -> bool {
    definition.tenant == EVERYBODY && standalone::sources().iter().any(|(name, _)| *name == definition.name)
}

fn key(tenant: &str, name: &str, version: &str) -> (String, String, String) {
    (tenant.to_owned(), name.to_owned(), version.to_owned())
}
