//! Between the contract and the domain, and every limit of the input.

use crate::domain::{Band, Classifier, Form, Model};
use crate::error::Error;
use crate::triage::Judged;
use bytes::Bytes;
use probity_proto::spam as pb;
use probity_proto::time::timestamp;

/// Most documents of one call.
pub(crate) const MAX_DOCUMENTS: usize = 100;
/// Largest content given with a call.
pub(crate) const MAX_CONTENT_BYTES: usize = 1 << 20;

/// The names of the documents to classify.
pub(crate) fn documents(request: pb::ClassifyRequest) -> Result<Vec<String>, Error> {
    let names = request.documents;
    if names.is_empty() {
        return Err(no_documents());
    }
    if names.len() > MAX_DOCUMENTS {
        let reason = format!("names {} documents; give at most {MAX_DOCUMENTS}", names.len());
        return Err(Error::field("documents", reason));
    }
    if let Some(at) = names.iter().position(|name| !is_document(name)) {
        let reason = "is no document: give `documents/` and 64 lower-case hex digits";
        return Err(Error::field(format!("documents[{at}]"), reason));
    }
    Ok(names)
}

/// The failure of a call without documents.
pub(crate) fn no_documents() -> Error {
    Error::field("documents", format!("is empty; give 1 to {MAX_DOCUMENTS}"))
}

fn is_document(name: &str) -> bool {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    name.strip_prefix("documents/").is_some_and(|hash| hash.len() == 64 && hash.bytes().all(hex))
}

/// The content to classify, and how to read it.
pub(crate) fn content(request: pb::ClassifyContentRequest) -> Result<(Bytes, Form), Error> {
    if request.content.is_empty() {
        return Err(Error::field("content", "is empty; give the message or the text"));
    }
    if request.content.len() > MAX_CONTENT_BYTES {
        let reason = format!(
            "has {} bytes; give at most {MAX_CONTENT_BYTES}, or upload it and classify the document",
            request.content.len()
        );
        return Err(Error::field("content", reason));
    }
    Ok((request.content, form(&request.media_type)?))
}

/// The contents to classify, within what one call may hold.
pub(crate) fn contents(
    request: pb::BatchClassifyContentRequest,
) -> Result<Vec<pb::ClassifyContentRequest>, Error> {
    let requests = request.requests;
    if requests.is_empty() || requests.len() > MAX_DOCUMENTS {
        let reason = format!("there are {}; 1 to {MAX_DOCUMENTS} are allowed", requests.len());
        return Err(Error::field("requests", reason));
    }
    let bytes: usize = requests.iter().map(|request| request.content.len()).sum();
    if bytes > MAX_CONTENT_BYTES {
        let reason = format!("has {bytes} bytes in all; give at most {MAX_CONTENT_BYTES}");
        return Err(Error::field("requests", reason));
    }
    Ok(requests)
}

fn form(media_type: &str) -> Result<Form, Error> {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "" => Ok(Form::Guess),
        "message/rfc822" => Ok(Form::Mime),
        "text/plain" => Ok(Form::Text),
        _ => Err(Error::field("media_type", "must be `message/rfc822`, `text/plain` or empty")),
    }
}

/// A verdict in the contract's form.
pub(crate) fn classification(judged: &Judged, classifier: &Classifier) -> pb::Classification {
    let verdict = &judged.verdict;
    let thresholds = classifier.thresholds();
    let tokens = verdict.explanation.shares.iter();
    pb::Classification {
        probability: verdict.probability,
        band: band(verdict.band).into(),
        tokens: tokens.map(|s| pb::TokenWeight { token: s.token.clone(), weight: s.weight }).collect(),
        model: classifier.model().version().to_owned(),
        ham_below: thresholds.ham_below,
        spam_from: thresholds.spam_from,
        explanation: verdict.sentence(judged.of),
    }
}

const fn band(band: Band) -> pb::Band {
    match band {
        Band::Ham => pb::Band::Ham,
        Band::Unsure => pb::Band::Unsure,
        Band::Spam => pb::Band::Spam,
    }
}

/// The model in the contract's form.
pub(crate) fn model(model: &Model) -> pb::Model {
    let training = model.training();
    pb::Model {
        version: model.version().to_owned(),
        train_time: Some(timestamp(training.time_us)),
        features: i64::try_from(model.buckets()).unwrap_or(i64::MAX),
        trained_on: i64::try_from(training.messages).unwrap_or(i64::MAX),
        held_out_auc: training.auc,
        held_out_false_positive_rate: training.false_positive_rate,
        held_out_recall: training.recall,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_checked() {
        let check = |documents: Vec<String>, field: &str| {
            let found = super::documents(pb::ClassifyRequest { documents });
            match found {
                Ok(_) => assert_eq!(field, ""),
                Err(Error::Field { field: found, .. }) => assert_eq!(found, field),
                Err(other) => panic!("{other}"),
            }
        };
        let good = format!("documents/{}", "0a".repeat(32));
        check(vec![good.clone()], "");
        check(vec![good.clone(); 100], "");
        check(vec![good.clone(); 101], "documents");
        check(vec![], "documents");
        check(vec![good.clone(), good.to_uppercase()], "documents[1]");
        check(vec![good.replace("0a", "zz")], "documents[0]");
        check(vec!["documents/00".into()], "documents[0]");
    }

    #[test]
    fn content_is_checked() {
        let check = |length: usize, media_type: &str, expect: Option<Form>| {
            let content = Bytes::from(vec![b'x'; length]);
            let request = pb::ClassifyContentRequest { content, media_type: media_type.into() };
            assert_eq!(super::content(request).ok().map(|(_, form)| form), expect, "{length} {media_type}");
        };
        check(1, "", Some(Form::Guess));
        check(1 << 20, "message/rfc822", Some(Form::Mime));
        check(1, "Text/Plain; charset=utf-8", Some(Form::Text));
        check(0, "", None);
        check((1 << 20) + 1, "", None);
        check(1, "application/pdf", None);
    }
}
