//! How the winner came to win: R030 late bid won, R035 all others disqualified,
//! R036 lowest bid disqualified.

use super::{Case, Flag};
use crate::domain::ocds::model::{Award, Bid, BidStatus, keys};
use crate::domain::{Evidence, Finding, text};
use std::collections::BTreeSet;

/// R035: only the winner's bids were left because every other bidder was
/// disqualified.
pub(super) fn others_disqualified(case: &Case<'_>) -> Vec<Finding> {
    let procedure = case.procedure;
    if procedure.awards.iter().any(Award::is_undecided) {
        return Vec::new();
    }
    let of = |status| procedure.bids.iter().filter(move |bid: &&Bid| bid.status == status);
    let valid: BTreeSet<_> = of(BidStatus::Valid).map(Bid::bidder).collect();
    let suppliers: BTreeSet<_> = procedure.active_awards().map(|award| keys(&award.suppliers)).collect();
    let (Some(winner), 1) = (valid.first(), valid.len()) else { return Vec::new() };
    let out: Vec<_> = of(BidStatus::Disqualified).filter(|bid| bid.bidder() != *winner).collect();
    let others: BTreeSet<_> =
        out.iter().map(|bid| bid.bidder()).filter(|bidder| !bidder.is_empty()).collect();
    let pending = of(BidStatus::Pending).next().is_some();
    if winner.is_empty() || suppliers != valid || others.is_empty() || pending {
        return Vec::new();
    }
    let won = of(BidStatus::Valid).map(|bid| case.evidence(&bid.at, &format!("{}: valid", bid.label())));
    let lost = out.iter().map(|bid| case.evidence(&bid.at, &format!("{}: disqualified", bid.label())));
    vec![case.finding(Flag {
        rule: "R035",
        severity: None,
        value: format!("{} of {} bidders disqualified", others.len(), others.len() + 1),
        threshold: "1 other bidder disqualified".to_owned(),
        among: None,
        evidence: won.chain(lost).collect(),
        explanation: format!(
            "every bidder but the winner was disqualified ({} in all). Ruling out all others hands the contract to \
             one bidder without a comparison of prices. Look at the reasons for each disqualification and whether \
             the winner was held to the same.",
            text::count(others.len(), "other bidder", "other bidders"),
        ),
    })]
}

/// R036: price alone decides, yet the lowest bid was disqualified.
pub(super) fn lowest_disqualified(case: &Case<'_>) -> Vec<Finding> {
    let procedure = case.procedure;
    let criteria = procedure.tender.award_criteria.as_ref().map(|criteria| criteria.value.as_str());
    if !matches!(criteria, Some("priceonly" | "lowestcost")) || procedure.active_awards().next().is_none() {
        return Vec::new();
    }
    let scopes: BTreeSet<_> = procedure.submitted().map(|bid| procedure.scope(bid)).collect();
    scopes.into_iter().filter_map(|scope| lowest_of(case, scope)).collect()
}

fn lowest_of(case: &Case<'_>, scope: &[String]) -> Option<Finding> {
    let procedure = case.procedure;
    let same = procedure.submitted().filter(|bid| procedure.scope(bid) == scope);
    let priced: Vec<_> = same.filter_map(|bid| Some((bid, &bid.value.as_ref()?.value))).collect();
    let currency = &priced.first()?.1.currency;
    if priced.iter().any(|(_, price)| price.currency != *currency) {
        return None;
    }
    let (lowest, price) = priced.iter().min_by_key(|(_, price)| price.amount)?;
    let rival = priced.iter().filter(|(bid, _)| bid.status != BidStatus::Disqualified);
    let (best, best_price) = rival.min_by_key(|(_, price)| price.amount)?;
    if lowest.status != BidStatus::Disqualified || price.amount >= best_price.amount {
        return None;
    }
    let shown = |bid: &Bid, what: &str| case.evidence(&bid.at, &format!("{}: {what}", bid.label()));
    Some(case.finding(Flag {
        rule: "R036",
        severity: None,
        value: price.to_string(),
        threshold: format!("lowest bid that stands: {best_price}"),
        among: None,
        evidence: vec![shown(lowest, &format!("{price}, disqualified")), shown(best, &best_price.to_string())],
        explanation: format!(
            "the lowest bid ({price}) was disqualified although price alone decides; the lowest bid left is \
             {best_price}. Ruling out cheaper bids is a way to steer a contract. Look at why it was disqualified and \
             whether others had the same fault."
        ),
    }))
}

/// R030: a bid that came after the deadline won.
pub(super) fn late_bid_won(case: &Case<'_>) -> Vec<Finding> {
    let procedure = case.procedure;
    let Some(deadline) = &procedure.tender.end else { return Vec::new() };
    let late = |bid: &Bid| bid.date.as_ref().is_some_and(|date| date.value.is_surely_after(&deadline.value));
    let on_time = |bid: &Bid| {
        let same = |other: &&Bid| other.bidder() == bid.bidder() && !late(other);
        procedure
            .submitted()
            .filter(|other| other.status != BidStatus::Disqualified)
            .any(|other| same(&other))
    };
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for award in procedure.active_awards() {
        for bid in procedure.winning(award).into_iter().filter(|bid| late(bid)) {
            let sure = !award.bids.is_empty() || !on_time(bid);
            let (Some(date), true) = (&bid.date, sure) else { continue };
            if seen.insert(bid.at.locator()) {
                let evidence = vec![
                    case.evidence(&date.at, &format!("bid of {} received {}", bid.label(), date.value)),
                    case.evidence(&deadline.at, &format!("deadline {}", deadline.value)),
                    case.evidence(&award.at, "award"),
                ];
                findings.push(late_finding(
                    case,
                    bid,
                    (date.value.to_string(), deadline.value.to_string()),
                    evidence,
                ));
            }
        }
    }
    findings
}

