//! Tokens → hashed, weighted features, each with the token it belongs to.
//!
//! Four channels: words, pairs of neighbours, groups of letters inside words
//! (they see through misspellings and endings), and signs (shapes, measures,
//! structure). Words, pairs and groups are brought to unit length per channel,
//! so that a long message does not outvote a short one.

use super::facts::Fact;
use super::lex::{self, Shape, Token};
use super::message::Message;
use super::shapes::{self, ShapeCounts};
use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// The feature space has two to the power of this many buckets.
pub const BUCKET_BITS: u32 = 18;
/// Number of buckets.
pub const BUCKETS: usize = 1 << BUCKET_BITS;
/// Letters in a group.
const GROUP_CHARS: usize = 4;
/// What one sign weighs, relative to a channel of unit length.
const SIGN_SCALE: f32 = 0.15;
/// How the channels weigh against each other before learning.
const SCALES: [f32; 3] = [1.0, 1.0, 1.0];
/// Up to so many words a text is short: its shapes are told from those of others.
const SHORT_WORDS: usize = 40;
/// Different tokens of one channel beyond this are not counted: a bound on
/// memory, far above any honest message.
const MAX_DISTINCT: usize = 200_000;

/// Where a feature comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Channel {
    /// A word.
    Word,
    /// Two neighbours.
    Pair,
    /// Letters inside words.
    Group,
    /// A shape, a measure or a fact.
    Sign,
}

/// One feature of a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Feature {
    /// Its hash: the lower bits are the bucket, the highest is the sign.
    pub hash: u64,
    /// Its value before the sign.
    pub value: f32,
    /// Which channel it belongs to.
    pub channel: Channel,
}

impl Feature {
    /// The bucket of the weight.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)] // masked to BUCKET_BITS before
    pub const fn bucket(&self) -> usize {
        (self.hash & (BUCKETS as u64 - 1)) as usize
    }

    /// The value with the sign of the hash: tokens that meet in a bucket by
    /// accident cancel out on average.
    #[must_use]
    pub const fn signed(&self) -> f32 {
        if self.hash >> 63 == 0 { self.value } else { -self.value }
    }
}

/// The text of a token, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name<'a> {
    /// A word.
    Word(Cow<'a, str>),
    /// Two neighbours: indices of items in [`Features::names`] or shapes.
    Pair(Item, Item),
    /// A shape, by its name.
    Shape(&'static str),
    /// A measure or a fact, by its name.
    Sign(&'static str),
}

/// One half of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// A word, by its index among the words.
    Word(u32),
    /// A shape.
    Shape(Shape),
}

/// A share that a group of letters has in a word: group, word, times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// Index of the group in [`Features::groups`].
    pub group: u32,
    /// Index of the word in [`Features::named`].
    pub word: u32,
    /// How often the group occurs in the message through this word.
    pub times: u32,
}

/// All features of a message.
#[derive(Debug, Default)]
pub struct Features<'a> {
    /// Words first, then pairs, then signs; each with its name.
    pub named: Vec<(Feature, Name<'a>)>,
    /// Groups of letters: they have no name of their own.
    pub groups: Vec<Feature>,
    /// Which groups sit in which words.
    pub members: Vec<Membership>,
}

impl<'a> Features<'a> {
    /// Extracts the features of a message.
    #[must_use]
    pub fn of(message: &'a Message) -> Self {
        let mut reading = Reading::default();
        let counts = lex::tokens(&message.text, |token| reading.token(token));
        let mut features = Self::default();
        let words = std::mem::take(&mut reading.words.entries);
        features.groups(&words);
        features.channel(Channel::Word, words.into_iter().map(|e| (e.hash, e.count, Name::Word(e.item))));
        let pairs = std::mem::take(&mut reading.pairs.entries);
        features.channel(
            Channel::Pair,
            pairs.into_iter().map(|e| (e.hash, e.count, Name::Pair(e.item.0, e.item.1))),
        );
        features.signs(message, &counts, &reading.shapes);
        features
    }

