//! What policies are told about the procedures of a case.
//!
//! A fact about one procedure is given only when all procedures of the case
//! agree on it; counts are given always.

use crate::domain::ocds::model::{Procedure, keys};
use crate::domain::text;
use std::collections::{BTreeMap, BTreeSet};

/// Longest value of a fact.
const MAX_VALUE: usize = 300;

/// Collects facts over the procedures of a case.
#[derive(Debug, Default)]
pub(super) struct Facts {
    procedures: usize,
    seen: BTreeMap<&'static str, Option<String>>,
    set_aside: usize,
}

impl Facts {
    /// Adds what one procedure says.
    pub(super) fn add(&mut self, procedure: &Procedure) {
        self.procedures += 1;
        self.set_aside += procedure.problems.len();
        let of_this = of(procedure);
        let names: BTreeSet<_> = self.seen.keys().chain(of_this.keys()).copied().collect();
        for name in names {
            let value = of_this.get(name);
            if self.procedures == 1 {
                self.seen.insert(name, value.cloned());
            } else if self.seen.get(name).and_then(Option::as_ref) != value {
                self.seen.insert(name, None);
            }
        }
    }

    /// The facts by name.
    pub(super) fn into_map(self) -> BTreeMap<String, String> {
        let agreed = self.seen.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let mut facts: BTreeMap<_, _> = agreed.collect();
        facts.insert("procedures".to_owned(), self.procedures.to_string());
        facts.insert("fields_set_aside".to_owned(), self.set_aside.to_string());
        facts
    }
}

fn of(procedure: &Procedure) -> BTreeMap<&'static str, String> {
    let tender = &procedure.tender;
    let days = match (tender.start.as_ref().or(tender.notice.as_ref()), &tender.end) {
        (Some(start), Some(end)) => {
            Some(end.value.days_since(&start.value).round_dp(2).normalize().to_string())
        }
        _ => None,
    };
    let awarded = procedure.active_awards().filter_map(|award| award.value.as_ref()).collect::<Vec<_>>();
    let suppliers: BTreeSet<_> = procedure
        .active_awards()
        .flat_map(|award| &award.suppliers)
        .map(|supplier| supplier.label())
        .collect();
    let buyer = procedure.buyer.as_ref().or(tender.procuring_entity.as_ref());
    let text = |field: &Option<crate::domain::ocds::fields::Located<String>>| {
        field.as_ref().map(|f| f.value.clone())
    };
    let value = tender.value.as_ref().map(|value| &value.value);
    let facts = [
        ("ocid", procedure.ocid.clone()),
        ("title", text(&tender.title)),
        ("tender_status", text(&tender.status)),
        ("procurement_method", text(&tender.method)),
        ("tender_value", value.map(|money| money.amount.to_string())),
        ("currency", value.map(|money| money.currency.clone())),
        ("buyer", buyer.map(|buyer| buyer.label().to_owned())),
        ("tenderers", tenderers(procedure).map(|count| count.to_string())),
        ("tender_period_days", days),
        ("award_value", (awarded.len() == 1).then(|| awarded[0].value.amount.to_string())),
        ("award_currency", (awarded.len() == 1).then(|| awarded[0].value.currency.clone())),
        ("suppliers", (!suppliers.is_empty()).then(|| suppliers.into_iter().collect::<Vec<_>>().join("; "))),
    ];
    let given = facts.into_iter().filter_map(|(name, value)| Some((name, text::clean(&value?, MAX_VALUE))));
    given.collect()
}

/// How many different bidders there were, as far as it can be told.
fn tenderers(procedure: &Procedure) -> Option<u64> {
    let bidders: BTreeSet<_> =
        procedure.submitted().map(|bid| bid.bidder()).filter(|b| !b.is_empty()).collect();
    let listed = keys(&procedure.tender.tenderers).len().max(bidders.len()) as u64;
    let published = procedure.tender.number_of_tenderers.as_ref().map(|number| number.value);
    published.or((listed > 0).then_some(listed))
}

#[cfg(test)]
mod tests {
    use crate::domain::tender::testing::outcome;
    use crate::domain::{Index, Settings};

    #[test]
    fn facts_are_given_when_all_procedures_agree() {
        let one = r#"{"ocid":"a","buyer":{"name":"City"},"tender":{"procurementMethod":"open","value":{"amount":1250.50,"currency":"EUR"},"tenderPeriod":{"startDate":"2024-03-01","endDate":"2024-04-01"},"numberOfTenderers":3}}"#;
        let facts = |text: &str| outcome(text, &Index::default(), &Settings::default()).facts;
        let single = facts(one);
        let check =
            |name: &str, value: &str| assert_eq!(single.get(name).map(String::as_str), Some(value), "{name}");
        check("ocid", "a");
        check("procurement_method", "open");
        check("tender_value", "1250.50");
        check("currency", "EUR");
        check("buyer", "City");
        check("tenderers", "3");
        check("tender_period_days", "31");
        check("procedures", "1");
        check("watchlists_searched", "0");
        let other = one.replace("\"a\"", "\"b\"").replace("1250.50", "7");
        let two = facts(&format!("{one}\n{other}"));
        assert_eq!((two.get("ocid"), two.get("tender_value")), (None, None));
        assert_eq!((two["procurement_method"].as_str(), two["procedures"].as_str()), ("open", "2"));
    }
}
