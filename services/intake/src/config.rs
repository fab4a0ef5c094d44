//! `[intake]`: how large documents may be and where they are kept.

use probity_runtime::ServiceConfig;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Largest piece that is ever kept in a row: more would slow down every reader
/// of the table.
const MOST_INLINE_BYTES: u64 = 1 << 20;

/// A document that nobody names for so long is nobody's any more.
const MOST_HOURS: u64 = 90 * 24;

/// Configuration of intake.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Largest document in bytes.
    pub max_document_bytes: u64,
    /// Documents up to this size are kept in the database, larger ones as files.
    pub max_inline_bytes: u64,
    /// How long a temporary document is kept that no execution names, in hours.
    pub temporary_hours: u64,
    /// Folder of the larger ones; `objects` in the data folder when absent. On
    /// PostgreSQL with several replicas it must be a volume they share.
    pub objects_dir: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_document_bytes: 256 << 20,
            max_inline_bytes: 64 << 10,
            temporary_hours: 24,
            objects_dir: None,
        }
    }
}

impl ServiceConfig for Config {
    fn validate(&self) -> Result<(), String> {
        for (key, value, least, most) in [
            ("max_document_bytes", self.max_document_bytes, 1_024, 1 << 40),
            ("max_inline_bytes", self.max_inline_bytes, 0, MOST_INLINE_BYTES),
            ("temporary_hours", self.temporary_hours, 1, MOST_HOURS),
        ] {
            if !(least..=most).contains(&value) {
                return Err(format!("{key} = {value}: must be from {least} to {most}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_bad_values_are_named() {
        assert_eq!(Config::default().validate(), Ok(()));
        let check = |config: Config, part: &str| {
            let error = config.validate().expect_err(part);
            assert!(error.contains(part), "{error}");
        };
        check(
            Config { max_document_bytes: 0, ..Config::default() },
            "max_document_bytes = 0: must be from 1024",
        );
        check(Config { max_inline_bytes: 2 << 20, ..Config::default() }, "max_inline_bytes");
        check(Config { temporary_hours: 0, ..Config::default() }, "temporary_hours = 0: must be from 1");
    }
}
