//! The text a reader sees of an HTML page, and what the page hides.
//!
//! Not an HTML parser: no tree is built. One pass over the tags, bounded by the
//! length of the input; broken mark-up gives odd text, never an error.

mod entity;
mod tag;

use super::facts::{Fact, Facts};
use super::headers::site;
use std::collections::HashSet;
use tag::Tag;

/// What was read off a page.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The visible text.
    pub text: String,
    /// What was noted.
    pub facts: Facts,
    /// Number of links that lead out.
    pub links: usize,
    /// Number of images.
    pub images: usize,
}

/// True when a text without a media type begins like an HTML page.
#[must_use]
pub fn looks_like_html(text: &str) -> bool {
    let start = text.trim_start().as_bytes();
    let begins = |with: &[u8]| start.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with));
    [&b"<html"[..], b"<!doctype html", b"<body", b"<head", b"<table", b"<div", b"<p>"]
        .iter()
        .any(|w| begins(w))
}

/// Reads the visible text of a page.
#[must_use]
pub fn visible(html: &str) -> Page {
    let mut reader = Reader::default();
    let mut rest = html;
    while let Some(open) = rest.find('<') {
        let (text, from_tag) = rest.split_at(open);
        reader.text(text);
        rest = reader.markup(from_tag);
    }
    reader.text(rest);
    reader.finish()
}

/// Elements that a reader sees as a break between words. Others (`b`, `font`,
/// `span`) are not: spammers put them inside words.
const BREAKS: [&str; 27] = [
    "p",
    "div",
    "br",
    "tr",
    "td",
    "th",
    "li",
    "ul",
    "ol",
    "dl",
    "dt",
    "dd",
    "table",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "blockquote",
    "center",
    "pre",
    "section",
    "article",
    "header",
    "footer",
];
/// Elements whose content is no text.
const SILENT: [&str; 5] = ["script", "style", "title", "noscript", "template"];
/// Elements that never have content.
const VOID: [&str; 9] = ["br", "img", "hr", "input", "meta", "link", "area", "col", "base"];

#[derive(Default)]
struct Reader {
    page: Page,
    /// The hidden element being read, and how many of its name are open.
    hidden: Option<(String, usize)>,
    hidden_text: String,
    link: Option<Link>,
    background: Option<String>,
    /// What was looked for to the end of the page and not found: looking again
    /// at every tag would take quadratic time.
    endless: HashSet<String>,
}

/// A link whose text is being read.
struct Link {
    host: String,
    text_from: usize,
}

