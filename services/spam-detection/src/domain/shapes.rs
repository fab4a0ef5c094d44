//! Measures of a whole message, as features with names: how long it is, how
//! much of it is capitals, how many links it holds.
//!
//! Measures come as steps, not as raw numbers: a linear model then learns that
//! some capitals mean nothing and many mean much.

use super::lex::{Counts, Shape};

/// How often each shape occurred.
pub type ShapeCounts = [u32; Shape::ALL.len()];

/// The measures of a message, by name.
pub fn measures(counts: &Counts, shapes: &ShapeCounts, html_links: usize) -> Vec<&'static str> {
    let of = |shape: Shape| shapes.get(shape as usize).map_or(0, |n| *n as usize);
    let links = of(Shape::Link).max(html_links);
    let exclaims = of(Shape::Exclaim) + 2 * of(Shape::ExclaimRun);
    [
        Some(length(counts.words)),
        capitals(counts),
        capital_words(counts),
        many(links),
        per_hundred(exclaims, counts.words, ["exclaims:some", "exclaims:many"]),
        per_hundred(of(Shape::Money), counts.words, ["amounts:some", "amounts:many"]),
    ]
    .into_iter()
    .flatten()
    .collect()
}

const fn length(words: usize) -> &'static str {
    match words {
        0..=3 => "length:next-to-nothing",
        4..=12 => "length:a-line",
        13..=30 => "length:a-few-lines",
        31..=150 => "length:short",
        151..=600 => "length:medium",
        _ => "length:long",
    }
}

/// Text without a single capital has lost its case on the way: it says nothing.
fn capitals(counts: &Counts) -> Option<&'static str> {
    if counts.cased < 20 || counts.upper == 0 {
        return None;
    }
    match counts.upper * 100 / counts.cased {
        0..=9 => None,
        10..=24 => Some("capitals:some"),
        25..=59 => Some("capitals:many"),
        _ => Some("capitals:nearly-all"),
    }
}

fn capital_words(counts: &Counts) -> Option<&'static str> {
    match counts.capital_words * 100 / counts.words.max(1) {
        0..=2 => None,
        3..=9 => Some("capital-words:some"),
        _ => Some("capital-words:many"),
    }
}

const fn many(links: usize) -> Option<&'static str> {
    match links {
        0 => None,
        1..=2 => Some("links:few"),
        3..=9 => Some("links:several"),
        _ => Some("links:many"),
    }
}

const fn per_hundred(count: usize, words: usize, names: [&'static str; 2]) -> Option<&'static str> {
    let words = if words < 20 { 20 } else { words };
    match count * 100 / words {
        0 => None,
        1..=3 => Some(names[0]),
        _ => Some(names[1]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_step() {
        let check = |counts: Counts, shapes: &[(Shape, u32)], links: usize, expect: &[&str]| {
            let mut all = [0; Shape::ALL.len()];
            for (shape, count) in shapes {
                all[*shape as usize] = *count;
            }
            assert_eq!(measures(&counts, &all, links), expect);
        };
        let words = |words| Counts { words, cased: words * 5, ..Counts::default() };
        check(words(2), &[], 0, &["length:next-to-nothing"]);
        check(words(100), &[], 0, &["length:short"]);
        check(words(100), &[(Shape::ExclaimRun, 1)], 3, &["length:short", "links:several", "exclaims:some"]);
        check(
            words(20),
            &[(Shape::Money, 2), (Shape::Link, 1)],
            0,
            &["length:a-few-lines", "links:few", "amounts:many"],
        );
        let loud = Counts { words: 10, cased: 50, upper: 40, capital_words: 8, spaced: 0 };
        check(loud, &[], 0, &["length:a-line", "capitals:nearly-all", "capital-words:many"]);
    }
}
