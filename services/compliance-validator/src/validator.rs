//! What the service does: the rules of the domain, the evaluator and the store
//! put together.

use crate::config::Config;
use crate::convert;
use crate::domain::policy::source_sha256;
use crate::domain::{Case, CaseKind, Evaluation, Policy, PolicyName, starter};
use crate::error::Error;
use crate::evaluator::Evaluator;
use crate::metrics::Metrics;
use crate::store::{Draft, Quota, Record, Store, Stored};
use probity_proto::compliance::EvaluateResponse;
use probity_resilience::cache::{Cache, Fresh};
use probity_storage::idempotency::Scope;
use probity_types::id::{CaseId, EvaluationId};
use probity_types::{Clock, Ctx};
use prost::Message as _;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most reasons named in the audit log; the answer has them all.
const MAX_LOGGED: usize = 50;

/// Operations, as idempotency keys tell them apart.
const EVALUATE: &str = "compliance.Evaluate";
const PUBLISH: &str = "compliance.PublishPolicy";

/// The service behind its RPCs. Clones share everything.
#[derive(Clone)]
pub(crate) struct Validator(Arc<Inner>);

struct Inner {
    config: Config,
    store: Store,
    evaluator: Evaluator,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    known: Known,
}

/// What was read of policies before.
pub(crate) struct Known {
    /// Which versions are the newest: asked for each evaluation, once for all that wait,
    /// because another process may publish.
    pub(crate) newest: Fresh<Vec<Policy>, Error>,
    /// Texts never change, and each is checked against the hash that the store names.
    pub(crate) sources: Cache<Arc<str>, Error>,
}

/// Who asks, and the idempotency key of the request.
pub(crate) struct Asker {
    pub(crate) ctx: Ctx,
    pub(crate) key: Option<String>,
}

impl Asker {
    fn scope(&self, operation: &'static str, body_sha256: [u8; 32]) -> Option<Scope> {
        let key = self.key.clone()?;
        Some(Scope { tenant: self.ctx.tenant.clone(), operation, key, body_sha256 })
    }
}

impl Validator {
    pub(crate) fn new(
        config: Config,
        store: Store,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        known: Known,
    ) -> Self {
        Self(Arc::new(Inner {
            evaluator: Evaluator::new(config.clone(), Arc::clone(&clock), metrics.clone()),
            known,
            config,
            store,
            clock,
            metrics,
        }))
    }

    /// Evaluates the active policies on a case and keeps the result.
    pub(crate) async fn evaluate(
        &self,
        asker: Asker,
        id: CaseId,
        case: Case,
    ) -> Result<EvaluateResponse, Error> {
        let active = self.active(&asker.ctx.tenant).await?;
        let policies: Vec<_> = active.into_iter().filter(|policy| policy.applies_to(case.kind)).collect();
        let evaluation = self.0.evaluator.evaluate(&policies, &case).await?;
        let record = record(id, &case, &policies, &evaluation);
        let scope = asker.scope(EVALUATE, record.input_sha256);
        let kept = self.0.store.keep(asker.ctx, record, scope, self.0.clock.now()).await?;
        convert::decoded(&kept)
    }

    /// Evaluates a text that is not published; keeps nothing.
    pub(crate) async fn try_out(&self, source: &str, case: Case) -> Result<Evaluation, Error> {
        let name = "draft".parse().map_err(Error::Internal)?;
        let policy = Policy {
            name,
            version: 0,
            source: source.into(),
            sha256: source_sha256(source),
            kinds: Vec::new(),
            published_by: String::new(),
            publish_time: None,
        };
        self.0.evaluator.try_out(policy, &case).await
    }

    /// Checks a policy and makes it the active version of its name.
    pub(crate) async fn publish(
        &self,
        asker: Asker,
        name: PolicyName,
        source: String,
        kinds: Vec<CaseKind>,
    ) -> Result<Policy, Error> {
        let on = if kinds.is_empty() { CaseKind::ALL.to_vec() } else { kinds.clone() };
        self.0.evaluator.check(source.as_str().into(), on).await?;
        let sha256 = source_sha256(&source);
        let starter_version = starter::find(&name).map_or(0, |policy| policy.version);
        let scope = asker.scope(PUBLISH, publish_sha256(&name, &kinds, &sha256));
        let draft = Draft { name: name.clone(), source, sha256, kinds, starter_version };
        let tenant = asker.ctx.tenant.clone();
        let version = self.0.store.publish(asker.ctx, draft, scope, self.quota(), self.0.clock.now()).await?;
        self.0.metrics.published();
        let published = self.policy(&tenant, &name, Some(version)).await?;
        self.0.known.sources.put(&source_key(&tenant, &published), Some(Arc::clone(&published.source))).await;
        Ok(published)
    }

    fn quota(&self) -> Quota {
        Quota {
            policies: self.0.config.max_policies,
            total_bytes: i64::try_from(self.0.config.max_total_bytes).unwrap_or(i64::MAX),
        }
    }

