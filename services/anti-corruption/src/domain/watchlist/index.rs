//! Searching names: exact after normalisation.
//!
//! **Architecture invariant:** an index never changes; a new list makes a new
//! index that is swapped in whole, so a search sees one state of the lists.

use super::{Entry, List};
use crate::domain::name::{self, Keys};
use std::collections::{HashMap, HashSet};

/// Fewest words of a name that is looked for in running text.
const MIN_TEXT_WORDS: usize = 2;
/// Most words of a name that is looked for in running text.
const MAX_TEXT_WORDS: usize = 8;
/// Fewest letters of a name that is looked for in running text.
const MIN_TEXT_LETTERS: usize = 8;

/// The lists of one tenant, ready to be searched.
#[derive(Debug, Default)]
pub struct Index {
    lists: Vec<String>,
    entries: Vec<(usize, Entry)>,
    by_full: Keyed,
    by_stripped: Keyed,
    by_sorted: Keyed,
    words: HashSet<String>,
}

/// Names by one of their keys.
type Keyed = HashMap<String, Vec<Listed>>;

/// A name of an entry: which one it is, and whether it is an alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Listed {
    entry: usize,
    alias: Option<usize>,
}

/// An entry that has the name that was searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit<'i> {
    /// Name of the list.
    pub watchlist: &'i str,
    /// The entry.
    pub entry: &'i Entry,
    /// The name of the entry that matched.
    pub name: &'i str,
    /// True when that is an alias.
    pub is_alias: bool,
}

impl Hit<'_> {
    /// The entry in a sentence.
    #[must_use]
    pub fn describe(&self) -> String {
        let known = if self.is_alias { format!(" (also known as {})", self.name) } else { String::new() };
        let programs = Some(self.entry.programs.as_str()).filter(|programs| !programs.is_empty());
        let programs = programs.map_or_else(String::new, |programs| format!(", programme {programs}"));
        format!(
            "{}{known}, {} no. {} of the list {}{programs}",
            self.entry.name, self.entry.kind, self.entry.id, self.watchlist
        )
    }
}

impl Index {
    /// An index of lists by name.
    #[must_use]
    pub fn new(lists: impl IntoIterator<Item = (String, List)>) -> Self {
        let mut index = Self::default();
        for (list_name, list) in lists {
            let list_number = index.lists.len();
            index.lists.push(list_name);
            for entry in list.entries {
                index.add(list_number, entry);
            }
        }
        index
    }

    fn add(&mut self, list: usize, entry: Entry) {
        let number = self.entries.len();
        let is_individual = entry.kind == "individual";
        let names = std::iter::once((None, &entry.name)).chain((0..).map(Some).zip(&entry.aliases));
        for (alias, name) in names {
            let Some(keys) = Keys::of(name) else { continue };
            let listed = Listed { entry: number, alias };
            if is_individual || name.contains(',') {
                self.words.extend(keys.full.split(' ').map(str::to_owned));
                if let Some(sorted) = keys.sorted {
                    self.by_sorted.entry(sorted).or_default().push(listed);
                }
            }
            if !is_individual {
                self.words.extend(keys.stripped.split(' ').map(str::to_owned));
                self.by_stripped.entry(keys.stripped).or_default().push(listed);
            }
            self.by_full.entry(keys.full).or_default().push(listed);
        }
        self.entries.push((list, entry));
    }

    /// How many lists are searched; with 0 nothing is checked.
    #[must_use]
    pub fn lists(&self) -> usize {
        self.lists.len()
    }

