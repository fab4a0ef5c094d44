//! A service is made in a copy of the repository, and passes every rule there.

use super::*;
use crate::{bans, layers, links, tidy};
use std::process::Command;

/// Copies what a build needs into a temporary folder.
fn copy() -> tempfile::TempDir {
    let (from, to) = (tree::built_from(), tempfile::tempdir().unwrap());
    let status = Command::new("sh")
        .arg("-c")
        .arg("tar -C \"$0\" --exclude=./target --exclude=./.git --exclude=node_modules -cf - . | tar -C \"$1\" -xf -")
        .args([&from, to.path()])
        .status();
    assert!(status.unwrap().success());
    to
}

fn options(name: &str, errors: Option<&str>) -> Options {
    Options { name: name.to_owned(), errors: errors.map(str::to_owned), summary: "Keeps notes.".to_owned() }
}

/// What a rule finds in the copy that it does not find in the repository.
fn new_problems(root: &Path, rule: fn(&Path) -> Result<Vec<crate::Problem>>) -> Vec<crate::Problem> {
    let before = rule(&tree::built_from()).unwrap();
    rule(root).unwrap().into_iter().filter(|problem| !before.contains(problem)).collect()
}

#[test]
fn a_new_service_breaks_no_rule() {
    let copy = copy();
    run(copy.path(), &options("case-notes", Some("NOT"))).unwrap();
    for rule in [layers::problems, tidy::problems, errors::problems, links::problems, bans::problems] {
        crate::problem::assert_none(&new_problems(copy.path(), rule));
    }
    assert_eq!(metrics_doc::problems(copy.path()).unwrap(), []);
    let edges = edges::read(copy.path()).unwrap();
    assert!(edges.services.iter().any(|s| s.name == "case-notes" && s.port > 8080 && s.errors == "NOT"));
    assert!(edges.layer_of("probity-case-notes").is_some());
    let again = run(copy.path(), &options("case-notes", Some("NEW"))).unwrap_err().to_string();
    assert_eq!(again, "services/case-notes is there already");
}

#[test]
fn names_are_checked() {
    let edges = edges::read(&tree::built_from()).unwrap();
    let check =
        |name: &str, errors, expect: Result<&str, &str>| match Names::new(&edges, &options(name, errors)) {
            Ok(names) => assert_eq!(Ok(names.prefix.as_str()), expect, "{name}"),
            Err(error) => assert!(error.to_string().contains(expect.unwrap_err()), "{error}"),
        };
    check("case-notes", None, Ok("CAS"));
    check("case-notes", Some("NOT"), Ok("NOT"));
    check("case-notes", Some("not"), Err("three capital letters"));
    check("intake-two", None, Err("the prefix INT is taken"));
    check("apiary", None, Err("the prefix API is taken"));
    check("Case", None, Err("is no name"));
    check("case--notes", None, Err("is no name"));
    check("-case", None, Err("is no name"));
    check("../case", None, Err("is no name"));
    check("", None, Err("is no name"));
}

/// The whole proof: it compiles and its own tests pass. It builds the lower
/// crates a second time, so it runs when asked for: `cargo test -p xtask -- --ignored`.
#[test]
#[ignore = "builds the lower crates a second time: minutes"]
fn a_new_service_compiles_and_passes_its_tests() {
    let copy = copy();
    run(copy.path(), &options("case-notes", Some("NOT"))).unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    for args in [&["test", "-p", "probity-case-notes"][..], &["fmt", "-p", "probity-case-notes", "--check"]] {
        let status = Command::new(&cargo).args(args).current_dir(copy.path()).status().unwrap();
        assert!(status.success(), "cargo {args:?}");
    }
}
