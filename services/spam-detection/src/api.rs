//! The RPCs: decode, do, encode.

use crate::convert;
use crate::documents::Documents;
use crate::error::Error;
use crate::triage::{Judged, Triage};
use probity_proto::spam::spam_service_server::SpamService;
use probity_proto::spam::{Classification, ClassifyContentRequest, ClassifyRequest, GetModelRequest, Model};
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
        let (content, form) = convert::content(request.into_inner()).map_err(status)?;
        let verdict = self.triage.judge(content, form).await.map_err(status)?;
        let judged = Judged { verdict, of: 1 };
        Ok(Response::new(convert::classification(&judged, self.triage.classifier())))
    }

    async fn get_model(&self, request: Request<GetModelRequest>) -> Result<Response<Model>, Status> {
        request.ctx()?;
        Ok(Response::new(convert::model(self.triage.classifier().model())))
    }
}

impl Api {
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
