//! Rust files as the rules need them: parsed, without test code.

use crate::tree;
use anyhow::{Context as _, Result};
use proc_macro2::{Spacing, TokenStream, TokenTree};
use std::path::{Path, PathBuf};
use syn::visit::{self, Visit};

/// A parsed file.
pub struct Source {
    /// Its path from the root.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// Its syntax tree; items for tests are taken out by the visitors here.
    pub file: syn::File,
}

impl Source {
    /// Reads and parses a file.
    pub fn read(root: &Path, path: &Path) -> Result<Self> {
        Self::parse(path, tree::read(root, path)?)
    }

    /// Parses a text.
    pub fn parse(path: &Path, text: String) -> Result<Self> {
        let file = syn::parse_file(&text).with_context(|| format!("{} cannot be parsed", path.display()))?;
        Ok(Self { path: path.to_path_buf(), text, file })
    }

    /// True for files that hold only tests.
    #[must_use]
    pub fn is_test(&self) -> bool {
        is_test_path(&self.path)
    }

    /// Every path that begins with a crate name (or `crate`, `self`, `super`,
    /// `std`), in code that is not a test, with its line.
    #[must_use]
    pub fn paths(&self) -> Vec<(Vec<String>, usize)> {
        let mut visitor = Paths::default();
        visitor.visit_file(&self.file);
        visitor.found
    }

    /// Every string literal outside tests, macros included, with its line.
    #[must_use]
    pub fn strings(&self) -> Vec<(String, usize)> {
        let mut visitor = Strings::default();
        visitor.visit_file(&self.file);
        visitor.found
    }
}

/// True for a path that holds only tests.
#[must_use]
pub fn is_test_path(path: &Path) -> bool {
    let in_folder =
        path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "benches")));
    in_folder || path.file_stem().is_some_and(|stem| stem == "tests")
}

/// All sources of a crate's `src`, without files for tests.
pub fn of_crate(root: &Path, dir: &str) -> Result<Vec<Source>> {
    let files = tree::files(root, &format!("{dir}/src"), "rs")?;
    files.iter().filter(|path| !is_test_path(path)).map(|path| Source::read(root, path)).collect()
}

/// True for `#[test]`, `#[cfg(test)]` and the like.
pub(crate) fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        let list = attribute.meta.require_list().map(|list| list.tokens.to_string()).unwrap_or_default();
        path.segments.last().is_some_and(|last| last.ident == "test")
            || (path.is_ident("cfg") && list == "test")
    })
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        _ => &[],
    }
}

#[derive(Default)]
struct Paths {
    found: Vec<(Vec<String>, usize)>,
}

impl Paths {
    fn use_tree(&mut self, prefix: &[String], tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => {
                self.use_tree(&[prefix, &[path.ident.to_string()]].concat(), &path.tree);
            }
            syn::UseTree::Name(name) => self.add(prefix, &name.ident),
            syn::UseTree::Rename(name) => self.add(prefix, &name.ident),
            syn::UseTree::Glob(glob) => {
                self.found.push((prefix.to_vec(), glob.star_token.spans[0].start().line));
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.use_tree(prefix, tree)),
        }
    }

    fn add(&mut self, prefix: &[String], ident: &syn::Ident) {
        self.found.push(([prefix, &[ident.to_string()]].concat(), ident.span().start().line));
    }

    /// Paths in the tokens of a macro: identifiers joined by `::`.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(first) => {
                    let (path, next) = joined(&tokens, at);
                    if path.len() > 1 {
                        self.found.push((path, first.span().start().line));
                    }
                    at = next;
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
    }
}

/// The path that begins at a token, and where it ends.
fn joined(tokens: &[TokenTree], mut at: usize) -> (Vec<String>, usize) {
    let mut path = Vec::new();
    while let Some(TokenTree::Ident(ident)) = tokens.get(at) {
        path.push(ident.to_string());
        at += 1;
        let colons =
            |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Punct(p)) if p.as_char() == ':');
        let first_joint =
            matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.spacing() == Spacing::Joint);
        if !(colons(tokens.get(at)) && first_joint && colons(tokens.get(at + 1))) {
            break;
        }
        at += 2;
    }
    (path, at)
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.use_tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            let line = path.segments[0].ident.span().start().line;
            self.found.push((path.segments.iter().map(|s| s.ident.to_string()).collect(), line));
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }
}

#[derive(Default)]
struct Strings {
    found: Vec<(String, usize)>,
}

impl Strings {
    fn tokens(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Literal(literal) => {
                    if let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) {
                        self.found.push((text.value(), literal.span().start().line));
                    }
                }
                _ => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Strings {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_attribute(&mut self, _attribute: &'ast syn::Attribute) {
        // Documentation is a string literal too; it is not code.
    }

    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.found.push((text.value(), text.span().start().line));
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.tokens(item.tokens.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
//! Names tonic::Status in a comment.
use std::{fs, io::{self, Read}};
use tonic::Status as S;
/// Uses sqlx.
fn f() -> tokio::task::JoinHandle<()> {
    let _ = format!("{}", jiff::Timestamp::now());
    let _ = "tonic::Code";
    a.b::<c::D>()
}
#[cfg(test)]
mod tests {
    use redis::Client;
    const CODE: &str = "TST-0001";
}
"#;

    #[test]
    fn paths_are_found_outside_comments_strings_and_tests() {
        let source = Source::parse(Path::new("a.rs"), TEXT.to_owned()).unwrap();
        let found: Vec<_> = source.paths().into_iter().map(|(path, line)| (path.join("::"), line)).collect();
        let expect = [
            ("std::fs", 3),
            ("std::io::self", 3),
            ("std::io::Read", 3),
            ("tonic::Status", 4),
            ("tokio::task::JoinHandle", 6),
            ("jiff::Timestamp::now", 7),
            ("c::D", 9),
        ];
        assert_eq!(found, expect.map(|(path, line)| (path.to_owned(), line)));
    }

    #[test]
    fn strings_are_found_in_macros_too() {
        let source = Source::parse(Path::new("a.rs"), TEXT.to_owned()).unwrap();
        let found: Vec<_> = source.strings().into_iter().map(|(text, _)| text).collect();
        assert_eq!(found, ["{}", "tonic::Code"]);
    }

    #[test]
    fn test_files_are_known_by_their_place() {
        let check = |path: &str, expect| assert_eq!(is_test_path(Path::new(path)), expect, "{path}");
        check("crates/a/src/b/tests.rs", true);
        check("crates/a/tests/b.rs", true);
        check("crates/a/src/testing.rs", false);
    }
}
