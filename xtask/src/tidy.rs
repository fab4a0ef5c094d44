//! Files that stay pleasant to read: length, module documentation, leftovers.

use crate::source::{Source, is_for_tests};
use crate::{Problem, tree};
use anyhow::Result;
use std::path::Path;
use syn::visit::{self, Visit};

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;
const FOLDERS: [&str; 4] = ["crates", "services", "tests", "xtask"];
const LEFTOVERS: [&str; 3] = ["TODO", "FIXME", "HACK"];

/// Everything that is untidy.
pub fn problems(root: &Path) -> Result<Vec<Problem>> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        for path in tree::files(root, folder, "rs")? {
            found.extend(of_file(&Source::read(root, &path)?));
        }
    }
    found.extend(missing_pages(root)?);
    Ok(found)
}

fn of_file(source: &Source) -> Vec<Problem> {
    let mut found = Vec::new();
    let lines = source.text.lines().count();
    if lines > FILE_LINES {
        let fix = "move a part that has a name of its own to a file of that name (foo.rs beside foo/)";
        found.push(Problem::new(&source.path, format!("{lines} lines; at most {FILE_LINES}"), fix));
    }
    // Under tests/, cargo takes any other file for a test of its own.
    if source.path.file_name().is_some_and(|name| name == "mod.rs") && !source.is_test() {
        let fix = "rename foo/mod.rs to foo.rs beside foo/, so that every tab has its own name";
        found.push(Problem::new(&source.path, "mod.rs", fix));
    }
    let named_tests = source.path.file_stem().is_some_and(|stem| stem == "tests");
    if !source.text.starts_with("//!") && !named_tests {
        let fix = "begin the file with //! saying what it is for, and what is deliberately absent";
        found.push(Problem::new(&source.path, "the module says nothing about itself", fix).at(1));
    }
    found.extend(leftovers(source));
    let mut functions = Functions { source, found: Vec::new() };
    functions.visit_file(&source.file);
    found.extend(functions.found);
    found
}

fn leftovers(source: &Source) -> Vec<Problem> {
    let lines = source.text.lines().enumerate();
    let comments = lines.filter_map(|(at, line)| Some((at + 1, line.split_once("//")?.1)));
    let words = |text: &str| text.split(|c: char| !c.is_alphanumeric()).any(|word| LEFTOVERS.contains(&word));
    let left = comments.filter(|(_, comment)| words(comment));
    let fix = "do it now, or write it down where work is planned";
    left.map(|(line, _)| Problem::new(&source.path, "a note to do something later", fix).at(line)).collect()
}

struct Functions<'a> {
    source: &'a Source,
    found: Vec<Problem>,
}

impl Functions<'_> {
    fn check(&mut self, attributes: &[syn::Attribute], signature: &syn::Signature, block: &syn::Block) {
        let (first, last) = (signature.fn_token.span.start().line, block.brace_token.span.close().end().line);
        let lines = last - first + 1;
        if lines > FUNCTION_LINES && !is_for_tests(attributes) && !self.source.is_test() {
            let what = format!("fn {} has {lines} lines; at most {FUNCTION_LINES}", signature.ident);
            let fix = "give its steps names and make them functions";
            self.found.push(Problem::new(&self.source.path, what, fix).at(first));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.check(&item.attrs, &item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.check(&item.attrs, &item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }
}

/// Every service has a README.
fn missing_pages(root: &Path) -> Result<Vec<Problem>> {
    let services = crate::edges::read(root)?.services;
    let pages = services.iter().map(|service| format!("services/{}/README.md", service.name));
    let missing = pages.filter(|page| !root.join(page).is_file());
    let fix = "write it: what the service does, its RPCs, its configuration, its metrics, how to run it";
    Ok(missing.map(|page| Problem::new(page, "is not there", fix)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem;

    fn check(text: &str, expect: &[&str]) {
        let source = Source::parse(Path::new("crates/a/src/b.rs"), text.to_owned()).unwrap();
        let found: Vec<_> = of_file(&source).into_iter().map(|p| format!("{}: {}", p.line, p.what)).collect();
        assert_eq!(found.len(), expect.len(), "{found:?}");
        for (found, expect) in found.iter().zip(expect) {
            assert!(found.contains(expect), "{found} is not {expect}");
        }
    }

    #[test]
    fn untidy_files_are_named() {
        let long = |head: &str| format!("{head}fn f() {{\n{}}}\n", "    g();\n".repeat(FUNCTION_LINES));
        check("//! Says what it is for.\nfn f() {}\n", &[]);
        check("fn f() {}\n", &["1: the module says nothing"]);
        let later = ["TO", "DO"].concat();
        check(
            &format!("//! Doc.\n// {later}: more\nconst {later}: u8 = 1;\n"),
            &["2: a note to do something later"],
        );
        check(&long("//! Doc.\n"), &["2: fn f has 72 lines"]);
        check(&long("//! Doc.\n#[test]\n"), &[]);
        check(&format!("//! Doc.\n{}", "\n".repeat(FILE_LINES)), &["lines; at most"]);
    }

    #[test]
    fn this_repository_is_tidy() {
        problem::assert_none(&problems(&tree::built_from()).unwrap());
    }
}
