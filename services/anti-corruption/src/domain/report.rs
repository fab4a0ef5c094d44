//! Signs of wrongdoing in what people write: reports and messages.
//!
//! Words from lists ([`words`]) are looked for with their boundaries and not
//! where they are denied; names are screened; amounts and dates are noted.
//! Deliberately absent: any judgement whether the writer is right.

mod mail;
mod mentions;
mod scan;
mod words;

use super::{
    Document, Evidence, Finding, Findings, Index, Kind, Outcome, Refusals, Rejection, Settings, Severity,
    rules, text,
};
use scan::{Mention, Text};
use std::collections::BTreeMap;

/// Largest text that is read.
const MAX_TEXT_BYTES: usize = 4 * 1024 * 1024;
/// Characters of the text that are quoted around a mention.
const AROUND: usize = 80;

/// Reads the texts of a case and looks for signs.
#[must_use]
pub fn investigate(kind: Kind, documents: &[Document], index: &Index, settings: &Settings) -> Outcome {
    let mut refusals = Refusals::new(settings);
    let mut texts = Vec::new();
    for document in documents {
        match read(kind, document) {
            Ok(text) => texts.push((document, text)),
            Err(reason) => refusals.item(Rejection {
                document: document.name.clone(),
                line: 0,
                field: String::new(),
                reason,
            }),
        }
    }
    let scanned: Vec<_> = texts.iter().map(|(document, text)| (*document, Text::new(text))).collect();
    let mut findings = Findings::new(settings);
    let mut facts = mentions::facts(&texts.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>());
    words_found(kind, &scanned, &mut findings, &mut facts);
    names_found(&scanned, index, &mut findings);
    Outcome::new(findings, refusals, texts.len() as u64, facts)
}

/// The text of a document.
fn read(kind: Kind, document: &Document) -> Result<String, String> {
    if document.bytes.len() > MAX_TEXT_BYTES {
        return Err(format!("the text is longer than {} MiB: split it", MAX_TEXT_BYTES >> 20));
    }
    let mail = (kind == Kind::Message).then(|| mail::text(&document.bytes)).flatten();
    let text = mail.map_or_else(|| text::decode(&document.bytes).map(Into::into), Ok)?;
    if text.trim().is_empty() { Err("the document is empty".to_owned()) } else { Ok(text) }
}

/// A finding for each kind of wrongdoing that is mentioned.
fn words_found(
    kind: Kind,
    texts: &[(&Document, Text<'_>)],
    findings: &mut Findings,
    facts: &mut BTreeMap<String, String>,
) {
    let mut by_rule: BTreeMap<&'static str, Vec<(&Document, &Text<'_>, Mention)>> = BTreeMap::new();
    let mut denied = 0;
    for (document, text) in texts {
        for mention in scan::mentions(text) {
            if mention.denied {
                denied += 1;
            } else {
                by_rule.entry(mention.rule).or_default().push((document, text, mention));
            }
        }
    }
    let found: Vec<_> = by_rule.keys().copied().collect();
    facts.insert("mentions".to_owned(), found.join(", "));
    facts.insert("denied_mentions".to_owned(), denied.to_string());
    for (rule, mentions) in by_rule {
        findings.add(word_finding(kind, rule, &mentions));
    }
}

fn word_finding(kind: Kind, rule: &'static str, mentions: &[(&Document, &Text<'_>, Mention)]) -> Finding {
    let mut words: Vec<_> =
        mentions.iter().map(|(_, text, mention)| text.shown(mention).to_lowercase()).collect();
    words.sort_unstable();
    words.dedup();
    let alone = kind == Kind::Message && mentions.len() == 1;
    let title = rules::find(rule).map_or(rule, |rule| rule.title);
    let evidence =
        mentions.iter().take(super::finding::MAX_EVIDENCE).map(|(document, text, mention)| Evidence {
            document: document.name.clone(),
            locator: format!("line {}", text.line(mention.start)),
            text: text::quote(text.around(mention, AROUND)),
        });
    Finding {
        rule,
        severity: if alone { Severity::Low } else { rules::severity(rule) },
        value: text::quote(&format!(
            "{}: {}",
            text::count(mentions.len(), "mention", "mentions"),
            text::list(&words, 8)
        )),
        threshold: "1 mention that is not denied".to_owned(),
        peer_group: format!("kind={}", kind.as_str()),
        evidence: evidence.collect(),
        explanation: format!(
            "{title}: {} ({}). Words alone prove nothing; they say where to read. Read the passages, note who is \
             said to have done what and when, and protect the writer.",
            text::count(mentions.len(), "place", "places"),
            text::clean(&text::list(&words, 8), 300),
        ),
    }
}

