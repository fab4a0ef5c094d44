//! What is read from a request, and what is refused.

use super::*;
use probity_types::Fault;

fn request() -> pb::EvaluateRequest {
    pb::EvaluateRequest {
        case: format!("cases/{}", CaseId::new()),
        kind: common::CaseKind::Tender as i32,
        findings: vec![common::FindingSummary {
            rule: "R018".into(),
            severity: common::Severity::Medium as i32,
            explanation: "one bid".into(),
            value: "1".into(),
            threshold: "2".into(),
        }],
        facts: BTreeMap::from([("tender_value".to_owned(), "12.50".to_owned())]),
        spam_probability: 0.25,
        spam_band: "ham".into(),
        finding_count: 7,
    }
}

#[test]
fn reads_a_request() {
    let (id, case) = case(request()).unwrap();
    assert_eq!(case.name, format!("cases/{id}"));
    assert_eq!((case.kind, case.finding_count), (CaseKind::Tender, 7));
    assert_eq!((case.findings[0].severity, case.findings[0].rule.as_str()), (Severity::Medium, "R018"));
    assert_eq!((case.facts["tender_value"].as_str(), case.spam.band.as_str()), ("12.50", "ham"));
}

#[test]
fn a_count_is_never_below_the_list() {
    let (_, case) = case(pb::EvaluateRequest { finding_count: 0, ..request() }).unwrap();
    assert_eq!(case.finding_count, 1);
}

/// The field that is named, for a request with one thing wrong.
fn check(change: impl FnOnce(&mut pb::EvaluateRequest), field: &str) {
    let mut request = request();
    change(&mut request);
    let fault = Fault::from(case(request.clone()).unwrap_err());
    assert_eq!((fault.code, fault.violations[0].field.as_str()), ("CMP-0001", field));
    let fault = Fault::from(trial(Some(request)).unwrap_err());
    assert_eq!(fault.violations[0].field, format!("input.{field}"));
}

#[test]
fn names_the_field_that_is_wrong() {
    check(|r| r.case = "cases/7".into(), "case");
    check(|r| r.case = CaseId::new().to_string(), "case");
    check(|r| r.kind = 0, "kind");
    check(|r| r.kind = 99, "kind");
    check(|r| r.findings[0].severity = 0, "findings[0].severity");
    check(|r| r.findings[0].severity = 9, "findings[0].severity");
    check(|r| r.findings[0].rule.clear(), "findings[0].rule");
    check(|r| r.findings[0].rule = "x".repeat(201), "findings[0].rule");
    check(|r| r.findings[0].explanation = "x".repeat(4_097), "findings[0].explanation");
    check(|r| r.findings = vec![r.findings[0].clone(); 1_001], "findings");
    check(|r| r.finding_count = -1, "finding_count");
    check(|r| r.facts = (0..201).map(|i| (i.to_string(), String::new())).collect(), "facts");
    check(|r| drop(r.facts.insert("x".repeat(201), String::new())), "facts");
    check(|r| drop(r.facts.insert("a".into(), "x".repeat(4_097))), "facts[a]");
    for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        check(|r| r.spam_probability = bad, "spam_probability");
    }
    check(|r| r.spam_band = "SPAM".into(), "spam_band");
}

#[test]
fn a_trial_needs_no_case() {
    let case = trial(Some(pb::EvaluateRequest { case: String::new(), ..request() })).unwrap();
    assert_eq!(case.name, "cases/none");
    assert!(trial(None).is_err());
    assert!(super::case(pb::EvaluateRequest { case: String::new(), ..request() }).is_err());
}

#[test]
fn kinds_are_sorted_and_known() {
    assert_eq!(kinds(&[4, 1, 4]).unwrap(), [CaseKind::Tender, CaseKind::Report]);
    assert_eq!(kinds(&[]).unwrap(), []);
    assert!(kinds(&[0]).is_err() && kinds(&[1, 9]).is_err());
    for kind in CaseKind::ALL {
        assert_eq!(kinds(&[kind_number(kind)]).unwrap(), [kind]);
    }
}

#[test]
fn small_fields() {
    assert_eq!((version(0).unwrap(), version(3).unwrap()), (None, Some(3)));
    assert!(version(-1).is_err());
    assert!(
        policy_resource("policies/a").is_ok()
            && policy_resource("a").is_err()
            && policy_resource("policies/A").is_err()
    );
    assert!(source("  \n".into(), 10).is_err() && source("x".repeat(11), 10).is_err());
    assert!(page_token("eval_x").is_err() && page_token("").unwrap().is_none());
    let id = EvaluationId::new();
    assert_eq!(page_token(&id.to_string()).unwrap(), Some(id));
}
