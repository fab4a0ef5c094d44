//! Signed notes (C2SP signed-note) with Ed25519 keys.
//!
//! A note is a text, an empty line, and signature lines. A signature names its key
//! and carries four bytes of the key's hash, so that a reader finds the one to
//! verify. Other algorithms and cosignatures of witnesses are read over, not
//! verified.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

/// Longest note in bytes.
pub const MAX_NOTE_LEN: usize = 64 * 1024;
/// Most signatures on a note.
pub const MAX_SIGNATURES: usize = 100;
/// Longest name of a key in bytes.
pub const MAX_NAME_LEN: usize = 255;

/// The algorithm byte of Ed25519 in keys and key ids.
const ED25519: u8 = 0x01;
const SIGNATURE_MARK: &str = "\u{2014} ";

/// Why a note or a key is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than any note of ours.
    #[error("the note has {0} bytes; at most {MAX_NOTE_LEN} are read")]
    TooLong(usize),
    /// Not UTF-8.
    #[error("the note is not UTF-8 text")]
    NotUtf8,
    /// Not the shape of a note.
    #[error("line {line} of the note: {what}")]
    Malformed {
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// No signature of that key is on the note.
    #[error("the note is not signed by {key}; it carries signatures of {found}")]
    NotSignedBy {
        /// The key, as name and id.
        key: String,
        /// The names and ids that are there.
        found: String,
    },
    /// The signature is not over this text.
    #[error("the signature of {key} does not fit the text: one of the two was changed")]
    BadSignature {
        /// The key, as name and id.
        key: String,
    },
    /// No verifier key.
    #[error("the verifier key {what}; it looks like name+1a2b3c4d+base64")]
    BadKey {
        /// What is wrong.
        what: &'static str,
    },
    /// A name that cannot stand in a signature line.
    #[error(
        "{0:?} cannot be the name of a key: 1 to {MAX_NAME_LEN} bytes without white space, `+` and control characters"
    )]
    BadName(String),
}

/// Checks that a text can be the name of a key.
///
/// # Errors
/// [`NoteError::BadName`].
pub fn check_name(name: &str) -> Result<(), NoteError> {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
    let fits = !name.is_empty() && name.len() <= MAX_NAME_LEN && name.chars().all(plain);
    if fits { Ok(()) } else { Err(NoteError::BadName(name.chars().take(80).collect())) }
}

/// A public key with its name, the text form of which is `name+hash+base64`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    key: VerifyingKey,
}

impl VerifierKey {
    /// The key of that name.
    ///
    /// # Errors
    /// When the name cannot be one, or anybody could sign for the key.
    pub fn new(name: &str, key: VerifyingKey) -> Result<Self, NoteError> {
        check_name(name)?;
        if key.is_weak() {
            return Err(NoteError::BadKey { what: "is of small order: it proves nothing" });
        }
        Ok(Self { name: name.to_owned(), id: key_id(name, &key), key })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Name and id, as people compare them: `name+1a2b3c4d`.
    #[must_use]
    pub fn short(&self) -> String {
        short(&self.name, self.id)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![ED25519];
        bytes.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{}", self.short(), BASE64_STANDARD.encode(bytes))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = |what| NoteError::BadKey { what };
        // Base64 may hold a plus, names and hex cannot.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad("does not have three parts"));
        };
        let data = Some(data).filter(|d| d.len() == 44).and_then(|d| BASE64_STANDARD.decode(d).ok());
        let data = data.ok_or(bad("does not end in the base64 of 33 bytes"))?;
        let bytes = match data.split_first() {
            Some((&ED25519, bytes)) => bytes.try_into().map_err(|_| bad("does not hold 32 bytes"))?,
            _ => return Err(bad("is not of the algorithm Ed25519")),
        };
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| bad("is no point of the curve"))?;
        let key = Self::new(name, key)?;
        if id == hex_id(key.id) {
            Ok(key)
        } else {
            Err(bad("does not match its own hash: a typing mistake?"))
        }
    }
}

/// Signs notes with a named key.
pub struct NoteSigner {
    key: SigningKey,
    public: VerifierKey,
}

impl NoteSigner {
    /// A signer with that name.
    ///
    /// # Errors
    /// When the name cannot be one.
    pub fn new(name: &str, key: SigningKey) -> Result<Self, NoteError> {
        let public = VerifierKey::new(name, key.verifying_key())?;
        Ok(Self { key, public })
    }

    /// The key to verify with.
    #[must_use]
    pub const fn verifier_key(&self) -> &VerifierKey {
        &self.public
    }

