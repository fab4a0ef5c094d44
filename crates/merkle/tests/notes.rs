//! Signed notes, verifier keys and checkpoints: what is read and what is not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use ed25519_dalek::SigningKey;
use probity_merkle::note::{MAX_NOTE_LEN, MAX_SIGNATURES};
use probity_merkle::{Checkpoint, Hash, NoteSigner, SignedNote, VerifierKey};
use proptest::prelude::*;

const NAME: &str = "log.example/one";

fn signer(seed: u8) -> NoteSigner {
    NoteSigner::new(NAME, SigningKey::from_bytes(&[seed; 32])).unwrap()
}

fn head() -> Checkpoint {
    Checkpoint::new(NAME, 7, Hash::of_nothing())
}

#[test]
fn published_keys_are_read_and_written() {
    for text in [
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
    ] {
        assert_eq!(text.parse::<VerifierKey>().unwrap().to_string(), text);
    }
}

#[test]
fn no_piece_or_typing_mistake_of_a_key_is_a_key() {
    let text = signer(1).verifier_key().to_string();
    assert_eq!(&text.parse::<VerifierKey>().unwrap(), signer(1).verifier_key());
    for from in 0..text.len() {
        for to in from..text.len() {
            assert!(text[from..to].parse::<VerifierKey>().is_err(), "{}", &text[from..to]);
        }
    }
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] += 1;
        let changed = String::from_utf8(bytes).unwrap();
        assert!(changed.parse::<VerifierKey>().is_err(), "{changed}");
    }
}

#[test]
fn bad_keys_say_why() {
    let check = |text: &str, part: &str| {
        let error = text.parse::<VerifierKey>().unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    };
    let good = signer(1).verifier_key().to_string();
    let (name, rest) = good.split_once('+').unwrap();
    check("", "three parts");
    check("name+00000000", "three parts");
    check("name+00000000+short", "33 bytes");
    check(&format!("another{rest}"), "three parts");
    check(&format!("another+{rest}"), "does not match its own hash");
    check(&good.to_uppercase(), "");
    check(&format!("two words+{rest}"), "cannot be the name");
    check(&format!("{name}+00000000+Ag{}", "A".repeat(42)), "algorithm");
    // The neutral point: every message has a signature of it.
    check(&format!("{name}+00000000+AQE{}", "A".repeat(41)), "small order");
}

#[test]
fn a_checkpoint_is_read_as_it_was_signed() {
    let mut head = head();
    head.extensions = vec!["more".to_owned(), "and more".to_owned()];
    let note = head.sign(&signer(1)).unwrap();
    assert_eq!(Checkpoint::open(note.as_bytes(), signer(1).verifier_key()).unwrap(), head);
    assert_eq!(
        head.to_text(),
        "log.example/one\n7\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nmore\nand more\n"
    );
}

#[test]
fn what_would_read_differently_is_not_signed() {
    for origin in ["", "two\nlines", "a\u{7}b"] {
        let head = Checkpoint { origin: origin.to_owned(), ..head() };
        assert!(head.sign(&signer(1)).is_err(), "{origin:?}");
    }
    for line in ["", "two\nlines"] {
        let head = Checkpoint { extensions: vec![line.to_owned()], ..head() };
        assert!(head.sign(&signer(1)).is_err(), "{line:?}");
    }
    assert!(NoteSigner::new("with space", SigningKey::from_bytes(&[1; 32])).is_err());
    assert!(signer(1).sign("no newline").is_err());
}

#[test]
fn bad_checkpoints_name_the_line() {
    let root = Hash::of_nothing().to_base64();
    let check = |text: &str, line: usize| {
        let error = Checkpoint::parse(text).unwrap_err().to_string();
        assert!(error.starts_with(&format!("line {line} of the checkpoint")), "{text:?}: {error}");
    };
    check("", 1);
    check("\n", 1);
    check("origin", 1);
    check("origin\n", 2);
    check(&format!("origin\n-1\n{root}\n"), 2);
    check(&format!("origin\n+1\n{root}\n"), 2);
    check(&format!("origin\n01\n{root}\n"), 2);
    check(&format!("origin\n18446744073709551616\n{root}\n"), 2);
    check("origin\n1\n", 3);
    check("origin\n1\nAAAA\n", 3);
    check(&format!("origin\n1\n{root}\n\n"), 4);
    check(&format!("origin\n1\n{root}\nx\n\n"), 5);
    assert_eq!(Checkpoint::parse(&format!("origin\n{}\n{root}\n", u64::MAX)).unwrap().size, u64::MAX);
}

