//! What the prices of the bids say: R028 identical prices, R058 heavy discount.

use super::{Case, Flag};
use crate::domain::Finding;
use crate::domain::Severity;
use crate::domain::ocds::model::{Award, Bid, BidStatus, Procedure};
use probity_types::Money;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};

/// What makes prices comparable: the scope, the currency and the amount.
type Price<'p> = (&'p [String], &'p str, Decimal);

/// R028: different bidders asked exactly the same price for the same.
pub(super) fn identical(case: &Case<'_>) -> Vec<Finding> {
    let procedure = case.procedure;
    let mut by_price: BTreeMap<Price<'_>, Vec<(&Bid, &Money)>> = BTreeMap::new();
    for bid in procedure.submitted().filter(|bid| counts(case, bid)) {
        let Some(price) = bid.value.as_ref().map(|value| &value.value) else { continue };
        if price.amount > Decimal::ZERO {
            let key = (procedure.scope(bid), price.currency.as_str(), price.amount.normalize());
            by_price.entry(key).or_default().push((bid, price));
        }
    }
    by_price.into_values().filter_map(|bids| same_price(case, &bids)).collect()
}

fn counts(case: &Case<'_>, bid: &Bid) -> bool {
    let allowed = case.settings.tender.identical_prices_count_disqualified;
    (allowed || bid.status != BidStatus::Disqualified) && !bid.bidder().is_empty()
}

fn same_price(case: &Case<'_>, bids: &[(&Bid, &Money)]) -> Option<Finding> {
    let bidders: BTreeSet<_> = bids.iter().map(|(bid, _)| bid.bidder()).collect();
    let standing = bids.iter().filter(|(bid, _)| bid.status != BidStatus::Disqualified);
    let standing: BTreeSet<_> = standing.map(|(bid, _)| bid.bidder()).collect();
    let (_, price) = bids.first()?;
    if bidders.len() < 2 {
        return None;
    }
    let lots = bids.first().map(|(bid, _)| bid.lots.join(",")).filter(|lots| !lots.is_empty());
    let estimate = case.procedure.tender.value.as_ref().is_some_and(|value| value.value == **price);
    let hint = if estimate { " The price is also the published estimate, which may explain it." } else { "" };
    Some(case.finding(Flag {
        rule: "R028",
        severity: (standing.len() < 2).then_some(Severity::Medium),
        value: format!("{} bidders at {price}", bidders.len()),
        threshold: "different prices".to_owned(),
        among: lots.map(|lots| format!("lots={lots}")),
        evidence: bids
            .iter()
            .map(|(bid, price)| {
                let at = bid.value.as_ref().map_or(&bid.at, |value| &value.at);
                case.evidence(at, &format!("{}: {price}", bid.label()))
            })
            .collect(),
        explanation: format!(
            "{} different bidders asked exactly {price}. Bidders that work alone hardly ever arrive at the same \
             price; it points to an agreement or to a leak of prices before the opening.{hint} Look at who prepared \
             the bids, at when they came in, and at common owners or addresses.",
            bidders.len(),
        ),
    }))
}

/// R058: the winning bid is far below the next valid one.
pub(super) fn discounted(case: &Case<'_>) -> Vec<Finding> {
    let procedure = case.procedure;
    let undecided = procedure.awards.iter().any(Award::is_undecided);
    let mut awards = procedure.active_awards();
    let (Some(award), None, false) = (awards.next(), awards.next(), undecided) else { return Vec::new() };
    win_and_next(procedure, award).and_then(|(win, next)| discount(case, win, next)).into_iter().collect()
}