    /// The signed note of a text.
    ///
    /// # Errors
    /// When the text cannot be one: it must end in a newline and hold no other
    /// control characters.
    pub fn sign(&self, text: &str) -> Result<String, NoteError> {
        check_text(text)?;
        let mut blob = self.public.id.to_vec();
        blob.extend_from_slice(&self.key.sign(text.as_bytes()).to_bytes());
        let name = &self.public.name;
        Ok(format!("{text}\n{SIGNATURE_MARK}{name} {}\n", BASE64_STANDARD.encode(blob)))
    }
}

impl fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoteSigner").field("public", &self.public).finish_non_exhaustive()
    }
}

/// A note as it was read: nothing is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct NoteSignature {
    name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
}

impl SignedNote {
    /// Reads a note.
    ///
    /// # Errors
    /// Names the line that is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE_LEN {
            return Err(NoteError::TooLong(bytes.len()));
        }
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::NotUtf8)?;
        let end = note.rfind("\n\n").ok_or_else(|| malformed(note, "no empty line before signatures"))?;
        let (text, signatures) = (&note[..=end], &note[end + 2..]);
        check_text(text)?;
        let signatures = read_signatures(signatures, text.lines().count() + 2)?;
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The text, which anybody may have written.
    #[must_use]
    pub fn unverified_text(&self) -> &str {
        &self.text
    }

    /// The text once it is proved that the key signed it.
    ///
    /// # Errors
    /// When the key did not sign it, or not this text.
    pub fn verified_text(&self, key: &VerifierKey) -> Result<&str, NoteError> {
        let ours = |s: &&NoteSignature| s.name == key.name && s.id == key.id;
        let mut signatures = self.signatures.iter().filter(ours).peekable();
        if signatures.peek().is_none() {
            let found: Vec<_> = self.signatures.iter().map(|s| short(&s.name, s.id)).collect();
            return Err(NoteError::NotSignedBy { key: key.short(), found: found.join(", ") });
        }
        let fits = |s: &NoteSignature| {
            let signature = Signature::from_slice(&s.bytes);
            signature.is_ok_and(|s| key.key.verify_strict(self.text.as_bytes(), &s).is_ok())
        };
        // One that does not fit makes the note suspect even beside one that does.
        if signatures.all(fits) { Ok(&self.text) } else { Err(NoteError::BadSignature { key: key.short() }) }
    }
}

fn malformed(text: &str, what: &'static str) -> NoteError {
    NoteError::Malformed { line: text.lines().count().max(1), what }
}

fn check_text(text: &str) -> Result<(), NoteError> {
    let control = |c: char| c.is_control() && c != '\n';
    if let Some(at) = text.find(control) {
        let line = 1 + text[..at].matches('\n').count();
        return Err(NoteError::Malformed { line, what: "control character" });
    }
    if text.ends_with('\n') && text.len() > 1 {
        Ok(())
    } else {
        Err(malformed(text, "the text must end in a newline"))
    }
}

fn read_signatures(text: &str, first_line: usize) -> Result<Vec<NoteSignature>, NoteError> {
    let bad = |line, what| NoteError::Malformed { line, what };
    if !text.ends_with('\n') {
        return Err(bad(first_line, "the signatures must end in a newline"));
    }
    let lines = text.split_terminator('\n').enumerate();
    let mut signatures = Vec::new();
    for (line, text) in lines.map(|(at, text)| (first_line + at, text)) {
        if signatures.len() == MAX_SIGNATURES {
            return Err(bad(line, "more than 100 signatures"));
        }
        signatures.push(read_signature(text).map_err(|what| bad(line, what))?);
    }
    Ok(signatures)
}

fn read_signature(line: &str) -> Result<NoteSignature, &'static str> {
    let rest =
        line.strip_prefix(SIGNATURE_MARK).ok_or("a signature line begins with an em dash and a space")?;
    let (name, blob) = rest.split_once(' ').ok_or("a signature line has a name and a signature")?;
    check_name(name).map_err(|_| "the name of the key cannot be one")?;
    let blob = BASE64_STANDARD.decode(blob).map_err(|_| "the signature is not standard base64")?;
    match blob.split_first_chunk::<4>() {
        Some((id, bytes)) if !bytes.is_empty() => {
            Ok(NoteSignature { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
        }
        _ => Err("the signature is too short to hold a key id"),
    }
}

fn key_id(name: &str, key: &VerifyingKey) -> [u8; 4] {
    let hash = Sha256::new().chain_update(name).chain_update([b'\n', ED25519]).chain_update(key.as_bytes());
    let [a, b, c, d, ..]: [u8; 32] = hash.finalize().into();
    [a, b, c, d]
}

fn hex_id(id: [u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}

fn short(name: &str, id: [u8; 4]) -> String {
    format!("{name}+{}", hex_id(id))
}
