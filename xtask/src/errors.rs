//! Every error code has a page, every page a code, and both say what they should.

use crate::edges::{self, Edges};
use crate::source;
use crate::{Problem, tree};
use anyhow::Result;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where the pages are.
pub const PAGES: &str = "docs/errors";

/// Prefixes anybody may use: requests refused alike everywhere, and what the
/// lower layers answer. Those of services are in `edges.toml`.
pub(crate) const SHARED: [&str; 4] = ["API", "RES", "RUN", "STO"];

/// Crates that speak for a service: its sans-I/O core.
const SPEAKS_FOR: [(&str, &str); 1] = [("crates/engine", "ORC")];

const SECTIONS: [&str; 3] = ["What happened", "What to do (caller)", "What to do (operator)"];

/// Everything that does not match.
pub fn problems(root: &Path) -> Result<Vec<Problem>> {
    let edges = edges::read(root)?;
    let codes = codes(root, &edges)?;
    let mut found: Vec<_> = codes.iter().filter_map(|(code, place)| misplaced(&edges, code, place)).collect();
    let pages = pages(root)?;
    for (code, place) in &codes {
        if !pages.contains_key(code) {
            let fix = format!("write {PAGES}/{code}.md with the sections {}", SECTIONS.join(", "));
            found.push(Problem::new(&place.0, format!("{code} has no page"), fix).at(place.1));
        }
    }
    for (code, path) in &pages {
        if codes.contains_key(code) {
            found.extend(of_page(path, code, &tree::read(root, path)?));
        } else {
            found.push(Problem::new(path, format!("nothing answers with {code}"), "remove the page"));
        }
    }
    Ok(found)
}

/// Where a code is used first: file and line.
type Place = (PathBuf, usize);

/// Every code in the crates and services, in code that is not for tests.
fn codes(root: &Path, edges: &Edges) -> Result<BTreeMap<String, Place>> {
    let mut found = BTreeMap::new();
    let services = edges.services.iter().map(|service| format!("services/{}", service.name));
    let others = ["types", "resilience", "telemetry", "engine", "storage", "runtime"];
    let others = others.iter().map(|name| format!("crates/{name}"));
    for dir in services.chain(others).chain(["services/probity".to_owned()]) {
        for source in source::of_crate(root, &dir)? {
            for (text, line) in source.strings().into_iter().filter(|(text, _)| is_code(text)) {
                found.entry(text).or_insert_with(|| (source.path.clone(), line));
            }
        }
    }
    Ok(found)
}

fn is_code(text: &str) -> bool {
    let Some((prefix, number)) = text.split_once('-') else { return false };
    let letters = prefix.len() == 3 && prefix.bytes().all(|b| b.is_ascii_uppercase());
    letters && number.len() == 4 && number.bytes().all(|b| b.is_ascii_digit())
}

fn pages(root: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let files = tree::files(root, PAGES, "md")?;
    let named = files.into_iter().filter_map(|path| Some((path.file_stem()?.to_str()?.to_owned(), path)));
    Ok(named.filter(|(stem, _)| stem != "README").collect())
}

/// A code used by somebody it does not belong to.
fn misplaced(edges: &Edges, code: &str, (file, line): &Place) -> Option<Problem> {
    let prefix = code.split('-').next().unwrap_or_default();
    let speaks = SPEAKS_FOR.iter().any(|(dir, known)| *known == prefix && file.starts_with(dir));
    if SHARED.contains(&prefix) || speaks {
        return None;
    }
    let service = edges.services.iter().find(|service| service.errors == prefix);
    let (what, fix) = match service.map(|service| format!("services/{}", service.name)) {
        Some(home) if file.starts_with(&home) => return None,
        Some(home) => {
            (format!("{code} belongs to {home}"), "use a code of this crate, or one of API".to_owned())
        }
        None => {
            let fix = format!("use a prefix of {} or one of {}", edges::FILE, SHARED.join(", "));
            (format!("nobody has the prefix {prefix}"), fix)
        }
    };
    Some(Problem::new(file, what, fix).at(*line))
}

fn of_page(path: &Path, code: &str, text: &str) -> Vec<Problem> {
    let mut found = Vec::new();
    let first = text.lines().next().unwrap_or_default();
    let title = first.strip_prefix(&format!("# {code}: ")).is_some_and(|words| !words.trim().is_empty());
    if !title {
        let fix = format!("begin it with `# {code}: what happened in a few words`");
        found.push(Problem::new(path, "the title is missing", fix).at(1));
    }
    for section in SECTIONS.into_iter().filter(|section| !text.contains(section)) {
        found.push(Problem::new(path, format!("\"{section}\" is missing"), "say it in a sentence or two"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem;

    #[test]
    fn codes_look_like_codes() {
        let check = |text: &str, expect| assert_eq!(is_code(text), expect, "{text}");
        check("AUD-0003", true);
        check("AUD-003", false);
        check("aud-0003", false);
        check("SHA-256", false);
        check("AUDIT-0003", false);
        check("", false);
    }

    #[test]
    fn pages_say_what_everybody_has_to_do() {
        let check = |text: &str, expect: &[&str]| {
            let found: Vec<_> =
                of_page(Path::new("p"), "AUD-0001", text).into_iter().map(|p| p.what).collect();
            assert_eq!(found, expect);
        };
        let sections = SECTIONS.join("\n");
        check(&format!("# AUD-0001: gone\n{sections}"), &[]);
        check(&format!("# AUD-0002: gone\n{sections}"), &["the title is missing"]);
        check(&format!("# AUD-0001: \n{sections}"), &["the title is missing"]);
        check(
            "# AUD-0001: gone\nWhat happened What to do (caller)",
            &["\"What to do (operator)\" is missing"],
        );
    }

    #[test]
    fn a_code_stays_at_home() {
        let edges = edges::read(&tree::built_from()).unwrap();
        let check = |code: &str, file: &str, expect: Option<&str>| {
            let found = misplaced(&edges, code, &(PathBuf::from(file), 1)).map(|p| p.what);
            assert_eq!(found.as_deref(), expect);
        };
        check("AUD-0001", "services/audit-aggregator/src/error.rs", None);
        check("API-0001", "services/intake/src/error.rs", None);
        check("RUN-0001", "services/gateway/src/door.rs", None);
        check("ORC-0001", "crates/engine/src/step.rs", None);
        check("AUD-0001", "services/intake/src/a.rs", Some("AUD-0001 belongs to services/audit-aggregator"));
        check("ZZZ-0001", "services/intake/src/a.rs", Some("nobody has the prefix ZZZ"));
    }

    #[test]
    fn every_code_of_this_repository_has_its_page() {
        problem::assert_none(&problems(&tree::built_from()).unwrap());
    }
}
