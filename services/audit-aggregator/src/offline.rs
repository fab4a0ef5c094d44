//! The check of a log that is not running: a data folder as the platform or the
//! service on its own left it, or a copy of one.

use crate::{CheckReport, Config, KEY_NAME, MIGRATIONS, check, check_with_witness};
use anyhow::{Context as _, ensure};
use probity_merkle::{Checkpoint, VerifierKey};
use probity_runtime::keys::read_public_key;
use probity_storage::{Db, DbConfig};
use std::path::Path;

/// The key of the log in a data folder. It lies beside what it is to prove: a
/// key from elsewhere proves more.
///
/// # Errors
/// When the folder holds no key.
pub fn folder_key(dir: &Path, config: &Config) -> anyhow::Result<VerifierKey> {
    let keys = dir.join("keys");
    let key = read_public_key(&keys, KEY_NAME)
        .with_context(|| format!("{} holds no public key of the log", keys.display()))?;
    VerifierKey::new(&config.origin, key).context("the key of the log")
}

/// Checks the log in a data folder with SQLite stores, as [`check`] does; with a
/// checkpoint that was kept elsewhere, as [`check_with_witness`].
///
/// # Errors
/// When there is no log, another process has it open, or it cannot be read.
pub async fn check_folder(
    dir: &Path,
    key: &VerifierKey,
    witness: Option<Checkpoint>,
) -> anyhow::Result<CheckReport> {
    let file = dir.join("audit-aggregator").join("audit-aggregator.db");
    // Opening would make a new and intact one.
    ensure!(file.is_file(), "{} is not there: is this the data folder?", file.display());
    let db = Db::open(&DbConfig::sqlite(&file), "audit-aggregator", MIGRATIONS).await?;
    let report = match witness {
        Some(witness) => check_with_witness(&db, key, witness).await,
        None => check(&db, key).await,
    };
    db.close().await;
    Ok(report?)
}
