//! Documents, and references to them in inputs and results.

use crate::{Client, Error};
use bytes::Bytes;
use probity_proto::intake::{ReadDocumentRequest, UploadDocumentRequest};
use serde::{Deserialize, Serialize};

/// Bytes in one message of an upload.
const PIECE: usize = 512 << 10;

/// A reference to a document: what stands in an input or a result in place of
/// something large. Steps, sub-workflows and callers get it as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Blob {
    /// `documents/<sha256>`.
    #[serde(rename = "$blob")]
    pub document: String,
    /// How many bytes it has.
    pub size: u64,
    /// What they are.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
}

impl Client {
    /// Hands bytes over and answers the reference to them. They are kept for a day,
    /// and for good once an execution names them. The same bytes are kept once.
    ///
    /// # Errors
    /// [`Error::Status`] when the platform refuses them, as more than its limit
    /// (256 MiB unless configured otherwise), or cannot be reached.
    pub async fn upload(&self, data: impl Into<Bytes>, media_type: &str) -> Result<Blob, Error> {
        let mut data: Bytes = data.into();
        let first = UploadDocumentRequest {
            media_type: media_type.to_owned(),
            temporary: true,
            data: data.split_to(data.len().min(PIECE)),
            ..UploadDocumentRequest::default()
        };
        let rest = std::iter::from_fn(move || {
            let piece = data.split_to(data.len().min(PIECE));
            (!piece.is_empty())
                .then(|| UploadDocumentRequest { data: piece, ..UploadDocumentRequest::default() })
        });
        let pieces = tokio_stream::iter(std::iter::once(first).chain(rest));
        let document = self.documents().upload_document(pieces).await?.into_inner();
        Ok(Blob {
            document: document.name,
            size: u64::try_from(document.size_bytes).unwrap_or(0),
            media_type: document.media_type,
        })
    }

    /// The bytes that a reference stands for, all of them in memory. For more than
    /// that, read pieces with [`Client::documents`].
    ///
    /// # Errors
    /// [`Error::Status`] when there is no such document for this tenant, or the
    /// platform cannot be reached.
    pub async fn download(&self, blob: &Blob) -> Result<Vec<u8>, Error> {
        let request = ReadDocumentRequest { name: blob.document.clone(), ..ReadDocumentRequest::default() };
        let mut answers = self.documents().read_document(request).await?.into_inner();
        let mut bytes = Vec::new();
        while let Some(answer) = answers.message().await? {
            bytes.extend_from_slice(&answer.data);
        }
        Ok(bytes)
    }
}
