//! R018: nobody competed.

use super::{Case, Flag};
use crate::domain::Finding;
use crate::domain::json::Place;
use crate::domain::ocds::model::{Bid, BidStatus, Procedure, keys};
use std::collections::BTreeSet;

/// How many made a bid, and where that stands.
struct Received {
    bidders: u64,
    shown_at: Vec<(Place, String)>,
}

/// R018: in a competitive procedure only one made a bid, for the whole or for a
/// lot.
pub(super) fn single_bid(case: &Case<'_>) -> Vec<Finding> {
    let competitive = &case.settings.tender.competitive_methods;
    let Some(method) = case.method() else { return Vec::new() };
    if !competitive.iter().any(|known| known == method) || still_open(case.procedure) {
        return Vec::new();
    }
    match received(case.procedure) {
        Some(received) if received.bidders == 1 => vec![single(case, method, None, &received)],
        _ => by_lot(case.procedure)
            .into_iter()
            .filter(|(_, received)| received.bidders == 1)
            .map(|(lot, received)| single(case, method, Some(&lot), &received))
            .collect(),
    }
}

fn single(case: &Case<'_>, method: &str, lot: Option<&str>, received: &Received) -> Finding {
    let what = lot.map_or_else(String::new, |lot| format!(" for lot {lot}"));
    case.finding(Flag {
        rule: "R018",
        severity: None,
        value: "1".to_owned(),
        threshold: "at least 2 bidders".to_owned(),
        among: lot.map(|lot| format!("lot={lot}")),
        evidence: received.shown_at.iter().map(|(at, shown)| case.evidence(at, shown)).collect(),
        explanation: format!(
            "only one bidder made a bid{what} although the procedure is {method}. Without competition the price is \
             what the bidder asks, and a single bid can be the outcome of a tender written for one supplier. Look at \
             the requirements, at who asked for the documents, and at earlier awards to this bidder."
        ),
    })
}

/// True while bids can still come in: the tender is only planned; or it is
/// active, nothing is awarded, and the release is older than the end of the
/// submission period.
fn still_open(procedure: &Procedure) -> bool {
    let tender = &procedure.tender;
    let early = || match (&procedure.date, &tender.end) {
        (Some(date), Some(end)) => end.value.is_surely_after(&date.value),
        _ => false,
    };
    match tender.status.as_ref().map(|status| status.value.as_str()) {
        Some("planning" | "planned") => true,
        Some("active") => procedure.awards.is_empty() && early(),
        _ => false,
    }
}

/// How many made a bid for the whole. The bids themselves count when they
/// account for everything that is published about their number; otherwise the
/// largest published number does.
fn received(procedure: &Procedure) -> Option<Received> {
    let made: Vec<_> = procedure.bids.iter().filter(|bid| bid.status != BidStatus::Invited).collect();
    let published = published(procedure);
    if !made.is_empty() && published.iter().all(|number| number.fits(&made)) {
        return Some(of_bids(procedure.submitted()));
    }
    let most = published.iter().map(|number| number.count).max()?;
    let shown_at = published.into_iter().filter(|n| n.count == most).map(|n| (n.at, n.shown)).collect();
    Some(Received { bidders: most, shown_at })
}

/// A published number of bidders or bids.
struct Published {
    count: u64,
    counts_bids: bool,
    at: Place,
    shown: String,
}

impl Published {
    fn fits(&self, made: &[&Bid]) -> bool {
        let known = if self.counts_bids { made.len() as u64 } else { of_bids(made.iter().copied()).bidders };
        self.count <= known
    }
}

fn published(procedure: &Procedure) -> Vec<Published> {
    let tender = &procedure.tender;
    let number = tender.number_of_tenderers.as_ref().map(|number| Published {
        count: number.value,
        counts_bids: false,
        at: number.at.clone(),
        shown: format!("numberOfTenderers: {}", number.value),
    });
    let listed = keys(&tender.tenderers);
    let list = tender.tenderers.first().filter(|_| !listed.is_empty()).map(|first| Published {
        count: listed.len() as u64,
        counts_bids: false,
        at: first.at.clone(),
        shown: tender.tenderers.iter().map(|t| t.label()).collect::<Vec<_>>().join(", "),
    });
    number.into_iter().chain(list).chain(statistics(procedure, None)).collect()
}

