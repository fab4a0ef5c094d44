//! Calls that the Markdown pages show with curl say that their body is JSON.
//!
//! curl calls every body a form, and the door takes a form for what it says it is: such a
//! line would be answered with 415 to the first who copies it. That the calls are right in
//! all else is for the tests that send them.

use crate::{Problem, tree};
use anyhow::Result;
use std::path::Path;

/// How a call says so: by the header, or by the variable that the guides keep it in.
const SAYS_SO: [&str; 3] = ["content-type: application/json", "\"$j\"", "--json"];

/// Every call whose body would be refused.
pub fn problems(root: &Path) -> Result<Vec<Problem>> {
    let mut found = Vec::new();
    for page in tree::files(root, "", "md")? {
        let text = tree::read(root, &page)?;
        for line in refused(&text) {
            let fix = "give the call -H 'content-type: application/json'";
            found.push(Problem::new(&page, "curl sends JSON and calls it a form", fix).at(line));
        }
    }
    Ok(found)
}

/// The lines where such calls begin.
fn refused(text: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let mut command = line.to_owned();
        while command.ends_with('\\') {
            command.pop();
            command.push_str(lines.next().map_or("", |(_, next)| next));
        }
        let mut calls = command.split(" | ").filter(|call| call.trim_start().starts_with("curl "));
        if calls.any(|call| sends_json(call) && !says_so(call)) {
            found.push(at + 1);
        }
    }
    found
}

/// `-d` or `--data` without `-G`, which makes a query of it.
fn sends_json(call: &str) -> bool {
    let mut words = call.split_whitespace();
    !call.contains(" -G ") && words.any(|word| word == "-d" || word == "--data")
}

fn says_so(call: &str) -> bool {
    let call = call.to_ascii_lowercase();
    SAYS_SO.iter().any(|part| call.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem;

    #[test]
    fn a_body_without_its_kind_is_found() {
        let check = |text: &str, expect: &[usize]| assert_eq!(refused(text), expect, "{text}");
        check("```\ncurl -H \"$A\" $H/v1/tasks -d '{}'\n```", &[2]);
        check("curl -H \"$A\" \\\n  $H/v1/tasks \\\n  -d '{}'\ncurl $H/v1/tasks -d '{}'", &[1, 4]);
        check("curl -H \"$A\" -H \"$J\" $H/v1/tasks -d '{}'", &[]);
        check("curl -H 'Content-Type: application/json' \\\n -d @- $H/v1/tasks", &[]);
        check("curl -G $H/v1/tasks -d pageSize=5", &[]);
        check("curl --data-binary @release.json $H/v1/documents", &[]);
        check("curl $H/v1/cases | jq -d x\ngrpcurl -d '{}' $H a/B", &[]);
    }

    #[test]
    fn no_call_of_this_repository_would_be_refused() {
        problem::assert_none(&problems(&tree::built_from()).unwrap());
    }
}
