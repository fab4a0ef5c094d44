//! Documents that executions refer to: whether they are there, before a case is opened
//! or a value with a reference is taken; and, once it is stored, that they stay.
//!
//! A document that was uploaded for a result is temporary. What is asked here before
//! a value is taken keeps it for a day more; the commit of the value also notes that
//! it is named (`store/blobs.rs`), and what is noted is then kept for good. So an
//! upload that is never named goes by itself, one that is named stays, and a crash
//! anywhere between changes neither.

use crate::convert::invalid;
use crate::domain::blobs::{self, Reference};
use crate::error::Error;
use crate::store::{Named, Store};
use probity_engine::CallFailure;
use probity_proto::BoxGrpcService;
use probity_proto::intake::HoldDocumentsRequest;
use probity_proto::intake::intake_service_client::IntakeServiceClient;
use probity_resilience::Deadline;
use probity_runtime::{Caller, Minter, Setup, fault_of};
use probity_types::id::ExecutionId;
use probity_types::{Ctx, Fault};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Time for one question.
const PATIENCE: Duration = Duration::from_secs(10);
/// What was named is looked for this often.
const LOOK: Duration = Duration::from_secs(5);

/// The way to the documents. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Blobs(Arc<Inner>);

struct Inner {
    intake: BoxGrpcService,
    minter: Arc<Minter>,
    store: Store,
}

/// Why a value is not taken.
enum Refused {
    /// It says something wrong.
    Wrong(String),
    /// Nobody can tell.
    Away(Fault),
}

impl Blobs {
    pub(crate) fn new(setup: &Setup, store: Store) -> Self {
        Self(Arc::new(Inner { intake: setup.peer("intake"), minter: setup.minter(), store }))
    }

    /// Takes the answer to a step, unless it refers to what is not there.
    pub(crate) async fn answered(
        &self,
        tenant: &str,
        answer: Result<Json, CallFailure>,
    ) -> Result<Json, CallFailure> {
        let value = answer?;
        match self.check(tenant, &value).await {
            Ok(()) => Ok(value),
            Err(Refused::Wrong(why)) => Err(CallFailure {
                code: "ORC-0029".to_owned(),
                message: format!("the answer refers to a document that cannot be used: {why}"),
                transient: false,
                retry_after: None,
            }),
            Err(Refused::Away(fault)) => Err(CallFailure {
                code: fault.code.to_owned(),
                message: format!("whether the documents of the answer are there cannot be told: {fault}"),
                transient: fault.kind.is_transient(),
                retry_after: fault.retry_after,
            }),
        }
    }

    /// The answer of a worker; `tenant` is whose worker it is, when it is one tenant's.
    pub(crate) async fn answered_by_worker(
        &self,
        tenant: Option<&str>,
        execution: ExecutionId,
        answer: Result<Json, CallFailure>,
    ) -> Result<Json, CallFailure> {
        match (&answer, tenant) {
            (Ok(value), None) if blobs::references(value).is_ok_and(|found| !found.is_empty()) => {
                let tenant = self.0.store.tenant_of(execution).await.ok().flatten().unwrap_or_default();
                self.answered(&tenant, answer).await
            }
            (_, tenant) => self.answered(tenant.unwrap_or_default(), answer).await,
        }
    }

    /// Takes a value that a caller sends, unless it refers to what is not there.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it does, [`Error::Away`] when nobody can tell.
    pub(crate) async fn admit(&self, tenant: &str, field: &str, value: &Json) -> Result<(), Error> {
        self.check(tenant, value).await.map_err(|refused| match refused {
            Refused::Wrong(why) => invalid(field, why),
            Refused::Away(fault) => unknown(&fault),
        })
    }

    /// Keeps the documents of a case for good, unless one of them is not there.
    ///
    /// # Errors
    /// [`Error::Invalid`] when one is not, [`Error::Away`] when nobody can tell.
    pub(crate) async fn of_case(&self, tenant: &str, documents: &[String]) -> Result<(), Error> {
        let there = self.hold(tenant, documents.to_vec(), true).await.map_err(|fault| unknown(&fault))?;
        match documents.iter().position(|name| !there.contains_key(name)) {
            None => Ok(()),
            Some(at) => {
                let why = format!("there is no {}: upload it first, in the same tenant", documents[at]);
                Err(invalid(&format!("documents[{at}]"), why))
            }
        }
    }

    async fn check(&self, tenant: &str, value: &Json) -> Result<(), Refused> {
        let references = blobs::references(value).map_err(Refused::Wrong)?;
        if references.is_empty() {
            return Ok(());
        }
        let names = references.iter().map(|reference| reference.name.clone()).collect();
        let sizes = self.hold(tenant, names, false).await.map_err(Refused::Away)?;
        references.iter().try_for_each(|reference| fits(reference, &sizes)).map_err(Refused::Wrong)
    }

    /// Keeps documents; answers the sizes of those that are there.
    async fn hold(
        &self,
        tenant: &str,
        names: Vec<String>,
        for_good: bool,
    ) -> Result<BTreeMap<String, i64>, Fault> {
        let ctx = Ctx::service("orchestrator", tenant, "");
        let caller = Caller::new(ctx.clone(), self.0.minter.mint(&ctx)?).by(Deadline::within(PATIENCE));
        let request = caller.request(HoldDocumentsRequest { names, for_good });
        let mut intake = IntakeServiceClient::new(self.0.intake.clone());
        let answer = intake.hold_documents(request).await.map_err(|status| fault_of(&status))?;
        let documents = answer.into_inner().documents;
        Ok(documents.into_iter().map(|document| (document.name, document.size_bytes)).collect())
    }

    /// Has kept for good what executions name, until `stop`.
    pub(crate) async fn keep(self, stop: CancellationToken) {
        loop {
            if let Err(fault) = self.keep_named().await {
                tracing::warn!(%fault, "documents that executions name cannot be kept for good yet");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn keep_named(&self) -> Result<(), Fault> {
        loop {
            let named = self.0.store.named_blobs(blobs::MOST).await?;
            if named.is_empty() {
                return Ok(());
            }
            let mut by_tenant: BTreeMap<&str, Vec<&Named>> = BTreeMap::new();
            named.iter().for_each(|named| by_tenant.entry(&named.tenant).or_default().push(named));
            for (tenant, of) in by_tenant {
                let mut names: Vec<_> = of.iter().map(|named| blobs::name(&named.sha256)).collect();
                names.dedup();
                let there = self.hold(tenant, names, true).await?;
                for named in of {
                    let name = blobs::name(&named.sha256);
                    let kept = there.contains_key(&name);
                    if !kept {
                        tracing::error!(
                            tenant,
                            document = name,
                            "an execution names a document that is gone"
                        );
                    }
                    self.0.store.blob_is_kept(named, kept).await?;
                }
            }
        }
    }
}

/// Nobody can tell whether documents are there.
fn unknown(fault: &Fault) -> Error {
    Error::Away(format!("documents cannot be looked for: {fault}"))
}

fn fits(reference: &Reference, sizes: &BTreeMap<String, i64>) -> Result<(), String> {
    let Reference { name, size } = reference;
    match sizes.get(name) {
        None => Err(format!("there is no {name}: upload it first, with `temporary`, in the same tenant")),
        Some(there) if u64::try_from(*there).ok() == Some(*size) => Ok(()),
        Some(there) => Err(format!("{name} has {there} bytes, not {size} as the reference says")),
    }
}
