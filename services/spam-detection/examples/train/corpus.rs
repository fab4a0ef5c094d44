//! Reads the labelled sets, drops copies, and splits by content.

use anyhow::Context as _;
use flate2::read::GzDecoder;
use probity_spam_detection::domain::{Form, Message};
use serde::Deserialize;
use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;

/// Where a message comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Set {
    /// Short messages; may train.
    Sms,
    /// Mail with headers; may train.
    Mail,
    /// Written for this project; trains and never judges.
    Written,
    /// Business mail as text; judges only, and trains nothing that is shipped.
    Enron(u8),
}

impl Set {
    /// True for the sets that may train the shipped model.
    pub(crate) const fn may_train(self) -> bool {
        matches!(self, Self::Sms | Self::Mail | Self::Written)
    }
}

/// A labelled message.
#[derive(Debug, Clone)]
pub(crate) struct Labelled {
    pub(crate) set: Set,
    pub(crate) spam: bool,
    pub(crate) message: Message,
    /// Words of the header's addresses: never to be learned.
    pub(crate) address_words: Vec<String>,
    /// Hash of the normalised content: copies share it.
    pub(crate) content: u64,
}

#[derive(Deserialize)]
struct Line {
    label: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    raw_latin1: String,
}

/// All sets, without copies.
pub(crate) fn load(data: &Path) -> anyhow::Result<Vec<Labelled>> {
    let mut all = Vec::new();
    read(&data.join("sms-spam/messages.jsonl"), Set::Sms, &mut all)?;
    read(&data.join("spamassassin/easy-ham-1.jsonl.gz"), Set::Mail, &mut all)?;
    read(&data.join("spamassassin/spam-1.jsonl.gz"), Set::Mail, &mut all)?;
    for number in 1..=3 {
        read(&data.join(format!("enron-spam/enron{number}.jsonl.gz")), Set::Enron(number), &mut all)?;
    }
    let mut seen = HashSet::new();
    all.retain(|l| seen.insert((l.set.may_train(), l.content)));
    Ok(all)
}

fn read(path: &Path, set: Set, all: &mut Vec<Labelled>) -> anyhow::Result<()> {
    let file = File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
    let packed = path.extension().is_some_and(|e| e == "gz");
    let plain: Box<dyn Read> = if packed { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    for (number, line) in BufReader::new(plain).lines().enumerate() {
        let line: Line = serde_json::from_str(&line?)
            .with_context(|| format!("{} line {} is no labelled message", path.display(), number + 1))?;
        all.push(labelled(set, &line));
    }
    Ok(())
}

fn labelled(set: Set, line: &Line) -> Labelled {
    let bytes: Vec<u8> =
        line.raw_latin1.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect();
    let (content, form) = match set {
        Set::Mail => (bytes.as_slice(), Form::Mime),
        _ => (line.text.as_bytes(), Form::Guess),
    };
    let message = Message::read(content, form);
    let address_words = if set == Set::Mail { address_words(&line.raw_latin1) } else { Vec::new() };
    let content = content_hash(&message.text);
    Labelled { set, spam: line.label == "spam", message, address_words, content }
}

/// The first sixty words without digits and case: what mass mailings share.
fn content_hash(text: &str) -> u64 {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphabetic()).filter(|w| w.len() > 1).take(60);
    words
        .flat_map(|w| w.bytes().chain([b' ']))
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Parts of hosts, lists and mailboxes that the headers name.
fn address_words(raw: &str) -> Vec<String> {
    let head = raw.split("\n\n").next().unwrap_or_default();
    let chunks = head.split(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '(' | ')' | ',' | '"'));
    let addresses = chunks.filter(|c| c.contains('@') || c.matches('.').count() >= 2);
    let words = addresses.flat_map(|a| a.split(|c: char| !c.is_ascii_alphabetic()));
    let mut words: Vec<String> = words.filter(|w| w.len() > 1).map(str::to_ascii_lowercase).collect();
    words.sort_unstable();
    words.dedup();
    words
}