/// The winning bid, if it is the lowest valid one, and the next.
fn win_and_next<'p>(procedure: &'p Procedure, award: &'p Award) -> Option<(&'p Bid, &'p Bid)> {
    let [win] = procedure.winning(award)[..] else { return None };
    let price = &win.value.as_ref()?.value;
    let rivals = procedure.submitted().filter(|bid| {
        bid.status != BidStatus::Disqualified
            && bid.bidder() != win.bidder()
            && procedure.scope(bid) == procedure.scope(win)
    });
    let mut priced = rivals.filter_map(|bid| Some((bid, &bid.value.as_ref()?.value))).collect::<Vec<_>>();
    priced.retain(|(_, other)| other.currency == price.currency);
    let (next, next_price) = priced.into_iter().min_by_key(|(_, other)| other.amount)?;
    (next_price.amount >= price.amount && price.amount > Decimal::ZERO).then_some((win, next))
}

fn discount(case: &Case<'_>, win: &Bid, next: &Bid) -> Option<Finding> {
    let (won, second) = (win.value.as_ref()?, next.value.as_ref()?);
    let above = (second.value.amount - won.value.amount).checked_div(won.value.amount)?;
    let threshold = case.settings.tender.discount_share;
    if above < threshold {
        return None;
    }
    let percent = |share: Decimal| share.checked_mul(Decimal::ONE_HUNDRED).map(|p| p.round_dp(1).normalize());
    let (shown, least) = (percent(above)?, percent(threshold)?);
    Some(case.finding(Flag {
        rule: "R058",
        severity: None,
        value: format!("next bid {shown}% higher"),
        threshold: format!("{least}%"),
        among: None,
        evidence: vec![
            case.evidence(&won.at, &format!("winning bid of {}: {}", win.label(), won.value)),
            case.evidence(&second.at, &format!("next bid of {}: {}", next.label(), second.value)),
        ],
        explanation: format!(
            "the next valid bid ({}) is {shown}% above the winning one ({}). A price far below all others can mean \
             that the winner counts on later increases, or knows that less will be asked for. Look at how the price \
             was checked, and later at amendments.",
            second.value, won.value,
        ),
    }))
}

#[cfg(test)]
mod tests {
    use crate::domain::tender::testing::{OPEN, bid, check, outcome, release, who};
    use crate::domain::{Index, Settings, Severity};

    const VALID: &str = r#""valid""#;

    fn bids(list: &[(&str, &str, &str, &str)]) -> Vec<String> {
        let one = |(n, (status, id, amount, more)): (i32, &(&str, &str, &str, &str))| {
            bid(&n.to_string(), &format!("\"{status}\""), &who(id), amount, more)
        };
        (1..).zip(list).map(one).collect()
    }

    #[test]
    fn identical_prices() {
        let r028 = |list: &[(&str, &str, &str, &str)], expect: &[&str]| {
            check("R028", &release(OPEN, &bids(list), ""), expect);
        };
        r028(&[("valid", "a", "100", ""), ("valid", "b", "100", "")], &["2 bidders at 100 EUR"]);
        r028(&[("valid", "a", "100.00", ""), ("valid", "b", "1e2", "")], &["2 bidders at 100.00 EUR"]);
        r028(&[("pending", "a", "100", ""), ("valid", "b", "100", "")], &["2 bidders at 100 EUR"]);
        r028(&[("valid", "a", "100", ""), ("disqualified", "b", "100", "")], &["2 bidders at 100 EUR"]);
        r028(&[("valid", "a", "100", ""), ("withdrawn", "b", "100", "")], &[]);
        r028(&[("valid", "a", "100", ""), ("invited", "b", "100", "")], &[]);
        r028(&[("valid", "a", "100", ""), ("valid", "a", "100", "")], &[]);
        r028(&[("valid", "a", "100", ""), ("valid", "b", "100.01", "")], &[]);
        r028(&[("valid", "a", "0", ""), ("valid", "b", "0", "")], &[]);
        r028(&[("valid", "a", "9007199254740993", ""), ("valid", "b", "9007199254740992", "")], &[]);
        r028(
            &[
                ("valid", "a", "5", ""),
                ("valid", "b", "5", ""),
                ("valid", "c", "7", ""),
                ("valid", "d", "7", ""),
            ],
            &["2 bidders at 5 EUR", "2 bidders at 7 EUR"],
        );
    }

