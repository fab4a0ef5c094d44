//! Reading OCDS 1.1: from documents to procedures.
//!
//! Taken: release packages, record packages, single releases and records, arrays
//! of them, and JSON Lines of any of these. Unknown fields and extensions are
//! left alone. Releases of one procedure (`ocid`) are merged in order of their
//! dates, so a rule sees the procedure as it last stood, however many documents
//! it is spread over. Deliberately absent: schema validation; a field is judged
//! when a rule reads it.

pub mod fields;
pub mod items;
pub mod merge;
pub mod model;

use super::json::{Node, Place};
use super::{Document, Refusals, Rejection, Settings, text};
use items::{Item, Piece};
use model::Procedure;
use std::collections::HashMap;

/// Most releases of one procedure: merging takes time with each.
const MAX_RELEASES: usize = 1_000;

/// A procedure's pieces, in the order they were found.
#[derive(Debug, Default)]
struct Group<'a> {
    items: Vec<(Item<'a>, Vec<Piece<'a>>)>,
}

/// Reads every procedure of the documents and hands it to `each`; returns how
/// many items (releases, records, lines) were read.
pub fn read(
    documents: &[Document],
    settings: &Settings,
    refusals: &mut Refusals,
    mut each: impl FnMut(&Procedure),
) -> u64 {
    let mut groups = Vec::new();
    let mut by_ocid = HashMap::new();
    for item in all_items(documents, settings, refusals) {
        sort_in(item, documents, &mut groups, &mut by_ocid, refusals);
    }
    let mut items_read = 0;
    for group in groups {
        let (procedure, read) = assemble(group, documents, refusals);
        items_read += read;
        if let Some(procedure) = procedure {
            note_problems(&procedure, documents, refusals);
            each(&procedure);
        }
    }
    items_read
}

/// The items of all documents, no more than the settings allow.
fn all_items<'a>(documents: &'a [Document], settings: &Settings, refusals: &mut Refusals) -> Vec<Item<'a>> {
    let mut found = Vec::new();
    for (number, document) in documents.iter().enumerate() {
        match text::utf8(&document.bytes) {
            Ok(text) => items::split(number, document, text, &mut found, refusals),
            Err(reason) => refusals.item(whole(document, reason)),
        }
    }
    let over = found.len().saturating_sub(settings.max_tenders);
    if let Some(first) = found.get(settings.max_tenders) {
        let reason = format!(
            "only {} releases or records of a case are read: this and {} more were left out; open another case for them",
            settings.max_tenders,
            over - 1
        );
        refusals.item(refuse(documents, first, reason));
        refusals.more_items(over as u64 - 1);
        found.truncate(settings.max_tenders);
    }
    found
}

/// Puts an item with the others of its procedure.
fn sort_in<'a>(
    item: Item<'a>,
    documents: &[Document],
    groups: &mut Vec<Group<'a>>,
    by_ocid: &mut HashMap<String, usize>,
    refusals: &mut Refusals,
) {
    match items::pieces(&item) {
        Err(reason) => refusals.item(refuse(documents, &item, reason)),
        Ok((ocid, pieces)) => {
            let next = groups.len();
            let group = ocid.map_or(next, |ocid| *by_ocid.entry(ocid).or_insert(next));
            if group == next {
                groups.push(Group::default());
            }
            if groups[group].items.len() == MAX_RELEASES {
                let reason = format!("only {MAX_RELEASES} releases of one procedure are read");
                return refusals.item(refuse(documents, &item, reason));
            }
            groups[group].items.push((item, pieces));
        }
    }
}

/// Merges the pieces of one procedure; says how many of its items could be read.
fn assemble(group: Group<'_>, documents: &[Document], refusals: &mut Refusals) -> (Option<Procedure>, u64) {
    let mut nodes = Vec::new();
    let mut read = 0;
    for (item, pieces) in group.items {
        match build(&item, &pieces) {
            Ok(built) => {
                nodes.extend(built);
                read += 1;
            }
            Err(reason) => refusals.item(refuse(documents, &item, reason)),
        }
    }
    (merge::in_order(nodes).map(|node| Procedure::of(&node)), read)
}

