//! Logistic regression with L2, by AdaGrad over a seeded shuffle, and Platt's
//! calibration of its output.

use crate::sample::Sample;
use probity_spam_detection::domain::classify::logistic;
use probity_spam_detection::domain::features::BUCKETS;

/// How the learner is set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipe {
    /// Passes over the data.
    pub(crate) epochs: usize,
    /// Strength of the pull of every weight to zero.
    pub(crate) l2: f32,
    /// Step of AdaGrad.
    pub(crate) rate: f32,
    /// Share of the features left out at each step, so that no few carry all.
    pub(crate) dropout: f32,
    /// Seed of the shuffle and of the drop-out.
    pub(crate) seed: u64,
}

/// Weights and intercept.
#[derive(Clone)]
pub(crate) struct Linear {
    pub(crate) weights: Vec<f32>,
    pub(crate) intercept: f32,
}

impl Linear {
    pub(crate) fn score(&self, sample: &Sample) -> f64 {
        f64::from(self.intercept + dot(&self.weights, &sample.features))
    }
}

fn dot(weights: &[f32], features: &[(u32, f32)]) -> f32 {
    features.iter().map(|(at, value)| weights.get(*at as usize).copied().unwrap_or_default() * value).sum()
}

/// Fits the weights to the samples.
pub(crate) fn fit(samples: &[&Sample], recipe: &Recipe) -> Linear {
    let mut random = fastrand::Rng::with_seed(recipe.seed);
    let mut state = State::new(samples, recipe);
    let mut order: Vec<usize> = (0..samples.len()).collect();
    for _ in 0..recipe.epochs {
        random.shuffle(&mut order);
        for at in &order {
            if let Some(sample) = samples.get(*at) {
                state.step(sample, recipe, &mut random);
            }
        }
    }
    state.linear
}

struct State {
    linear: Linear,
    /// Sum of squared gradients, by weight.
    squares: Vec<f32>,
    intercept_squares: f32,
    /// In how many samples each bucket occurs: the pull of L2 is shared among
    /// them, so that a rare feature is not pulled less.
    pulls: Vec<f32>,
}

#[allow(clippy::cast_precision_loss)] // counts of samples
impl State {
    fn new(samples: &[&Sample], recipe: &Recipe) -> Self {
        let mut counts = vec![0_u32; BUCKETS];
        for (at, _) in samples.iter().flat_map(|s| &s.features) {
            if let Some(count) = counts.get_mut(*at as usize) {
                *count += 1;
            }
        }
        let pulls = counts.iter().map(|count| recipe.l2 / (*count).max(1) as f32).collect();
        let linear = Linear { weights: vec![0.0; BUCKETS], intercept: 0.0 };
        Self { linear, squares: vec![1e-6; BUCKETS], intercept_squares: 1e-6, pulls }
    }

    fn step(&mut self, sample: &Sample, recipe: &Recipe, random: &mut fastrand::Rng) {
        let keep = 1.0 - recipe.dropout;
        let kept: Vec<(usize, f32)> = sample
            .features
            .iter()
            .filter(|_| recipe.dropout == 0.0 || random.f32() < keep)
            .map(|(at, value)| (*at as usize, value / keep))
            .collect();
        let score: f32 = kept.iter().map(|(at, value)| self.linear.weights[*at] * value).sum();
        let target = if sample.spam { 1.0 } else { 0.0 };
        let probability = logistic(f64::from(score + self.linear.intercept));
        #[allow(clippy::cast_possible_truncation)] // f64 to f32: between 0 and 1
        let error = sample.weight * (probability as f32 - target);
        for (at, value) in kept {
            let weight = &mut self.linear.weights[at];
            let gradient = error * value + self.pulls[at] * *weight;
            self.squares[at] += gradient * gradient;
            *weight -= recipe.rate * gradient / self.squares[at].sqrt();
        }
        self.intercept_squares += error * error;
        self.linear.intercept -= recipe.rate * error / self.intercept_squares.sqrt();
    }
}

/// Slope and offset that turn scores into log odds (Platt's sigmoid), by
/// Newton's method. Each point is score, spam or not, weight.
pub(crate) fn calibrate(points: &[(f64, bool, f64)]) -> (f64, f64) {
    let (mut slope, mut offset) = (1.0, 0.0);
    for _ in 0..50 {
        let (mut g0, mut g1, mut h00, mut h01, mut h11) = (0.0, 0.0, 1e-6, 0.0, 1e-6);
        for (score, spam, weight) in points {
            // Platt's targets: never quite 0 or 1.
            let target = if *spam { 0.995 } else { 0.005 };
            let p = logistic(slope * score + offset);
            let (error, curve) = (weight * (p - target), weight * p * (1.0 - p));
            g0 += error * score;
            g1 += error;
            h00 += curve * score * score;
            h01 += curve * score;
            h11 += curve;
        }
        let determinant = h00 * h11 - h01 * h01;
        let step = ((h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant);
        (slope, offset) = (slope - step.0, offset - step.1);
        if step.0.abs() + step.1.abs() < 1e-9 {
            break;
        }
    }
    (slope, offset)
}
