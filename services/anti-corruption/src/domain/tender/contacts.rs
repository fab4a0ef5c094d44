//! Who stands behind the bidders: R032 same beneficial owner, R043 same contact
//! as the buyer, R044 same contact as another bidder.

use super::{Case, Flag};
use crate::domain::json::Place;
use crate::domain::ocds::model::{Party, keys};
use crate::domain::{Finding, name};
use std::collections::{BTreeMap, BTreeSet};

/// Fewest digits that make a telephone number.
const MIN_DIGITS: usize = 7;

/// A bidder and what ties it to others, with the place of the tie.
type Ties<'p> = BTreeMap<String, Vec<(&'p Party, &'p Place)>>;

/// R032: two bidders name the same beneficial owner. Owners are compared by
/// name, because their identifiers are local to each party.
pub(super) fn shared_owner(case: &Case<'_>) -> Vec<Finding> {
    let mut ties = Ties::new();
    for party in bidders(case) {
        for owner in &party.owners {
            let name = owner.name.as_deref().map(name::normalize).unwrap_or_default();
            add(&mut ties, name, party, &owner.at);
        }
    }
    let explanation = "name the same beneficial owner. Companies of one owner do not compete with each other, so the \
                       prices were not independent. Look at the register of companies and at who signed the bids.";
    flags(case, "R032", &ties, explanation)
}

/// R043: a bidder has the telephone number or mail address of the buyer.
pub(super) fn shared_with_buyer(case: &Case<'_>) -> Vec<Finding> {
    let buyers: Vec<_> = case.procedure.parties.iter().filter(|party| is_buyer(case, party)).collect();
    let mut ties = contacts(bidders(case).into_iter().filter(|party| !is_buyer(case, party)));
    let of_buyers = contacts(buyers.into_iter());
    ties.retain(|contact, _| of_buyers.contains_key(contact));
    for (contact, parties) in &mut ties {
        parties.splice(0..0, of_buyers[contact].iter().copied());
    }
    let explanation = "have the same contact although one of them buys and the other bids. That points to a person on \
                       both sides. Look at who works there and for declarations of interest.";
    flags(case, "R043", &ties, explanation)
}

/// R044: two bidders have the same telephone number or mail address.
pub(super) fn shared_between_bidders(case: &Case<'_>) -> Vec<Finding> {
    let ties = contacts(bidders(case).into_iter().filter(|party| !is_buyer(case, party)));
    let explanation = "have the same contact. Bidders that share an office or a person can agree on prices. Look at \
                       addresses, owners and the people who prepared the bids.";
    flags(case, "R044", &ties, explanation)
}

fn is_buyer(case: &Case<'_>, party: &Party) -> bool {
    let procedure = case.procedure;
    let ids = procedure.buyer.iter().chain(&procedure.tender.procuring_entity).filter_map(|o| o.id.as_ref());
    party.is(&["buyer", "procuringentity"])
        || ids.into_iter().any(|id| party.organization.id.as_ref() == Some(id))
}

/// The parties that bid, by role or because a bid or the list of tenderers
/// refers to them; each once.
fn bidders<'c>(case: &Case<'c>) -> Vec<&'c Party> {
    let procedure = case.procedure;
    let mut bidding: BTreeSet<_> = keys(&procedure.tender.tenderers).into_iter().collect();
    bidding.extend(procedure.submitted().flat_map(|bid| bid.bidder()));
    let bids = |party: &&Party| {
        let named = party.organization.key().is_some_and(|key| bidding.contains(&key));
        party.is(&["tenderer"]) || named
    };
    procedure.parties.iter().filter(bids).collect()
}

/// The parties by telephone number and mail address.
fn contacts<'p>(parties: impl Iterator<Item = &'p Party>) -> Ties<'p> {
    let mut ties = Ties::new();
    for party in parties {
        if let Some(telephone) = &party.telephone {
            add(&mut ties, telephone_key(&telephone.value), party, &telephone.at);
        }
        if let Some(email) = &party.email {
            let address = email.value.to_lowercase();
            add(&mut ties, if address.contains('@') { address } else { String::new() }, party, &email.at);
        }
    }
    ties
}

/// The digits of a number; nothing for a placeholder.
fn telephone_key(text: &str) -> String {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let different: BTreeSet<_> = digits.bytes().collect();
    if digits.len() < MIN_DIGITS || different.len() < 3 { String::new() } else { digits }
}