    #[test]
    fn identical_prices_need_bidders_and_currencies() {
        let no_tenderer = [
            r#"{"id":"1","value":{"amount":5,"currency":"EUR"}}"#.to_owned(),
            r#"{"id":"2","value":{"amount":5,"currency":"EUR"}}"#.to_owned(),
        ];
        check("R028", &release(OPEN, &no_tenderer, ""), &[]);
        let other_currency = bids(&[("valid", "a", "5", ""), ("valid", "b", "5", "")]);
        let mixed = [other_currency[0].replace("EUR", "USD"), other_currency[1].clone()];
        check("R028", &release(OPEN, &mixed, ""), &[]);
        let missing = [other_currency[0].replace(r#","currency":"EUR""#, ""), other_currency[1].clone()];
        check("R028", &release(OPEN, &missing, ""), &[]);
        let joint =
            [bid("1", VALID, &format!("{},{}", who("a"), who("b")), "5", ""), other_currency[0].clone()];
        check("R028", &release(OPEN, &joint, ""), &["2 bidders at 5 EUR"]);
    }

    #[test]
    fn identical_prices_by_lot() {
        let lots = r#""procurementMethod":"open","lots":[{"id":"1"},{"id":"2"}]"#;
        let lot = |lots: &str| format!(r#","relatedLots":[{lots}]"#);
        let r028 = |a: &str, b: &str, expect: &[&str]| {
            let list = bids(&[("valid", "a", "5", &lot(a)), ("valid", "b", "5", &lot(b))]);
            check("R028", &release(lots, &list, ""), expect);
        };
        r028("\"1\"", "\"1\"", &["2 bidders at 5 EUR"]);
        r028("\"1\"", "\"2\"", &[]);
        r028("\"1\",\"2\"", "\"2\",\"1\"", &["2 bidders at 5 EUR"]);
        r028("\"1\",\"2\"", "\"1\"", &[]);
        let one_lot = bids(&[("valid", "a", "5", &lot("\"1\"")), ("valid", "b", "5", "")]);
        check("R028", &release(OPEN, &one_lot, ""), &["2 bidders at 5 EUR"]);
    }

    #[test]
    fn a_disqualified_twin_weighs_less_and_can_be_left_out() {
        let list = bids(&[("valid", "a", "5", ""), ("disqualified", "b", "5", "")]);
        let text = release(OPEN, &list, "");
        let found = outcome(&text, &Index::default(), &Settings::default());
        assert_eq!(found.max_severity(), Some(Severity::Medium));
        let mut settings = Settings::default();
        settings.tender.identical_prices_count_disqualified = false;
        assert_eq!(outcome(&text, &Index::default(), &settings).finding_count, 0);
    }

    #[test]
    fn heavy_discounts() {
        let won = r#"{"id":"1","status":"active","relatedBid":"1"}"#;
        let r058 = |list: &[(&str, &str, &str, &str)], awards: &str, expect: &[&str]| {
            check("R058", &release(OPEN, &bids(list), awards), expect);
        };
        r058(&[("valid", "a", "100", ""), ("valid", "b", "150", "")], won, &["next bid 50% higher"]);
        r058(&[("valid", "a", "100", ""), ("valid", "b", "149.99", "")], won, &[]);
        r058(&[("valid", "a", "100", ""), ("disqualified", "b", "150", "")], won, &[]);
        r058(&[("valid", "a", "100", ""), ("valid", "b", "90", "")], won, &[]);
        r058(&[("valid", "a", "100", ""), ("valid", "b", "300", "")], "", &[]);
        r058(&[("valid", "a", "100", ""), ("valid", "b", "300", "")], &format!("{won},{won}"), &[]);
        r058(&[("valid", "a", "0", ""), ("valid", "b", "300", "")], won, &[]);
    }
}