/// A finding for each entry of a watchlist whose name stands in a text.
fn names_found(texts: &[(&Document, Text<'_>)], index: &Index, findings: &mut Findings) {
    let mut by_entry: BTreeMap<(&str, &str), (Finding, usize)> = BTreeMap::new();
    for (document, text) in texts {
        for (shown, hit) in index.search_text(text.as_str()) {
            let start = shown.as_ptr() as usize - text.as_str().as_ptr() as usize;
            let evidence = Evidence {
                document: document.name.clone(),
                locator: format!("line {}", text.line(start)),
                text: text::quote(text.around_span(start, start + shown.len(), AROUND)),
            };
            let entry = by_entry
                .entry((hit.watchlist, &hit.entry.id))
                .or_insert_with(|| (name_finding(&text::clean(shown, 200), &hit), 0));
            entry.1 += 1;
            if entry.0.evidence.len() < super::finding::MAX_EVIDENCE {
                entry.0.evidence.push(evidence);
            }
        }
    }
    for (mut finding, places) in by_entry.into_values() {
        finding.value = format!("{} ({})", finding.value, text::count(places, "place", "places"));
        findings.add(finding);
    }
}

fn name_finding(shown: &str, hit: &super::watchlist::Hit<'_>) -> Finding {
    Finding {
        rule: "RPT-SANCTIONED",
        severity: if hit.is_alias { Severity::Medium } else { rules::severity("RPT-SANCTIONED") },
        value: shown.to_owned(),
        threshold: "no entry of that name".to_owned(),
        peer_group: format!("watchlist={}", hit.watchlist),
        evidence: Vec::new(),
        explanation: text::clean(
            &format!(
                "the text names {shown}, the same name as {}. Names can be shared: compare what the text says of the \
                 person or company with the entry.",
                hit.describe()
            ),
            1_500,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::watchlist::testing::index;

    fn outcome(kind: Kind, text: &[u8]) -> Outcome {
        let documents = [Document { name: "documents/d".into(), bytes: text.to_vec().into() }];
        investigate(kind, &documents, &index(), &Settings::default())
    }

    fn check(kind: Kind, text: &str, expect: &[(&str, Severity)]) {
        let outcome = outcome(kind, text.as_bytes());
        let found: Vec<_> = outcome.findings.iter().map(|f| (f.rule, f.severity)).collect();
        assert_eq!(found, expect, "{text}");
        for finding in &outcome.findings {
            assert!(rules::find(finding.rule).is_some() && !finding.evidence.is_empty());
        }
    }

    #[test]
    fn reports_speak_and_denials_do_not() {
        let report = |text: &str, expect: &[(&str, Severity)]| check(Kind::Report, text, expect);
        report("My manager took a bribe from the supplier.", &[("RPT-BRIBERY", Severity::Medium)]);
        report("There was no bribe. Nobody ever offered a kickback.", &[("RPT-KICKBACK", Severity::Medium)]);
        report("We found no evidence of bribery.", &[]);
        report("Anti-bribery training is on Monday; see the bribery policy.", &[]);
        report("The bribers were told.", &[("RPT-BRIBERY", Severity::Medium)]);
        report("He scribbled; a vibration.", &[]);
        report("Undeclared conflict of\ninterest of the officer", &[("RPT-CONFLICT", Severity::Low)]);
        report("Er hat Schmiergeld angenommen.", &[("RPT-BRIBERY", Severity::Medium)]);
        report("Il a touché un pot-de-vin.", &[("RPT-BRIBERY", Severity::Medium)]);
        report("Recibió un soborno de la empresa.", &[("RPT-BRIBERY", Severity::Medium)]);
        report("Es gab keine Bestechung.", &[]);
        report("Lunch was nice.", &[]);
    }

    #[test]
    fn one_word_in_a_message_weighs_less() {
        check(Kind::Message, "about that bribe", &[("RPT-BRIBERY", Severity::Low)]);
        check(Kind::Message, "the bribe, the other bribe", &[("RPT-BRIBERY", Severity::Medium)]);
        let mail = "From: Kim <kim@example.org>\r\nSubject: =?utf-8?q?kickback?=\r\nContent-Transfer-Encoding: quoted-printable\r\nContent-Type: text/plain; charset=utf-8\r\n\r\na brib=\r\ne of 5,000 EUR\r\n";
        let found = outcome(Kind::Message, mail.as_bytes());
        let rules: Vec<_> = found.findings.iter().map(|f| f.rule).collect();
        assert_eq!(rules, ["RPT-BRIBERY", "RPT-KICKBACK"]);
        assert_eq!(found.facts["amounts_mentioned"], "5,000 EUR");
    }

    #[test]
    fn names_are_screened_and_texts_that_are_none_refused() {
        check(Kind::Report, "We pay Evil Trading monthly.", &[("RPT-SANCTIONED", Severity::High)]);
        check(Kind::Report, "We pay ETL Worldwide monthly.", &[("RPT-SANCTIONED", Severity::Medium)]);
        for bad in [&b""[..], b" \n ", b"%PDF-1.4 x", b"a\0b"] {
            let found = outcome(Kind::Report, bad);
            assert_eq!((found.items_read, found.items_refused), (0, 1), "{bad:?}");
        }
        assert_eq!(outcome(Kind::Report, b"Bestechung mit \xFCber 5").items_read, 1);
    }

    #[test]
    fn evidence_names_the_line() {
        let found = outcome(Kind::Report, b"Dear all,\n\nthe clerk was bribed in May.\n");
        assert_eq!(found.findings[0].evidence[0].locator, "line 3");
        assert!(found.findings[0].evidence[0].text.contains("clerk was bribed in May"));
    }
}
