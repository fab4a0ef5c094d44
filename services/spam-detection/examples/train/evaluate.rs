//! Figures: area under the ROC curve, recall, false positives.

/// How well scores tell spam from ham.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    pub(crate) messages: usize,
    pub(crate) spam: usize,
    /// Area under the ROC curve.
    pub(crate) auc: f64,
    /// Spam called spam.
    pub(crate) recall: f64,
    /// Ham called spam.
    pub(crate) false_positives: f64,
    /// Spam called ham.
    pub(crate) missed: f64,
    /// Ham left to people.
    pub(crate) unsure_ham: f64,
    /// Spam left to people.
    pub(crate) unsure_spam: f64,
}

#[allow(clippy::cast_precision_loss)] // counts of messages
fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Figures of probabilities with labels, at two thresholds.
pub(crate) fn figures(points: &[(f64, bool)], ham_below: f64, spam_from: f64) -> Figures {
    let count = |label: bool, wanted: &dyn Fn(f64) -> bool| {
        points.iter().filter(|(p, spam)| *spam == label && wanted(*p)).count()
    };
    let (spam, ham) = (count(true, &|_| true), count(false, &|_| true));
    let is_spam = |p: f64| p >= spam_from;
    let is_ham = |p: f64| p < ham_below;
    let unsure = |p: f64| !is_spam(p) && !is_ham(p);
    Figures {
        messages: points.len(),
        spam,
        auc: auc(points),
        recall: share(count(true, &is_spam), spam),
        false_positives: share(count(false, &is_spam), ham),
        missed: share(count(true, &is_ham), spam),
        unsure_ham: share(count(false, &unsure), ham),
        unsure_spam: share(count(true, &unsure), spam),
    }
}

/// Chance that a spam scores above a ham; ties count half.
#[allow(clippy::cast_precision_loss)] // counts of messages
pub(crate) fn auc(points: &[(f64, bool)]) -> f64 {
    let mut sorted: Vec<_> = points.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut rank_sum, mut spam, mut at) = (0.0, 0_usize, 0);
    while at < sorted.len() {
        let end = at + sorted[at..].iter().take_while(|p| p.0 == sorted[at].0).count();
        let rank = (at + 1 + end) as f64 / 2.0;
        let tied = sorted[at..end].iter().filter(|p| p.1).count();
        rank_sum += rank * tied as f64;
        spam += tied;
        at = end;
    }
    let ham = sorted.len() - spam;
    let (spam, ham) = (spam as f64, ham as f64);
    if spam == 0.0 || ham == 0.0 {
        return 0.5;
    }
    (rank_sum - spam * (spam + 1.0) / 2.0) / (spam * ham)
}

/// The lowest threshold at which no more than `limit` of the ham is called spam.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // a count
pub(crate) fn threshold_for(points: &[(f64, bool)], limit: f64) -> f64 {
    let mut ham: Vec<f64> = points.iter().filter(|p| !p.1).map(|p| p.0).collect();
    ham.sort_by(|a, b| b.total_cmp(a));
    let allowed = (ham.len() as f64 * limit) as usize;
    ham.get(allowed).copied().unwrap_or(1.0)
}
