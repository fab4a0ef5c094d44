//! A load of generated items through the public door, and waiting for it to end.

use probity_cli::client::Client;
use probity_cli::samples::{Item, Mix};
use probity_proto::intake::UploadDocumentRequest;
use probity_proto::orchestrator::{Case, CaseState, GetCaseRequest, OpenCaseRequest};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tonic::{Code, Status};

/// Items with a fixed seed: the same number is the same item under the same key.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    seed: u64,
}

/// How long to wait before trying again.
const AGAIN: Duration = Duration::from_millis(50);

impl Load {
    /// The load of that seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The item with that number.
    #[must_use]
    pub fn item(&self, number: u64) -> Item {
        Mix::new(self.seed).at(number)
    }

    fn key(&self, number: u64) -> String {
        format!("load-{}-{number}", self.seed)
    }

    /// Uploads an item and opens its case, once.
    ///
    /// # Errors
    /// What the platform answered.
    pub async fn try_open(&self, client: &Client, number: u64) -> Result<Case, Status> {
        let item = self.item(number);
        let piece = UploadDocumentRequest {
            media_type: item.media_type().to_owned(),
            filename: item.filename().to_owned(),
            data: item.bytes().to_vec().into(),
            ..UploadDocumentRequest::default()
        };
        let (upload, _) = client.request(futures::stream::iter([piece]), None);
        let document = client.documents().upload_document(upload).await?.into_inner();
        let request = OpenCaseRequest {
            kind: item.kind().proto() as i32,
            documents: vec![document.name],
            subject: item.subject().to_owned(),
            ..OpenCaseRequest::default()
        };
        let (request, _) = client.request(request, Some(&self.key(number)));
        Ok(client.cases().open_case(request).await?.into_inner())
    }

    /// As [`Load::try_open`], again and again while the platform is away.
    ///
    /// # Panics
    /// When the platform refuses the item, or stays away for more than `limit`.
    pub async fn open(&self, client: &Client, number: u64, limit: Duration) -> Case {
        let until = Instant::now() + limit;
        loop {
            match self.try_open(client, number).await {
                Ok(case) => return case,
                Err(status) if may_pass(&status) && Instant::now() < until => tokio::time::sleep(AGAIN).await,
                Err(status) => panic!("item {number}: {status:?}"),
            }
        }
    }
}

/// Whether the same call may succeed later: the platform is away or starting.
fn may_pass(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Unknown
            | Code::Cancelled
            | Code::ResourceExhausted
            | Code::Internal
    )
}

/// Whether nothing more happens to a case by itself.
#[must_use]
pub fn is_settled(case: &Case) -> bool {
    case.waiting.is_some()
        || matches!(case.state(), CaseState::Resolved | CaseState::Failed | CaseState::Cancelled)
}

/// Waits until every case is final or waits for a person; answers them by name.
///
/// # Panics
/// When some case is still not settled after `limit`.
pub async fn settle(client: &Client, names: &[String], limit: Duration) -> BTreeMap<String, Case> {
    let until = Instant::now() + limit;
    let mut settled = BTreeMap::new();
    for name in names {
        loop {
            let (request, _) = client.request(GetCaseRequest { name: name.clone() }, None);
            match client.cases().get_case(request).await {
                Ok(case) if is_settled(case.get_ref()) => {
                    settled.insert(name.clone(), case.into_inner());
                    break;
                }
                answer if Instant::now() > until => panic!("{name} is not settled: {answer:?}"),
                _ => tokio::time::sleep(AGAIN / 5).await,
            }
        }
    }
    settled
}
