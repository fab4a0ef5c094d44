//! Messages written for this project, as templates: what the public sets are
//! too old or too narrow to hold.
//!
//! `{a|b}` is a choice, `$NAME` and the like are filled in. Every template is
//! written out several times; all of its variants share one content hash, so
//! they never stand on both sides of a split.

use crate::corpus::{Labelled, Set};
use probity_spam_detection::domain::{Form, Message};

/// How often each template is written out.
const VARIANTS: u64 = 20;

/// All written messages.
pub(crate) fn load() -> Vec<Labelled> {
    let spam = expand(include_str!("../../model/written-spam.txt"), true);
    let ham = expand(include_str!("../../model/written-ham.txt"), false);
    spam.into_iter().chain(ham).collect()
}

fn expand(file: &str, spam: bool) -> Vec<Labelled> {
    let templates =
        file.split("\n\n").map(|p| p.lines().filter(|l| !l.starts_with('#')).collect::<Vec<_>>().join("\n"));
    let mut all = Vec::new();
    for (number, template) in (0_u64..).zip(templates.filter(|t| !t.is_empty())) {
        for variant in 0..VARIANTS {
            let mut random = fastrand::Rng::with_seed(number * 1000 + variant + u64::from(spam) * 1_000_000);
            let text = fill(&choose(&template, &mut random), &mut random);
            all.push(Labelled {
                set: Set::Written,
                spam,
                message: Message::read(text.as_bytes(), Form::Text),
                address_words: Vec::new(),
                content: (number << 1 | u64::from(spam)).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            });
        }
    }
    all
}

/// Makes every choice, innermost first.
fn choose(template: &str, random: &mut fastrand::Rng) -> String {
    let mut text = template.to_owned();
    while let Some(close) = text.find('}') {
        let Some(open) = text[..close].rfind('{') else { break };
        let options: Vec<&str> = text[open + 1..close].split('|').collect();
        let option = options[random.usize(..options.len())].to_owned();
        text.replace_range(open..=close, &option);
    }
    text
}

const NAMES: [&str; 14] = [
    "Maria Keller",
    "Tom Becker",
    "Ana",
    "J. Okafor",
    "Linda Chen",
    "Peter",
    "Samuel Ortiz",
    "Fatima",
    "Ivan Petrov",
    "Grace Miller",
    "Lars",
    "Priya Nair",
    "David Cole",
    "Sofia",
];
const COMPANIES: [&str; 8] = [
    "Nordwind GmbH",
    "Acme Ltd",
    "Delta Supplies",
    "Harbour Logistics",
    "Bluefield Inc",
    "Sava Gradnja",
    "Orion Services",
    "Meridian LLC",
];
const LINKS: [&str; 4] =
    ["http://www.a.example/x", "https://b.example/offer?id=1", "www.c.example", "http://d.example"];
const DATES: [&str; 8] =
    ["12 March", "Friday", "3 June 2024", "next Tuesday", "05/11/2019", "the 21st", "Monday", "30 September"];

/// Fills the places that carry no meaning of their own.
fn fill(text: &str, random: &mut fastrand::Rng) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let end = from[1..].find(|c: char| !c.is_ascii_uppercase()).map_or(from.len(), |e| e + 1);
        out.push_str(&place(&from[1..end], random));
        rest = &from[end..];
    }
    out.push_str(rest);
    out
}

fn place(name: &str, random: &mut fastrand::Rng) -> String {
    match name {
        "NAME" => NAMES[random.usize(..NAMES.len())].to_owned(),
        "COMPANY" => COMPANIES[random.usize(..COMPANIES.len())].to_owned(),
        "LINK" => LINKS[random.usize(..LINKS.len())].to_owned(),
        "DATE" => DATES[random.usize(..DATES.len())].to_owned(),
        "TIME" => format!("{}:{:02}", random.u32(8..19), random.u32(0..4) * 15),
        "AMOUNT" => amount(random),
        "NUM" => random.u32(2..60).to_string(),
        "CODE" => random.u32(10_000..999_999).to_string(),
        "PHONE" => format!("0{}", random.u64(100_000_000..9_999_999_999)),
        "REF" => format!("{}-{}", ["A", "PO", "T", "CN"][random.usize(..4)], random.u32(1000..99_999)),
        other => format!("${other}"),
    }
}

fn amount(random: &mut fastrand::Rng) -> String {
    let value = [random.u32(1..100), random.u32(100..10_000), random.u32(10_000..900_000)][random.usize(..3)];
    match random.u32(..4) {
        0 => format!("${value}"),
        1 => format!("£{value}.99"),
        2 => format!("{value} EUR"),
        _ => format!("€ {value}"),
    }
}
