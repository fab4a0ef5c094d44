//! Reading documents from intake, checked against the hash that names them.

use crate::call::Caller;
use crate::status::fault_of;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use probity_proto::BoxGrpcService;
use probity_proto::intake::ReadDocumentRequest;
use probity_proto::intake::intake_service_client::IntakeServiceClient;
use probity_types::{Fault, FaultKind};
use sha2::{Digest as _, Sha256};
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Documents up to this size are remembered for a while.
const REMEMBERED_BYTES: usize = 64 * 1024;
/// How many of them.
const REMEMBERED: usize = 64;

/// The key says the tenant too: a remembered document is never shown to another.
type Key = (String, String);

/// Reads documents. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    client: IntakeServiceClient<BoxGrpcService>,
    remembered: Arc<Mutex<lru::LruCache<Key, Bytes>>>,
}

impl Reader {
    /// A reader over the intake peer.
    #[must_use]
    pub fn new(intake: BoxGrpcService) -> Self {
        let capacity = NonZeroUsize::MIN.saturating_add(REMEMBERED - 1);
        Self {
            client: IntakeServiceClient::new(intake),
            remembered: Arc::new(Mutex::new(lru::LruCache::new(capacity))),
        }
    }

    /// All bytes of the document `name` (`documents/<sha256>`), at most `limit`.
    ///
    /// # Errors
    /// The peer's fault; Invalid when it is larger than `limit`; Corrupt when the
    /// bytes do not have the hash they are named by.
    pub async fn read(&self, caller: &Caller, name: &str, limit: usize) -> Result<Bytes, Fault> {
        let key = (caller.ctx.tenant.clone(), name.to_owned());
        if let Some(bytes) = self.remembered.lock().get(&key)
            && bytes.len() <= limit
        {
            return Ok(bytes.clone());
        }
        let bytes = self.fetch(caller, name, limit).await?;
        verify(name, &bytes)?;
        if bytes.len() <= REMEMBERED_BYTES {
            self.remembered.lock().put(key, bytes.clone());
        }
        Ok(bytes)
    }

    async fn fetch(&self, caller: &Caller, name: &str, limit: usize) -> Result<Bytes, Fault> {
        let request = ReadDocumentRequest { name: name.to_owned(), read_offset: 0, read_limit: 0 };
        let response = self.client.clone().read_document(caller.request(request)).await;
        let mut stream = response.map_err(|s| fault_of(&s))?.into_inner();
        let mut bytes = BytesMut::new();
        while let Some(piece) = stream.message().await.map_err(|s| fault_of(&s))? {
            if bytes.len().saturating_add(piece.data.len()) > limit {
                let why = format!("{name} is larger than the {limit} bytes that are read here");
                return Err(Fault::new(FaultKind::Invalid, "RUN-0009", why));
            }
            bytes.extend_from_slice(&piece.data);
        }
        Ok(bytes.freeze())
    }
}

fn verify(name: &str, bytes: &[u8]) -> Result<(), Fault> {
    let hash = hex::encode(Sha256::digest(bytes));
    if name.strip_prefix("documents/") == Some(hash.as_str()) {
        return Ok(());
    }
    let why = format!("the bytes of {name} have the hash {hash}");
    Err(Fault::new(FaultKind::Corrupt, "RUN-0010", why))
}