/// The published counts of bids or bidders for a lot, or for the whole.
fn statistics(procedure: &Procedure, lot: Option<&str>) -> Vec<Published> {
    let counts = |measure: &str| matches!(measure, "bids" | "bidders");
    let of_lot = procedure.statistics.iter().filter(|s| s.lot.as_deref() == lot && counts(&s.measure));
    of_lot
        .filter_map(|statistic| {
            let count = u64::try_from(statistic.value.value).ok()?;
            Some(Published {
                count,
                counts_bids: statistic.measure == "bids",
                at: statistic.value.at.clone(),
                shown: format!("{}: {count}", statistic.measure),
            })
        })
        .collect()
}

/// Counts different bidders; a bid that names nobody is one of its own.
fn of_bids<'b>(bids: impl Iterator<Item = &'b Bid>) -> Received {
    let mut bidders = BTreeSet::new();
    let mut nameless = 0;
    let mut shown_at = Vec::new();
    for bid in bids {
        let bidder = bid.bidder();
        if bidder.is_empty() {
            nameless += 1;
        } else {
            bidders.insert(bidder);
        }
        shown_at.push((bid.at.clone(), format!("bid of {}", bid.label())));
    }
    Received { bidders: bidders.len() as u64 + nameless, shown_at }
}

/// How many made a bid for each lot of a divided tender; nothing unless every
/// bid says which lots it is for.
fn by_lot(procedure: &Procedure) -> Vec<(String, Received)> {
    let lots = &procedure.tender.lots;
    let submitted: Vec<_> = procedure.submitted().collect();
    if lots.len() < 2 {
        return Vec::new();
    }
    if submitted.is_empty() {
        return lots.iter().filter_map(|lot| Some((lot.clone(), lot_statistic(procedure, lot)?))).collect();
    }
    let made = procedure.bids.iter().filter(|bid| bid.status != BidStatus::Invited).collect::<Vec<_>>();
    let complete = published(procedure).iter().all(|number| number.fits(&made));
    if !complete || submitted.iter().any(|bid| bid.lots.is_empty()) {
        return Vec::new();
    }
    let of_lot = |lot: &String| of_bids(submitted.iter().copied().filter(|bid| bid.lots.contains(lot)));
    lots.iter().map(|lot| (lot.clone(), of_lot(lot))).collect()
}

fn lot_statistic(procedure: &Procedure, lot: &str) -> Option<Received> {
    let most = statistics(procedure, Some(lot)).into_iter().max_by_key(|number| number.count)?;
    Some(Received { bidders: most.count, shown_at: vec![(most.at, most.shown)] })
}

#[cfg(test)]
mod tests {
    use crate::domain::tender::testing::{OPEN, bid, check, release, who};

    const VALID: &str = r#""valid""#;
    const OUT: &str = r#""disqualified""#;
    const GONE: &str = r#""withdrawn""#;

