//! R046: a bidder, supplier or owner has the name of somebody on a watchlist.

use super::{Case, Flag};
use crate::domain::ocds::model::Organization;
use crate::domain::watchlist::Hit;
use crate::domain::{Finding, Severity};
use std::collections::BTreeSet;

/// Screens everybody who bids, supplies or owns; each name once.
pub(super) fn listed(case: &Case<'_>) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for organization in organizations(case) {
        let Some(name) = &organization.name else { continue };
        if seen.insert(name) {
            findings.extend(case.index.search(name).iter().map(|hit| flag(case, organization, name, hit)));
        }
    }
    findings
}

fn organizations<'c>(case: &Case<'c>) -> Vec<&'c Organization> {
    let procedure = case.procedure;
    let outside = procedure.parties.iter().filter(|party| !party.is(&["buyer", "procuringentity", "funder"]));
    let parties = outside.flat_map(|party| std::iter::once(&party.organization).chain(&party.owners));
    let bids = procedure.bids.iter().flat_map(|bid| &bid.tenderers);
    let suppliers = procedure.awards.iter().flat_map(|award| &award.suppliers);
    parties.chain(bids).chain(suppliers).chain(&procedure.tender.tenderers).collect()
}

fn flag(case: &Case<'_>, organization: &Organization, name: &str, hit: &Hit<'_>) -> Finding {
    case.finding(Flag {
        rule: "R046",
        severity: hit.is_alias.then_some(Severity::High),
        value: name.to_owned(),
        threshold: "no entry of that name".to_owned(),
        among: Some(format!("watchlist={}", hit.watchlist)),
        evidence: vec![case.evidence(&organization.at, name)],
        explanation: format!(
            "{name} has the same name as {}. Names can be shared by different people and companies: compare address, \
             date of birth or registration number with the entry before anything else, and do not award or pay until \
             then.",
            hit.describe(),
        ),
    })
}

#[cfg(test)]
mod tests {
    use crate::domain::tender::testing::outcome;
    use crate::domain::watchlist::testing::index;
    use crate::domain::{Settings, Severity};

    #[test]
    fn bidders_are_screened_and_buyers_are_not() {
        let release = |role: &str, name: &str| {
            format!(r#"{{"ocid":"o","parties":[{{"id":"1","name":"{name}","roles":["{role}"]}}]}}"#)
        };
        let check = |role: &str, name: &str, expect: Option<Severity>| {
            let found = outcome(&release(role, name), &index(), &Settings::default());
            assert_eq!(found.max_severity(), expect, "{role} {name}");
            assert_eq!(found.facts["watchlists_searched"], "1");
        };
        check("supplier", "Evil Trading Limited", Some(Severity::Critical));
        check("tenderer", "ETL Worldwide", Some(Severity::High));
        check("buyer", "Evil Trading Limited", None);
        check("supplier", "Good Trading Limited", None);
    }
}