    /// One version of a policy, the active one when none is named.
    pub(crate) async fn policy(
        &self,
        tenant: &str,
        name: &PolicyName,
        version: Option<i64>,
    ) -> Result<Policy, Error> {
        if let Some(own) = self.0.store.policy(tenant, name, version).await? {
            return Ok(own);
        }
        let starter =
            starter::find(name).filter(|policy| version.is_none_or(|version| version == policy.version));
        starter.cloned().ok_or_else(|| no_policy(name, version))
    }

    /// The active policies of a tenant by name: its own, and those of the starter
    /// set it has not replaced.
    pub(crate) async fn active(&self, tenant: &str) -> Result<Vec<Policy>, Error> {
        let starters = starter::policies().iter();
        let mut active: BTreeMap<_, _> =
            starters.map(|policy| (policy.name.clone(), policy.clone())).collect();
        let (store, whose) = (self.0.store.clone(), tenant.to_owned());
        let newest = self.0.known.newest.get(tenant, || async move { store.newest(&whose).await.map(Some) });
        for head in newest.await?.as_deref().into_iter().flatten() {
            let own = self.with_source(tenant, head).await?;
            active.insert(own.name.clone(), own);
        }
        Ok(active.into_values().collect())
    }

    /// A policy with its text, wherever that was read: it must have the hash that the
    /// store names.
    async fn with_source(&self, tenant: &str, head: &Policy) -> Result<Policy, Error> {
        let (key, sources) = (source_key(tenant, head), &self.0.known.sources);
        let (store, whose, name, version) =
            (self.0.store.clone(), tenant.to_owned(), head.name.clone(), head.version);
        let text = sources.get(&key, || async move { store.source(&whose, &name, version).await }).await?;
        match text {
            Some(text) if source_sha256(&text) == head.sha256 => {
                Ok(Policy { source: Arc::clone(&text), ..head.clone() })
            }
            _ => {
                tracing::error!(policy = %head.label(), "a policy was kept with another text; it is read anew");
                sources.invalidate(&key).await;
                self.policy(tenant, &head.name, Some(head.version)).await
            }
        }
    }

    /// A page of the evaluations of a case, and where the next one begins.
    pub(crate) async fn evaluations(
        &self,
        tenant: &str,
        case: CaseId,
        before: Option<EvaluationId>,
        limit: i64,
    ) -> Result<(Vec<Stored>, Option<EvaluationId>), Error> {
        let mut page = self.0.store.evaluations(tenant, case, before, limit + 1).await?;
        let more = usize::try_from(limit).is_ok_and(|limit| page.len() > limit);
        if more {
            page.pop();
        }
        let next = page.last().filter(|_| more).map(|last| last.id);
        Ok((page, next))
    }
}

fn source_key(tenant: &str, policy: &Policy) -> String {
    format!("{tenant}/{}", policy.label())
}

fn no_policy(name: &PolicyName, version: Option<i64>) -> Error {
    let label = version.map_or_else(|| name.to_string(), |version| format!("{name}@{version}"));
    Error::NoPolicy { label }
}

fn publish_sha256(name: &PolicyName, kinds: &[CaseKind], source: &[u8; 32]) -> [u8; 32] {
    let kinds: Vec<_> = kinds.iter().map(|kind| kind.as_str()).collect();
    let mut hash = Sha256::new();
    hash.update(format!("{name}\n{}\n", kinds.join(" ")));
    hash.update(source);
    hash.finalize().into()
}

fn record(case_id: CaseId, case: &Case, policies: &[Policy], evaluation: &Evaluation) -> Record {
    let (id, input_sha256) = (EvaluationId::new(), case.sha256());
    Record {
        id,
        case: case_id,
        kind: case.kind,
        decision: evaluation.decision.as_str(),
        input_sha256,
        policies: evaluation.policies.clone(),
        detail: detail(policies, evaluation, &input_sha256),
        response: convert::response(evaluation, Some(id)).encode_to_vec(),
    }
}

/// What is proved: the decision, on what, by which texts, and which rules spoke.
fn detail(policies: &[Policy], evaluation: &Evaluation, input: &[u8; 32]) -> serde_json::Value {
    let texts = policies.iter().take(MAX_LOGGED);
    let texts: BTreeMap<_, _> = texts.map(|policy| (policy.label(), hex::encode(policy.sha256))).collect();
    let spoke = evaluation.reasons.iter().take(MAX_LOGGED);
    let spoke: Vec<_> = spoke.map(|reason| format!("{} {}", reason.policy, reason.rule)).collect();
    json!({
        "decision": evaluation.decision.as_str(),
        "required_approvals": evaluation.required_approvals,
        "actions": evaluation.actions.iter().map(|action| action.as_str()).collect::<Vec<_>>(),
        "input_sha256": hex::encode(input),
        "policies": texts,
        "rules": spoke,
        "reasons": evaluation.reasons.len(),
    })
}
