//! Between the contract and the domain, and every limit of a request.

use crate::Error;
use crate::domain::check::Kind;
use crate::domain::name::Hash;
use crate::domain::page::Cursor;
use crate::domain::report::{Rejection, Report};
use crate::domain::{Document, filename, media};
use probity_proto::common::{CaseKind, Rejection as PbRejection};
use probity_proto::intake as pb;
use probity_proto::time::timestamp;
use std::ops::Range;

/// Most bytes in a message of an upload.
pub(crate) const MAX_PIECE_BYTES: usize = 1 << 20;
/// The largest message: a piece, a media type and a file name.
pub(crate) const MAX_MESSAGE_BYTES: usize = MAX_PIECE_BYTES + (16 << 10);
/// Most documents in one check.
pub(crate) const MAX_CHECKED: usize = 100;

/// What the first message of an upload says about the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heading {
    /// Empty when it is to be guessed.
    pub(crate) media_type: String,
    pub(crate) filename: String,
    /// What the bytes must have, when that is announced.
    pub(crate) sha256: Option<Hash>,
    pub(crate) temporary: bool,
}

impl TryFrom<&pb::UploadDocumentRequest> for Heading {
    type Error = Error;

    fn try_from(first: &pb::UploadDocumentRequest) -> Result<Self, Error> {
        let filename = filename::clean(&first.filename).map_err(|why| Error::field("filename", why))?;
        let media_type = match first.media_type.trim() {
            "" => String::new(),
            given => media::parse(given).map_err(|why| Error::field("media_type", why))?,
        };
        let sha256 = match first.sha256.as_str() {
            "" => None,
            given => Some(Hash::from_hex(given).ok_or_else(|| {
                Error::field("sha256", "is no SHA-256: 64 hexadecimal digits in lower case")
            })?),
        };
        Ok(Self { media_type, filename, sha256, temporary: first.temporary })
    }
}

/// The bytes of one message.
pub(crate) fn piece(message: &pb::UploadDocumentRequest) -> Result<&[u8], Error> {
    if message.data.len() > MAX_PIECE_BYTES {
        let reason = format!("has {} bytes; at most {MAX_PIECE_BYTES} a message", message.data.len());
        return Err(Error::field("data", reason));
    }
    Ok(&message.data)
}

pub(crate) fn name(name: &str) -> Result<Hash, Error> {
    Hash::from_name(name).map_err(|why| Error::field("name", why))
}

pub(crate) fn document(document: Document) -> pb::Document {
    pb::Document {
        name: document.hash.name(),
        media_type: document.media_type,
        filename: document.filename,
        size_bytes: i64::try_from(document.size).unwrap_or(i64::MAX),
        sha256: document.hash.to_string(),
        create_time: Some(timestamp(document.created.0)),
        expire_time: document.expires.map(|at| timestamp(at.0)),
    }
}

/// The bytes that are asked for, which lie within the document.
pub(crate) fn range(request: &pb::ReadDocumentRequest, size: u64) -> Result<Range<u64>, Error> {
    let start = u64::try_from(request.read_offset).ok().filter(|start| *start <= size);
    let start = start.ok_or_else(|| {
        let reason = format!("is {}; must be from 0 to the size, which is {size}", request.read_offset);
        Error::field("read_offset", reason)
    })?;
    let limit = u64::try_from(request.read_limit).map_err(|_| {
        Error::field("read_limit", format!("is {}; must not be negative", request.read_limit))
    })?;
    let end = if limit == 0 { size } else { start.saturating_add(limit).min(size) };
    Ok(start..end)
}

pub(crate) fn cursor(token: &str) -> Result<Cursor, Error> {
    Cursor::from_token(token).ok_or_else(|| {
        Error::field("page_token", "is not the next_page_token of this list; start again without one")
    })
}

/// A page, from the documents of it and one more if there is one.
pub(crate) fn page(mut documents: Vec<Document>, limit: i64) -> pb::ListDocumentsResponse {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = documents.len() > limit;
    documents.truncate(limit);
    let last = documents.last().filter(|_| more);
    let next_page_token =
        last.map(|last| Cursor { created: last.created, hash: last.hash }.token()).unwrap_or_default();
    pb::ListDocumentsResponse { documents: documents.into_iter().map(document).collect(), next_page_token }
}