#[test]
fn bad_notes_say_why() {
    let check = |note: &str, part: &str| {
        let error = SignedNote::parse(note.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(part), "{note:?}: {error}");
    };
    let good = head().sign(&signer(1)).unwrap();
    let (text, signature) = good.split_once("\n\n").unwrap();
    check("", "no empty line");
    check("text\n", "no empty line");
    check("text\n\n", "signatures must end");
    check(&format!("{text}\n{signature}"), "no empty line");
    check(good.trim_end(), "signatures must end");
    check(&good.replace('\u{2014}', "-"), "em dash");
    check(&good.replace("one ", "one"), "a name and a signature");
    check(&format!("{text}\n\n\u{2014} a+b AAAAAAAA\n"), "name of the key");
    check(&format!("{text}\n\n\u{2014} name AAA\n"), "base64");
    check(&format!("{text}\n\n\u{2014} name AAAAAA==\n"), "too short");
    check(&format!("te\u{7}xt\n\n{signature}"), "control character");
    check(&format!("te\u{9e}xt\n\n{signature}"), "control character");
    check(&format!("{text}\n\n{}", signature.repeat(MAX_SIGNATURES + 1)), "more than 100");
    check(&"x".repeat(MAX_NOTE_LEN + 1), "at most");
    assert!(SignedNote::parse(b"\xff\n\n").unwrap_err().to_string().contains("UTF-8"));
}

#[test]
fn only_the_key_that_signed_opens_a_note() {
    let note = head().sign(&signer(1)).unwrap();
    let open = |note: &str, key: &NoteSigner| Checkpoint::open(note.as_bytes(), key.verifier_key());
    let error = open(&note, &signer(2)).unwrap_err().to_string();
    assert!(error.contains("not signed by") && error.contains(&signer(1).verifier_key().short()), "{error}");
    assert!(
        open(&note.replacen("\n7\n", "\n8\n", 1), &signer(1))
            .unwrap_err()
            .to_string()
            .contains("does not fit")
    );

    let foreign = Checkpoint::new("log.example/two", 7, Hash::of_nothing()).sign(&signer(1)).unwrap();
    assert!(open(&foreign, &signer(1)).unwrap_err().to_string().contains("of the log \"log.example/two\""));
}

#[test]
fn signatures_of_others_are_read_over_and_a_bad_one_of_ours_is_not() {
    let note = head().sign(&signer(1)).unwrap();
    let line = |note: &str| note.split_once("\n\n").unwrap().1.to_owned();
    let other = line(&head().sign(&signer(2)).unwrap());
    let wrong = line(&Checkpoint::new(NAME, 8, Hash::of_nothing()).sign(&signer(1)).unwrap());
    let open = |note: String| Checkpoint::open(note.as_bytes(), signer(1).verifier_key()).is_ok();
    assert!(open(format!("{note}{other}")));
    assert!(open(format!("{note}{}", line(&note))));
    assert!(!open(format!("{note}{wrong}")));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = SignedNote::parse(&bytes);
        let _ = Checkpoint::open(&bytes, signer(1).verifier_key());
        let text = String::from_utf8_lossy(&bytes);
        let _ = Checkpoint::parse(&text);
        let _ = text.parse::<VerifierKey>();
    }

    #[test]
    fn almost_notes_never_panic(parts in prop::collection::vec(prop::sample::select(vec![
        "\n", "\n\n", "\u{2014} ", "\u{2014}", "a", " ", "+", "7", "=", "AAAAAAAA", "AAAAAA==", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "é",
    ]), 0..24)) {
        let text = parts.concat();
        let _ = SignedNote::parse(text.as_bytes());
        let _ = Checkpoint::parse(&text);
        let _ = text.parse::<VerifierKey>();
    }

    #[test]
    fn no_flipped_bit_is_read_as_signed(at in any::<usize>(), bit in 0_u8..8) {
        let mut note = head().sign(&signer(1)).unwrap().into_bytes();
        let at = at % note.len();
        note[at] ^= 1 << bit;
        prop_assert!(Checkpoint::open(&note, signer(1).verifier_key()).is_err());
    }
}
