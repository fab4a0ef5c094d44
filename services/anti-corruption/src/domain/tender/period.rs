//! R003: too little time to prepare a bid.

use super::{Case, Flag};
use crate::domain::Finding;
use crate::domain::ocds::fields::Located;
use crate::domain::when::When;
use rust_decimal::Decimal;

/// The days between the start of the submission period (or the publication of
/// the notice, when no start is given) and its end, for methods with a threshold.
pub(super) fn short_submission(case: &Case<'_>) -> Vec<Finding> {
    let tender = &case.procedure.tender;
    let least = case.method().and_then(|method| case.settings.tender.submission_days.get(method));
    let (Some(least), Some((start, end))) = (least, period(case)) else { return Vec::new() };
    let days = end.value.days_since(&start.value);
    if days.is_sign_negative() && !days.is_zero() || days >= Decimal::from(*least) {
        return Vec::new();
    }
    let shown = days.round_dp(2).normalize();
    let from = if tender.start.is_some() { "submission period" } else { "publication of the notice" };
    let explanation = format!(
        "bidders had {shown} days from the start of the {from} ({}) to its end ({}); at least {least} are expected in \
         {} procedures. A short period keeps out everybody who was not told beforehand. Look at who was informed \
         before publication, and whether a reason for urgency is on file.",
        start.value,
        end.value,
        case.method().unwrap_or_default(),
    );
    vec![case.finding(Flag {
        rule: "R003",
        severity: None,
        value: format!("{shown} days"),
        threshold: format!("{least} days"),
        among: None,
        evidence: vec![
            case.evidence(&start.at, &format!("start: {}", start.value)),
            case.evidence(&end.at, &format!("end: {}", end.value)),
        ],
        explanation,
    })]
}

/// Start and end of the submission period.
pub(super) fn period<'c>(case: &Case<'c>) -> Option<(&'c Located<When>, &'c Located<When>)> {
    let tender = &case.procedure.tender;
    Some((tender.start.as_ref().or(tender.notice.as_ref())?, tender.end.as_ref()?))
}

#[cfg(test)]
mod tests {
    use crate::domain::tender::testing::check;

    fn tender(method: &str, start: &str, end: &str) -> String {
        format!(
            r#"{{"ocid":"o","tender":{{"procurementMethod":{method},"tenderPeriod":{{"startDate":{start},"endDate":{end}}}}}}}"#
        )
    }

    #[test]
    fn days_against_the_method() {
        let r003 = |method: &str, start: &str, end: &str, expect: &[&str]| {
            check("R003", &tender(method, start, end), expect);
        };
        let start = r#""2024-03-01T09:00:00Z""#;
        r003(r#""open""#, start, r#""2024-03-06T09:00:00Z""#, &["5 days"]);
        r003(r#""Open""#, start, r#""2024-03-16T08:59:59Z""#, &["15 days"]);
        r003(r#""open""#, start, r#""2024-03-16T09:00:00Z""#, &[]);
        r003(r#""selective""#, start, r#""2024-03-08T21:00:00Z""#, &["7.5 days"]);
        r003(r#""selective""#, start, r#""2024-03-11T09:00:00Z""#, &[]);
        r003(r#""limited""#, start, r#""2024-03-02T09:00:00Z""#, &[]);
        r003(r#""direct""#, start, r#""2024-03-02T09:00:00Z""#, &[]);
        r003("null", start, r#""2024-03-02T09:00:00Z""#, &[]);
        r003(r#""open""#, "null", r#""2024-03-02T09:00:00Z""#, &[]);
        r003(r#""open""#, start, "null", &[]);
        r003(r#""open""#, start, r#""2024-02-01T09:00:00Z""#, &[]);
        r003(r#""open""#, start, start, &["0 days"]);
    }

    #[test]
    fn time_zones_count() {
        let r003 =
            |start: &str, end: &str, expect: &[&str]| check("R003", &tender(r#""open""#, start, end), expect);
        r003(r#""2024-03-01T00:00:00+09:00""#, r#""2024-03-15T20:00:00-05:00""#, &[]);
        r003(r#""2024-03-01T00:00:00-09:00""#, r#""2024-03-16T00:00:00+05:00""#, &["14.42 days"]);
        r003(r#""2024-03-01""#, r#""2024-03-15""#, &["14 days"]);
        r003(r#""2024-03-01""#, r#""2024-03-16""#, &[]);
    }

    #[test]
    fn the_notice_stands_in_for_a_missing_start() {
        let release = |kind: &str| {
            format!(
                r#"{{"ocid":"o","tender":{{"procurementMethod":"open","documents":[{{"documentType":"{kind}","datePublished":"2024-03-01T00:00:00Z"}}],"tenderPeriod":{{"endDate":"2024-03-03T00:00:00Z"}}}}}}"#
            )
        };
        check("R003", &release("tenderNotice"), &["2 days"]);
        check("R003", &release("biddingDocuments"), &[]);
    }
}