fn add<'p>(ties: &mut Ties<'p>, tie: String, party: &'p Party, at: &'p Place) {
    if !tie.is_empty() {
        ties.entry(tie).or_default().push((party, at));
    }
}

/// A finding for each tie between different organisations.
fn flags(case: &Case<'_>, rule: &'static str, ties: &Ties<'_>, explanation: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (tie, parties) in ties {
        let different: BTreeSet<_> =
            parties.iter().filter_map(|(party, _)| party.organization.key()).collect();
        if different.len() < 2 {
            continue;
        }
        let mut names: Vec<_> = parties.iter().map(|(party, _)| party.organization.label()).collect();
        names.dedup();
        findings.push(
            case.finding(Flag {
                rule,
                severity: None,
                value: tie.clone(),
                threshold: "nothing in common".to_owned(),
                among: None,
                evidence: parties
                    .iter()
                    .map(|(party, at)| case.evidence(at, &format!("{}: {tie}", party.organization.label())))
                    .collect(),
                explanation: format!("{} {explanation}", names.join(" and ")),
            }),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use crate::domain::tender::testing::check;

    fn party(id: &str, role: &str, more: &str) -> String {
        format!(r#"{{"id":"{id}","name":"Firm {id}","roles":["{role}"],{more}}}"#)
    }

    fn release(parties: &[String]) -> String {
        format!(r#"{{"ocid":"o","parties":[{}]}}"#, parties.join(","))
    }

    fn telephone(number: &str) -> String {
        format!(r#""contactPoint":{{"telephone":"{number}"}}"#)
    }

    #[test]
    fn owners_in_common() {
        let owner = |id: &str, name: &str| format!(r#""beneficialOwners":[{{"id":"{id}","name":"{name}"}}]"#);
        let r032 = |a: &str, b: &str, expect: &[&str]| {
            check("R032", &release(&[party("a", "tenderer", a), party("b", "tenderer", b)]), expect);
        };
        r032(&owner("1", "Ana Gómez"), &owner("7", "ANA GOMEZ"), &["ana gomez"]);
        r032(&owner("1", "Ana Gómez"), &owner("1", "Bo Li"), &[]);
        let twice = party("a", "tenderer", &owner("1", "Ana"));
        check("R032", &release(&[twice.clone(), twice]), &[]);
        let buyer = party("b", "buyer", &owner("1", "Ana"));
        check("R032", &release(&[party("a", "tenderer", &owner("1", "Ana")), buyer]), &[]);
    }

    #[test]
    fn contacts_in_common() {
        let both = |rule: &str, role: &str, a: &str, b: &str, expect: &[&str]| {
            let parties = [party("a", role, &telephone(a)), party("b", "tenderer", &telephone(b))];
            check(rule, &release(&parties), expect);
        };
        both("R043", "buyer", "+44 1234 345 346", "+441234345346", &["441234345346"]);
        both("R043", "buyer", "+44 1234 345 346", "+441234345347", &[]);
        both("R043", "buyer", "0000000", "0000000", &[]);
        both("R043", "buyer", "112", "112", &[]);
        both("R044", "tenderer", "01234 345 346", "01234345346", &["01234345346"]);
        both("R044", "buyer", "01234 345 346", "01234345346", &[]);
        let mail = r#""contactPoint":{"email":"Sales@Example.com"}"#;
        let parties = [
            party("a", "tenderer", mail),
            party("b", "tenderer", &mail.to_lowercase().replace("contactpoint", "contactPoint")),
        ];
        check("R044", &release(&parties), &["sales@example.com"]);
        let in_house = r#"{"id":"a","name":"City","roles":["buyer","tenderer"],"contactPoint":{"telephone":"01234345346"}}"#;
        check("R043", &release(&[in_house.to_owned()]), &[]);
    }

    #[test]
    fn bidders_are_known_by_reference_too() {
        let parties = [party("a", "x", &telephone("1234567")), party("b", "x", &telephone("123 45 67"))];
        let text = release(&parties);
        check("R044", &text, &[]);
        let listed = text.replacen('{', r#"{"tender":{"tenderers":[{"id":"a"},{"id":"b"}]},"#, 1);
        check("R044", &listed, &["1234567"]);
    }
}
