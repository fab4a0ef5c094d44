//! Bytes in, verdict out.

use super::explain::{self, Explanation};
use super::features::Features;
use super::message::{Form, Message};
use super::model::Model;

/// Where a probability falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Band {
    /// Below the lower threshold.
    Ham,
    /// Between the thresholds: for people.
    Unsure,
    /// From the upper threshold on.
    Spam,
}

impl Band {
    /// All bands.
    pub const ALL: [Self; 3] = [Self::Ham, Self::Unsure, Self::Spam];

    /// The name in metrics and explanations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ham => "ham",
            Self::Unsure => "unsure",
            Self::Spam => "spam",
        }
    }
}

/// Where the bands meet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Ham below it.
    pub ham_below: f64,
    /// Spam from it on.
    pub spam_from: f64,
}

impl Thresholds {
    /// The band of a probability.
    #[must_use]
    pub fn band(&self, probability: f64) -> Band {
        if probability >= self.spam_from {
            Band::Spam
        } else if probability < self.ham_below {
            Band::Ham
        } else {
            Band::Unsure
        }
    }
}

/// What is said of one message.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Probability that it is spam.
    pub probability: f64,
    /// Where that falls.
    pub band: Band,
    /// Which tokens spoke, and how loudly.
    pub explanation: Explanation,
}

impl Verdict {
    /// Of two verdicts the one that looks more like spam.
    #[must_use]
    pub fn more_spam_like(self, other: Self) -> Self {
        if self.probability > other.probability { self } else { other }
    }

    /// One sentence for a person; `of` is how many documents were looked at.
    #[must_use]
    pub fn sentence(&self, of: usize) -> String {
        let judgement = match self.band {
            Band::Ham => "no spam",
            Band::Unsure => "possibly spam, a person should look",
            Band::Spam => "spam",
        };
        let share = percent(self.probability);
        let chosen = if of > 1 { format!(" (the most spam-like of {of} documents)") } else { String::new() };
        format!("{judgement}: probability {share}{chosen}; {}", self.explanation.in_words())
    }
}

/// One digit after the point, and never a certainty that a model cannot have.
fn percent(probability: f64) -> String {
    match probability {
        p if p > 0.999 => "above 99.9%".to_owned(),
        p if p < 0.001 => "below 0.1%".to_owned(),
        p => format!("{:.1}%", p * 100.0),
    }
}

/// A model and the thresholds in force.
#[derive(Debug, Clone)]
pub struct Classifier {
    model: Model,
    thresholds: Thresholds,
}

impl Classifier {
    /// A classifier with thresholds of its own.
    #[must_use]
    pub const fn new(model: Model, thresholds: Thresholds) -> Self {
        Self { model, thresholds }
    }

    /// The model.
    #[must_use]
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// The thresholds.
    #[must_use]
    pub const fn thresholds(&self) -> Thresholds {
        self.thresholds
    }

    /// Classifies a message.
    #[must_use]
    pub fn classify(&self, content: &[u8], form: Form) -> Verdict {
        let message = Message::read(content, form);
        let features = Features::of(&message);
        let explanation = explain::explain(&self.model, &features);
        let probability = logistic(explanation.log_odds());
        Verdict { probability, band: self.thresholds.band(probability), explanation }
    }
}

/// The probability of log odds.
#[must_use]
pub fn logistic(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_meet_at_the_thresholds() {
        let thresholds = Thresholds { ham_below: 0.25, spam_from: 0.9 };
        let check = |p: f64, expect: Band| assert_eq!(thresholds.band(p), expect, "{p}");
        check(0.0, Band::Ham);
        check(0.249, Band::Ham);
        check(0.25, Band::Unsure);
        check(0.899, Band::Unsure);
        check(0.9, Band::Spam);
        check(1.0, Band::Spam);
    }

    #[test]
    fn nothing_is_certain() {
        let check = |p: f64, expect: &str| assert_eq!(percent(p), expect);
        check(0.1234, "12.3%");
        check(0.9999, "above 99.9%");
        check(1.0, "above 99.9%");
        check(0.0, "below 0.1%");
    }

    #[test]
    fn log_odds_become_probabilities() {
        let check = |odds: f64, expect: f64| assert!((logistic(odds) - expect).abs() < 1e-6, "{odds}");
        check(0.0, 0.5);
        check(2.0, 0.880_797);
        check(-1000.0, 0.0);
        check(1000.0, 1.0);
    }
}
