//! Between the contract and the domain, and the limits of requests.

use crate::domain::rates::{Rates, Said, Tally};
use crate::domain::watchlist::Hit;
use crate::domain::{Evidence, Finding, Kind, Outcome, Rejection, Rule, Settings, Severity};
use crate::error::Error;
use crate::store::{StoredFinding, StoredList};
use probity_proto::anticorruption as pb;
use probity_proto::common;
use probity_proto::time::{micros, timestamp};
use probity_types::Micros;
use probity_types::id::{CaseId, FindingId};
use std::collections::HashSet;
use std::time::Duration;

/// Most documents of a request.
pub(crate) const MAX_DOCUMENTS: usize = 100;
/// Findings in the answer of an investigation.
pub(crate) const MAX_SUMMARY_FINDINGS: usize = 50;
/// Refusals in the answer of an investigation.
pub(crate) const MAX_SUMMARY_REJECTIONS: usize = 20;
/// Longest name that is screened, in characters.
pub(crate) const MAX_NAME_CHARS: usize = 500;
/// Longest note of a disposition, in characters.
pub(crate) const MAX_NOTE_CHARS: usize = 2_000;
/// The stretch of time that false positives are counted in when none is given.
const USUAL_WINDOW: Duration = Duration::from_hours(24 * 30);
const LONGEST_WINDOW: Duration = Duration::from_hours(24 * 3_660);
/// Longest name of a watchlist.
pub(crate) const MAX_LIST_NAME: usize = 63;

/// A checked request to investigate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Investigate {
    pub(crate) case: CaseId,
    pub(crate) kind: Kind,
    /// Each once, in the order given.
    pub(crate) documents: Vec<String>,
}

/// A checked request to dispose of a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dispose {
    pub(crate) case: CaseId,
    pub(crate) finding: FindingId,
    pub(crate) disposition: i32,
    pub(crate) note: String,
}

/// A checked request to import a watchlist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    pub(crate) name: String,
    pub(crate) primary: String,
    pub(crate) aliases: Option<String>,
}

impl TryFrom<&pb::InvestigateRequest> for Investigate {
    type Error = Error;

    fn try_from(request: &pb::InvestigateRequest) -> Result<Self, Error> {
        let case = case("case", &request.case)?;
        let kind = kind(request.kind)?;
        let count = request.documents.len();
        if count == 0 || count > MAX_DOCUMENTS {
            let reason = format!("{count} documents; send 1 to {MAX_DOCUMENTS}");
            return Err(Error::request("documents", reason));
        }
        let mut seen = HashSet::new();
        let mut documents = Vec::with_capacity(count);
        for (n, name) in request.documents.iter().enumerate() {
            let name = document(&format!("documents[{n}]"), name)?;
            if seen.insert(name.clone()) {
                documents.push(name);
            }
        }
        Ok(Self { case, kind, documents })
    }
}

impl TryFrom<&pb::SetDispositionRequest> for Dispose {
    type Error = Error;

    fn try_from(request: &pb::SetDispositionRequest) -> Result<Self, Error> {
        let parts = request.name.split_once("/findings/");
        let (case_name, finding) = parts.ok_or_else(|| bad_finding(&request.name))?;
        let disposition = pb::Disposition::try_from(request.disposition).unwrap_or_default();
        if disposition == pb::Disposition::Unspecified {
            let reason = "say DISPOSITION_CONFIRMED, DISPOSITION_FALSE_POSITIVE or DISPOSITION_INCONCLUSIVE";
            return Err(Error::request("disposition", reason));
        }
        if request.note.chars().count() > MAX_NOTE_CHARS {
            return Err(Error::request("note", format!("longer than {MAX_NOTE_CHARS} characters")));
        }
        Ok(Self {
            case: case("name", case_name).map_err(|_| bad_finding(&request.name))?,
            finding: finding.parse().map_err(|_| bad_finding(&request.name))?,
            disposition: disposition.into(),
            note: crate::domain::text::clean(&request.note, MAX_NOTE_CHARS),
        })
    }
}

impl TryFrom<&pb::ImportWatchlistRequest> for Import {
    type Error = Error;

