//! The RPCs of `probity.compliance.v1`.

use crate::convert;
use crate::error::Error;
use crate::validator::{Asker, Validator};
use probity_proto::compliance::compliance_service_server::ComplianceService;
use probity_proto::compliance::{
    EvaluateRequest, EvaluateResponse, GetPolicyRequest, ListEvaluationsRequest, ListEvaluationsResponse,
    ListPoliciesRequest, ListPoliciesResponse, Policy, PublishPolicyRequest, TryPolicyRequest,
};
use probity_runtime::{Call as _, status};
use probity_types::page;
use std::future::Future;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

/// The service as tonic serves it.
#[derive(Clone)]
pub(crate) struct Api {
    validator: Validator,
    max_source_bytes: usize,
}

impl Api {
    pub(crate) const fn new(validator: Validator, max_source_bytes: usize) -> Self {
        Self { validator, max_source_bytes }
    }
}

fn asker<T>(request: &Request<T>) -> Result<Asker, Status> {
    Ok(Asker { ctx: request.ctx()?.clone(), key: request.idempotency_key() })
}

/// Work on the sandbox must not be cancelled half-way: a thread that does not
/// come back would go unnoticed. So it runs in a task of its own.
async fn whole<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<Response<T>, Status> {
    let done = tokio::spawn(work.in_current_span()).await;
    let done =
        done.unwrap_or_else(|error| Err(Error::Internal(format!("an evaluation ended early: {error}"))));
    done.map(Response::new).map_err(status)
}

#[tonic::async_trait]
impl ComplianceService for Api {
    async fn evaluate(
        &self,
        request: Request<EvaluateRequest>,
    ) -> Result<Response<EvaluateResponse>, Status> {
        let (asker, validator) = (asker(&request)?, self.validator.clone());
        let (id, case) = convert::case(request.into_inner()).map_err(status)?;
        whole(async move { validator.evaluate(asker, id, case).await }).await
    }

    async fn list_evaluations(
        &self,
        request: Request<ListEvaluationsRequest>,
    ) -> Result<Response<ListEvaluationsResponse>, Status> {
        let asked = request.get_ref();
        let case = convert::case_id("parent", &asked.parent).map_err(status)?;
        let before = convert::page_token(&asked.page_token).map_err(status)?;
        let limit = page::size(asked.page_size).map_err(status)?;
        let page = self.validator.evaluations(&request.ctx()?.tenant, case, before, limit).await;
        let (stored, next) = page.map_err(status)?;
        let evaluations =
            stored.iter().map(|stored| convert::evaluation(case, stored)).collect::<Result<_, _>>();
        let next_page_token = next.map(|id| id.to_string()).unwrap_or_default();
        Ok(Response::new(ListEvaluationsResponse {
            evaluations: evaluations.map_err(status)?,
            next_page_token,
        }))
    }

    async fn publish_policy(
        &self,
        request: Request<PublishPolicyRequest>,
    ) -> Result<Response<Policy>, Status> {
        let (asker, validator) = (asker(&request)?, self.validator.clone());
        let request = request.into_inner();
        let name = convert::policy_name(&request.policy).map_err(status)?;
        let kinds = convert::kinds(&request.kinds).map_err(status)?;
        let source = convert::source(request.source, self.max_source_bytes).map_err(status)?;
        whole(async move {
            let published = validator.publish(asker, name, source, kinds).await?;
            Ok(convert::policy(&published))
        })
        .await
    }

    async fn get_policy(&self, request: Request<GetPolicyRequest>) -> Result<Response<Policy>, Status> {
        let name = convert::policy_resource(&request.get_ref().name).map_err(status)?;
        let version = convert::version(request.get_ref().version).map_err(status)?;
        let policy = self.validator.policy(&request.ctx()?.tenant, &name, version).await.map_err(status)?;
        Ok(Response::new(convert::policy(&policy)))
    }

    async fn list_policies(
        &self,
        request: Request<ListPoliciesRequest>,
    ) -> Result<Response<ListPoliciesResponse>, Status> {
        let active = self.validator.active(&request.ctx()?.tenant).await.map_err(status)?;
        Ok(Response::new(ListPoliciesResponse { policies: active.iter().map(convert::policy).collect() }))
    }

    async fn try_policy(
        &self,
        request: Request<TryPolicyRequest>,
    ) -> Result<Response<EvaluateResponse>, Status> {
        request.ctx()?;
        let (request, validator) = (request.into_inner(), self.validator.clone());
        let source = convert::source(request.source, self.max_source_bytes).map_err(status)?;
        let case = convert::trial(request.input).map_err(status)?;
        whole(async move { Ok(convert::response(&validator.try_out(&source, case).await?, None)) }).await
    }
}
