//! Receipts, verified without the platform: the proofs by `probity-merkle`, and
//! that every proved entry really speaks of what the receipt claims to be of.

use anyhow::{Context as _, bail};
use probity_merkle::VerifierKey;
use probity_merkle::receipt::{self, Verified};
use probity_proto::audit::Entry;
use prost::Message as _;
use serde_json::{Value, json};

/// A receipt that holds, with its entries readable.
#[derive(Debug)]
pub struct Proved {
    /// What was proved, and with which key.
    pub verified: Verified,
    /// The entries by their index in the log.
    pub entries: Vec<(u64, Entry)>,
}

/// Verifies a receipt with the key given, else with the one it carries.
///
/// # Errors
/// The first thing that does not hold.
pub fn verify(receipt: &[u8], key: Option<&VerifierKey>) -> anyhow::Result<Proved> {
    let verified = receipt::verify(receipt, key)?;
    let entries = verified.entries.iter().map(|(index, leaf)| {
        let entry =
            Entry::decode(leaf.as_slice()).with_context(|| format!("entry {index} is not readable"))?;
        belongs(&verified.claimed_subject, *index, &entry)?;
        Ok((*index, entry))
    });
    let entries = entries.collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Proved { verified, entries })
}

/// A receipt says of what it is, and no signature covers that: the entries must.
fn belongs(subject: &str, index: u64, entry: &Entry) -> anyhow::Result<()> {
    let fits = match subject.strip_prefix("entries/") {
        Some(id) => id == index.to_string() || id == entry.event_id,
        None => entry.case == subject || entry.subject == subject,
    };
    if !fits {
        bail!("entry {index} is about {:?}, not about {subject:?} as the receipt claims", entry.subject);
    }
    Ok(())
}

impl Proved {
    /// What was proved, for programs.
    ///
    /// # Errors
    /// When an entry cannot be shown as JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        let entries = self.entries.iter().map(|(index, entry)| {
            Ok(json!({ "index": index, "entry": crate::output::json("probity.audit.v1.Entry", entry)? }))
        });
        let head = &self.verified.checkpoint;
        Ok(json!({
            "verified": true,
            "subject": self.verified.claimed_subject,
            "entries": entries.collect::<anyhow::Result<Vec<_>>>()?,
            "totalEntries": self.verified.claimed_total,
            "origin": head.origin,
            "treeSize": head.size,
            "key": self.verified.key.to_string(),
            "keySource": self.verified.key_source.to_string(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_must_be_of_what_the_receipt_claims() {
        let entry = Entry {
            event_id: "e-1".into(),
            case: "cases/case_1".into(),
            subject: "documents/d".into(),
            ..Entry::default()
        };
        let check =
            |subject: &str, fits: bool| assert_eq!(belongs(subject, 7, &entry).is_ok(), fits, "{subject}");
        check("cases/case_1", true);
        check("cases/case_2", false);
        check("documents/d", true);
        check("entries/7", true);
        check("entries/e-1", true);
        check("entries/8", false);
        check("", false);
    }
}
