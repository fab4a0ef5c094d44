//! Why a message got its probability: the tokens and their shares.
//!
//! The shares of all tokens and the intercept add up to the log odds. Groups of
//! letters are nothing to show to people, so the share of a group goes to the
//! words it sits in.

use super::features::{Features, Item, Name};
use super::lex::Shape;
use super::model::Model;

/// One token and its share of the log odds.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// As people read it: `word:winner`, `phrase:call now`, `shape:link`.
    pub token: String,
    /// Positive speaks for spam.
    pub weight: f64,
}

/// Why a message got its probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Log odds of a message that says nothing.
    pub intercept: f64,
    /// Sum of the shares of all tokens.
    pub sum: f64,
    /// The loudest tokens, strongest first.
    pub shares: Vec<Share>,
}

/// So many tokens are kept.
pub const MAX_SHARES: usize = 12;

impl Explanation {
    /// The log odds that a message is spam.
    #[must_use]
    pub fn log_odds(&self) -> f64 {
        self.intercept + self.sum
    }

    /// What speaks for spam and what against it, in words.
    #[must_use]
    pub fn in_words(&self) -> String {
        let loudest = |wanted: fn(f64) -> bool| -> Vec<&str> {
            self.shares.iter().filter(|s| wanted(s.weight)).take(3).map(|s| s.token.as_str()).collect()
        };
        match (loudest(|w| w > 0.0), loudest(|w| w < 0.0)) {
            (spam, ham) if spam.is_empty() && ham.is_empty() => "nothing in it is known".to_owned(),
            (spam, ham) if ham.is_empty() => format!("for spam speak {}", spam.join(", ")),
            (spam, ham) if spam.is_empty() => format!("against it speak {}", ham.join(", ")),
            (spam, ham) => format!("for spam speak {}; against it {}", spam.join(", "), ham.join(", ")),
        }
    }
}

/// Explains a message by its loudest tokens.
#[must_use]
pub fn explain(model: &Model, features: &Features<'_>) -> Explanation {
    let weights = shares(model, features);
    let sum = weights.iter().sum();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    let weight = |at: usize| weights.get(at).copied().unwrap_or_default();
    let louder = |a: &usize, b: &usize| weight(*b).abs().total_cmp(&weight(*a).abs()).then(a.cmp(b));
    if order.len() > MAX_SHARES {
        order.select_nth_unstable_by(MAX_SHARES, louder);
        order.truncate(MAX_SHARES);
    }
    order.sort_unstable_by(louder);
    let shares = order
        .into_iter()
        .filter(|at| weight(*at) != 0.0)
        .map(|at| Share { token: name(features, at), weight: weight(at) })
        .collect();
    Explanation { intercept: model.intercept(), sum, shares }
}

/// The share of every named token, in the order of [`Features::named`].
#[must_use]
pub fn shares(model: &Model, features: &Features<'_>) -> Vec<f64> {
    let mut shares: Vec<f64> = features.named.iter().map(|(feature, _)| model.share(feature)).collect();
    let mut times = vec![0_u32; features.groups.len()];
    for member in &features.members {
        if let Some(times) = times.get_mut(member.group as usize) {
            *times += member.times;
        }
    }
    // What one occurrence of each group is worth.
    let worth: Vec<f64> = features
        .groups
        .iter()
        .zip(times)
        .map(|(group, times)| model.share(group) / f64::from(times.max(1)))
        .collect();
    for member in &features.members {
        let worth = worth.get(member.group as usize).copied().unwrap_or_default();
        if let Some(share) = shares.get_mut(member.word as usize) {
            *share += worth * f64::from(member.times);
        }
    }
    shares
}

fn name(features: &Features<'_>, at: usize) -> String {
    match features.named.get(at).map(|(_, name)| name) {
        Some(Name::Word(word)) => format!("word:{word}"),
        Some(Name::Pair(left, right)) => {
            format!("phrase:{} {}", item(features, *left), item(features, *right))
        }
        Some(Name::Shape(shape)) => format!("shape:{shape}"),
        Some(Name::Sign(sign)) => (*sign).to_owned(),
        None => String::new(),
    }
}

fn item<'f>(features: &'f Features<'_>, item: Item) -> &'f str {
    match item {
        Item::Word(at) => match features.named.get(at as usize) {
            Some((_, Name::Word(word))) => word,
            _ => "",
        },
        Item::Shape(shape) => shape_word(shape),
    }
}

/// The words of a shape inside a phrase: without what follows the colon.
fn shape_word(shape: Shape) -> &'static str {
    shape.name().split(':').next().unwrap_or_default()
}
