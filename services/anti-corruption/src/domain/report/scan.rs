//! Finding the phrases of the word lists in a text, unless they are denied.

use super::words::{CONTEXT_AFTER, CONTEXT_BEFORE, DENIAL_REACH, DENIALS, NOT_A_DENIAL, PHRASES};
use any_ascii::any_ascii;
use std::collections::HashMap;
use std::sync::LazyLock;

/// A text cut into words.
#[derive(Debug)]
pub(super) struct Text<'t> {
    text: &'t str,
    words: Vec<Word>,
    line_starts: Vec<usize>,
}

/// A word: where it stands, its folded form and the sentence it is in.
#[derive(Debug)]
struct Word {
    start: usize,
    end: usize,
    folded: String,
    sentence: u32,
}

/// A phrase that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mention {
    /// Its rule.
    pub(super) rule: &'static str,
    /// First byte.
    pub(super) start: usize,
    /// Behind the last byte.
    pub(super) end: usize,
    /// True when the sentence denies it, or only names a policy against it.
    pub(super) denied: bool,
}

impl<'t> Text<'t> {
    /// Cuts a text into words.
    pub(super) fn new(text: &'t str) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(starts).collect();
        let mut words = Vec::new();
        let (mut sentence, mut before) = (0, 0);
        for (start, end) in spans(text) {
            sentence += u32::from(ends_sentence(&text[before..start]));
            words.push(Word { start, end, folded: fold(&text[start..end]), sentence });
            before = end;
        }
        Self { text, words, line_starts }
    }

    /// The whole text.
    pub(super) const fn as_str(&self) -> &'t str {
        self.text
    }

    /// Line of a byte, counted from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= at)
    }

    /// The phrase as it is written.
    pub(super) fn shown(&self, mention: &Mention) -> &'t str {
        &self.text[mention.start..mention.end]
    }

    /// A mention with the text around it.
    pub(super) fn around(&self, mention: &Mention, characters: usize) -> &'t str {
        self.around_span(mention.start, mention.end, characters)
    }

    /// A part of the text with what stands around it.
    pub(super) fn around_span(&self, start: usize, end: usize, characters: usize) -> &'t str {
        let before = self.text[..start].char_indices().rev().take(characters).last();
        let after = self.text[end..].char_indices().nth(characters);
        let from = before.map_or(start, |(at, _)| at);
        let to = after.map_or(self.text.len(), |(at, _)| end + at);
        self.text[from..to].trim()
    }
}

/// The words of a text; an apostrophe belongs to the word unless it follows a
/// single letter or `qu` (`l'argent` is two words, `didn't` is one).
fn spans(text: &str) -> Vec<(usize, usize)> {
    let mut spans = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices() {
        let elided =
            |from: usize| matches!(&text[from..at], "qu" | "Qu") || text[from..at].chars().count() == 1;
        let inside = c.is_alphanumeric() || (is_apostrophe(c) && start.is_some_and(|from| !elided(from)));
        match (inside, start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                spans.push((from, at));
                start = None;
            }
            _ => {}
        }
    }
    spans.extend(start.map(|from| (from, text.len())));
    spans
}

const fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '’' | 'ʼ')
}

fn fold(word: &str) -> String {
    any_ascii(word).chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

fn ends_sentence(between: &str) -> bool {
    between.contains(['.', '!', '?', ';', ':', '。', '…']) || between.matches('\n').count() > 1
}

/// A phrase as it is compared: its rule and its words, `*` taken off.
struct Pattern {
    rule: &'static str,
    words: Vec<(&'static str, bool)>,
}

impl Pattern {
    fn fits(&self, words: &[Word]) -> bool {
        let fits = |(word, (pattern, open)): (&Word, &(&str, bool))| {
            if *open { word.folded.starts_with(pattern) } else { word.folded == *pattern }
        };
        words.len() >= self.words.len() && words.iter().zip(&self.words).all(fits)
    }
}

/// Letters by which patterns are looked up; no first word is shorter.
const PREFIX: usize = 3;

/// Patterns by the first letters of their first word, longest first.
static PATTERNS: LazyLock<HashMap<&'static str, Vec<Pattern>>> = LazyLock::new(|| {
    let mut patterns: HashMap<&'static str, Vec<Pattern>> = HashMap::new();
    for (rule, phrase) in
        PHRASES.iter().flat_map(|list| list.phrases.iter().map(|phrase| (list.rule, *phrase)))
    {
        let word = |word: &'static str| word.strip_suffix('*').map_or((word, false), |stem| (stem, true));
        let pattern = Pattern { rule, words: phrase.split(' ').map(word).collect() };
        patterns.entry(&phrase[..PREFIX]).or_default().push(pattern);
    }
    for list in patterns.values_mut() {
        list.sort_by_key(|pattern| std::cmp::Reverse(pattern.words.len()));
    }
    patterns
});

