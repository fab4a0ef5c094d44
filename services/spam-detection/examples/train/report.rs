//! Puts the parts together: cross-validates, calibrates, fits the model that is
//! shipped, and writes the report.

use crate::corpus::{Labelled, Set};
use crate::evaluate::{Figures, figures, threshold_for};
use crate::learn::{Linear, Recipe, calibrate, fit};
use crate::sample::{Sample, Vocabulary};
use crate::views::View;
use crate::written;
use anyhow::Context as _;
use probity_spam_detection::domain::classify::{Classifier, Thresholds, logistic};
use probity_spam_detection::domain::features::BUCKETS;
use probity_spam_detection::domain::model::{Model, Training};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

const RECIPE: Recipe = Recipe { epochs: 12, l2: 0.5, rate: 0.2, dropout: 0.4, seed: 7 };
const FOLDS: u64 = 5;
/// How each message is shown, and what each showing weighs.
const VIEWS: [(View, f32); 3] = [(View::Whole, 1.0), (View::Bare, 1.0), (View::Part, 0.5)];
/// Share of spam that the learner sees, by weight, in every set.
const SPAM_SHARE: f64 = 0.4;
/// Share of spam that the probabilities are calibrated to.
const PRIOR: f64 = 0.2;
/// Ham is below this probability.
const HAM_BELOW: f64 = 0.25;
/// Ham called spam, at most, in the cross-validation.
const FALSE_POSITIVES: f64 = 0.002;
/// The threshold for spam is never lower: the sets hold next to no business
/// mail, and a person may look at what is unsure.
const SPAM_FROM_AT_LEAST: f64 = 0.85;
/// Weights smaller than this are left out of the file.
const CUT: f32 = 0.03;

/// What a set weighs in training.
const fn set_weight(set: Set) -> f32 {
    match set {
        Set::Sms => 1.5,
        Set::Mail => 2.0,
        Set::Written => 4.0,
        Set::Enron(_) => 0.0,
    }
}

/// A model before it is written to a file.
struct Trained {
    weights: Vec<f32>,
    intercept: f64,
    /// Set, probability and label of every whole message, each judged by a
    /// model that did not see it.
    judged: Vec<(Set, u64, f64, bool)>,
    features: usize,
}

/// Trains the shipped model; answers its file and the report.
pub(crate) fn train_and_report(corpora: &[Labelled]) -> anyhow::Result<(Vec<u8>, String)> {
    let written = written::load();
    let of = |sets: &[Set]| -> Vec<&Labelled> {
        corpora.iter().filter(|l| sets.contains(&l.set)).chain(&written).collect()
    };
    let messages = of(&[Set::Sms, Set::Mail]);
    let trained = train(&messages);
    let spam_from = spam_threshold(&trained.judged);
    let held_out = nested_figures(&trained.judged);
    let training = Training {
        time_us: now_us()?,
        messages: u64::try_from(messages.len())?,
        auc: held_out.auc,
        false_positive_rate: held_out.false_positives,
        recall: held_out.recall,
        ham_below: HAM_BELOW,
        spam_from,
    };
    let file = Model::encode(&trained.weights, trained.intercept, &training);
    let model = Model::decode(&file)?;
    let mut report = String::new();
    head(&mut report, &trained, &model, messages.len())?;
    for (name, set) in [("sms, cross-validated", Set::Sms), ("mail, cross-validated", Set::Mail)] {
        line(&mut report, name, &figures(&points(&trained.judged, set), HAM_BELOW, spam_from))?;
    }
    line(&mut report, "both, cross-validated", &held_out)?;
    for number in 1..=3 {
        judge(
            &mut report,
            &format!("enron{number}, by the shipped model"),
            &model,
            corpora,
            Set::Enron(number),
        )?;
    }
    unseen(&mut report, "sms, by one that saw mail", &of(&[Set::Mail]), corpora, Set::Sms)?;
    unseen(&mut report, "mail, by one that saw sms", &of(&[Set::Sms]), corpora, Set::Mail)?;
    unseen(&mut report, "sms, by one that saw neither", &of(&[]), corpora, Set::Sms)?;
    unseen(&mut report, "mail, by one that saw neither", &of(&[]), corpora, Set::Mail)?;
    speed(&mut report, &model, corpora)?;
    Ok((file, report))
}

