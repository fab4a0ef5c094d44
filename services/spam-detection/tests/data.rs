//! The shipped model on the public sets. They are not part of the repository:
//! `PROBITY_DATA` says where they lie.
//!
//! The first two sets trained the model, so their floors only show that service
//! and trainer read messages alike; the third it has never seen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, clippy::print_stderr)]

use flate2::read::GzDecoder;
use probity_spam_detection::domain::{Band, Classifier, Form, Model, Thresholds};
use serde::Deserialize;
use std::io::Read as _;
use std::path::PathBuf;

#[derive(Deserialize)]
struct Line {
    label: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    raw_latin1: String,
}

fn lines(file: &str) -> Option<Vec<Line>> {
    let path = std::env::var_os("PROBITY_DATA").map(|data| PathBuf::from(data).join(file));
    let Some(bytes) = path.and_then(|path| std::fs::read(path).ok()) else {
        eprintln!("SKIPPED: PROBITY_DATA/{file} is not there, nothing was tested");
        return None;
    };
    let mut text = String::new();
    if file.ends_with(".gz") {
        GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(bytes).unwrap();
    }
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// Counts of a sample: ham, ham called spam, spam, spam called spam.
#[derive(Debug, Default)]
struct Counts {
    ham: usize,
    false_positives: usize,
    spam: usize,
    found: usize,
}

/// Every `step`-th message of a file.
fn count(file: &str, step: usize, counts: &mut Counts) -> bool {
    let Some(lines) = lines(file) else { return false };
    let model = Model::shipped().unwrap();
    let thresholds =
        Thresholds { ham_below: model.training().ham_below, spam_from: model.training().spam_from };
    let classifier = Classifier::new(model, thresholds);
    for line in lines.iter().step_by(step) {
        let raw: Vec<u8> = line.raw_latin1.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        let content = if raw.is_empty() { line.text.as_bytes() } else { &raw };
        let is_spam = classifier.classify(content, Form::Guess).band == Band::Spam;
        match line.label.as_str() {
            "spam" => {
                counts.spam += 1;
                counts.found += usize::from(is_spam);
            }
            _ => {
                counts.ham += 1;
                counts.false_positives += usize::from(is_spam);
            }
        }
    }
    true
}

fn check(files: &[(&str, usize)], most_false_positives: f64, least_recall: f64) {
    let mut counts = Counts::default();
    if !files.iter().all(|(file, step)| count(file, *step, &mut counts)) {
        return;
    }
    #[allow(clippy::cast_precision_loss)]
    let share = |part: usize, whole: usize| part as f64 / whole as f64;
    assert!(share(counts.false_positives, counts.ham) <= most_false_positives, "{counts:?}");
    assert!(share(counts.found, counts.spam) >= least_recall, "{counts:?}");
}

#[test]
fn short_messages() {
    check(&[("sms-spam/messages.jsonl", 3)], 0.005, 0.80);
}

#[test]
fn raw_mail() {
    check(&[("spamassassin/easy-ham-1.jsonl.gz", 5), ("spamassassin/spam-1.jsonl.gz", 2)], 0.005, 0.85);
}

#[test]
fn business_mail_it_never_saw() {
    check(&[("enron-spam/enron2.jsonl.gz", 7)], 0.03, 0.40);
}
