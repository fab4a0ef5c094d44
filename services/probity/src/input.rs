//! Files on disk → documents to upload, one by one: the blocking side of
//! `case open`. Nothing here talks to the platform.

use crate::kind::Kind;
use crate::split::{self, Form, Limits, Outcome};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest subject in characters.
const SUBJECT_CHARS: usize = 200;

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file as it was named.
    pub file: Arc<str>,
    /// Line counted from 1; 0 for the whole file.
    pub line: u64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.line == 0 { f.write_str(&self.file) } else { write!(f, "{}:{}", self.file, self.line) }
    }
}

/// The bytes of a document.
#[derive(Debug, Clone)]
pub enum Body {
    /// At hand.
    Bytes(Bytes),
    /// In a file, read again piece by piece when it is uploaded.
    File(PathBuf),
}

/// A document that can be uploaded.
#[derive(Debug, Clone)]
pub struct Document {
    /// Where it comes from.
    pub place: Place,
    /// Its number among everything found, counted from 1; refused items count.
    pub number: u64,
    /// Its name without folders.
    pub filename: String,
    /// Its bytes.
    pub body: Body,
    /// Their SHA-256.
    pub sha256: [u8; 32],
    /// One line for people, taken from the document or its name.
    pub subject: String,
}

/// What was found in the files.
#[derive(Debug)]
pub enum Found {
    /// Something to open a case for.
    Document(Box<Document>),
    /// Something that cannot be used, and why.
    Refused(Place, String),
}

/// Hands every document of the files to `each`, in order, until it breaks off.
pub fn read(kind: Kind, files: &[PathBuf], form: Form, each: &mut dyn FnMut(Found) -> ControlFlow<()>) {
    let mut number = 0;
    let mut numbered = |mut found: Found| {
        number += 1;
        if let Found::Document(document) = &mut found {
            document.number = number;
        }
        each(found)
    };
    for path in files {
        let place = Place { file: path.display().to_string().into(), line: 0 };
        let done = match kind {
            Kind::Tender => tenders(path, &place, form, &mut numbered),
            Kind::Payment | Kind::Message | Kind::Report => numbered(whole(kind, path, &place)),
        };
        if done.is_break() {
            return;
        }
    }
}

/// One file of tenders, a document an item.
fn tenders(
    path: &Path,
    place: &Place,
    form: Form,
    each: &mut dyn FnMut(Found) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let filename = filename(path);
    let form = if form == Form::Auto { Form::of_name(&filename) } else { form };
    let mut flow = ControlFlow::Continue(());
    let result = open(path).and_then(|file| {
        let mut input = BufReader::with_capacity(256 * 1024, file);
        split::split(&mut input, form, Limits::default(), &mut |outcome| {
            flow = each(tender(&filename, place, outcome));
            flow
        })
    });
    match result {
        Ok(()) => flow,
        Err(error) => each(Found::Refused(place.clone(), unreadable(&error))),
    }
}

fn tender(filename: &str, place: &Place, outcome: Outcome) -> Found {
    match outcome {
        Outcome::Refused(refusal) => {
            Found::Refused(Place { line: refusal.line, ..place.clone() }, refusal.reason)
        }
        Outcome::Item(item) => Found::Document(Box::new(Document {
            place: Place { line: item.line, ..place.clone() },
            number: 0,
            filename: filename.to_owned(),
            sha256: Sha256::digest(&item.bytes).into(),
            subject: cut(&tender_subject(&item.bytes).unwrap_or_else(|| filename.to_owned())),
            body: Body::Bytes(item.bytes.into()),
        })),
    }
}

/// A file that is one document.
fn whole(kind: Kind, path: &Path, place: &Place) -> Found {
    let refused = |reason: String| Found::Refused(place.clone(), reason);
    let filename = filename(path);
    match open(path).and_then(digest) {
        Err(error) => refused(unreadable(&error)),
        Ok((0, _, _)) => refused("the file is empty".to_owned()),
        Ok((_, sha256, head)) => {
            let own = if kind == Kind::Message { message_subject(&head) } else { None };
            Found::Document(Box::new(Document {
                place: place.clone(),
                number: 0,
                subject: cut(&own.unwrap_or_else(|| filename.clone())),
                filename,
                sha256,
                body: Body::File(path.to_owned()),
            }))
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder; name the files in it"));
    }
    Ok(file)
}

fn unreadable(error: &io::Error) -> String {
    format!("cannot be read: {error}")
}

/// Size and SHA-256 of a file, and its first bytes, without keeping the rest.
fn digest(mut file: File) -> io::Result<(u64, [u8; 32], Vec<u8>)> {
    const HEAD: usize = 16 * 1024;
    let (mut hasher, mut size, mut head) = (Sha256::new(), 0, Vec::new());
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = match file.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        let chunk = buffer.get(..read).unwrap_or_default();
        if chunk.is_empty() {
            return Ok((size, hasher.finalize().into(), head));
        }
        hasher.update(chunk);
        size += chunk.len() as u64;
        head.extend(chunk.iter().take(HEAD.saturating_sub(head.len())));
    }
}

