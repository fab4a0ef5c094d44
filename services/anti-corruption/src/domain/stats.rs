//! The few probabilities the payment rules need: how often chance alone would
//! give so many.

/// Probability of `at_least` or more events when `expected` are expected
/// (Poisson).
#[must_use]
pub fn poisson_tail(at_least: u32, expected: f64) -> f64 {
    if at_least == 0 {
        return 1.0;
    }
    if expected <= 0.0 {
        return 0.0;
    }
    let mut term = (-expected).exp();
    let mut below = term;
    for k in 1..at_least {
        term *= expected / f64::from(k);
        below += term;
    }
    (1.0 - below).clamp(0.0, 1.0)
}

/// Probability of `at_least` or more successes in `trials` when each has
/// probability `share` (binomial).
#[must_use]
pub fn binomial_tail(at_least: u32, trials: u32, share: f64) -> f64 {
    if at_least == 0 || share >= 1.0 {
        return 1.0;
    }
    if at_least > trials || share <= 0.0 {
        return 0.0;
    }
    let odds = (share / (1.0 - share)).ln();
    let mut log_term = f64::from(trials) * (1.0 - share).ln();
    let mut sum = 0.0;
    for k in 0..=trials {
        if k >= at_least {
            sum += log_term.exp();
        }
        log_term += odds + (f64::from(trials - k) / f64::from(k + 1)).ln();
    }
    sum.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_probabilities() {
        let close = |got: f64, expect: f64| assert!((got - expect).abs() < 1e-6, "{got} {expect}");
        close(poisson_tail(0, 3.0), 1.0);
        close(poisson_tail(1, 1.0), 1.0 - (-1.0_f64).exp());
        close(poisson_tail(3, 0.0), 0.0);
        close(binomial_tail(3, 3, 0.05), 0.000_125);
        close(binomial_tail(1, 2, 0.5), 0.75);
        close(binomial_tail(0, 9, 0.1), 1.0);
        close(binomial_tail(4, 3, 0.5), 0.0);
        close(binomial_tail(1, 1, 1.0), 1.0);
    }

    proptest! {
        #[test]
        fn more_is_never_likelier(n in 1u32..400, k in 1u32..400, share in 0.001f64..0.999) {
            prop_assert!(binomial_tail(k + 1, n, share) <= binomial_tail(k, n, share) + 1e-9);
            prop_assert!(poisson_tail(k + 1, share * 50.0) <= poisson_tail(k, share * 50.0) + 1e-9);
        }
    }
}
