//! Registered definitions: every version is kept, each is compiled once.

use crate::catalog::Contracts;
use crate::domain::standalone;
use crate::error::Error;
use crate::store::{Store, StoredDefinition};
use parking_lot::RwLock;
use probity_engine::{CaseKind, Definition};
use probity_types::{AuditEvent, Ctx, Micros};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;

/// The definitions that are shipped, by name.
pub const SHIPPED: [(&str, &str); 4] = [
    ("tender", include_str!("../definitions/tender.yaml")),
    ("payment", include_str!("../definitions/payment.yaml")),
    ("message", include_str!("../definitions/message.yaml")),
    ("report", include_str!("../definitions/report.yaml")),
];

/// The tenant of what is shipped; its definitions are there for everybody.
const EVERYBODY: &str = "";

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
}

impl Definitions {
    /// Reads what is registered and adds what is shipped.
    pub(crate) async fn open(store: Store, contracts: Arc<Contracts>, now: Micros) -> Result<Self, Error> {
        let inner = Inner { store, contracts, compiled: RwLock::default(), newest: RwLock::default() };
        let definitions = Self(Arc::new(inner));
        for stored in definitions.0.store.definitions().await? {
            definitions.remember(stored);
        }
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

    /// The newest version of a name: the tenant's own, else the shipped one.
    pub(crate) fn newest(&self, tenant: &str, name: &str) -> Result<StoredDefinition, Error> {
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
    pub(crate) fn list(&self, tenant: &str) -> Vec<StoredDefinition> {
        let newest = self.0.newest.read();
        let mut all: HashMap<&str, &StoredDefinition> = HashMap::new();
        for whose in [EVERYBODY, tenant] {
            all.extend(newest.values().filter(|d| d.tenant == whose).map(|d| (d.name.as_str(), d)));
        }
        let mut all: Vec<_> = all.into_values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The definition a case of this kind runs on when none is named: the one the
    /// tenant registered last for the kind, else the shipped one.
    pub(crate) async fn default_for(&self, tenant: &str, kind: CaseKind) -> Result<Arc<Definition>, Error> {
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
        let stored = self.newest(tenant, name)?;
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

fn key(tenant: &str, name: &str, version: &str) -> (String, String, String) {
    (tenant.to_owned(), name.to_owned(), version.to_owned())
}
