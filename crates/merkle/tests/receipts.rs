//! Receipts: made, verified, and refused after any change.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "common/reference.rs"]
mod reference;

use ed25519_dalek::SigningKey;
use probity_merkle::receipt::{self, FORMAT, MAX_LEAF_LEN, MAX_RECEIPT_LEN, ProvedEntry};
use probity_merkle::{Checkpoint, KeySource, NoteSigner, Receipt};
use proptest::prelude::*;
use reference::{leaf, leaves, path, root, subproof};

const SIZE: u64 = 21;

fn signer(seed: u8) -> NoteSigner {
    NoteSigner::new("log.example/one", SigningKey::from_bytes(&[seed; 32])).unwrap()
}

fn receipt(indices: &[u64]) -> Receipt {
    let leaves = leaves(SIZE);
    let prove = |index: &u64| ProvedEntry {
        index: *index,
        leaf: leaf(*index),
        inclusion: path(usize::try_from(*index).unwrap(), &leaves),
    };
    let note = Checkpoint::new("log.example/one", SIZE, root(&leaves)).sign(&signer(1)).unwrap();
    Receipt::new("cases/case_1", indices.len() as u64, indices.iter().map(prove).collect(), note)
}

fn error(receipt: &Receipt) -> String {
    let json = receipt.to_json().unwrap();
    receipt::verify(json.as_bytes(), Some(signer(1).verifier_key())).unwrap_err().to_string()
}

#[test]
fn a_receipt_verifies_with_the_pinned_key() {
    let json = receipt(&[0, 4, 20]).to_json().unwrap();
    let verified = receipt::verify(json.as_bytes(), Some(signer(1).verifier_key())).unwrap();
    assert_eq!(verified.key_source, KeySource::Pinned);
    assert_eq!(verified.entries, [(0, leaf(0)), (4, leaf(4)), (20, leaf(20))]);
    assert_eq!(verified.checkpoint.size, SIZE);
    assert_eq!((verified.claimed_subject.as_str(), verified.claimed_total), ("cases/case_1", 3));
}

#[test]
fn the_key_in_the_file_is_used_only_without_a_pinned_one_and_said_so() {
    let mut receipt = receipt(&[3]);
    assert!(receipt.clone().verify(None).unwrap_err().to_string().contains("carries no key"));
    receipt.verifier_key = Some(signer(1).verifier_key().to_string());
    let verified = receipt.clone().verify(None).unwrap();
    assert_eq!(verified.key_source, KeySource::Receipt);
    assert_eq!(verified.key_source.to_string(), "key from the receipt itself");
    // Somebody else's receipt with somebody else's key does not pass for ours.
    let refused = receipt.verify(Some(signer(2).verifier_key())).unwrap_err().to_string();
    assert!(refused.contains("not signed by"), "{refused}");
}

#[test]
fn changes_are_named() {
    let check = |change: fn(&mut Receipt), part: &str| {
        let mut receipt = receipt(&[0, 4, 20]);
        change(&mut receipt);
        let error = error(&receipt);
        assert!(error.contains(part), "{error}");
    };
    check(|r| r.entries[1].leaf[0] ^= 1, "entries[1]: entry 4 is not what the log signed");
    check(|r| r.entries[1].index = 5, "entries[1]: entry 5 is not what the log signed");
    check(|r| r.entries[2].index = 21, "not in a tree of 21 entries");
    check(|r| r.entries[2].index = 4, "entries[2]: index 4 does not follow");
    check(|r| r.entries.swap(0, 1), "entries[1]: index 0 does not follow");
    check(|r| r.entries[0].inclusion[0].0[0] ^= 1, "entries[0]");
    check(|r| r.entries[0].inclusion.truncate(4), "has 4 hashes where 5 are needed");
    check(|r| r.entries.clear(), "0 entries");
    check(|r| r.entries[0].leaf = vec![0; MAX_LEAF_LEN + 1], "bytes; at most");
    check(|r| r.checkpoint = r.checkpoint.replace("\n21\n", "\n22\n"), "does not fit the text");
    check(|r| r.checkpoint.clear(), "checkpoint: ");
    check(|r| r.format = "probity-receipt/v2".to_owned(), FORMAT);
}

#[test]
fn a_consistency_proof_is_no_inclusion_proof() {
    let mut receipt = receipt(&[20]);
    receipt.entries[0].inclusion = subproof(20, &leaves(SIZE), true);
    assert!(error(&receipt).contains("entries[0]"));
}

#[test]
fn what_is_no_receipt_is_refused() {
    let check = |json: &str, part: &str| {
        let error = receipt::verify(json.as_bytes(), None).unwrap_err().to_string();
        assert!(error.contains(part), "{json}: {error}");
    };
    check("", "cannot be read");
    check("[]", "cannot be read");
    check("{}", "missing field `format`");
    check(r#"{"format":"other"}"#, "the format is \"other\"");
    check(r#"{"format":"probity-receipt/v1"}"#, "missing field");
    let good = receipt(&[1]).to_json().unwrap();
    check(&good.replacen("\"subject\"", "\"color\":1,\"subject\"", 1), "unknown field `color`");
    check(&good.replacen("\"index\":1", "\"index\":-1", 1), "cannot be read");
    check(&good.replacen("\"index\":1", "\"index\":1.0", 1), "cannot be read");
    check(&good.replacen("\"leaf\":\"", "\"leaf\":\"*", 1), "cannot be read");
    let mut bad_key = receipt(&[1]);
    bad_key.verifier_key = Some("nonsense".to_owned());
    check(&bad_key.to_json().unwrap(), "verifier_key: ");
    let long = vec![b' '; MAX_RECEIPT_LEN + 1];
    assert!(receipt::verify(&long, None).unwrap_err().to_string().contains("at most"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(receipt::verify(&bytes, None).is_err());
    }

    /// The subject and the total are claims; everything else is covered.
    #[test]
    fn no_flipped_bit_goes_unnoticed(at in any::<usize>(), bit in 0_u8..8) {
        let json = receipt(&[2, 7, 19]).to_json().unwrap();
        let covered = json.find("\"entries\"").unwrap();
        let mut bytes = json.into_bytes();
        let at = covered + at % (bytes.len() - covered);
        bytes[at] ^= 1 << bit;
        prop_assert!(receipt::verify(&bytes, Some(signer(1).verifier_key())).is_err());
    }
}
