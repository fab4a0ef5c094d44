//! Messages → sparse vectors over the vocabulary that may be learned.

use crate::corpus::{Labelled, Set};
use crate::views::{View, show};
use probity_spam_detection::domain::features::{Channel, Features, Item, Name};
use std::collections::{HashMap, HashSet};

/// A feature must occur in so many messages to be learned.
const MIN_MESSAGES: u32 = 3;
/// A word that occurs in the header addresses of so many messages names a list
/// or a host: it tells the corpus.
const MIN_ADDRESSED: u32 = 5;

/// A training example.
pub(crate) struct Sample {
    /// Bucket and signed value.
    pub(crate) features: Vec<(u32, f32)>,
    pub(crate) spam: bool,
    pub(crate) weight: f32,
    /// Hash of the content: views of one message share it.
    pub(crate) content: u64,
    pub(crate) set: Set,
    /// True for the message as it is.
    pub(crate) whole: bool,
}

/// The buckets that may get a weight.
pub(crate) struct Vocabulary {
    allowed: HashSet<u64>,
}

impl Vocabulary {
    /// The features of enough messages, without what names a list or a host.
    pub(crate) fn of(messages: &[&Labelled]) -> Self {
        let stop = stop_words(messages);
        let mut counts: HashMap<u64, u32> = HashMap::new();
        for labelled in messages {
            let mut seen = HashSet::new();
            for hash in learnable(&Features::of(&labelled.message), &stop) {
                if seen.insert(hash) {
                    *counts.entry(hash).or_default() += 1;
                }
            }
        }
        counts.retain(|_, count| *count >= MIN_MESSAGES);
        Self { allowed: counts.into_keys().collect() }
    }

    /// How many features may be learned.
    pub(crate) fn len(&self) -> usize {
        self.allowed.len()
    }

    /// The vector of a message, in one view.
    pub(crate) fn sample(&self, labelled: &Labelled, view: View, weight: f32) -> Sample {
        let message = show(&labelled.message, view, labelled.content >> 8);
        let features = Features::of(&message);
        let kept = features.iter().filter(|f| self.allowed.contains(&f.hash));
        let features = kept.map(|f| (u32::try_from(f.bucket()).unwrap_or(u32::MAX), f.signed())).collect();
        Sample {
            features,
            spam: labelled.spam,
            weight,
            content: labelled.content,
            set: labelled.set,
            whole: view == View::Whole,
        }
    }
}

fn stop_words(messages: &[&Labelled]) -> HashSet<String> {
    let mut counts: HashMap<&str, u32> = HashMap::new();
    for word in messages.iter().flat_map(|l| &l.address_words) {
        *counts.entry(word).or_default() += 1;
    }
    counts.into_iter().filter(|(_, count)| *count >= MIN_ADDRESSED).map(|(word, _)| word.to_owned()).collect()
}

/// Hashes of the features that no stop word has a part in.
fn learnable(features: &Features<'_>, stop: &HashSet<String>) -> Vec<u64> {
    let stopped: Vec<bool> = features
        .named
        .iter()
        .map(|(_, name)| match name {
            Name::Word(word) => stop.contains(word.as_ref()),
            _ => false,
        })
        .collect();
    let is_stopped = |at: u32| stopped.get(at as usize).copied().unwrap_or_default();
    let half = |item: &Item| matches!(item, Item::Word(at) if is_stopped(*at));
    let named = features.named.iter().zip(&stopped).filter_map(|((feature, name), stopped)| {
        let barred = *stopped || matches!(name, Name::Pair(left, right) if half(left) || half(right));
        (!barred).then_some(feature.hash)
    });
    let groups: HashSet<u32> =
        features.members.iter().filter(|m| !is_stopped(m.word)).map(|m| m.group).collect();
    let groups = groups.iter().filter_map(|g| features.groups.get(*g as usize).map(|f| f.hash));
    debug_assert!(features.groups.iter().all(|f| f.channel == Channel::Group));
    named.chain(groups).collect()
}