    fn try_from(request: &pb::ImportWatchlistRequest) -> Result<Self, Error> {
        let name = &request.watchlist;
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let starts_well = name.bytes().next().is_some_and(|b| b != b'-');
        if !starts_well || name.len() > MAX_LIST_NAME || !name.bytes().all(allowed) {
            let reason = format!(
                "is no name such as `ofac-sdn`: lower-case letters, digits and hyphens, at most {MAX_LIST_NAME}"
            );
            return Err(Error::request("watchlist", reason));
        }
        let aliases = Some(&request.alias_document).filter(|alias| !alias.is_empty());
        Ok(Self {
            name: name.clone(),
            primary: document("primary_document", &request.primary_document)?,
            aliases: aliases.map(|alias| document("alias_document", alias)).transpose()?,
        })
    }
}

/// Reads `cases/<id>`.
pub(crate) fn case(field: &str, name: &str) -> Result<CaseId, Error> {
    let id = name.strip_prefix("cases/").and_then(|id| id.parse().ok());
    id.ok_or_else(|| Error::request(field, format!("{:?} is no case such as cases/case_…", shown(name))))
}

/// `cases/<id>`.
pub(crate) fn case_name(case: CaseId) -> String {
    format!("cases/{case}")
}

/// `cases/<id>/findings/<id>`.
pub(crate) fn finding_name(case: CaseId, finding: FindingId) -> String {
    format!("cases/{case}/findings/{finding}")
}

fn bad_finding(name: &str) -> Error {
    Error::request("name", format!("{:?} is no finding such as cases/case_…/findings/find_…", shown(name)))
}

fn document(field: &str, name: &str) -> Result<String, Error> {
    let hash = name.strip_prefix("documents/").unwrap_or_default();
    if hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return Ok(name.to_owned());
    }
    let reason = format!("{:?} is no document: documents/ and 64 lower-case hex digits", shown(name));
    Err(Error::request(field, reason))
}

/// A name to screen.
pub(crate) fn name(request: &pb::ScreenNameRequest) -> Result<&str, Error> {
    let name = request.name.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME_CHARS {
        return Err(Error::request("name", format!("a name of 1 to {MAX_NAME_CHARS} characters is needed")));
    }
    Ok(name)
}

fn shown(text: &str) -> String {
    crate::domain::text::clean(text, 80)
}

fn kind(number: i32) -> Result<Kind, Error> {
    match common::CaseKind::try_from(number) {
        Ok(common::CaseKind::Tender) => Ok(Kind::Tender),
        Ok(common::CaseKind::Payment) => Ok(Kind::Payment),
        Ok(common::CaseKind::Message) => Ok(Kind::Message),
        Ok(common::CaseKind::Report) => Ok(Kind::Report),
        Ok(common::CaseKind::Unspecified) | Err(_) => {
            let reason = "say CASE_KIND_TENDER, CASE_KIND_PAYMENT, CASE_KIND_MESSAGE or CASE_KIND_REPORT";
            Err(Error::request("kind", reason))
        }
    }
}

pub(crate) fn kind_number(kind: Kind) -> i32 {
    match kind {
        Kind::Tender => common::CaseKind::Tender,
        Kind::Payment => common::CaseKind::Payment,
        Kind::Message => common::CaseKind::Message,
        Kind::Report => common::CaseKind::Report,
    }
    .into()
}

/// The answer of an investigation.
pub(crate) fn response(kind: Kind, outcome: &Outcome) -> pb::InvestigateResponse {
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    pb::InvestigateResponse {
        finding_count: count(outcome.finding_count),
        max_severity: outcome.max_severity().map_or(0, Severity::number),
        findings: outcome.findings.iter().take(MAX_SUMMARY_FINDINGS).map(finding_summary).collect(),
        facts: outcome.facts.clone().into_iter().collect(),
        items_read: count(outcome.items_read),
        items_refused: count(outcome.items_refused),
        rejections: outcome.rejections.iter().take(MAX_SUMMARY_REJECTIONS).map(rejection).collect(),
        summary: summary(kind, outcome),
    }
}

/// One sentence for a person.
fn summary(kind: Kind, outcome: &Outcome) -> String {
    let item = match kind {
        Kind::Tender => "release or record",
        Kind::Payment => "payment row",
        Kind::Message | Kind::Report => "text",
    };
    let (read, refused) = (outcome.items_read, outcome.items_refused);
    let found = match (outcome.finding_count, outcome.max_severity()) {
        (0, _) | (_, None) => "no red flags".to_owned(),
        (1, Some(severity)) => format!("1 red flag of {} severity", severity.as_str()),
        (n, Some(severity)) => format!("{n} red flags, the most serious of {} severity", severity.as_str()),
    };
    let unchecked = outcome.facts.get("watchlists_searched").is_some_and(|lists| lists == "0");
    let names = if unchecked { "; names were not screened, because no watchlist is loaded" } else { "" };
    format!("{read} × {item} read, {refused} refused: {found}{names}.")
}

