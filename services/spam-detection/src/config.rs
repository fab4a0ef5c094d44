//! `[spam_detection]`: where the bands meet.

use crate::domain::Thresholds;
use crate::domain::model::Training;
use probity_runtime::ServiceConfig;
use serde::{Deserialize, Serialize};

/// Configuration of spam detection.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Below this probability a message is ham; what the model suggests when absent.
    pub ham_below: Option<f64>,
    /// From this probability on it is spam; what the model suggests when absent.
    pub spam_from: Option<f64>,
}

impl Config {
    /// The thresholds in force: those of the configuration, else the model's.
    ///
    /// # Errors
    /// When they leave no room between ham and spam.
    pub fn thresholds(&self, training: &Training) -> Result<Thresholds, String> {
        let ham_below = self.ham_below.unwrap_or(training.ham_below);
        let spam_from = self.spam_from.unwrap_or(training.spam_from);
        if ham_below > spam_from {
            return Err(format!(
                "ham_below = {ham_below} is above spam_from = {spam_from}: set both (the model suggests {} and {})",
                training.ham_below, training.spam_from
            ));
        }
        Ok(Thresholds { ham_below, spam_from })
    }
}

impl ServiceConfig for Config {
    fn validate(&self) -> Result<(), String> {
        for (key, value) in [("ham_below", self.ham_below), ("spam_from", self.spam_from)] {
            // `contains` is false for a value that is no number.
            if value.is_some_and(|value| !(0.01..=0.999).contains(&value)) {
                return Err(format!("{key} = {}: must be from 0.01 to 0.999", value.unwrap_or_default()));
            }
        }
        if let (Some(ham), Some(spam)) = (self.ham_below, self.spam_from)
            && ham > spam
        {
            return Err(format!("ham_below = {ham} is above spam_from = {spam}: swap them"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_thresholds_are_named() {
        let check = |ham_below: Option<f64>, spam_from: Option<f64>, part: &str| {
            let found = Config { ham_below, spam_from }.validate().err().unwrap_or_default();
            assert!(found.contains(part) && found.is_empty() == part.is_empty(), "{found:?} {part:?}");
        };
        check(None, None, "");
        check(Some(0.2), Some(0.9), "");
        check(Some(0.0), None, "ham_below = 0");
        check(None, Some(1.0), "spam_from = 1");
        check(None, Some(f64::NAN), "spam_from = NaN");
        check(Some(0.9), Some(0.2), "swap");
    }

    #[test]
    fn what_is_absent_comes_from_the_model() {
        let training = Training { ham_below: 0.25, spam_from: 0.85, ..Training::default() };
        let of = |ham_below, spam_from| Config { ham_below, spam_from }.thresholds(&training);
        assert_eq!(of(None, None), Ok(Thresholds { ham_below: 0.25, spam_from: 0.85 }));
        assert_eq!(of(Some(0.1), None), Ok(Thresholds { ham_below: 0.1, spam_from: 0.85 }));
        assert!(of(Some(0.95), None).unwrap_err().contains("set both"));
    }
}