    /// Every feature, named or not.
    pub fn iter(&self) -> impl Iterator<Item = Feature> + '_ {
        self.named.iter().map(|(feature, _)| *feature).chain(self.groups.iter().copied())
    }

    fn channel(&mut self, channel: Channel, entries: impl Iterator<Item = (u64, u32, Name<'a>)>) {
        let from = self.named.len();
        self.named.extend(
            entries.map(|(hash, count, name)| (Feature { hash, value: damped(count), channel }, name)),
        );
        let added = self.named.get_mut(from..).unwrap_or_default();
        normalise(added.iter_mut().map(|(feature, _)| feature), channel);
    }

    fn groups(&mut self, words: &[Entry<Cow<'a, str>>]) {
        let mut index: Index = Index::default();
        let mut counts: Vec<u32> = Vec::new();
        for (word, entry) in (0_u32..).zip(words) {
            each_group(&entry.item, |hash| {
                let group = index.place(hash, || {
                    self.groups.push(Feature { hash, value: 0.0, channel: Channel::Group });
                    counts.push(0);
                });
                let Some(group) = group else { return };
                if let Some(count) = counts.get_mut(group as usize) {
                    *count += entry.count;
                }
                self.members.push(Membership { group, word, times: entry.count });
            });
        }
        for (feature, count) in self.groups.iter_mut().zip(counts) {
            feature.value = damped(count);
        }
        normalise(self.groups.iter_mut(), Channel::Group);
    }

    fn signs(&mut self, message: &Message, counts: &lex::Counts, shapes: &ShapeCounts) {
        let short = counts.words <= SHORT_WORDS;
        for shape in Shape::ALL {
            let count = shapes.get(*shape as usize).copied().unwrap_or_default();
            if count > 0 {
                let name = if short { shape.name_in_short_text() } else { shape.name() };
                self.sign(name, damped(count).min(3.0), Name::Shape(name));
            }
        }
        for measure in shapes::measures(counts, shapes, message.links) {
            self.sign(measure, 1.0, Name::Sign(measure));
        }
        let mut facts = message.facts;
        facts.note_if(counts.spaced > 0, Fact::SpacedLetters);
        for fact in facts.iter() {
            self.sign(fact.name(), 1.0, Name::Sign(fact.name()));
        }
    }

    fn sign(&mut self, text: &'static str, value: f32, name: Name<'a>) {
        let hash = hash(Channel::Sign, text.as_bytes());
        self.named.push((Feature { hash, value: value * SIGN_SCALE, channel: Channel::Sign }, name));
    }
}

/// A distinct token and how often it occurred.
struct Entry<T> {
    hash: u64,
    count: u32,
    item: T,
}

/// Counts distinct tokens.
struct Tally<T> {
    index: Index,
    entries: Vec<Entry<T>>,
}

impl<T> Default for Tally<T> {
    fn default() -> Self {
        Self { index: Index::default(), entries: Vec::new() }
    }
}

impl<T> Tally<T> {
    /// Counts one; answers the index of the token.
    fn count(&mut self, hash: u64, item: impl FnOnce() -> T) -> Option<u32> {
        let entries = &mut self.entries;
        let at = self.index.place(hash, || entries.push(Entry { hash, count: 0, item: item() }))?;
        if let Some(entry) = entries.get_mut(at as usize) {
            entry.count += 1;
        }
        Some(at)
    }
}

/// Finds the place of a hash, making one when it is new.
#[derive(Default)]
struct Index(HashMap<u64, u32, BuildHasherDefault<Hashed>>);

impl Index {
    fn place(&mut self, hash: u64, make: impl FnOnce()) -> Option<u32> {
        if let Some(at) = self.0.get(&hash) {
            return Some(*at);
        }
        let next = u32::try_from(self.0.len()).ok().filter(|n| (*n as usize) < MAX_DISTINCT)?;
        self.0.insert(hash, next);
        make();
        Some(next)
    }
}

/// The tokens seen so far.
#[derive(Default)]
struct Reading<'a> {
    words: Tally<Cow<'a, str>>,
    pairs: Tally<(Item, Item)>,
    shapes: ShapeCounts,
    /// The neighbour to the left and its hash.
    last: Option<(Item, u64)>,
}

impl<'a> Reading<'a> {
    fn token(&mut self, token: Token<'a>) {
        let next = match token {
            Token::Break => None,
            Token::Word(word) => {
                let hash = hash(Channel::Word, word.as_bytes());
                self.words.count(hash, || word).map(|at| (Item::Word(at), hash))
            }
            Token::Shape(shape) => {
                if let Some(count) = self.shapes.get_mut(shape as usize) {
                    *count += 1;
                }
                Some((Item::Shape(shape), hash(Channel::Sign, shape.name().as_bytes())))
            }
        };
        if let (Some((left, left_hash)), Some((right, right_hash))) = (self.last, next) {
            // Two shapes side by side say no more than each alone.
            if !matches!((left, right), (Item::Shape(_), Item::Shape(_))) {
                self.pairs.count(pair_hash(left_hash, right_hash), || (left, right));
            }
        }
        self.last = next;
    }
}

/// Occurrences count less and less: the tenth says little more than the ninth.
#[allow(clippy::cast_precision_loss)] // counts are far below 2^24
fn damped(count: u32) -> f32 {
    1.0 + (count.max(1) as f32).ln()
}

fn normalise<'f>(features: impl Iterator<Item = &'f mut Feature>, channel: Channel) {
    let mut features: Vec<_> = features.collect();
    let length = features.iter().map(|f| f.value * f.value).sum::<f32>().sqrt();
    let scale = SCALES.get(channel as usize).copied().unwrap_or(1.0);
    for feature in &mut features {
        feature.value *= scale / length.max(f32::MIN_POSITIVE);
    }
}

/// Calls `each` with the hash of every group of letters of `^word$`.
fn each_group(word: &str, mut each: impl FnMut(u64)) {
    let Some(letters) = ascii_letters(word) else { return };
    let mut padded = [b'^'; 34];
    let length = letters.len();
    if let Some(inner) = padded.get_mut(1..=length) {
        inner.copy_from_slice(letters);
    }
    if let Some(end) = padded.get_mut(length + 1) {
        *end = b'$';
    }
    for group in padded.get(..length + 2).unwrap_or_default().windows(GROUP_CHARS) {
        each(hash(Channel::Group, group));
    }
}

/// Groups are made of ASCII words of three letters and more: in other scripts
/// words are short or written without blanks.
fn ascii_letters(word: &str) -> Option<&[u8]> {
    let fits = (3..=30).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase());
    fits.then_some(word.as_bytes())
}

/// FNV-1a with a final mix, seeded by the channel. Stable for ever: the model
/// file depends on it.
#[must_use]
pub fn hash(channel: Channel, bytes: &[u8]) -> u64 {
    let seed = 0xcbf2_9ce4_8422_2325 ^ ((channel as u64) << 56);
    mix(bytes.iter().fold(seed, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)))
}

fn pair_hash(left: u64, right: u64) -> u64 {
    mix(left.rotate_left(21).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ right)
}

const fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0x9fb2_1c65_1e98_df25);
    let hash = (hash ^ (hash >> 29)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ (hash >> 32)
}

/// Keys are hashes already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}
