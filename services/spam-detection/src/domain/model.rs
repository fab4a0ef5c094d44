//! The linear model: one weight a bucket, and what is known of its training.
//!
//! Calibration is folded into the weights by the trainer, so the sum of the
//! weighted features and the intercept is the log odds itself and every share
//! of it can be shown.

mod codec;

pub use codec::BadModel;

use super::features::{BUCKETS, Feature, Features};
use super::message::Message;

/// What the trainer says of a model.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Training {
    /// When, in microseconds since 1970.
    pub time_us: i64,
    /// How many messages.
    pub messages: u64,
    /// Area under the ROC curve on the held-out part.
    pub auc: f64,
    /// Share of held-out ham called spam.
    pub false_positive_rate: f64,
    /// Share of held-out spam called spam.
    pub recall: f64,
    /// Suggested threshold: ham below it.
    pub ham_below: f64,
    /// Suggested threshold: spam from it on.
    pub spam_from: f64,
}

/// A trained model.
#[derive(Clone)]
pub struct Model {
    /// First 12 hex digits of the SHA-256 of the model file.
    version: String,
    training: Training,
    intercept: f64,
    /// A step a bucket; what it is worth is in `worth`.
    steps: Vec<i8>,
    /// The weight of each step, from -128 to 127.
    worth: [f32; 256],
}

/// The model file of this build.
const SHIPPED: &[u8] = include_bytes!("../../model/spam-v1.bin");

impl Model {
    /// The model of this build.
    ///
    /// # Errors
    /// When the build was made with a broken file; a test forbids that.
    pub fn shipped() -> Result<Self, BadModel> {
        Self::decode(SHIPPED)
    }

    /// The model in the file `bytes`.
    ///
    /// # Errors
    /// When it is not a whole model file of this version.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadModel> {
        codec::decode(bytes)
    }

    /// The file for weights the trainer found.
    #[must_use]
    pub fn encode(weights: &[f32], intercept: f64, training: &Training) -> Vec<u8> {
        codec::encode(weights, intercept, training)
    }

    /// First 12 hex digits of the SHA-256 of the model file.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What the trainer says of it.
    #[must_use]
    pub const fn training(&self) -> &Training {
        &self.training
    }

    /// Log odds of a message that says nothing.
    #[must_use]
    pub const fn intercept(&self) -> f64 {
        self.intercept
    }

    /// Size of the feature space.
    #[must_use]
    pub const fn buckets(&self) -> usize {
        BUCKETS
    }

    /// How many buckets have a weight.
    #[must_use]
    pub fn weights(&self) -> usize {
        self.steps.iter().filter(|step| **step != 0).count()
    }

    /// What one feature adds to the log odds.
    #[must_use]
    pub fn share(&self, feature: &Feature) -> f64 {
        let step = self.steps.get(feature.bucket()).copied().unwrap_or_default();
        let worth = self.worth.get(usize::from(step.cast_unsigned())).copied().unwrap_or_default();
        f64::from(worth * feature.signed())
    }

    /// Log odds that a message is spam.
    #[must_use]
    pub fn log_odds(&self, features: &Features<'_>) -> f64 {
        self.intercept + features.iter().map(|f| self.share(&f)).sum::<f64>()
    }

    /// Log odds that a message is spam.
    #[must_use]
    pub fn log_odds_of(&self, message: &Message) -> f64 {
        self.log_odds(&Features::of(message))
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("version", &self.version)
            .field("training", &self.training)
            .finish_non_exhaustive()
    }
}
