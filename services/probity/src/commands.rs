//! What the commands do, a module a group. Each makes its calls, then prints.

pub(crate) mod audit;
pub(crate) mod case;
pub(crate) mod fault;
pub(crate) mod samples;
pub(crate) mod show;
pub(crate) mod token;
pub(crate) mod watchlist;
pub(crate) mod workflow;

use crate::failure::Failure;
use anyhow::Context as _;
use std::path::Path;

/// The text of a file that a person wrote.
fn read_text(file: &Path, most: u64) -> Result<String, Failure> {
    let size = std::fs::metadata(file).map(|m| m.len()).unwrap_or_default();
    if size > most {
        return Err(anyhow::anyhow!("{}: has {size} bytes; at most {most} are read", file.display()).into());
    }
    Ok(std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?)
}
