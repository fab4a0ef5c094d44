//! What is said about the documents of a case together.

use crate::domain::Document;
use crate::domain::check::{MAX_PROBLEMS, Problem, Verdict};
use crate::domain::name::Hash;

/// A problem of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Name of the document.
    pub document: String,
    /// What is wrong.
    pub problem: Problem,
}

/// The report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// True when every document can be worked on.
    pub acceptable: bool,
    /// The first problems.
    pub rejections: Vec<Rejection>,
    /// How many there are.
    pub count: u64,
    /// Size of all documents together.
    pub total_bytes: u64,
    /// Why the first document that cannot be used is refused; empty when all can.
    pub reason: String,
}

impl Default for Report {
    fn default() -> Self {
        Self { acceptable: true, rejections: Vec::new(), count: 0, total_bytes: 0, reason: String::new() }
    }
}

impl Report {
    /// Adds what was found in a document.
    pub fn add(&mut self, document: &Document, verdict: Verdict) {
        self.total_bytes += document.size;
        let shown = match document.filename.as_str() {
            "" => document.hash.name(),
            name => name.to_owned(),
        };
        self.refuse(&document.hash.name(), &shown, verdict);
    }

    /// Adds a document that does not exist for this tenant.
    pub fn add_missing(&mut self, hash: Hash) {
        let problem = Problem::whole("there is no such document: upload it first");
        self.refuse(&hash.name(), &hash.name(), Verdict::refused(problem));
    }

    /// Adds a document that may be gone before the case is decided.
    pub fn add_temporary(&mut self, hash: Hash) {
        let problem = Problem::whole("it is kept only for some time: upload it without `temporary`");
        self.refuse(&hash.name(), &hash.name(), Verdict::refused(problem));
    }

    fn refuse(&mut self, name: &str, shown: &str, verdict: Verdict) {
        let first = verdict.problems.first.first();
        if !verdict.usable && self.acceptable {
            self.acceptable = false;
            self.reason = first.map(|problem| sentence(shown, problem)).unwrap_or_default();
        }
        self.count += verdict.problems.count;
        let room = MAX_PROBLEMS.saturating_sub(self.rejections.len());
        let problems = verdict.problems.first.into_iter().take(room);
        self.rejections.extend(problems.map(|problem| Rejection { document: name.to_owned(), problem }));
    }
}

fn sentence(shown: &str, problem: &Problem) -> String {
    match problem.line {
        0 => format!("{shown}: {}", problem.reason),
        line => format!("{shown}, line {line}: {}", problem.reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::{Check, Kind};
    use probity_types::Micros;

    fn add(report: &mut Report, filename: &str, text: &str) {
        let document = Document {
            hash: Hash([1; 32]),
            media_type: String::new(),
            filename: filename.to_owned(),
            size: text.len() as u64,
            created: Micros(0),
            expires: None,
        };
        let mut check = Check::new(Kind::Tender);
        check.feed(text.as_bytes());
        report.add(&document, check.finish());
    }

    #[test]
    fn names_the_first_document_that_cannot_be_used() {
        let mut report = Report::default();
        add(&mut report, "good.json", "{}");
        add(&mut report, "lines.jsonl", "{}\n{\n");
        assert!(report.acceptable && report.reason.is_empty() && report.count == 1);
        add(&mut report, "bad.json", "{\n]");
        add(&mut report, "", "");
        report.add_missing(Hash([2; 32]));
        assert!(!report.acceptable);
        assert!(report.reason.starts_with("bad.json, line 2: column 1"), "{}", report.reason);
        assert_eq!((report.count, report.rejections.len(), report.total_bytes), (4, 4, 10));
        assert!(report.rejections[3].document.starts_with("documents/0202"));
    }

    #[test]
    fn counts_what_it_does_not_list() {
        let mut report = Report::default();
        for _ in 0..3 {
            add(&mut report, "x", &format!("{{}}\n{}", "[\n".repeat(70)));
        }
        assert!(report.acceptable && report.count == 210 && report.rejections.len() == MAX_PROBLEMS);
    }
}