impl Reader {
    fn text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let out = if self.hidden.is_some() { &mut self.hidden_text } else { &mut self.page.text };
        entity::decode_into(text, out);
    }

    /// Reads what begins with `<` and answers what follows it.
    fn markup<'a>(&mut self, from: &'a str) -> &'a str {
        if let Some(comment) = from.strip_prefix("<!--") {
            return self.skip_comment(comment);
        }
        let Some((tag, rest)) = Tag::split(from) else {
            // A lone `<` is text.
            self.text("<");
            return from.get(1..).unwrap_or_default();
        };
        if !tag.closing && SILENT.contains(&tag.name.as_str()) {
            self.page.facts.note_if(tag.name == "script", Fact::HtmlScript);
            return self.skip_element(rest, tag.name);
        }
        self.tag(&tag);
        rest
    }

    fn skip_comment<'a>(&mut self, comment: &'a str) -> &'a str {
        let proper = if self.endless.contains("--") { None } else { comment.find("-->").map(|at| at + 3) };
        if proper.is_none() {
            self.endless.insert("--".to_owned());
        }
        let end = proper.or_else(|| comment.find('>').map(|at| at + 1));
        end.and_then(|at| comment.get(at..)).unwrap_or_default()
    }

    /// Answers what follows the end tag of `name`; all of it when there is none.
    fn skip_element<'a>(&mut self, content: &'a str, name: String) -> &'a str {
        if self.endless.contains(&name) {
            return content;
        }
        after_end_tag(content, &name).unwrap_or_else(|| {
            self.endless.insert(name);
            content
        })
    }

    fn tag(&mut self, tag: &Tag<'_>) {
        self.track_hidden(tag);
        if BREAKS.contains(&tag.name.as_str()) && self.hidden.is_none() {
            self.page.text.push('\n');
        }
        match (tag.name.as_str(), tag.closing) {
            ("a", false) => self.open_link(tag),
            ("a", true) => self.close_link(),
            ("img", _) => self.page.images += 1,
            ("form", false) => self.page.facts.note(Fact::HtmlForm),
            ("body", false) => self.background = tag.attribute("bgcolor").map(|c| colour(&c)),
            _ => {}
        }
    }

    fn track_hidden(&mut self, tag: &Tag<'_>) {
        if let Some((name, depth)) = &mut self.hidden {
            if *name != tag.name {
                return;
            }
            *depth = if tag.closing { *depth - 1 } else { *depth + 1 };
            if *depth == 0 {
                self.hidden = None;
                self.leave_hidden();
            }
        } else if !tag.closing && !VOID.contains(&tag.name.as_str()) && self.hides(tag) {
            self.hidden = Some((tag.name.clone(), 1));
        }
    }

    /// Hidden text of a few letters is lay-out; more is meant for filters.
    fn leave_hidden(&mut self) {
        let letters = self.hidden_text.chars().filter(|c| c.is_alphabetic()).count();
        self.page.facts.note_if(letters >= 10, Fact::HiddenText);
        self.hidden_text.clear();
    }

    fn hides(&self, tag: &Tag<'_>) -> bool {
        if tag.bare() {
            return false;
        }
        let style: String = tag.attribute("style").unwrap_or_default().to_ascii_lowercase();
        let style: String = style.chars().filter(|c| !c.is_whitespace()).collect();
        const HIDING: [&str; 6] = [
            "display:none",
            "visibility:hidden",
            "font-size:0",
            "font-size:1px",
            "opacity:0;",
            "max-height:0",
        ];
        let ink = tag.attribute("color").filter(|_| tag.name == "font").map(|c| colour(&c));
        let ground = self.background.as_deref().unwrap_or("#ffffff");
        HIDING.iter().any(|h| style.contains(h)) || ink.is_some_and(|ink| ink == ground)
    }

    fn open_link(&mut self, tag: &Tag<'_>) {
        let Some(target) = tag.attribute("href") else { return };
        let Some(host) = host_of(&target) else { return };
        self.page.links += 1;
        let is_address = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        self.page.facts.note_if(is_address, Fact::LinkToAddress);
        self.link = Some(Link { host, text_from: self.page.text.len() });
    }

    fn close_link(&mut self) {
        let Some(link) = self.link.take() else { return };
        let shown = self.page.text.get(link.text_from..).unwrap_or_default().trim();
        let shown = host_of(shown).or_else(|| shown.starts_with("www.").then(|| host_part(shown)));
        self.page
            .facts
            .note_if(shown.is_some_and(|host| site(&host) != site(&link.host)), Fact::LinkMismatch);
    }

    /// A page that never closes what it hides is read as a reader's program
    /// would show it at worst: all of it.
    fn finish(mut self) -> Page {
        if self.hidden.is_some() {
            self.page.text.push('\n');
            self.page.text.push_str(&self.hidden_text);
            self.leave_hidden();
        }
        self.page
    }
}

fn after_end_tag<'a>(content: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = content;
    while let Some(at) = rest.find("</") {
        rest = rest.get(at + 2..)?;
        let end = rest.get(..name.len()).is_some_and(|word| word.eq_ignore_ascii_case(name));
        if end {
            return Some(rest.find('>').and_then(|at| rest.get(at + 1..)).unwrap_or_default());
        }
    }
    None
}

/// The host of an absolute web address.
fn host_of(address: &str) -> Option<String> {
    let address = address.trim();
    let (scheme, rest) = address.split_once("://")?;
    let web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    web.then(|| host_part(rest)).filter(|host| !host.is_empty())
}

/// The host at the beginning of `host/path`, without user and port.
fn host_part(rest: &str) -> String {
    let authority = rest.split(['/', '?', '#', ' ', '\n']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    host.split(':').next().unwrap_or_default().to_ascii_lowercase()
}

/// One spelling for the colours that hide text most often.
fn colour(value: &str) -> String {
    let value = value.trim().to_ascii_lowercase();
    match value.trim_start_matches('#') {
        "white" | "fff" | "ffffff" => "#ffffff".to_owned(),
        "black" | "000" | "000000" => "#000000".to_owned(),
        other => format!("#{other}"),
    }
}

#[cfg(test)]
mod tests;