/// The documents to check, and for what.
pub(crate) fn to_check(request: &pb::CheckDocumentsRequest) -> Result<(Kind, Vec<Hash>), Error> {
    let hashes = hashes("documents", &request.documents)?;
    Ok((kind(request.kind)?, hashes))
}

/// The documents to keep.
pub(crate) fn to_hold(request: &pb::HoldDocumentsRequest) -> Result<Vec<Hash>, Error> {
    hashes("names", &request.names)
}

pub(crate) fn held(asked: &[Hash], found: Vec<Document>) -> pb::HoldDocumentsResponse {
    let missing = asked.iter().filter(|hash| !found.iter().any(|document| document.hash == **hash));
    let missing = missing.map(Hash::name).collect();
    pb::HoldDocumentsResponse { documents: found.into_iter().map(document).collect(), missing }
}

fn hashes(field: &str, names: &[String]) -> Result<Vec<Hash>, Error> {
    let count = names.len();
    if count == 0 || count > MAX_CHECKED {
        return Err(Error::field(field, format!("has {count} names; 1 to {MAX_CHECKED} are allowed")));
    }
    let read = |(n, name): (usize, &String)| {
        Hash::from_name(name).map_err(|why| Error::field(format!("{field}[{n}]"), why))
    };
    names.iter().enumerate().map(read).collect()
}

fn kind(number: i32) -> Result<Kind, Error> {
    match CaseKind::try_from(number) {
        Ok(CaseKind::Tender) => Ok(Kind::Tender),
        Ok(CaseKind::Payment) => Ok(Kind::Payment),
        Ok(CaseKind::Message) => Ok(Kind::Message),
        Ok(CaseKind::Report) => Ok(Kind::Report),
        Ok(CaseKind::Unspecified) | Err(_) => {
            Err(Error::field("kind", format!("is {number}; must be one of the kinds of a case")))
        }
    }
}

pub(crate) fn report(report: Report) -> pb::CheckDocumentsResponse {
    pb::CheckDocumentsResponse {
        acceptable: report.acceptable,
        rejections: report.rejections.into_iter().map(rejection).collect(),
        rejection_count: i64::try_from(report.count).unwrap_or(i64::MAX),
        total_bytes: i64::try_from(report.total_bytes).unwrap_or(i64::MAX),
        reason: report.reason,
    }
}

fn rejection(Rejection { document, problem }: Rejection) -> PbRejection {
    let line = i64::try_from(problem.line).unwrap_or(i64::MAX);
    PbRejection { document, line, field: problem.field, reason: problem.reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_stay_within_the_document() {
        let check = |read_offset: i64, read_limit: i64, expect: Option<Range<u64>>| {
            let request = pb::ReadDocumentRequest { name: String::new(), read_offset, read_limit };
            assert_eq!(range(&request, 10).ok(), expect, "{read_offset} {read_limit}");
        };
        check(0, 0, Some(0..10));
        check(3, 0, Some(3..10));
        check(3, 4, Some(3..7));
        check(3, i64::MAX, Some(3..10));
        check(10, 1, Some(10..10));
        check(11, 0, None);
        check(-1, 0, None);
        check(0, -1, None);
        check(i64::MAX, i64::MAX, None);
    }

    #[test]
    fn names_the_document_and_the_kind_that_are_wrong() {
        let good = Hash([0; 32]).name();
        let check = |documents: Vec<String>, kind: i32, part: &str| {
            let error = to_check(&pb::CheckDocumentsRequest { documents, kind }).expect_err(part);
            assert!(error.to_string().contains(part), "{error}");
        };
        check(vec![], 1, "documents: has 0 names");
        check(vec![good.clone(); 101], 1, "has 101 names");
        check(vec![good.clone(), "x".into()], 1, "documents[1]: \"x\"");
        check(vec![good.clone()], 0, "kind: is 0");
        check(vec![good.clone()], 99, "kind: is 99");
        assert!(to_check(&pb::CheckDocumentsRequest { documents: vec![good; 100], kind: 4 }).is_ok());
    }
}
