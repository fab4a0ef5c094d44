//! What the commands do, a module a group. Each makes its calls, then prints.

pub(crate) mod audit;
pub(crate) mod case;
pub(crate) mod deadletter;
pub(crate) mod execution;
pub(crate) mod fault;
pub(crate) mod finding;
pub(crate) mod key;
pub(crate) mod login;
pub(crate) mod rollout;
pub(crate) mod samples;
pub(crate) mod schedule;
pub(crate) mod seed;
pub(crate) mod show;
pub(crate) mod task;
pub(crate) mod token;
pub(crate) mod trace;
pub(crate) mod trial;
pub(crate) mod user;
pub(crate) mod watchlist;
pub(crate) mod workflow;

use crate::failure::Failure;
use crate::output::Output;
use anyhow::Context as _;
use comfy_table::{Row, Table};
use serde_json::Value;
use std::io::Read as _;
use std::path::Path;

/// Largest JSON that is read from a file or from standard input.
const MOST_JSON: u64 = 1 << 20;

/// The text of a file that a person wrote.
fn read_text(file: &Path, most: u64) -> Result<String, Failure> {
    let size = std::fs::metadata(file).map(|m| m.len()).unwrap_or_default();
    if size > most {
        return Err(anyhow::anyhow!("{}: has {size} bytes; at most {most} are read", file.display()).into());
    }
    Ok(std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?)
}

/// JSON as it was typed: itself, `@FILE`, or `-` for standard input. No digit of it
/// changes.
fn json_bytes(given: &str) -> Result<Vec<u8>, Failure> {
    let text = match given {
        "-" => {
            let mut text = String::new();
            std::io::stdin().lock().take(MOST_JSON + 1).read_to_string(&mut text)?;
            text
        }
        given => match given.strip_prefix('@') {
            Some(file) => read_text(Path::new(file), MOST_JSON)?,
            None => given.to_owned(),
        },
    };
    if text.len() as u64 > MOST_JSON {
        return Err(Failure::Usage(format!("the JSON has more than {MOST_JSON} bytes")));
    }
    match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
        Ok(_) => Ok(text.into_bytes()),
        Err(error) => {
            let shown = crate::output::short(given, 60);
            let hint = "write JSON such as '{\"a\": 1}', @FILE, or - for standard input";
            Err(Failure::Usage(format!("{shown} is no JSON ({error}); {hint}")))
        }
    }
}

/// As [`json_bytes`], read.
fn json_value(given: &str) -> Result<Value, Failure> {
    let bytes = json_bytes(given)?;
    Ok(serde_json::from_slice(&bytes).context("the JSON cannot be read")?)
}

/// Prints a list page by page: a table, or an object a line.
async fn many<M>(
    all: bool,
    none: &str,
    out: Output,
    mut table: Table,
    page: impl AsyncFn(String, i32) -> Result<(Vec<M>, String), Failure>,
    json: impl Fn(&M) -> anyhow::Result<Value>,
    row: impl Fn(&M) -> Row,
) -> Result<(), Failure> {
    let (mut token, size) = (String::new(), if all { 1_000 } else { 50 });
    loop {
        let (items, next) = page(token, size).await?;
        token = next;
        for item in &items {
            if out.is_json() {
                out.json_line(&json(item)?)?;
            } else {
                table.add_row(row(item));
            }
        }
        if token.is_empty() || !all {
            break;
        }
    }
    if out.is_json() {
        return Ok(());
    }
    if table.is_empty() {
        return out.line(none);
    }
    out.table(&table)?;
    if token.is_empty() { Ok(()) } else { out.line("there are more; --all lists them all") }
}