fn filename(path: &Path) -> String {
    const LONGEST: usize = 255;
    let mut name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    while name.len() > LONGEST {
        name.pop();
    }
    name
}

fn cut(text: &str) -> String {
    crate::output::short(text, SUBJECT_CHARS)
}

/// The title of a tender, else its `ocid`.
fn tender_subject(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Release<'a> {
        #[serde(borrow)]
        ocid: Option<&'a RawValue>,
        #[serde(borrow)]
        tender: Option<&'a RawValue>,
        #[serde(borrow, rename = "compiledRelease")]
        compiled: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Tender<'a> {
        #[serde(borrow)]
        title: Option<&'a RawValue>,
    }
    let release: Release<'_> = serde_json::from_slice(bytes).ok()?;
    let title = release.tender.and_then(|raw| serde_json::from_str::<Tender<'_>>(raw.get()).ok()?.title);
    let inner = || release.compiled.and_then(|raw| tender_subject(raw.get().as_bytes()));
    text(title).or_else(inner).or_else(|| text(release.ocid))
}

fn text(raw: Option<&RawValue>) -> Option<String> {
    let text: String = serde_json::from_str(raw?.get()).ok()?;
    (!text.trim().is_empty()).then_some(text)
}

/// The subject header of a message when it is plain text.
fn message_subject(head: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(head);
    let mut header = head.lines().take_while(|line| !line.is_empty());
    let line = header.find(|line| line.get(..8).is_some_and(|name| name.eq_ignore_ascii_case("subject:")))?;
    let subject = line.get(8..)?.trim();
    (!subject.is_empty() && !subject.contains("=?")).then(|| subject.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_come_from_the_document() {
        let check = |json: &str, expect: Option<&str>| {
            assert_eq!(tender_subject(json.as_bytes()).as_deref(), expect, "{json}");
        };
        check(r#"{"ocid":"o-1","tender":{"title":"Bridge"}}"#, Some("Bridge"));
        check(r#"{"ocid":"o-1","tender":{"title":7}}"#, Some("o-1"));
        check(r#"{"ocid":"o-1","tender":[]}"#, Some("o-1"));
        check(r#"{"ocid":"o-1","compiledRelease":{"tender":{"title":"Road"}}}"#, Some("Road"));
        check(r#"{"ocid":5}"#, None);
        check("[]", None);
        let check = |head: &[u8], expect: Option<&str>| assert_eq!(message_subject(head).as_deref(), expect);
        check(b"From: a\nSUBJECT: Hello there\n\nbody", Some("Hello there"));
        check(b"From: a\n\nSubject: in the body", None);
        check(b"Subject: =?utf-8?q?x?=\n\n", None);
        check(b"\xff\xfeSubject", None);
    }

    fn seen(kind: Kind, files: &[PathBuf]) -> Vec<String> {
        let mut seen = Vec::new();
        read(kind, files, Form::Auto, &mut |found| {
            seen.push(match found {
                Found::Document(d) => format!("{} {}", d.number, d.subject),
                Found::Refused(place, reason) => format!("{}! {reason}", place.line),
            });
            ControlFlow::Continue(())
        });
        seen
    }

    #[test]
    fn files_are_read_and_bad_ones_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let good = file("a.txt", "text");
        let empty = file("b.txt", "");
        let missing = dir.path().join("none");
        let reports = seen(Kind::Report, &[good, empty, missing, dir.path().to_owned()]);
        assert_eq!(reports[0], "1 a.txt");
        assert_eq!(reports[1], "0! the file is empty");
        assert!(reports[2].starts_with("0! cannot be read: "), "{}", reports[2]);
        assert!(reports[3].contains("it is a folder"), "{}", reports[3]);

        let lines = file("t.jsonl", "{\"ocid\":\"a\"}\n{bad\n{\"ocid\":\"c\"}\n");
        let tenders = seen(Kind::Tender, &[lines, dir.path().join("none")]);
        assert_eq!(tenders[0], "1 a");
        assert!(tenders[1].starts_with("2! "));
        assert_eq!(tenders[2], "3 c");
        assert!(tenders[3].starts_with("0! cannot be read"));
    }
}