    /// How many entries there are.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.entries.len()
    }

    /// The entries that have this name, each once.
    #[must_use]
    pub fn search(&self, name: &str) -> Vec<Hit<'_>> {
        Keys::of(name).map_or_else(Vec::new, |keys| self.search_keys(&keys))
    }

    fn search_keys(&self, keys: &Keys) -> Vec<Hit<'_>> {
        let full = self.by_full.get(&keys.full);
        let stripped = self.by_stripped.get(&keys.stripped);
        let sorted = keys.sorted.as_ref().and_then(|sorted| self.by_sorted.get(sorted));
        let mut seen = HashSet::new();
        let found = [full, stripped, sorted].into_iter().flatten().flatten();
        let first = found.filter(|listed| seen.insert(listed.entry));
        first.map(|listed| self.hit(*listed)).collect()
    }

    fn hit(&self, listed: Listed) -> Hit<'_> {
        let (list, entry) = &self.entries[listed.entry];
        let name = listed.alias.map_or(&entry.name, |alias| &entry.aliases[alias]);
        Hit { watchlist: &self.lists[*list], entry, name, is_alias: listed.alias.is_some() }
    }

    /// Names of people and organisations in running text: two words or more, all
    /// written with a capital letter. Returns each with the words that matched.
    #[must_use]
    pub fn search_text<'t>(&self, text: &'t str) -> Vec<(&'t str, Hit<'_>)> {
        let words = self.known_words(text);
        let mut found = Vec::new();
        let mut start = 0;
        while start < words.len() {
            match self.longest_at(text, &words[start..]) {
                Some((length, shown, hits)) => {
                    found.extend(hits.into_iter().map(|hit| (shown, hit)));
                    start += length;
                }
                None => start += 1,
            }
        }
        found
    }

    /// The longest name that begins with the first of these words.
    fn longest_at<'t>(&self, text: &'t str, words: &[Word]) -> Option<(usize, &'t str, Vec<Hit<'_>>)> {
        let run =
            words.windows(2).take_while(|pair| pair[0].next_follows).count() + usize::from(!words.is_empty());
        for length in (MIN_TEXT_WORDS..=run.min(MAX_TEXT_WORDS)).rev() {
            let shown = &text[words[0].start..words[length - 1].end];
            let Some(keys) = Keys::of(shown) else { continue };
            if keys.stripped.len() < MIN_TEXT_LETTERS || !keys.stripped.contains(' ') {
                continue;
            }
            let mut hits = self.search_keys(&keys);
            hits.retain(|hit| matches!(hit.entry.kind.as_str(), "individual" | "entity"));
            if !hits.is_empty() {
                return Some((length, shown, hits));
            }
        }
        None
    }

    /// The capitalised words of a text that occur in a listed name (or are
    /// initials), with what joins them.
    fn known_words(&self, text: &str) -> Vec<Word> {
        let mut words: Vec<Word> = Vec::new();
        for (start, word) in split_words(text) {
            let end = start + word.len();
            let capital = word.chars().next().is_some_and(|c| !c.is_lowercase());
            let small = matches!(
                word,
                "de" | "la" | "al" | "el" | "bin" | "van" | "von" | "der" | "del" | "of" | "and"
            );
            let known = name::tokens(word).iter().all(|token| token.len() == 1 || self.words.contains(token));
            if !(known && (capital || small)) {
                continue;
            }
            if let Some(before) = words.last_mut() {
                before.next_follows = joins(&text[before.end..start]);
            }
            words.push(Word { start, end, next_follows: false });
        }
        words
    }
}

#[derive(Debug)]
struct Word {
    start: usize,
    end: usize,
    next_follows: bool,
}

/// True when two words with this between them can belong to one name.
fn joins(between: &str) -> bool {
    between.len() <= 3
        && between.chars().all(|c| matches!(c, ' ' | '-' | ',' | '.' | '\'' | '’' | '\n' | '\r'))
}

fn split_words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let start = text.as_ptr() as usize;
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(move |word| (word.as_ptr() as usize - start, word))
}

#[cfg(test)]
mod tests {
    use super::super::testing::index;
    use super::*;

    #[test]
    fn finds_names_however_they_are_written() {
        let index = index();
        let check = |name: &str, expect: &[(&str, bool)]| {
            let hits: Vec<_> =
                index.search(name).iter().map(|hit| (hit.entry.id.as_str(), hit.is_alias)).collect();
            assert_eq!(hits, expect, "{name}");
        };
        check("Evil Trading", &[("1", false)]);
        check("EVIL TRADING GmbH", &[("1", false)]);
        check("Évil-Trading Co Limited", &[("1", false)]);
        check("Trading Evil", &[]);
        check("ETL Worldwide", &[("1", true)]);
        check("John M. Doe", &[("2", false)]);
        check("DOE, John M.", &[("2", false)]);
        check("Johnny Doe", &[("2", true)]);
        check("John Doe", &[]);
        check("Ocean Star", &[("3", false)]);
        check("Star Ocean", &[]);
        check("", &[]);
        assert_eq!((index.lists(), index.entries(), Index::default().lists()), (1, 3, 0));
        let text = index.search("etl worldwide")[0].describe();
        assert!(text.contains("also known as ETL WORLDWIDE") && text.contains("programme TEST"), "{text}");
    }

    #[test]
    fn finds_names_in_running_text() {
        let index = index();
        let check = |text: &str, expect: &[&str]| {
            let found: Vec<_> = index.search_text(text).into_iter().map(|(shown, _)| shown).collect();
            assert_eq!(found, expect, "{text}");
        };
        check("We paid Evil Trading Co. Ltd in May.", &["Evil Trading Co. Ltd"]);
        check("We paid Evil Trading in May, and Evil Trading again.", &["Evil Trading", "Evil Trading"]);
        check("it was evil trading all along", &[]);
        check("met John M. Doe and Johnny Doe", &["John M. Doe", "Johnny Doe"]);
        check("the Ocean Star sailed", &[]);
        check("Evil. But Trading", &[]);
        check("", &[]);
    }
}