fn late_finding(case: &Case<'_>, bid: &Bid, times: (String, String), evidence: Vec<Evidence>) -> Finding {
    let (received, deadline) = times;
    case.finding(Flag {
        rule: "R030",
        severity: None,
        value: format!("received {received}"),
        threshold: format!("deadline {deadline}"),
        among: None,
        evidence,
        explanation: format!(
            "the winning bid of {} was received {received}, after the deadline {deadline}. Who bids last can know the \
             other prices. Look at the record of the opening and at who accepted the late bid.",
            bid.label(),
        ),
    })
}

#[cfg(test)]
mod tests {
    use crate::domain::tender::testing::{OPEN, bid, check, release, who};

    const VALID: &str = r#""valid""#;
    const OUT: &str = r#""disqualified""#;
    const GONE: &str = r#""withdrawn""#;

    #[test]
    fn all_others_disqualified() {
        let r035 = |bids: &[(&str, &str)], awards: &str, expect: &[&str]| {
            let bids: Vec<_> = (1..)
                .zip(bids)
                .map(|(n, (status, id))| bid(&n.to_string(), status, &who(id), "1", ""))
                .collect();
            check("R035", &release(OPEN, &bids, awards), expect);
        };
        let won = r#"{"id":"1","status":"active","suppliers":[{"id":"a"}]}"#;
        r035(&[(VALID, "a"), (OUT, "b")], won, &["1 of 2 bidders disqualified"]);
        r035(&[(VALID, "a"), (OUT, "b"), (OUT, "c"), (OUT, "c")], won, &["2 of 3 bidders disqualified"]);
        r035(&[(VALID, "a"), (VALID, "a"), (OUT, "b")], won, &["1 of 2 bidders disqualified"]);
        r035(&[(VALID, "a"), (OUT, "a")], won, &[]);
        r035(&[(VALID, "a"), (VALID, "b"), (OUT, "c")], won, &[]);
        r035(&[(VALID, "b"), (OUT, "c")], won, &[]);
        r035(&[(VALID, "a"), (GONE, "b")], won, &[]);
        r035(&[(VALID, "a"), ("\"pending\"", "b"), (OUT, "c")], won, &[]);
        r035(&[(VALID, "a"), (OUT, "b")], "", &[]);
        r035(&[(VALID, "a"), (OUT, "b")], &won.replace("active", "pending"), &[]);
        r035(&[(VALID, "a"), (OUT, "b")], r#"{"id":"1","suppliers":[{"id":"a"}]}"#, &[]);
    }

    #[test]
    fn lowest_bid_disqualified() {
        let won = r#"{"id":"1","status":"active"}"#;
        let r036 = |criteria: &str, bids: &[(&str, &str)], awards: &str, expect: &[&str]| {
            let bids: Vec<_> = (1..)
                .zip(bids)
                .map(|(n, (status, amount))| bid(&n.to_string(), status, &who(&n.to_string()), amount, ""))
                .collect();
            check(
                "R036",
                &release(&format!(r#"{OPEN},"awardCriteria":"{criteria}""#), &bids, awards),
                expect,
            );
        };
        r036("priceOnly", &[(OUT, "90"), (VALID, "100")], won, &["90 EUR"]);
        r036("lowestCost", &[(OUT, "90"), (VALID, "100")], won, &["90 EUR"]);
        r036("ratedCriteria", &[(OUT, "90"), (VALID, "100")], won, &[]);
        r036("priceOnly", &[(OUT, "100"), (VALID, "100")], won, &[]);
        r036("priceOnly", &[(OUT, "110"), (VALID, "100")], won, &[]);
        r036("priceOnly", &[(GONE, "90"), (VALID, "100")], won, &[]);
        r036("priceOnly", &[(OUT, "90")], won, &[]);
        r036("priceOnly", &[(OUT, "90"), (VALID, "100")], "", &[]);
    }

    #[test]
    fn late_bid_that_won() {
        let r030 = |deadline: &str, bids: &[(&str, &str)], award: &str, expect: &[&str]| {
            let bids: Vec<_> = (1..)
                .zip(bids)
                .map(|(n, (id, date))| {
                    bid(&n.to_string(), VALID, &who(id), "1", &format!(r#","date":"{date}""#))
                })
                .collect();
            let tender = format!(r#"{OPEN},"tenderPeriod":{{"endDate":"{deadline}"}}"#);
            let award = format!(r#"{{"id":"1","status":"active",{award}}}"#);
            check("R030", &release(&tender, &bids, &award), expect);
        };
        let by_supplier = r#""suppliers":[{"id":"a"}]"#;
        let late = "2024-03-15T12:00:01Z";
        r030("2024-03-15T12:00:00Z", &[("a", late)], by_supplier, &["received 2024-03-15T12:00:01Z"]);
        r030(
            "2024-03-15T12:00:00Z",
            &[("a", late)],
            r#""relatedBid":"1""#,
            &["received 2024-03-15T12:00:01Z"],
        );
        r030("2024-03-15T12:00:00Z", &[("a", late)], r#""relatedBids":["2"]"#, &[]);
        r030("2024-03-15T12:00:00Z", &[("b", late)], by_supplier, &[]);
        r030("2024-03-15T12:00:00Z", &[("a", "2024-03-15T13:59:00+02:00")], by_supplier, &[]);
        r030("2024-03-15", &[("a", "2024-03-15T23:00:00")], by_supplier, &[]);
        r030("2024-03-15T12:00:00Z", &[("a", late), ("a", "2024-03-14T12:00:00Z")], by_supplier, &[]);
    }
}
