//! Taking a document in, piece by piece.
//!
//! The first bytes are kept in memory; a document that outgrows the limit of
//! rows goes to the object store. Whatever ends the upload early, nothing is left
//! of it: dropping this is enough.

use crate::Error;
use crate::domain::media;
use crate::domain::name::Hash;
use crate::objects::{Incoming, Objects};
use sha2::{Digest, Sha256};

/// How large documents may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) document: u64,
    pub(crate) inline: u64,
}

/// A document on its way in.
pub(crate) struct Upload<'a> {
    objects: &'a dyn Objects,
    limits: Limits,
    hasher: Sha256,
    size: u64,
    /// All bytes so far while they are few, else the first ones.
    head: Vec<u8>,
    object: Option<Box<dyn Incoming>>,
}

/// A document that has arrived.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) hash: Hash,
    pub(crate) size: u64,
    /// Its first bytes.
    pub(crate) head: Vec<u8>,
    /// Its bytes, unless they are an object now.
    pub(crate) body: Option<Vec<u8>>,
}

impl<'a> Upload<'a> {
    pub(crate) fn new(objects: &'a dyn Objects, limits: Limits) -> Self {
        Self { objects, limits, hasher: Sha256::new(), size: 0, head: Vec::new(), object: None }
    }

    pub(crate) async fn push(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.size += piece.len() as u64;
        if self.size > self.limits.document {
            return Err(Error::TooLarge { limit: self.limits.document });
        }
        self.hasher.update(piece);
        if self.object.is_none() && self.size <= self.limits.inline {
            self.head.extend_from_slice(piece);
            return Ok(());
        }
        self.object().await?.write(piece).await
    }

    /// The object; begun with what is in memory when there is none yet.
    async fn object(&mut self) -> Result<&mut Box<dyn Incoming>, Error> {
        let object = match self.object.take() {
            Some(object) => object,
            None => {
                let mut object = self.objects.create().await?;
                object.write(&self.head).await?;
                object
            }
        };
        Ok(self.object.insert(object))
    }

    /// All bytes were pushed: makes an object durable, unless they should have
    /// been others.
    pub(crate) async fn finish(mut self, announced: Option<Hash>) -> Result<Received, Error> {
        let hash = Hash(self.hasher.finalize().into());
        if let Some(wanted) = announced.filter(|wanted| *wanted != hash) {
            return Err(Error::Digest { wanted: wanted.to_string(), got: hash.to_string() });
        }
        let mut body = None;
        match self.object.take() {
            Some(object) => object.publish(hash).await?,
            None => body = Some(self.head.clone()),
        }
        self.head.truncate(media::HEAD_BYTES);
        Ok(Received { hash, size: self.size, head: self.head, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::folder::Folder;

    const LIMITS: Limits = Limits { document: 1_000, inline: 100 };

    async fn upload(pieces: &[&[u8]]) -> (Result<Received, Error>, usize) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let mut upload = Upload::new(&folder, LIMITS);
        let mut failed = None;
        for piece in pieces {
            if let Err(error) = upload.push(piece).await {
                failed = Some(error);
                break;
            }
        }
        let received = match failed {
            Some(error) => {
                drop(upload);
                Err(error)
            }
            None => upload.finish(None).await,
        };
        let left = std::fs::read_dir(dir.path().join("incoming")).unwrap().count();
        (received, left)
    }

    #[tokio::test]
    async fn the_limits_are_exact_and_nothing_is_left() {
        let check = async |sizes: &[usize], in_row: Option<bool>| {
            let pieces: Vec<_> = sizes.iter().map(|size| vec![b'x'; *size]).collect();
            let (received, left) = upload(&pieces.iter().map(Vec::as_slice).collect::<Vec<_>>()).await;
            let got = received.as_ref().ok().map(|received| received.body.is_some());
            assert_eq!((got, left), (in_row, 0), "{sizes:?} {received:?}");
            if let Ok(received) = received {
                let whole = pieces.concat();
                assert_eq!(received.size, whole.len() as u64);
                assert_eq!(received.hash, Hash(Sha256::digest(&whole).into()));
            }
        };
        check(&[], Some(true)).await;
        check(&[0], Some(true)).await;
        check(&[50, 50], Some(true)).await;
        check(&[50, 51], Some(false)).await;
        check(&[101], Some(false)).await;
        check(&[100, 0, 900], Some(false)).await;
        check(&[100, 901], None).await;
        check(&[1_001], None).await;
        check(&[500, 500, 1], None).await;
    }
}
