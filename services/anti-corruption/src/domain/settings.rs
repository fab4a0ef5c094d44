//! The thresholds of all rules, in one place, with their defaults and reasons.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Thresholds of the rules and bounds of an investigation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Findings kept for a case; more are counted only.
    pub max_findings: usize,
    /// Refused items kept for a case; more are counted only.
    pub max_rejections: usize,
    /// Releases, records or lines read of a case; more are refused.
    pub max_tenders: usize,
    /// Payment rows read of a case; more are refused.
    pub max_rows: usize,
    /// Thresholds of the tender rules.
    pub tender: TenderSettings,
    /// Thresholds of the payment rules.
    pub payment: PaymentSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_findings: 1_000,
            max_rejections: 10_000,
            max_tenders: 100_000,
            max_rows: 1_000_000,
            tender: TenderSettings::default(),
            payment: PaymentSettings::default(),
        }
    }
}

/// Thresholds of the tender rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TenderSettings {
    /// OCDS procurement methods in which competition is expected (R018).
    pub competitive_methods: Vec<String>,
    /// Fewest days to submit a bid, by OCDS procurement method (R003). The
    /// defaults are the shortest periods that Directive 2014/24/EU allows even in
    /// urgent cases: 15 days in open procedures, 10 in restricted ones.
    pub submission_days: BTreeMap<String, u32>,
    /// Whether a disqualified bid counts for identical prices (R028). It was
    /// submitted at that price all the same, so it does by default.
    pub identical_prices_count_disqualified: bool,
    /// From which share above the winning bid the next valid bid makes the
    /// winning one heavily discounted (R058).
    pub discount_share: Decimal,
    /// From which share a contract may differ from its award (R059).
    pub contract_difference_share: Decimal,
}

impl Default for TenderSettings {
    fn default() -> Self {
        Self {
            competitive_methods: vec!["open".to_owned(), "selective".to_owned()],
            submission_days: BTreeMap::from([("open".to_owned(), 15), ("selective".to_owned(), 10)]),
            identical_prices_count_disqualified: true,
            discount_share: Decimal::new(50, 2),
            contract_difference_share: Decimal::new(10, 2),
        }
    }
}

/// Thresholds of the payment rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PaymentSettings {
    /// The amount from which a payment needs a higher approval, in any currency
    /// that `approval_limits` does not name; a row's own limit goes first.
    pub approval_limit: Decimal,
    /// Approval limits by ISO 4217 code.
    pub approval_limits: BTreeMap<String, Decimal>,
    /// Within how many days parts of a split payment are looked for.
    pub split_window_days: u32,
    /// How large a part of a split payment is at least, as a share of the limit.
    pub split_min_share: Decimal,
    /// How wide the band just below a limit is, as a share of the limit.
    pub just_below_share: Decimal,
    /// Fewest payments just below a limit that can be a finding.
    pub just_below_min: u32,
    /// Within how many days payments of the same amount with almost the same
    /// invoice number count as the same invoice.
    pub duplicate_window_days: u32,
    /// From which amount a payment counts as large for the round-amount rule.
    pub round_min: Decimal,
}

impl Default for PaymentSettings {
    fn default() -> Self {
        Self {
            approval_limit: Decimal::from(10_000),
            approval_limits: BTreeMap::new(),
            split_window_days: 7,
            split_min_share: Decimal::new(20, 2),
            just_below_share: Decimal::new(5, 2),
            just_below_min: 3,
            duplicate_window_days: 30,
            round_min: Decimal::from(1_000),
        }
    }
}

impl PaymentSettings {
    /// The approval limit of a currency.
    #[must_use]
    pub fn limit_of(&self, currency: &str) -> Decimal {
        self.approval_limits.get(currency).copied().unwrap_or(self.approval_limit)
    }
}

impl Settings {
    /// Checks every value against what makes sense.
    ///
    /// # Errors
    /// Names the key, its value and what would be right.
    pub fn validate(&self) -> Result<(), String> {
        positive("max_findings", self.max_findings)?;
        positive("max_rejections", self.max_rejections)?;
        positive("max_tenders", self.max_tenders)?;
        positive("max_rows", self.max_rows)?;
        at_most("max_findings", self.max_findings, 10_000)?;
        at_most("max_rejections", self.max_rejections, 10_000)?;
        at_most("max_rows", self.max_rows, 10_000_000)?;
        share("tender.contract_difference_share", self.tender.contract_difference_share, 10)?;
        share("tender.discount_share", self.tender.discount_share, 10)?;
        self.payment.validate()
    }
}

impl PaymentSettings {
    fn validate(&self) -> Result<(), String> {
        let limits = self.approval_limits.iter().map(|(code, limit)| (code.as_str(), *limit));
        for (code, limit) in limits.chain([("approval_limit", self.approval_limit)]) {
            if limit <= Decimal::ZERO {
                return Err(format!("payment.approval_limits: {code} is {limit}; it must be above 0"));
            }
        }
        share("payment.split_min_share", self.split_min_share, 1)?;
        share("payment.just_below_share", self.just_below_share, 1)?;
        at_most("payment.split_window_days", self.split_window_days as usize, 366)?;
        at_most("payment.duplicate_window_days", self.duplicate_window_days as usize, 3_660)?;
        positive("payment.just_below_min", self.just_below_min as usize)
    }
}

fn positive(key: &str, value: usize) -> Result<(), String> {
    if value == 0 { Err(format!("{key} is 0; it must be at least 1")) } else { Ok(()) }
}

fn at_most(key: &str, value: usize, most: usize) -> Result<(), String> {
    if value > most { Err(format!("{key} is {value}; it must be at most {most}")) } else { Ok(()) }
}

fn share(key: &str, value: Decimal, below: i64) -> Result<(), String> {
    if value > Decimal::ZERO && value < Decimal::from(below) {
        return Ok(());
    }
    Err(format!("{key} is {value}; it must be between 0 and {below}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_mistakes_are_named() {
        assert_eq!(Settings::default().validate(), Ok(()));
        let check = |change: fn(&mut Settings), key: &str| {
            let mut settings = Settings::default();
            change(&mut settings);
            assert!(settings.validate().is_err_and(|e| e.contains(key)), "{key}");
        };
        check(|s| s.max_findings = 0, "max_findings");
        check(|s| s.max_rejections = 20_000, "max_rejections");
        check(|s| s.payment.approval_limit = Decimal::ZERO, "approval_limit");
        check(
            |s| s.payment.approval_limits = BTreeMap::from([("EUR".to_owned(), Decimal::NEGATIVE_ONE)]),
            "EUR",
        );
        check(|s| s.payment.just_below_share = Decimal::ONE, "just_below_share");
        check(|s| s.payment.just_below_min = 0, "just_below_min");
        check(|s| s.tender.discount_share = Decimal::ZERO, "discount_share");
    }

    #[test]
    fn a_currency_may_have_its_own_limit() {
        let mut payment = PaymentSettings::default();
        payment.approval_limits.insert("JPY".to_owned(), Decimal::from(1_500_000));
        assert_eq!(payment.limit_of("JPY"), Decimal::from(1_500_000));
        assert_eq!(payment.limit_of("EUR"), Decimal::from(10_000));
    }
}