fn build<'a>(item: &Item<'a>, pieces: &[Piece<'a>]) -> Result<Vec<Node<'a>>, String> {
    let place = |piece: &Piece<'_>| Place::root(item.document, item.line, item.in_line, &piece.pointer);
    pieces.iter().map(|piece| Node::build(piece.raw, place(piece))).collect()
}

fn note_problems(procedure: &Procedure, documents: &[Document], refusals: &mut Refusals) {
    for problem in &procedure.problems {
        let Some(document) = documents.get(problem.at.document()) else { continue };
        refusals.note(Rejection {
            document: document.name.clone(),
            line: problem.at.line(),
            field: text::quote(&problem.at.pointer()),
            reason: format!("{}; the field was set aside, the rest was evaluated", problem.reason),
        });
    }
}

fn whole(document: &Document, reason: String) -> Rejection {
    Rejection { document: document.name.clone(), line: 0, field: String::new(), reason }
}

fn refuse(documents: &[Document], item: &Item<'_>, reason: String) -> Rejection {
    let document = documents.get(item.document).map_or_else(|| "".into(), |document| document.name.clone());
    Rejection { document, line: item.line, field: text::quote(&item.pointer), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(texts: &[&str]) -> Vec<Document> {
        let document = |(n, text): (usize, &&str)| Document {
            name: format!("documents/{n}").into(),
            bytes: text.as_bytes().to_vec().into(),
        };
        texts.iter().enumerate().map(document).collect()
    }

    /// Titles of the procedures, items read, items refused.
    fn check(texts: &[&str], titles: &[&str], read_items: u64, refused: u64) -> Vec<Rejection> {
        let settings = Settings::default();
        let mut refusals = Refusals::new(&settings);
        let mut found = Vec::new();
        let documents = documents(texts);
        let items = read(&documents, &settings, &mut refusals, |procedure| {
            found.push(procedure.tender.title.as_ref().map_or(String::new(), |t| t.value.clone()));
        });
        assert_eq!(
            (found.iter().map(String::as_str).collect::<Vec<_>>(), items),
            (titles.to_vec(), read_items)
        );
        assert_eq!(refusals.items(), refused, "{texts:?}");
        let findings = crate::domain::Findings::new(&settings);
        let mut rejections =
            crate::domain::Outcome::new(findings, refusals, 0, Default::default()).rejections;
        rejections.sort_by_key(|rejection| rejection.line);
        rejections
    }

    #[test]
    fn reads_every_shape() {
        let release = r#"{"ocid":"a","tender":{"title":"T"}}"#;
        check(&[release], &["T"], 1, 0);
        check(&[&format!(r#"{{"releases":[{release}]}}"#)], &["T"], 1, 0);
        check(
            &[&format!(r#"{{"uri":"x","releases":[{release},{{"ocid":"b","tender":{{}}}}]}}"#)],
            &["T", ""],
            2,
            0,
        );
        check(&[&format!(r#"{{"records":[{{"ocid":"a","compiledRelease":{release}}}]}}"#)], &["T"], 1, 0);
        check(&[&format!(r#"{{"ocid":"a","compiledRelease":{release}}}"#)], &["T"], 1, 0);
        check(&[&format!(r#"{{"ocid":"a","releases":[{release}]}}"#)], &["T"], 1, 0);
        check(&[&format!("[{release},{release}]")], &["T"], 2, 0);
        check(&[&format!("{release}\n\n{release}\r\n")], &["T"], 2, 0);
        check(&[&format!("\u{feff}{release}")], &["T"], 1, 0);
        check(&[&format!(r#"{{"releases":[{release}]}}{}{{"records":[]}}"#, "\n")], &["T"], 1, 1);
        check(&[r#"{"tender":{"title":"no ocid"}}"#], &["no ocid"], 1, 0);
    }

    #[test]
    fn merges_a_procedure_over_releases_and_documents() {
        let first =
            r#"{"ocid":"a","date":"2024-01-01T00:00:00Z","tender":{"title":"old","status":"active"}}"#;
        let second = r#"{"ocid":"a","date":"2024-02-01T00:00:00Z","tender":{"title":"new"}}"#;
        check(&[second, first], &["new"], 2, 0);
        check(&[&format!(r#"{{"releases":[{second},{first}]}}"#)], &["new"], 2, 0);
        check(&[&format!(r#"{{"ocid":"a","releases":[{second},{first}]}}"#)], &["new"], 1, 0);
    }

    #[test]
    fn refuses_one_by_one_and_goes_on() {
        let good = r#"{"ocid":"a","tender":{"title":"T"}}"#;
        let lines = format!("{good}\n{{\"ocid\": \n{good}\nnot json\n[1]\n{{\"x\":1}}");
        let rejections = check(&[&lines], &["T"], 2, 4);
        assert_eq!(rejections.iter().map(|r| r.line).collect::<Vec<_>>(), [2, 4, 5, 6]);
        let cut = format!("{{\"releases\":[\n{good},\n{{\"ocid\":\"b\",");
        let rejections = check(&[&cut], &["T"], 1, 1);
        assert_eq!(rejections[0].line, 3);
        check(&["", "  \n ", "null", "3"], &[], 0, 4);
        check(&["{\"statementID\":\"x\"}"], &[], 0, 1);
        check(&[r#"{"releases":{}}"#, r#"{"releases":[]}"#, r#"{"releases":[1,null]}"#], &[], 0, 4);
        check(&[r#"{"records":[{"ocid":"a","releases":[{"url":"u"}]}]}"#], &[], 0, 1);
        let deep =
            format!("{good}\n{{\"ocid\":\"d\",\"tender\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        let rejections = check(&[&deep], &["T"], 1, 1);
        assert!(rejections[0].reason.contains("nested") && rejections[0].line == 2);
    }

    #[test]
    fn wrong_types_set_one_field_aside() {
        let text = r#"{"ocid":"a","tender":{"title":7,"value":{"amount":"12","currency":"EUR"},"procurementMethod":["open"],"numberOfTenderers":1.5,"tenderPeriod":{"startDate":"tomorrow"}}}"#;
        let rejections = check(&[text], &[""], 1, 0);
        let fields: Vec<_> = rejections.iter().map(|r| r.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "/tender/title",
                "/tender/procurementMethod",
                "/tender/numberOfTenderers",
                "/tender/value/amount",
                "/tender/tenderPeriod/startDate"
            ]
        );
    }
}
