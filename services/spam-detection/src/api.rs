//! The RPCs: decode, do, encode.

use crate::convert;
use crate::documents::Documents;
use crate::error::Error;
use crate::triage::{Judged, Triage};
use probity_proto::spam::spam_service_server::SpamService;
use probity_proto::spam::{
    BatchClassifyContentRequest, BatchClassifyContentResponse, Classification, ClassifyContentRequest,
    ClassifyContentResult, ClassifyRequest, GetModelRequest, Model,
};
use probity_runtime::{Call as _, Caller, status};
use tonic::{Request, Response, Status};

/// The service behind the RPCs.
pub(crate) struct Api {
    pub(crate) documents: Documents,
    pub(crate) triage: Triage,
}

#[tonic::async_trait]
impl SpamService for Api {
    async fn classify(&self, request: Request<ClassifyRequest>) -> Result<Response<Classification>, Status> {
        let caller = request.caller()?;
        let names = convert::documents(request.into_inner()).map_err(status)?;
        let judged = self.most_spam_like(&caller, &names).await.map_err(status)?;
        Ok(Response::new(convert::classification(&judged, self.triage.classifier())))
    }

    async fn classify_content(
        &self,
        request: Request<ClassifyContentRequest>,
    ) -> Result<Response<Classification>, Status> {
        request.ctx()?;
        let judged = self.judged(request.into_inner()).await.map_err(status)?;
        Ok(Response::new(convert::classification(&judged, self.triage.classifier())))
    }

    async fn batch_classify_content(
        &self,
        request: Request<BatchClassifyContentRequest>,
    ) -> Result<Response<BatchClassifyContentResponse>, Status> {
        request.ctx()?;
        let requests = convert::contents(request.into_inner()).map_err(status)?;
        let mut results = Vec::with_capacity(requests.len());
        for request in requests {
            results.push(self.result(request).await);
        }
        Ok(Response::new(BatchClassifyContentResponse { results }))
    }

    async fn get_model(&self, request: Request<GetModelRequest>) -> Result<Response<Model>, Status> {
        request.ctx()?;
        Ok(Response::new(convert::model(self.triage.classifier().model())))
    }
}

impl Api {
    /// One content of several: its classification, or why there is none.
    async fn result(&self, request: ClassifyContentRequest) -> ClassifyContentResult {
        match self.judged(request).await {
            Ok(judged) => {
                let classification = convert::classification(&judged, self.triage.classifier());
                ClassifyContentResult { classification: Some(classification), reason: String::new() }
            }
            Err(error) => {
                let reason = status(error).message().to_owned();
                ClassifyContentResult { classification: None, reason }
            }
        }
    }

    async fn judged(&self, request: ClassifyContentRequest) -> Result<Judged, Error> {
        let (content, form) = convert::content(request)?;
        let verdict = self.triage.judge(content, form).await?;
        Ok(Judged { verdict, of: 1 })
    }

    /// The verdict on the document that looks most like spam. One after the
    /// other: of a hundred documents no more than one is in memory.
    async fn most_spam_like(&self, caller: &Caller, names: &[String]) -> Result<Judged, Error> {
        let mut worst = None;
        for name in names {
            let content = self.documents.read(caller, name).await?;
            let verdict = self.triage.judge(content, crate::domain::Form::Guess).await?;
            worst = Some(match worst {
                Some(worst) => verdict.more_spam_like(worst),
                None => verdict,
            });
        }
        let verdict = worst.ok_or_else(convert::no_documents)?;
        Ok(Judged { verdict, of: names.len() })
    }
}