    #[test]
    fn single_bid_by_published_numbers() {
        let r018 = |tender: &str, expect: &[&str]| {
            check("R018", &format!(r#"{{"ocid":"o","tender":{{{tender}}}}}"#), expect);
        };
        r018(r#""procurementMethod":"open","numberOfTenderers":1"#, &["1"]);
        r018(r#""procurementMethod":"selective","numberOfTenderers":1"#, &["1"]);
        r018(r#""procurementMethod":"limited","numberOfTenderers":1"#, &[]);
        r018(r#""procurementMethod":"direct","numberOfTenderers":1"#, &[]);
        r018(r#""numberOfTenderers":1"#, &[]);
        r018(r#""procurementMethod":"open""#, &[]);
        r018(r#""procurementMethod":"open","numberOfTenderers":0"#, &[]);
        r018(r#""procurementMethod":"open","numberOfTenderers":2"#, &[]);
        r018(r#""procurementMethod":"open","numberOfTenderers":1.0"#, &["1"]);
        r018(r#""procurementMethod":"open","tenderers":[{"id":"a"}]"#, &["1"]);
        r018(r#""procurementMethod":"open","tenderers":[{"id":"a"},{"id":"a"}]"#, &["1"]);
        r018(r#""procurementMethod":"open","tenderers":[{"name":"A Ltd"},{"name":"a limited"}]"#, &["1"]);
        r018(r#""procurementMethod":"open","tenderers":[{"id":"a"},{"id":"b"}]"#, &[]);
        r018(r#""procurementMethod":"open","tenderers":[{"id":"a"}],"numberOfTenderers":3"#, &[]);
        r018(r#""procurementMethod":"open","tenderers":[]"#, &[]);
    }

    #[test]
    fn single_bid_by_bids() {
        let r018 = |tender: &str, bids: &[(&str, &str)], expect: &[&str]| {
            let bids: Vec<_> = (1..)
                .zip(bids)
                .map(|(n, (status, id))| bid(&n.to_string(), status, &who(id), "1", ""))
                .collect();
            check("R018", &release(tender, &bids, ""), expect);
        };
        r018(OPEN, &[(VALID, "a")], &["1"]);
        r018(OPEN, &[("null", "a")], &["1"]);
        r018(OPEN, &[(VALID, "a"), (VALID, "b")], &[]);
        r018(OPEN, &[(VALID, "a"), (VALID, "a")], &["1"]);
        r018(OPEN, &[(VALID, "a"), (GONE, "b")], &["1"]);
        r018(OPEN, &[(VALID, "a"), (r#""invited""#, "b")], &["1"]);
        r018(OPEN, &[(VALID, "a"), (OUT, "b")], &[]);
        r018(OPEN, &[(GONE, "a")], &[]);
        r018(r#""procurementMethod":"open","numberOfTenderers":2"#, &[(VALID, "a"), (GONE, "b")], &["1"]);
        r018(r#""procurementMethod":"open","numberOfTenderers":3"#, &[(VALID, "a"), (GONE, "b")], &[]);
        r018(r#""procurementMethod":"open","numberOfTenderers":1"#, &[(VALID, "a"), (VALID, "b")], &[]);
    }

    #[test]
    fn single_bid_waits_for_the_deadline() {
        let open = r#""procurementMethod":"open","status":"active","numberOfTenderers":1,"tenderPeriod":{"endDate":"2024-07-01T00:00:00Z"}"#;
        check("R018", &release(open, &[], ""), &[]);
        check("R018", &release(open, &[], r#"{"id":"1","status":"active"}"#), &["1"]);
        check("R018", &release(&open.replace("2024-07", "2024-05"), &[], ""), &["1"]);
        check("R018", &release(&open.replace("\"active\"", "\"complete\""), &[], ""), &["1"]);
        check("R018", &release(&open.replace("\"active\"", "\"planned\""), &[], ""), &[]);
    }

    #[test]
    fn single_bid_by_lot() {
        let tender = r#""procurementMethod":"open","lots":[{"id":"1"},{"id":"2"},{"id":"3"}]"#;
        let lot = |id: &str, who_id: &str, lots: &str| {
            bid(id, VALID, &who(who_id), "1", &format!(r#","relatedLots":[{lots}]"#))
        };
        let two = [lot("1", "a", r#""1","2""#), lot("2", "b", r#""1""#), lot("3", "b", "\"3\"")];
        check("R018", &release(tender, &two, ""), &["1", "1"]);
        let unclear = [lot("1", "a", "\"1\""), bid("2", VALID, &who("b"), "1", "")];
        check("R018", &release(tender, &unclear, ""), &[]);
        let counts = r#"{"ocid":"o","tender":{"procurementMethod":"open","lots":[{"id":"1"},{"id":"2"}]},"bids":{"statistics":[{"id":"1","measure":"bids","value":1,"relatedLot":"1"},{"id":"2","measure":"bids","value":4,"relatedLot":"2"}]}}"#;
        check("R018", counts, &["1"]);
        check("R018", &counts.replace(r#","relatedLot":"2""#, ""), &["1"]);
        check("R018", &counts.replace("\"bids\",\"value\":1", "\"validBids\",\"value\":1"), &[]);
    }
}