/// The phrases in a text; of several at one place the longest.
pub(super) fn mentions(text: &Text<'_>) -> Vec<Mention> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.words.len() {
        let words = &text.words[at..];
        let candidates = words[0].folded.get(..PREFIX).and_then(|prefix| PATTERNS.get(prefix));
        let pattern = candidates.and_then(|list| list.iter().find(|pattern| pattern.fits(words)));
        let Some(pattern) = pattern else {
            at += 1;
            continue;
        };
        let last = at + pattern.words.len() - 1;
        found.push(Mention {
            rule: pattern.rule,
            start: text.words[at].start,
            end: text.words[last].end,
            denied: is_denied(&text.words, at) || is_policy(&text.words, at, last),
        });
        at = last + 1;
    }
    found
}

/// True when one of the words shortly before, in the same sentence, denies it.
fn is_denied(words: &[Word], at: usize) -> bool {
    let reach = at.saturating_sub(DENIAL_REACH)..at;
    reach.into_iter().any(|n| {
        let turned = NOT_A_DENIAL.contains(&words[n + 1].folded.as_str());
        words[n].sentence == words[at].sentence && DENIALS.contains(&words[n].folded.as_str()) && !turned
    })
}

/// True when the phrase names a rule or a course against it.
fn is_policy(words: &[Word], first: usize, last: usize) -> bool {
    let is = |n: usize, list: &[&str]| {
        words.get(n).is_some_and(|w| w.sentence == words[first].sentence && list.contains(&w.folded.as_str()))
    };
    is(last + 1, CONTEXT_AFTER) || first.checked_sub(1).is_some_and(|before| is(before, CONTEXT_BEFORE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rules;
    use proptest::prelude::*;

    #[test]
    fn every_phrase_is_found_and_has_a_rule() {
        for list in PHRASES {
            assert!(rules::find(list.rule).is_some(), "{}", list.rule);
            for phrase in list.phrases {
                assert!(
                    phrase.is_ascii() && phrase.len() >= PREFIX && *phrase == phrase.to_lowercase(),
                    "{phrase}"
                );
                assert!(
                    phrase.split(' ').next().is_some_and(|word| word.trim_end_matches('*').len() >= PREFIX)
                );
                let sample = phrase.replace('*', "x");
                let text = Text::new(&sample);
                let found = mentions(&text);
                assert!(found.iter().any(|m| m.rule == list.rule), "{phrase}: {found:?}");
            }
        }
    }

    #[test]
    fn denials_reach_within_their_sentence() {
        let check = |text: &str, denied: &[bool]| {
            let found: Vec<_> = mentions(&Text::new(text)).iter().map(|m| m.denied).collect();
            assert_eq!(found, denied, "{text}");
        };
        check("a bribe", &[false]);
        check("not a bribe", &[true]);
        check("He didn't take a bribe", &[true]);
        check("He didn’t take a bribe", &[true]);
        check("Not true. A bribe", &[false]);
        check("not only a bribe but extortion", &[false, false]);
        check("no one two three four bribe", &[false]);
        check("no one two three bribe", &[true]);
        check("the Bribery Act", &[true]);
        check("anti-corruption", &[true]);
        check("sans pot-de-vin", &[true]);
        check("victime d'extorsion", &[false]);
        check("Bestechungsgelder", &[false]);
    }

    #[test]
    fn lines_and_surroundings() {
        let text = Text::new("one\ntwo bribe three\nfour");
        let mention = &mentions(&text)[0];
        assert_eq!((text.line(mention.start), text.shown(mention)), (2, "bribe"));
        assert_eq!(text.around(mention, 4), "two bribe thr");
        assert_eq!(text.around(mention, 400), text.as_str());
    }

    proptest! {
        #[test]
        fn every_text_is_decided(text in "[\\s\\S]{0,120}", tail in "\\PC{0,40}") {
            let text = format!("{text} bribe {tail}");
            let cut = Text::new(&text);
            for mention in mentions(&cut) {
                prop_assert!(!cut.shown(&mention).is_empty());
                prop_assert!(cut.around(&mention, 10).len() <= text.len());
                prop_assert!(cut.line(mention.start) >= 1);
            }
        }
    }
}