/// Fits, cross-validates and calibrates.
fn train(messages: &[&Labelled]) -> Trained {
    let vocabulary = Vocabulary::of(messages);
    let samples = samples(messages, &vocabulary);
    let scored = cross_validate(&samples);
    let fit_points: Vec<_> =
        scored.iter().filter(|(s, _)| s.set != Set::Written || only_written(&samples)).collect();
    let (slope, offset) = calibrate(
        &fit_points.iter().map(|(s, score)| (*score, s.spam, f64::from(s.weight))).collect::<Vec<_>>(),
    );
    let shift = log_odds(PRIOR) - log_odds(SPAM_SHARE);
    let judged = scored
        .iter()
        .filter(|(s, _)| s.whole && s.set != Set::Written)
        .map(|(s, score)| (s.set, s.content, logistic(slope * score + offset + shift), s.spam))
        .collect();
    let linear = fit(&samples.iter().collect::<Vec<_>>(), &RECIPE);
    Trained {
        weights: scaled(&linear, slope),
        intercept: f64::from(linear.intercept) * slope + offset + shift,
        judged,
        features: vocabulary.len(),
    }
}

fn only_written(samples: &[Sample]) -> bool {
    samples.iter().all(|s| s.set == Set::Written)
}

fn log_odds(share: f64) -> f64 {
    (share / (1.0 - share)).ln()
}

/// Calibration goes into the weights; what is too small to matter goes out.
#[allow(clippy::cast_possible_truncation)] // f64 to f32: a weight
fn scaled(linear: &Linear, slope: f64) -> Vec<f32> {
    let scaled = linear.weights.iter().map(|w| w * slope as f32);
    scaled.map(|w| if w.abs() < CUT { 0.0 } else { w }).collect()
}

/// All views of all messages, weighted so that each set and each class has its
/// share whatever its size.
fn samples(messages: &[&Labelled], vocabulary: &Vocabulary) -> Vec<Sample> {
    let views = |l: &&Labelled| {
        let long = l.message.text.len() >= 800;
        VIEWS.into_iter().filter(move |(view, _)| long || *view != View::Part)
    };
    let mut samples: Vec<Sample> = messages
        .iter()
        .flat_map(|l| views(l).map(|(view, weight)| vocabulary.sample(l, view, weight)))
        .collect();
    // Ordered: the same data must give the same sums, to the last bit.
    let mut sums: BTreeMap<(Set, bool), f32> = BTreeMap::new();
    for sample in &samples {
        *sums.entry((sample.set, sample.spam)).or_default() += sample.weight;
    }
    let total: f32 = sums.values().sum();
    let sets: f32 = [Set::Sms, Set::Mail, Set::Written]
        .into_iter()
        .filter(|s| sums.contains_key(&(*s, true)))
        .map(|_| 1.0)
        .sum();
    for sample in &mut samples {
        #[allow(clippy::cast_possible_truncation)] // f64 to f32: a share
        let class = if sample.spam { SPAM_SHARE } else { 1.0 - SPAM_SHARE } as f32;
        let sum = sums.get(&(sample.set, sample.spam)).copied().unwrap_or(1.0);
        sample.weight *= set_weight(sample.set) * class * total / sets / sum;
    }
    samples
}

/// The score of every sample by a model that saw no view of the same content.
fn cross_validate(samples: &[Sample]) -> Vec<(&Sample, f64)> {
    let mut scored = Vec::with_capacity(samples.len());
    for fold in 0..FOLDS {
        let (test, train): (Vec<&Sample>, Vec<&Sample>) =
            samples.iter().partition(|s| s.content % FOLDS == fold);
        let linear = fit(&train, &RECIPE);
        scored.extend(test.into_iter().map(|s| (s, linear.score(s))));
    }
    scored
}

fn points(judged: &[(Set, u64, f64, bool)], set: Set) -> Vec<(f64, bool)> {
    judged.iter().filter(|j| j.0 == set).map(|j| (j.2, j.3)).collect()
}

fn spam_threshold(judged: &[(Set, u64, f64, bool)]) -> f64 {
    let points: Vec<_> = judged.iter().map(|j| (j.2, j.3)).collect();
    threshold_for(&points, FALSE_POSITIVES).clamp(SPAM_FROM_AT_LEAST, 0.99)
}