fn finding_summary(finding: &Finding) -> common::FindingSummary {
    common::FindingSummary {
        rule: finding.rule.to_owned(),
        severity: finding.severity.number(),
        explanation: finding.explanation.clone(),
        value: finding.value.clone(),
        threshold: finding.threshold.clone(),
    }
}

/// A refused item.
pub(crate) fn rejection(rejection: &Rejection) -> common::Rejection {
    common::Rejection {
        document: rejection.document.to_string(),
        line: i64::try_from(rejection.line).unwrap_or(i64::MAX),
        field: rejection.field.clone(),
        reason: rejection.reason.clone(),
    }
}

/// A finding as it is stored.
pub(crate) fn finding(case: CaseId, stored: &StoredFinding) -> pb::Finding {
    let evidence = |e: &Evidence| pb::Evidence {
        document: e.document.to_string(),
        locator: e.locator.clone(),
        text: e.text.clone(),
    };
    let title = crate::domain::rules::find(&stored.rule).map_or("", |rule| rule.title);
    pb::Finding {
        name: finding_name(case, stored.id),
        rule: stored.rule.clone(),
        title: title.to_owned(),
        severity: stored.severity,
        value: stored.value.clone(),
        threshold: stored.threshold.clone(),
        peer_group: stored.peer_group.clone(),
        evidence: stored.evidence.iter().map(evidence).collect(),
        explanation: stored.explanation.clone(),
        disposition: stored.disposition,
        disposed_by: stored.disposed_by.clone(),
        create_time: Some(timestamp(stored.created.0)),
        disposition_note: stored.note.clone(),
    }
}

/// What people make of flags, in the words of the domain; nothing for a number that
/// says nothing.
pub(crate) fn said(disposition: i32) -> Option<Said> {
    match pb::Disposition::try_from(disposition) {
        Ok(pb::Disposition::Confirmed) => Some(Said::Confirmed),
        Ok(pb::Disposition::FalsePositive) => Some(Said::FalsePositive),
        Ok(pb::Disposition::Inconclusive) => Some(Said::Inconclusive),
        Ok(pb::Disposition::Unspecified) | Err(_) => None,
    }
}

/// The stretch of time that is asked for.
pub(crate) fn window(
    request: &pb::GetFalsePositiveRatesRequest,
    now: Micros,
) -> Result<(Micros, Micros), Error> {
    let until = request.until.as_ref().map_or(now, |until| Micros(micros(until)));
    let window = request.window.map_or(Ok(USUAL_WINDOW), Duration::try_from);
    let window = window.ok().filter(|window| !window.is_zero() && *window <= LONGEST_WINDOW);
    let window = window.and_then(|window| i64::try_from(window.as_micros()).ok()).ok_or_else(|| {
        Error::request("window", "must be more than nothing and at most 3,660 days, such as 2592000s")
    })?;
    Ok((Micros(until.0.saturating_sub(window)), until))
}

/// How often flags were wrong.
pub(crate) fn rates(rates: &Rates, (from, until): (Micros, Micros)) -> pb::FalsePositiveRates {
    let rate = |of: &str, tally: &Tally| pb::FalsePositiveRate {
        of: of.to_owned(),
        confirmed: tally.confirmed,
        false_positives: tally.false_positives,
        inconclusive: tally.inconclusive,
        rate: tally.rate(),
    };
    pb::FalsePositiveRates {
        from: Some(timestamp(from.0)),
        until: Some(timestamp(until.0)),
        total: Some(rate("", &rates.total)),
        rules: rates.rules.iter().map(|(rule, tally)| rate(rule, tally)).collect(),
        kinds: rates.kinds.iter().map(|(kind, tally)| rate(kind, tally)).collect(),
    }
}

/// A rule with the threshold in force.
pub(crate) fn rule(rule: &Rule, settings: &Settings) -> pb::Rule {
    pb::Rule {
        id: rule.id.to_owned(),
        title: rule.title.to_owned(),
        kind: kind_number(rule.kind),
        threshold: (rule.threshold)(settings),
        severity: rule.severity.number(),
        source: rule.source.to_owned(),
    }
}

