//! What cases bring: documents of every kind, and watchlists.

use bytes::Bytes;
use probity_anti_corruption::domain::{Document, Index, Kind, Outcome, Settings, investigate, watchlist};
use probity_cli::kind::Kind as Sample;
use probity_cli::samples::Mix;
use probity_intake::domain::check::{self, Check};
use probity_spam_detection::domain::{Classifier, Form, Model, Thresholds};
use std::sync::LazyLock;

pub(super) const OCDS_WORDS: &[&str] = &[
    "\"ocid\"",
    "\"releases\"",
    "\"records\"",
    "\"tender\"",
    "\"tenderPeriod\"",
    "\"bids\"",
    "\"details\"",
    "\"awards\"",
    "\"suppliers\"",
    "\"parties\"",
    "\"value\"",
    "\"amount\"",
    "\"date\"",
    "\"status\"",
    "\"disqualified\"",
    "null",
    "true",
    "[",
    "]",
    "{",
    "}",
    ":",
    ",",
    "\\ud800",
    "2026-02-30T25:61:61Z",
];
pub(super) const CSV_WORDS: &[&str] = &[
    ",", ";", "\t", "\"", "\"\"", "\n", "amount", "currency", "date", "payee", "invoice", "-0-", "1.234,56",
];
pub(super) const TEXT_WORDS: &[&str] = &["bribe", "cash", "envelope", "http://", "€", "\n\n", "<b>"];
pub(super) const MIME_WORDS: &[&str] = &[
    "Content-Type: multipart/mixed; boundary=b\r\n\r\n",
    "--b\r\n",
    "--b--\r\n",
    "=?utf-8?B?",
    "=?utf-8?Q?",
    "?=",
    "Content-Transfer-Encoding: base64\r\n",
    "quoted-printable",
    "charset=utf-7",
    "<html>",
    "<a href=",
    "&#x0;",
    "message/rfc822",
    "\r\n\r\n",
    "Subject: ",
];

/// One entry, so that names are searched for.
static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let list = watchlist::parse(WATCHLIST, b"").expect("a list");
    Index::new([("list".to_owned(), list)])
});
const WATCHLIST: &[u8] =
    b"7,\"NADIR, Ivan\",\"individual\",\"SDNT\",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- \n9,\"ACME TRADING LLC\",-0- ,\"IRAN\",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- \n";

static CLASSIFIER: LazyLock<Classifier> = LazyLock::new(|| {
    let model = Model::shipped().expect("the shipped model");
    Classifier::new(model, Thresholds { ham_below: 0.3, spam_from: 0.9 })
});

/// Samples of a kind.
fn samples(kind: Sample) -> Vec<Vec<u8>> {
    let mix = Mix::new(11);
    let items = (0..200).map(|number| mix.at(number)).filter(|item| item.kind() == kind);
    items.take(8).map(|item| item.bytes().to_vec()).collect()
}

pub(super) fn tenders() -> Vec<Vec<u8>> {
    let mut seeds = samples(Sample::Tender);
    seeds.push(br#"{"releases":[{"ocid":"o","id":"1","date":"2026-01-01T00:00:00Z","tag":["tender"],"tender":{"id":"t","value":{"amount":1,"currency":"EUR"}}}]}"#.to_vec());
    seeds
}

pub(super) fn payments() -> Vec<Vec<u8>> {
    samples(Sample::Payment)
}

pub(super) fn reports() -> Vec<Vec<u8>> {
    samples(Sample::Report)
}

pub(super) fn messages() -> Vec<Vec<u8>> {
    let mut seeds = samples(Sample::Message);
    seeds.push(b"Subject: a\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>caf=E9</p>\r\n--b--\r\n".to_vec());
    seeds
}

pub(super) fn watchlists() -> Vec<Vec<u8>> {
    vec![WATCHLIST.to_vec()]
}

pub(super) fn documents() -> Vec<Vec<u8>> {
    [tenders(), payments(), messages()].concat()
}

pub(super) fn tender(bytes: &[u8]) {
    look(Kind::Tender, bytes);
}

pub(super) fn payment(bytes: &[u8]) {
    look(Kind::Payment, bytes);
}

pub(super) fn report(bytes: &[u8]) {
    look(Kind::Report, bytes);
}

/// The same bytes give the same findings; nothing is kept that was not counted,
/// and every piece of evidence is of a document of the case.
fn look(kind: Kind, bytes: &[u8]) {
    let document = Document { name: "documents/d".into(), bytes: Bytes::copy_from_slice(bytes) };
    let (documents, settings) = ([document], Settings::default());
    let outcome = investigate(kind, &documents, &INDEX, &settings);
    assert_eq!(outcome, investigate(kind, &documents, &INDEX, &settings), "twice the same");
    let Outcome { findings, finding_count, .. } = outcome;
    assert!(findings.len() as u64 <= finding_count, "{} kept of {finding_count}", findings.len());
    for finding in &findings {
        assert!(!finding.explanation.is_empty() && !finding.evidence.is_empty(), "{finding:?}");
        for evidence in &finding.evidence {
            assert_eq!(&*evidence.document, "documents/d", "{finding:?}");
            assert!(evidence.text.chars().count() <= 300, "{finding:?}");
        }
    }
}

/// A probability is one, and the reasons are sentences.
pub(super) fn mime(bytes: &[u8]) {
    for form in [Form::Mime, Form::Text, Form::Guess] {
        let verdict = CLASSIFIER.classify(bytes, form);
        assert!((0.0..=1.0).contains(&verdict.probability), "{}", verdict.probability);
        assert!(!verdict.sentence(1).chars().any(char::is_control), "{}", verdict.sentence(1));
    }
}

/// Half of the bytes are the list, half its aliases; what is read can be searched.
pub(super) fn watchlist(bytes: &[u8]) {
    let (primary, aliases) = bytes.split_at(bytes.len() / 2);
    for (primary, aliases) in [(bytes, &b""[..]), (primary, aliases)] {
        if let Ok(list) = watchlist::parse(primary, aliases) {
            let index = Index::new([("list".to_owned(), list)]);
            let text = String::from_utf8_lossy(bytes);
            let _ = (index.search(&text), index.search_text(&text));
        }
    }
}

/// A verdict does not depend on how the document was cut on its way.
pub(super) fn document(bytes: &[u8]) {
    for kind in [check::Kind::Tender, check::Kind::Payment, check::Kind::Message, check::Kind::Report] {
        let whole = checked(kind, &[bytes]);
        let cut = bytes.len() / 3;
        assert_eq!(whole, checked(kind, &[&bytes[..cut], &bytes[cut..]]), "{kind:?} cut at {cut}");
        assert_eq!(whole, checked(kind, &bytes.chunks(7).collect::<Vec<_>>()), "{kind:?} in sevens");
    }
}

fn checked(kind: check::Kind, pieces: &[&[u8]]) -> check::Verdict {
    let mut check = Check::new(kind);
    for piece in pieces {
        check.feed(piece);
    }
    check.finish()
}
