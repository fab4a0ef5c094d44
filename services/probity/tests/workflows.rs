//! Workflows tried without a platform: the program on files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PROBITY: &str = env!("CARGO_BIN_EXE_probity");
const GOOD: &str = "name: order
input_schema: {type: object, required: [total], properties: {total: {type: integer}}}
steps:
  - {id: check, task: check, input: {total: input.total}, output_schema: {type: object, required: [ok], properties: {ok: {type: boolean}}}}
  - {id: ship, needs: [check], when: steps.check.ok, task: ship, input: {total: input.total}}
output: {shipped: steps.check.ok}
";
/// Two mistakes.
const BAD: &str = "name: broken
steps:
  - id: one
    needs: [three]
    task: a
  - id: two
    nedds: [one]
    task: b
";

fn file(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[track_caller]
fn run(args: &[&str], code: i32, parts: &[&str]) -> String {
    let ran = Command::new(PROBITY).arg("workflow").args(args).output().unwrap();
    let out = String::from_utf8(ran.stdout).unwrap();
    let all = format!("{out}{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(ran.status.code(), Some(code), "{all}");
    for part in parts {
        assert!(all.contains(part), "{part:?} is not in:\n{all}");
    }
    out
}

#[test]
fn lint_tells_everything_with_place_and_fix() {
    let dir = tempfile::tempdir().unwrap();
    let (good, bad) = (file(dir.path(), "good.yaml", GOOD), file(dir.path(), "bad.yaml", BAD));
    let (good, bad) = (good.to_str().unwrap(), bad.to_str().unwrap());
    run(&["lint", good], 0, &["good.yaml: ok"]);
    run(
        &["lint", good, bad],
        1,
        &["good.yaml: ok", "bad.yaml:7:", "nedds", " 7 │     nedds: [one]", "^", "2 files: "],
    );
    let lines = run(&["lint", bad, "--json"], 1, &[]);
    let found: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        found.iter().all(|f| f["file"] == bad && f["line"].is_u64() && f["severity"].is_string()),
        "{lines}"
    );
    run(&["lint", "/nowhere.yaml"], 1, &["/nowhere.yaml", "cannot be read"]);
}

#[test]
fn lint_watches() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "w.yaml", BAD);
    let mut child = Command::new(PROBITY)
        .args(["workflow", "lint", "--watch"])
        .arg(&path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut notes = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(notes.next().unwrap().unwrap().contains("watching 1 file"));
    std::fs::write(&path, GOOD).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ok = lines.find(|line| line.as_ref().is_ok_and(|line| line.ends_with("w.yaml: ok")));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(ok.is_some());
}

#[test]
fn a_dry_run_tells_calls_and_conditions() {
    let dir = tempfile::tempdir().unwrap();
    let good = file(dir.path(), "good.yaml", GOOD);
    let good = good.to_str().unwrap();
    let input = ["dry-run", good, "--input", "{\"total\": 7}"];
    run(
        &[&input[..], &["--answer", "check={\"ok\": true}"]].concat(),
        0,
        &["call  check", "task ship", "ends  completed"],
    );
    let not = [&input[..], &["--answer", "check={\"ok\": false}", "--json"]].concat();
    let plan: Value = serde_json::from_str(&run(&not, 0, &[])).unwrap();
    assert_eq!(
        (&plan["conditions"][0]["held"], plan["calls"].as_array().unwrap().len()),
        (&Value::Bool(false), 1)
    );
    assert_eq!(plan["gives"], serde_json::json!({"shipped": false}));
    run(&["dry-run", good, "--input", "{}"], 2, &["total"]);
    run(&["dry-run", good, "--input", "{"], 2, &["is no JSON"]);
    run(&[&input[..], &["--answer", "chekc=1"]].concat(), 2, &["there are check, ship"]);
}

#[test]
fn a_simulation_lives_through_failures_and_repeats() {
    let dir = tempfile::tempdir().unwrap();
    let good = file(dir.path(), "good.yaml", GOOD);
    let good = good.to_str().unwrap();
    let input = ["simulate", good, "--input", "{\"total\": 7}", "--answer", "check={\"ok\": true}"];
    let failing = [&input[..], &["--fail", "check=2:BUSY", "--takes", "ship=90s", "--seed", "5"]].concat();
    let first = run(&failing, 0, &["scripted failure 2 of 2", "ends completed"]);
    assert_eq!(run(&failing, 0, &[]), first, "the same seed gives the same timeline");
    run(&[&input[..], &["--fail", "ship=1:GONE!"]].concat(), 1, &["scripted failure 1 of 1", "incident"]);
    let faults = [&input[..], &["--faults", "40", "--seed", "9", "--json"]].concat();
    let timeline: Value = serde_json::from_str(&run(&faults, 0, &[])).unwrap();
    assert_eq!(timeline["ends"], "completed");
    run(&[&input[..], &["--fail", "check=often"]].concat(), 2, &["STEP=2"]);
}

#[test]
fn schema_and_graphs_are_printed() {
    let dir = tempfile::tempdir().unwrap();
    let good = file(dir.path(), "good.yaml", GOOD);
    let good = good.to_str().unwrap();
    let schema: Value = serde_json::from_str(&run(&["schema"], 0, &[])).unwrap();
    assert!(schema["properties"]["steps"].is_object());
    run(&["render", good], 0, &["flowchart", "check"]);
    run(&["render", good, "--as", "dot"], 0, &["digraph", "ship"]);
    let bad = file(dir.path(), "bad.yaml", BAD);
    run(&["render", bad.to_str().unwrap()], 1, &["bad.yaml:7:"]);
}
