//! Reads documents from intake: whole when they are small, else their
//! beginning. A mail with large attachments is still a mail, and its text comes
//! first.

use crate::domain::mime::MAX_TEXT_BYTES;
use crate::error::Error;
use crate::metrics::Metrics;
use bytes::{Bytes, BytesMut};
use probity_proto::BoxGrpcService;
use probity_proto::intake::ReadDocumentRequest;
use probity_proto::intake::intake_service_client::IntakeServiceClient;
use probity_runtime::{Caller, fault_of};
use sha2::{Digest as _, Sha256};

/// So much of a document is read: room for a text in base64 within its limit.
pub(crate) const MAX_READ_BYTES: usize = 2 * MAX_TEXT_BYTES;

/// Reads documents. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Documents {
    client: IntakeServiceClient<BoxGrpcService>,
    metrics: Metrics,
}

impl Documents {
    pub(crate) fn new(intake: BoxGrpcService, metrics: Metrics) -> Self {
        Self { client: IntakeServiceClient::new(intake), metrics }
    }

    /// The document, or its first [`MAX_READ_BYTES`]. A whole document is checked
    /// against the hash it is named by.
    pub(crate) async fn read(&self, caller: &Caller, name: &str) -> Result<Bytes, Error> {
        // One byte more tells a document that fits from one that is cut.
        let limit = MAX_READ_BYTES + 1;
        let read_limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let request = ReadDocumentRequest { name: name.to_owned(), read_offset: 0, read_limit };
        let answer = self.client.clone().read_document(caller.request(request)).await;
        let mut pieces = answer.map_err(|s| Error::Peer(fault_of(&s)))?.into_inner();
        let mut bytes = BytesMut::new();
        while let Some(piece) = pieces.message().await.map_err(|s| Error::Peer(fault_of(&s)))? {
            let room = limit - bytes.len();
            bytes.extend_from_slice(piece.data.get(..room).unwrap_or(&piece.data));
        }
        if bytes.len() == limit {
            self.metrics.cut();
            bytes.truncate(MAX_READ_BYTES);
        } else if !is_named_by(name, &bytes) {
            return Err(Error::Damaged { name: name.to_owned() });
        }
        Ok(bytes.freeze())
    }
}

fn is_named_by(name: &str, bytes: &[u8]) -> bool {
    name.strip_prefix("documents/") == Some(hex::encode(Sha256::digest(bytes)).as_str())
}
