//! What became of the price: R059 contract above its award, R068 more paid than
//! agreed.

use super::{Case, Flag};
use crate::domain::Finding;
use crate::domain::ocds::fields::Located;
use crate::domain::ocds::model::{Award, Contract};
use probity_types::Money;
use rust_decimal::Decimal;

/// R059: the contracts of an award are together well above it. A contract below
/// its award says nothing: the rest may be contracted later.
pub(super) fn contract_above_award(case: &Case<'_>) -> Vec<Finding> {
    case.procedure.active_awards().filter_map(|award| above(case, award)).collect()
}

fn above(case: &Case<'_>, award: &Award) -> Option<Finding> {
    let (id, awarded) = (award.id.as_ref()?, award.value.as_ref()?);
    let of_award = |contract: &&Contract| {
        contract.award.as_ref() == Some(id) && contract.status.as_deref() != Some("cancelled")
    };
    let values: Vec<_> = case
        .procedure
        .contracts
        .iter()
        .filter(of_award)
        .filter_map(|contract| contract.value.as_ref())
        .collect();
    let agreed = total(&values, &awarded.value.currency)?;
    let share = agreed.checked_sub(awarded.value.amount)?.checked_div(awarded.value.amount)?;
    let threshold = case.settings.tender.contract_difference_share;
    if awarded.value.amount <= Decimal::ZERO || share < threshold {
        return None;
    }
    let percent = share.checked_mul(Decimal::ONE_HUNDRED)?.round_dp(1).normalize();
    let currency = &awarded.value.currency;
    let mut evidence = vec![case.evidence(&awarded.at, &format!("award: {}", awarded.value))];
    evidence
        .extend(values.iter().map(|value| case.evidence(&value.at, &format!("contract: {}", value.value))));
    Some(case.finding(Flag {
        rule: "R059",
        severity: None,
        value: format!("{agreed} {currency} ({percent}% above the award)"),
        threshold: format!("{} {currency} and {}%", awarded.value.amount, (threshold * Decimal::ONE_HUNDRED).normalize()),
        among: None,
        evidence,
        explanation: format!(
            "the contract comes to {agreed} {currency}, {percent}% more than the award of {}. A contract that costs \
             more than what won was never put to competition at that price. Look at what was added between award and \
             signature and who approved it.",
            awarded.value,
        ),
    }))
}

/// R068: the transactions of a contract come to more than the contract.
pub(super) fn paid_above_contract(case: &Case<'_>) -> Vec<Finding> {
    case.procedure.contracts.iter().filter_map(|contract| overpaid(case, contract)).collect()
}

fn overpaid(case: &Case<'_>, contract: &Contract) -> Option<Finding> {
    let agreed = contract.value.as_ref()?;
    let paid: Vec<_> = contract.transactions.iter().collect();
    let sum = total(&paid, &agreed.value.currency)?;
    if sum <= agreed.value.amount || agreed.value.amount <= Decimal::ZERO {
        return None;
    }
    let currency = &agreed.value.currency;
    let mut evidence = vec![case.evidence(&agreed.at, &format!("contract: {}", agreed.value))];
    evidence.extend(paid.iter().map(|value| case.evidence(&value.at, &format!("paid: {}", value.value))));
    Some(case.finding(Flag {
        rule: "R068",
        severity: None,
        value: format!("{sum} {currency} paid"),
        threshold: agreed.value.to_string(),
        among: None,
        evidence,
        explanation: format!(
            "{sum} {currency} were paid under a contract of {}. Payments above the contract need an amendment; \
             without one, something is paid for that was not bought. Look for amendments and at who released the \
             payments.",
            agreed.value,
        ),
    }))
}

/// The sum of amounts; nothing when there are none, when a currency differs or
/// when it cannot be kept exactly.
fn total(values: &[&Located<Money>], currency: &str) -> Option<Decimal> {
    if values.is_empty() || values.iter().any(|value| value.value.currency != currency) {
        return None;
    }
    values.iter().try_fold(Decimal::ZERO, |sum, value| sum.checked_add(value.value.amount))
}

#[cfg(test)]
mod tests {
    use crate::domain::tender::testing::check;

    fn release(award: &str, contracts: &[(&str, &str)], status: &str) -> String {
        let contract = |(value, transactions): &(&str, &str)| {
            format!(
                r#"{{"id":"c","awardID":"1","status":"active","value":{{"amount":{value},"currency":"EUR"}},"implementation":{{"transactions":[{transactions}]}}}}"#
            )
        };
        let contracts: Vec<_> = contracts.iter().map(contract).collect();
        format!(
            r#"{{"ocid":"o","awards":[{{"id":"1","status":"{status}","value":{{"amount":{award},"currency":"EUR"}}}}],"contracts":[{}]}}"#,
            contracts.join(",")
        )
    }

    #[test]
    fn contracts_against_awards() {
        let r059 = |award: &str, contracts: &[(&str, &str)], expect: &[&str]| {
            check("R059", &release(award, contracts, "active"), expect);
        };
        r059("100", &[("110", "")], &["110 EUR (10% above the award)"]);
        r059("100", &[("109.99", "")], &[]);
        r059("100", &[("50", "")], &[]);
        r059("100", &[("60", ""), ("60", "")], &["120 EUR (20% above the award)"]);
        r059("0", &[("60", "")], &[]);
        r059("100", &[], &[]);
        check("R059", &release("100", &[("200", "")], "cancelled"), &[]);
        check("R059", &release("100", &[("200", "")], "active").replacen("EUR", "USD", 1), &[]);
    }

    #[test]
    fn payments_against_contracts() {
        let paid =
            |amount: &str| format!(r#"{{"id":"t{amount}","value":{{"amount":{amount},"currency":"EUR"}}}}"#);
        let r068 = |contract: &str, transactions: &str, expect: &[&str]| {
            check("R068", &release("1000", &[(contract, transactions)], "active"), expect);
        };
        r068("100", &format!("{},{}", paid("60"), paid("40.01")), &["100.01 EUR paid"]);
        r068("100", &format!("{},{}", paid("60"), paid("40")), &[]);
        r068("100", "", &[]);
        r068("100", &paid("500").replace("EUR", "USD"), &[]);
        r068("0", &paid("500"), &[]);
    }
}
