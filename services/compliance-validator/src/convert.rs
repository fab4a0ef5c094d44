//! Between the contract and the domain, with every limit on what comes in.

use crate::domain::{Case, CaseKind, Decision, Evaluation, Finding, Policy, PolicyName, Severity, Spam};
use crate::error::Error;
use crate::store::Stored;
use probity_proto::common;
use probity_proto::compliance as pb;
use probity_proto::time::timestamp;
use probity_types::id::{CaseId, EvaluationId};
use prost::Message as _;
use std::collections::BTreeMap;

/// Most findings of a request.
const MAX_FINDINGS: usize = 1_000;
/// Most facts of a request.
const MAX_FACTS: usize = 200;
/// Longest rule, name of a fact, or band, in bytes.
const MAX_NAME: usize = 200;
/// Longest text of a finding or a fact, in bytes.
const MAX_TEXT: usize = 4_096;
/// Bands of the spam triage; empty when it was not asked.
const BANDS: [&str; 4] = ["", "ham", "unsure", "spam"];

/// The case of a request, and its id.
pub(crate) fn case(request: pb::EvaluateRequest) -> Result<(CaseId, Case), Error> {
    let id = case_id("case", &request.case)?;
    Ok((id, case_at(request, "")?))
}

/// The input of a trial, which need not belong to a case.
pub(crate) fn trial(input: Option<pb::EvaluateRequest>) -> Result<Case, Error> {
    let input =
        input.ok_or_else(|| Error::field("input", "is missing: what is the policy to be evaluated on?"))?;
    if !input.case.is_empty() {
        case_id("input.case", &input.case)?;
    }
    case_at(input, "input.")
}

fn case_at(request: pb::EvaluateRequest, at: &str) -> Result<Case, Error> {
    let kind = kind(&format!("{at}kind"), request.kind)?;
    let findings = findings(request.findings, at)?;
    let given = u64::try_from(request.finding_count)
        .map_err(|_| Error::field(format!("{at}finding_count"), "must not be negative"))?;
    Ok(Case {
        name: if request.case.is_empty() { Case::empty(kind).name } else { request.case },
        kind,
        // The list may be cut, the count never is.
        finding_count: given.max(findings.len() as u64),
        findings,
        facts: facts(request.facts, at)?,
        spam: spam(request.spam_probability, request.spam_band, at)?,
    })
}

/// `cases/<id>`.
pub(crate) fn case_id(field: &str, name: &str) -> Result<CaseId, Error> {
    let id = name.strip_prefix("cases/").and_then(|id| id.parse().ok());
    id.ok_or_else(|| Error::field(field, "must be the name of a case, such as cases/case_0123…"))
}

fn kind(field: &str, number: i32) -> Result<CaseKind, Error> {
    match common::CaseKind::try_from(number) {
        Ok(common::CaseKind::Tender) => Ok(CaseKind::Tender),
        Ok(common::CaseKind::Payment) => Ok(CaseKind::Payment),
        Ok(common::CaseKind::Message) => Ok(CaseKind::Message),
        Ok(common::CaseKind::Report) => Ok(CaseKind::Report),
        Ok(common::CaseKind::Unspecified) => Err(Error::field(field, "is missing")),
        Err(_) => Err(Error::field(field, format!("{number} is no kind of case"))),
    }
}

const fn kind_number(kind: CaseKind) -> i32 {
    let kind = match kind {
        CaseKind::Tender => common::CaseKind::Tender,
        CaseKind::Payment => common::CaseKind::Payment,
        CaseKind::Message => common::CaseKind::Message,
        CaseKind::Report => common::CaseKind::Report,
    };
    kind as i32
}

fn findings(findings: Vec<common::FindingSummary>, at: &str) -> Result<Vec<Finding>, Error> {
    if findings.len() > MAX_FINDINGS {
        return Err(Error::field(format!("{at}findings"), format!("at most {MAX_FINDINGS} at once")));
    }
    findings.into_iter().enumerate().map(|(i, f)| finding(f, &format!("{at}findings[{i}]"))).collect()
}

fn finding(finding: common::FindingSummary, at: &str) -> Result<Finding, Error> {
    let text = |name: &str, text: String| limited(&format!("{at}.{name}"), text, MAX_TEXT);
    if finding.rule.is_empty() {
        return Err(Error::field(format!("{at}.rule"), "is missing"));
    }
    Ok(Finding {
        severity: severity(finding.severity, at)?,
        rule: limited(&format!("{at}.rule"), finding.rule, MAX_NAME)?,
        explanation: text("explanation", finding.explanation)?,
        value: text("value", finding.value)?,
        threshold: text("threshold", finding.threshold)?,
    })
}

/// A finding without a severity would slip below every threshold.
fn severity(number: i32, at: &str) -> Result<Severity, Error> {
    match common::Severity::try_from(number) {
        Ok(common::Severity::Low) => Ok(Severity::Low),
        Ok(common::Severity::Medium) => Ok(Severity::Medium),
        Ok(common::Severity::High) => Ok(Severity::High),
        Ok(common::Severity::Critical) => Ok(Severity::Critical),
        Ok(common::Severity::Unspecified) => Err(Error::field(format!("{at}.severity"), "is missing")),
        Err(_) => Err(Error::field(format!("{at}.severity"), format!("{number} is no severity"))),
    }
}