/// Figures in which no message had a part in the threshold it is measured at:
/// each fold is measured at the threshold of the others.
fn nested_figures(judged: &[(Set, u64, f64, bool)]) -> Figures {
    let mut shifted = Vec::new();
    for fold in 0..FOLDS {
        let (inside, outside): (Vec<_>, Vec<_>) = judged.iter().partition(|j| j.1 % FOLDS == fold);
        let threshold = spam_threshold(&outside);
        shifted.extend(inside.iter().map(|j| (j.2 - threshold, j.3)));
    }
    let plain: Vec<_> = judged.iter().map(|j| (j.2, j.3)).collect();
    let at_thresholds = figures(&shifted, 0.0, 0.0);
    Figures {
        recall: at_thresholds.recall,
        false_positives: at_thresholds.false_positives,
        ..figures(&plain, HAM_BELOW, spam_threshold(judged))
    }
}

fn head(report: &mut String, trained: &Trained, model: &Model, messages: usize) -> std::fmt::Result {
    let Training { ham_below, spam_from, .. } = *model.training();
    writeln!(
        report,
        "model {} from {messages} messages: {} features, {} weights in {BUCKETS} buckets, ham below {ham_below:.2}, spam from {spam_from:.3}\n",
        model.version(),
        trained.features,
        model.weights(),
    )?;
    writeln!(
        report,
        "| set | messages | spam | AUC | recall | false positives | spam taken for ham | unsure ham | unsure spam |"
    )?;
    writeln!(report, "|---|---|---|---|---|---|---|---|---|")
}

fn line(report: &mut String, name: &str, f: &Figures) -> std::fmt::Result {
    let percent = |share: f64| format!("{:.2}%", share * 100.0);
    writeln!(
        report,
        "| {name} | {} | {} | {:.4} | {} | {} | {} | {} | {} |",
        f.messages,
        f.spam,
        f.auc,
        percent(f.recall),
        percent(f.false_positives),
        percent(f.missed),
        percent(f.unsure_ham),
        percent(f.unsure_spam),
    )
}

fn judge(report: &mut String, name: &str, model: &Model, corpora: &[Labelled], set: Set) -> std::fmt::Result {
    let judged = corpora.iter().filter(|l| l.set == set);
    let points: Vec<_> = judged.map(|l| (logistic(model.log_odds_of(&l.message)), l.spam)).collect();
    line(report, name, &figures(&points, model.training().ham_below, model.training().spam_from))
}

/// Judges a set by a model that never saw it.
fn unseen(
    report: &mut String,
    name: &str,
    messages: &[&Labelled],
    corpora: &[Labelled],
    set: Set,
) -> anyhow::Result<()> {
    let trained = train(messages);
    let spam_from =
        if trained.judged.is_empty() { SPAM_FROM_AT_LEAST } else { spam_threshold(&trained.judged) };
    let training = Training { ham_below: HAM_BELOW, spam_from, ..Training::default() };
    let model = Model::decode(&Model::encode(&trained.weights, trained.intercept, &training))?;
    Ok(judge(report, name, &model, corpora, set)?)
}

/// Time to classify messages of 2 to 5 KB, explanation included.
fn speed(report: &mut String, model: &Model, corpora: &[Labelled]) -> anyhow::Result<()> {
    let Training { ham_below, spam_from, .. } = *model.training();
    let classifier = Classifier::new(model.clone(), Thresholds { ham_below, spam_from });
    let typical = corpora.iter().filter(|l| (2000..5000).contains(&l.message.text.len())).take(1000);
    let mut times: Vec<u128> = typical
        .map(|l| {
            let start = Instant::now();
            std::hint::black_box(classifier.classify(l.message.text.as_bytes(), Default::default()));
            start.elapsed().as_micros()
        })
        .collect();
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    writeln!(
        report,
        "\nspeed: {} messages of 2 to 5 KB, median {} us, p99 {} us",
        times.len(),
        at(50),
        at(99)
    )?;
    Ok(())
}

/// The time of training: `SOURCE_DATE_EPOCH` when it is set, so that the same
/// data give the same file.
fn now_us() -> anyhow::Result<i64> {
    if let Ok(seconds) = std::env::var("SOURCE_DATE_EPOCH") {
        let seconds: i64 = seconds.parse().context("SOURCE_DATE_EPOCH is no number of seconds")?;
        return Ok(seconds * 1_000_000);
    }
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(i64::try_from(elapsed.as_micros())?)
}
