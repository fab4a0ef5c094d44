//! How much of the language the interpreter gets right, on the conformance files
//! of the language's own project: a report, with a floor so that a new version
//! of the interpreter cannot lose ground unnoticed. Panics are counted and must
//! all be caught; without the files the test says so and passes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Measured with regorus 0.14.1: 864 of 1,232 cases pass. Most of what fails asks
/// for builtins that are not built in here (cryptography, tokens, GraphQL,
/// schemas), for string interpolation, or for keywords as parts of names.
const FLOOR: usize = 860;
/// Measured: 2, both in `strings.count` with an empty text.
const MOST_PANICS: usize = 2;

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    note: String,
    query: String,
    modules: Option<Vec<String>>,
    data: Option<serde_json::Value>,
    input: Option<serde_json::Value>,
    input_term: Option<String>,
    want_result: Option<serde_json::Value>,
    want_error: Option<String>,
    want_error_code: Option<String>,
    #[serde(default)]
    strict_error: bool,
    #[serde(default)]
    sort_bindings: bool,
}

fn value(json: &serde_json::Value) -> anyhow::Result<Value> {
    Value::from_json_str(&json.to_string())
}

/// The bindings of a query, a row for each answer that is not false.
fn answer(case: &Case) -> anyhow::Result<Vec<Value>> {
    let mut engine = Engine::new();
    engine.set_strict_builtin_errors(case.strict_error);
    let check_interval = NonZeroU32::new(64).unwrap();
    engine.set_execution_timer_config(ExecutionTimerConfig { limit: Duration::from_secs(5), check_interval });
    for (i, module) in case.modules.iter().flatten().enumerate() {
        engine.add_policy(format!("module-{i}.rego"), module.clone())?;
    }
    if let Some(data) = case.data.as_ref().filter(|data| data.is_object()) {
        engine.add_data(value(data)?)?;
    }
    if let Some(input) = &case.input {
        engine.set_input(value(input)?);
    } else if let Some(term) = &case.input_term {
        let results = Engine::new().eval_query(term.clone(), false)?;
        engine.set_input(results.result[0].expressions[0].value.clone());
    }
    let rows = engine.eval_query(case.query.clone(), false)?.result.into_iter();
    let held = rows.filter(|row| row.expressions.iter().all(|e| e.value != Value::Bool(false)));
    // Sets become arrays in JSON, as in the expected result.
    held.map(|row| Value::from_json_str(&row.bindings.to_json_str()?)).collect()
}

fn passes(case: &Case) -> bool {
    let wants_error = case.want_error.is_some() || case.want_error_code.is_some();
    match (answer(case), wants_error) {
        (Err(_), wants_error) => wants_error,
        (Ok(_), true) => false,
        (Ok(mut got), false) => {
            let Some(want) = &case.want_result else { return true };
            let mut want = value(want).unwrap().as_array().unwrap().to_vec();
            if case.sort_bindings {
                got.sort();
                want.sort();
            }
            got == want
        }
    }
}

fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("PROBITY_DATA")?).join("rego-conformance");
    folder.is_dir().then_some(folder)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = |path: &Path| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries(folder).filter(|p| p.is_dir()).flat_map(|p| entries(&p).collect::<Vec<_>>()).collect();
    files.sort();
    files
}

#[test]
fn the_interpreter_keeps_its_ground() {
    let Some(folder) = folder() else {
        println!("skipped: PROBITY_DATA names no folder with rego-conformance");
        return;
    };
    let (mut passed, mut failed, mut panicked) = (0, BTreeMap::new(), Vec::new());
    for path in files(&folder) {
        let group = path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        let file: File = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for case in &file.cases {
            match catch_unwind(AssertUnwindSafe(|| passes(case))) {
                Ok(true) => passed += 1,
                Ok(false) => *failed.entry(group.clone()).or_insert(0) += 1,
                Err(_) => panicked.push(case.note.clone()),
            }
        }
    }
    let failures: usize = failed.values().sum();
    println!("{passed} passed, {failures} failed, {} panicked", panicked.len());
    println!("failed by group: {failed:?}\npanicked: {panicked:?}");
    assert!(passed >= FLOOR, "{passed} passed, at least {FLOOR} did before");
    assert!(panicked.len() <= MOST_PANICS, "{panicked:?}");
}