/// An entry that matched.
pub(crate) fn hit(hit: &Hit<'_>) -> pb::WatchlistHit {
    pb::WatchlistHit {
        watchlist: hit.watchlist.to_owned(),
        entry_id: hit.entry.id.clone(),
        entry_name: hit.entry.name.clone(),
        entry_type: hit.entry.kind.clone(),
        programs: hit.entry.programs.clone(),
        matched_on: if hit.is_alias { "alias" } else { "name" }.to_owned(),
    }
}

/// A loaded list.
pub(crate) fn watchlist(list: &StoredList) -> pb::Watchlist {
    pb::Watchlist {
        watchlist: list.name.clone(),
        entries: list.entries,
        aliases: list.aliases,
        sha256: list.sha256.clone(),
        load_time: Some(timestamp(list.loaded.0)),
        rows_refused: list.rows_refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn field<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
        match result {
            Err(Error::Request { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn requests_are_checked() {
        let case = CaseId::new();
        let good = pb::InvestigateRequest {
            case: case_name(case),
            kind: common::CaseKind::Tender.into(),
            documents: vec![format!("documents/{HASH}"), format!("documents/{HASH}")],
        };
        assert_eq!(Investigate::try_from(&good).unwrap().documents.len(), 1);
        let check = |change: fn(&mut pb::InvestigateRequest), wrong: &str| {
            let mut request = good.clone();
            change(&mut request);
            assert_eq!(field(Investigate::try_from(&request)), wrong);
        };
        check(|r| r.case = "case_1".to_owned(), "case");
        check(|r| r.kind = 0, "kind");
        check(|r| r.kind = 99, "kind");
        check(|r| r.documents.clear(), "documents");
        check(|r| r.documents = vec![format!("documents/{HASH}"); 101], "documents");
        check(|r| r.documents[1].push('0'), "documents[1]");
        check(|r| r.documents[0] = r.documents[0].to_uppercase(), "documents[0]");
    }

    #[test]
    fn dispositions_and_lists_are_checked() {
        let name = finding_name(CaseId::new(), FindingId::new());
        let good = pb::SetDispositionRequest { name, disposition: 1, note: "because".to_owned() };
        assert!(Dispose::try_from(&good).is_ok());
        let with = |name: &str, disposition: i32, note: String| {
            field(Dispose::try_from(&pb::SetDispositionRequest { name: name.to_owned(), disposition, note }))
        };
        assert_eq!(with("cases/x/findings/y", 1, String::new()), "name");
        assert_eq!(with("x", 1, String::new()), "name");
        assert_eq!(with(&good.name, 0, String::new()), "disposition");
        assert_eq!(with(&good.name, 9, String::new()), "disposition");
        assert_eq!(with(&good.name, 1, "x".repeat(2_001)), "note");
        let import = |name: &str, primary: &str, alias: &str| {
            field(Import::try_from(&pb::ImportWatchlistRequest {
                watchlist: name.to_owned(),
                primary_document: primary.to_owned(),
                alias_document: alias.to_owned(),
            }))
        };
        let document = format!("documents/{HASH}");
        assert_eq!(import("OFAC", &document, ""), "watchlist");
        assert_eq!(import("-x", &document, ""), "watchlist");
        assert_eq!(import("", &document, ""), "watchlist");
        assert_eq!(import("ofac", "x", ""), "primary_document");
        assert_eq!(import("ofac", &document, "x"), "alias_document");
    }

    #[test]
    fn names_have_a_length() {
        let with = |name: &str| name_of(name).is_ok();
        assert!(with("A") && with(&"x".repeat(500)) && !with("  ") && !with(&"x".repeat(501)));
    }

    fn name_of(text: &str) -> Result<String, Error> {
        name(&pb::ScreenNameRequest { name: text.to_owned() }).map(ToOwned::to_owned)
    }

    #[test]
    fn a_summary_says_what_was_not_checked() {
        let mut outcome = Outcome { items_read: 1, ..Outcome::default() };
        outcome.facts.insert("watchlists_searched".to_owned(), "0".to_owned());
        let text = summary(Kind::Payment, &outcome);
        assert!(text.contains("no red flags") && text.contains("not screened"), "{text}");
        outcome.facts.insert("watchlists_searched".to_owned(), "2".to_owned());
        assert!(!summary(Kind::Payment, &outcome).contains("not screened"));
    }
}
