//! Handing a document out, piece by piece.

use crate::Error;
use crate::domain::Document;
use crate::objects::{Object, Objects};
use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, StreamExt};
use std::ops::Range;
use std::sync::Arc;
use tokio::io::AsyncReadExt;

/// Largest piece.
pub(crate) const PIECE_BYTES: usize = 64 * 1024;

/// The pieces of a document, as they come.
pub(crate) type Pieces = BoxStream<'static, Result<Bytes, Error>>;

/// The bytes of a document in `range`, which must lie within it.
pub(crate) async fn pieces(
    objects: &Arc<dyn Objects>,
    document: &Document,
    body: Option<Vec<u8>>,
    range: Range<u64>,
) -> Result<Pieces, Error> {
    let Some(body) = body else {
        let object = objects.open(document.hash, range.start).await?;
        return Ok(from_object(object, document, range.end - range.start));
    };
    let fits = |at: u64| usize::try_from(at).ok().filter(|at| *at <= body.len());
    let (Some(start), Some(end)) = (fits(range.start), fits(range.end)) else {
        return Err(cut_short(document));
    };
    let bytes = Bytes::from(body).slice(start..end);
    Ok(stream::iter(split(bytes).into_iter().map(Ok)).boxed())
}

fn split(mut bytes: Bytes) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        pieces.push(bytes.split_to(bytes.len().min(PIECE_BYTES)));
    }
    pieces
}

fn from_object(object: Object, document: &Document, left: u64) -> Pieces {
    let document = document.clone();
    let step = move |(mut object, left): (Object, u64)| {
        let document = document.clone();
        async move {
            if left == 0 {
                return None;
            }
            let piece = read_piece(&mut object, &document, left).await;
            let left = piece.as_ref().map_or(0, |piece| left - piece.len() as u64);
            Some((piece, (object, left)))
        }
    };
    stream::unfold((object, left), step).boxed()
}

async fn read_piece(object: &mut Object, document: &Document, left: u64) -> Result<Bytes, Error> {
    let wanted = usize::try_from(left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
    let mut piece = BytesMut::with_capacity(wanted);
    let mut source = object.take(wanted as u64);
    while piece.len() < wanted {
        match source.read_buf(&mut piece).await {
            Ok(0) => return Err(cut_short(document)),
            Ok(_) => {}
            Err(source) => {
                return Err(Error::Objects {
                    action: "read",
                    path: document.hash.to_string().into(),
                    source,
                });
            }
        }
    }
    Ok(piece.freeze())
}

fn cut_short(document: &Document) -> Error {
    let reason = format!("is shorter than its {} bytes", document.size);
    Error::Damaged { name: document.hash.name(), reason }
}
