//! `case open`: uploads documents and opens a case for each, several at a time,
//! in the order of the files. Opening the same file again opens nothing twice.

use crate::args::OpenArgs;
use crate::client::Client;
use crate::failure::{CallFailure, Failure};
use crate::input::{self, Body, Document, Found, Place};
use crate::kind::Kind;
use crate::output::{self, Output, note};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use probity_proto::intake::UploadDocumentRequest;
use probity_proto::orchestrator::{Case, OpenCaseRequest};
use sha2::{Digest as _, Sha256};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Bytes of a document sent at a time.
const PIECE: usize = 256 * 1024;

/// What became of one item.
enum Opened {
    /// A case was opened, or had been before with the same key.
    Case(Place, Box<Case>),
    /// The item was refused, here or by the platform.
    Refused(Place, String),
    /// Nothing more can be opened.
    Stop(Failure),
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Refused`] when an item was refused, and what keeps the platform
/// from taking any item.
pub(crate) async fn run(client: &Client, args: OpenArgs, out: Output) -> Result<(), Failure> {
    let jobs = usize::from(args.jobs);
    let args = Arc::new(args);
    let found = read_in_background(args.clone(), jobs);
    let mut opened = found.map(|found| one(client.clone(), args.clone(), found)).buffered(jobs);
    let (mut cases, mut refused, mut stop) = (0_u64, 0_u64, None);
    while let Some(result) = opened.next().await {
        match result {
            Opened::Case(place, case) => {
                cases += 1;
                print(out, &place, &case)?;
            }
            Opened::Refused(place, reason) => {
                refused += 1;
                note(format_args!("{place}: refused: {reason}"));
            }
            Opened::Stop(failure) => {
                stop = Some(failure);
                break;
            }
        }
    }
    summary(out, cases, refused)?;
    stop.map_or(if refused > 0 { Err(Failure::Refused) } else { Ok(()) }, Err)
}

fn summary(out: Output, cases: u64, refused: u64) -> Result<(), Failure> {
    let text = format!("opened {cases}, refused {refused} of {} items", cases + refused);
    if out.is_json() {
        note(text);
        return Ok(());
    }
    out.line(text)
}

fn print(out: Output, place: &Place, case: &Case) -> Result<(), Failure> {
    if out.is_json() {
        let mut value = output::json("probity.orchestrator.v1.Case", case)?;
        if let Some(fields) = value.as_object_mut() {
            fields.insert("file".to_owned(), place.file.as_ref().into());
            fields.insert("line".to_owned(), place.line.into());
        }
        return out.json_line(&value);
    }
    let state = output::word("CASE_STATE_", case.state().as_str_name());
    let subject = output::short(&case.subject, 60);
    out.line(format_args!("{}  {state:<13}  {place}  {subject}", output::plain(&case.name)))
}

/// Reads the files on a thread of their own; at most `ahead` items wait.
fn read_in_background(args: Arc<OpenArgs>, ahead: usize) -> ReceiverStream<Found> {
    let (send, receive) = mpsc::channel(ahead);
    tokio::task::spawn_blocking(move || {
        input::read(args.kind, &args.files, args.format, &mut |found| match send.blocking_send(found) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        });
    });
    ReceiverStream::new(receive)
}

async fn one(client: Client, args: Arc<OpenArgs>, found: Found) -> Opened {
    let document = match found {
        Found::Refused(place, reason) => return Opened::Refused(place, reason),
        Found::Document(document) => document,
    };
    let place = document.place.clone();
    let wish = Wish::new(&args, &document);
    match open_case(&client, &wish, &document).await {
        Ok(case) => Opened::Case(place, Box::new(case)),
        Err(Failure::Call(call)) if !call.is_about_the_caller() => Opened::Refused(place, told(&call)),
        Err(Failure::Other(error)) => Opened::Refused(place, format!("{error:#}")),
        Err(failure) => Opened::Stop(failure),
    }
}

fn told(call: &CallFailure) -> String {
    format!("could not {}: {} [{}] request {}", call.what, call.reason(), call.code_name(), call.request_id)
}

/// The case that is wished for a document.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    /// What it is about.
    pub(crate) kind: Kind,
    /// One line for people.
    pub(crate) subject: String,
    /// Definition to run; the shipped one when empty.
    pub(crate) definition: String,
    /// The idempotency key.
    pub(crate) key: String,
}

impl Wish {
    fn new(args: &OpenArgs, document: &Document) -> Self {
        let subject = args.subject.clone().unwrap_or_else(|| document.subject.clone());
        let definition = args.definition.as_ref().map(|name| crate::values::name("definitions", name));
        let definition = definition.unwrap_or_default();
        let mut wish = Self { kind: args.kind, subject, definition, key: String::new() };
        wish.key = match &args.key {
            Some(key) if document.number == 1 => key.clone(),
            Some(key) => format!("{key}#{}", document.number),
            None => wish.derived_key(document),
        };
        wish
    }

    /// The same file, content and wish give the same key.
    fn derived_key(&self, document: &Document) -> String {
        let mut hasher = Sha256::new();
        for part in [self.kind.as_str(), &document.filename, &self.subject, &self.definition] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        hasher.update(document.sha256);
        let digest: [u8; 32] = hasher.finalize().into();
        format!("cli-{}", hex::encode(digest.get(..20).unwrap_or(&digest)))
    }
}

/// Uploads the document and opens its case.
pub(crate) async fn open_case(client: &Client, wish: &Wish, document: &Document) -> Result<Case, Failure> {
    let name = upload(client, wish.kind.media_type(&document.filename), document).await?;
    let request = OpenCaseRequest {
        kind: wish.kind.proto().into(),
        documents: vec![name],
        subject: wish.subject.clone(),
        definition: wish.definition.clone(),
        request_id: wish.key.clone(),
        ..OpenCaseRequest::default()
    };
    let call = |client: Client, request| async move { client.cases().open_case(request).await };
    client.call("open the case", Some(&wish.key), request, call).await
}

/// Uploads a document and answers with its name.
pub(crate) async fn upload(
    client: &Client,
    media_type: &str,
    document: &Document,
) -> Result<String, Failure> {
    let upload = Upload {
        body: document.body.clone(),
        filename: document.filename.clone(),
        media_type: media_type.to_owned(),
        failed: Arc::new(AtomicBool::new(false)),
    };
    let failed = upload.failed.clone();
    let stored = client
        .call("upload the document", None, upload, |client, request| async move {
            let (metadata, extensions, upload) = request.into_parts();
            let request = tonic::Request::from_parts(metadata, extensions, upload.pieces());
            client.documents().upload_document(request).await
        })
        .await?;
    // What is stored must be what was read at first, or nothing is opened.
    if failed.load(Ordering::Relaxed) || stored.sha256 != hex::encode(document.sha256) {
        let place = &document.place;
        return Err(
            anyhow::anyhow!("{place} changed or could not be read to its end while it was uploaded").into()
        );
    }
    Ok(stored.name)
}

/// A document on its way out. Cloned for every attempt.
#[derive(Clone)]
struct Upload {
    body: Body,
    filename: String,
    media_type: String,
    failed: Arc<AtomicBool>,
}

impl Upload {
    fn pieces(self) -> BoxStream<'static, UploadDocumentRequest> {
        let first = UploadDocumentRequest {
            media_type: self.media_type,
            filename: self.filename,
            ..Default::default()
        };
        let data = match self.body {
            Body::Bytes(bytes) => memory(bytes).boxed(),
            Body::File(path) => disk(path, self.failed).boxed(),
        };
        let rest = data.map(|data| UploadDocumentRequest { data, ..Default::default() });
        stream::iter([first]).chain(rest).boxed()
    }
}

fn memory(mut bytes: Bytes) -> impl futures::Stream<Item = Bytes> {
    stream::iter(std::iter::from_fn(move || {
        let size = bytes.len().min(PIECE);
        (size > 0).then(|| bytes.split_to(size))
    }))
}

fn disk(path: PathBuf, failed: Arc<AtomicBool>) -> impl futures::Stream<Item = Bytes> {
    stream::unfold((path, None), move |(path, file)| {
        let failed = failed.clone();
        async move {
            match next_piece(&path, file).await {
                Ok((piece, file)) => (!piece.is_empty()).then_some((piece, (path, Some(file)))),
                Err(_) => {
                    failed.store(true, Ordering::Relaxed);
                    None
                }
            }
        }
    })
}

async fn next_piece(
    path: &std::path::Path,
    file: Option<tokio::fs::File>,
) -> std::io::Result<(Bytes, tokio::fs::File)> {
    let mut file = match file {
        Some(file) => file,
        None => tokio::fs::File::open(path).await?,
    };
    let mut piece = Vec::with_capacity(PIECE);
    (&mut file).take(PIECE as u64).read_to_end(&mut piece).await?;
    Ok((piece.into(), file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::split::Form;

    fn args(key: Option<&str>, subject: Option<&str>) -> OpenArgs {
        OpenArgs {
            kind: Kind::Report,
            files: Vec::new(),
            key: key.map(ToOwned::to_owned),
            subject: subject.map(ToOwned::to_owned),
            definition: None,
            format: Form::Auto,
            jobs: 1,
        }
    }

    fn document(number: u64, filename: &str, text: &str) -> Document {
        Document {
            place: Place { file: "f".into(), line: 0 },
            number,
            filename: filename.to_owned(),
            body: Body::Bytes(Bytes::copy_from_slice(text.as_bytes())),
            sha256: Sha256::digest(text).into(),
            subject: "s".to_owned(),
        }
    }

    #[test]
    fn keys_are_stable_and_tell_different_wishes_apart() {
        let key = |args: OpenArgs, document: &Document| Wish::new(&args, document).key;
        let base = document(1, "a.txt", "text");
        let derived = key(args(None, None), &base);
        assert!(derived.starts_with("cli-") && derived.len() == 44, "{derived}");
        assert_eq!(derived, key(args(None, None), &document(9, "a.txt", "text")));
        for other in [
            key(args(None, Some("other")), &base),
            key(args(None, None), &document(1, "b.txt", "text")),
            key(args(None, None), &document(1, "a.txt", "text.")),
            key(OpenArgs { definition: Some("mine".into()), ..args(None, None) }, &base),
            key(OpenArgs { kind: Kind::Message, ..args(None, None) }, &base),
        ] {
            assert_ne!(derived, other);
        }
        assert_eq!(key(args(Some("K"), None), &base), "K");
        assert_eq!(key(args(Some("K"), None), &document(3, "a.txt", "text")), "K#3");
    }

    #[tokio::test]
    async fn documents_are_sent_in_pieces_that_join() {
        let text: Vec<u8> = (0..PIECE * 2 + 5).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, &text).unwrap();
        for body in [Body::Bytes(text.clone().into()), Body::File(path)] {
            let failed = Arc::new(AtomicBool::new(false));
            let upload = Upload { body, filename: "f".into(), media_type: "m".into(), failed };
            let sent: Vec<_> = upload.pieces().collect().await;
            assert_eq!((sent[0].media_type.as_str(), sent[0].filename.as_str()), ("m", "f"));
            assert_eq!(sent.len(), 4);
            assert_eq!(sent.iter().flat_map(|p| p.data.clone()).collect::<Vec<_>>(), text);
        }
    }

    #[tokio::test]
    async fn a_file_that_is_gone_is_noticed() {
        let failed = Arc::new(AtomicBool::new(false));
        let body = Body::File("/nowhere/at/all".into());
        let upload =
            Upload { body, filename: String::new(), media_type: String::new(), failed: failed.clone() };
        assert_eq!(upload.pieces().count().await, 1);
        assert!(failed.load(Ordering::Relaxed));
    }
}