fn facts(facts: BTreeMap<String, String>, at: &str) -> Result<BTreeMap<String, String>, Error> {
    let field = format!("{at}facts");
    if facts.len() > MAX_FACTS {
        return Err(Error::field(field, format!("at most {MAX_FACTS} at once")));
    }
    let checked = facts.into_iter().map(|(name, value)| {
        let name = limited(&field, name, MAX_NAME)?;
        let value = limited(&format!("{field}[{name}]"), value, MAX_TEXT)?;
        Ok((name, value))
    });
    checked.collect()
}

fn spam(probability: f64, band: String, at: &str) -> Result<Spam, Error> {
    if !(0.0..=1.0).contains(&probability) {
        return Err(Error::field(format!("{at}spam_probability"), "must be between 0 and 1"));
    }
    if !BANDS.contains(&band.as_str()) {
        return Err(Error::field(format!("{at}spam_band"), "must be ham, unsure, spam or empty"));
    }
    Ok(Spam { probability, band })
}

fn limited(field: &str, text: String, most: usize) -> Result<String, Error> {
    if text.len() > most {
        return Err(Error::field(field, format!("is longer than {most} bytes")));
    }
    Ok(text)
}

/// The name a policy is published under.
pub(crate) fn policy_name(text: &str) -> Result<PolicyName, Error> {
    text.parse().map_err(|reason: String| Error::field("policy", reason))
}

/// `policies/<name>`.
pub(crate) fn policy_resource(text: &str) -> Result<PolicyName, Error> {
    let name = text.strip_prefix("policies/").and_then(|name| name.parse().ok());
    name.ok_or_else(|| Error::field("name", "must be the name of a policy, such as policies/procurement"))
}

/// A version, or the newest one.
pub(crate) fn version(number: i64) -> Result<Option<i64>, Error> {
    match number {
        0 => Ok(None),
        n if n > 0 => Ok(Some(n)),
        _ => Err(Error::field("version", "must not be negative")),
    }
}

/// The source of a policy.
pub(crate) fn source(source: String, most: usize) -> Result<String, Error> {
    if source.trim().is_empty() {
        return Err(Error::field("source", "is missing"));
    }
    limited("source", source, most)
}

/// The kinds a policy is for, sorted, each once.
pub(crate) fn kinds(numbers: &[i32]) -> Result<Vec<CaseKind>, Error> {
    let at = |i: usize| format!("kinds[{i}]");
    let mut kinds =
        numbers.iter().enumerate().map(|(i, n)| kind(&at(i), *n)).collect::<Result<Vec<_>, _>>()?;
    kinds.sort_unstable();
    kinds.dedup();
    Ok(kinds)
}

/// The evaluation before which a page begins.
pub(crate) fn page_token(token: &str) -> Result<Option<EvaluationId>, Error> {
    match token {
        "" => Ok(None),
        token => token.parse().map(Some).map_err(|_| {
            Error::field("page_token", "is not one this service gave out; begin again without it")
        }),
    }
}

/// The answer to an evaluation; a trial has no id.
pub(crate) fn response(evaluation: &Evaluation, id: Option<EvaluationId>) -> pb::EvaluateResponse {
    let reasons = evaluation.reasons.iter().map(|reason| pb::Reason {
        policy: reason.policy.clone(),
        rule: reason.rule.clone(),
        decision: decision_number(reason.decision),
        message: reason.message.clone(),
    });
    pb::EvaluateResponse {
        decision: decision_number(evaluation.decision),
        reasons: reasons.collect(),
        required_approvals: evaluation.required_approvals,
        actions: evaluation.actions.iter().map(|action| action.as_str().to_owned()).collect(),
        policies: evaluation.policies.clone(),
        evaluation: id.map(|id| format!("evaluations/{id}")).unwrap_or_default(),
        summary: evaluation.summary.clone(),
    }
}

const fn decision_number(decision: Decision) -> i32 {
    let decision = match decision {
        Decision::Allow => pb::Decision::Allow,
        Decision::Review => pb::Decision::Review,
        Decision::Deny => pb::Decision::Deny,
    };
    decision as i32
}

/// An answer as it was kept.
pub(crate) fn decoded(response: &[u8]) -> Result<pb::EvaluateResponse, Error> {
    pb::EvaluateResponse::decode(response)
        .map_err(|error| Error::Damaged { what: "evaluation", reason: error.to_string() })
}

/// A kept evaluation of a case.
pub(crate) fn evaluation(case: CaseId, stored: &Stored) -> Result<pb::Evaluation, Error> {
    Ok(pb::Evaluation {
        name: format!("evaluations/{}", stored.id),
        case: format!("cases/{case}"),
        result: Some(decoded(&stored.response)?),
        create_time: Some(timestamp(stored.created.0)),
    })
}

/// A policy as it is shown.
pub(crate) fn policy(policy: &Policy) -> pb::Policy {
    pb::Policy {
        name: format!("policies/{}", policy.name),
        version: policy.version,
        source: policy.source.to_string(),
        sha256: hex::encode(policy.sha256),
        kinds: policy.kinds.iter().map(|kind| kind_number(*kind)).collect(),
        published_by: policy.published_by.clone(),
        publish_time: policy.publish_time.map(|time| timestamp(time.0)),
    }
}

#[cfg(test)]
mod tests;
