//! The keys that sign tokens, and how one follows another.
//!
//! A new key is published first and signs later, when everybody knows it; the old
//! one verifies until the last of its tokens has ended. So no token is ever signed
//! by a key somebody does not know, and none loses its key while it lasts.
//!
//! The first key is the one in the key file. Every later one is the SHA-256 of that
//! key and a salt of 32 random bytes that the store keeps: whoever has read the
//! store only, or the file only, cannot sign with it, and every gateway on the same
//! store and file has the same keys.

use super::principal::Principal;
use super::token::{LEEWAY, Refused, TokenKey, key_id};
use ed25519_dalek::SigningKey;
use probity_types::Micros;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// The longest life of a token that any key signs.
pub const LONGEST: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Not ended.
const OPEN: Micros = Micros(0);

/// A key as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the order; the key file's own is 0.
    pub number: i64,
    /// What it is made of beside the key file; empty for the first one.
    pub salt: Vec<u8>,
    /// When it was made and published.
    pub made: Micros,
    /// When it signs from.
    pub signs: Micros,
    /// When nothing it signed is good any more; 0 while it is the newest.
    pub ends: Micros,
}

/// What a key is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is published and will sign.
    Announced,
    /// It signs.
    Signing,
    /// It verifies what it has signed.
    Verifying,
    /// It is over.
    Ended,
}

impl Record {
    const fn has_ended(&self, now: Micros) -> bool {
        self.ends.0 != OPEN.0 && self.ends.0 <= now.0
    }
}

/// What is to be stored so that another key signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The key that is to sign; a new one, or one that waited.
    pub next: Record,
    /// When every other key ends that has not ended before.
    pub others_end: Micros,
}

/// How a new key takes over: after `announce`, or at once with the end of all
/// others. Nothing to store while a key waits to sign, unless it is to sign now.
#[must_use]
pub fn rotate(
    records: &[Record],
    salt: [u8; 32],
    now: Micros,
    announce: Option<Duration>,
) -> Option<Rotation> {
    let newest = records.iter().max_by_key(|record| record.number);
    let waits = newest.filter(|record| record.signs > now && !record.has_ended(now));
    match (announce, waits) {
        (Some(_), Some(_)) => None,
        (Some(announce), None) => {
            let signs = now.plus(announce);
            let number = newest.map_or(1, |record| record.number + 1);
            let next = Record { number, salt: salt.to_vec(), made: now, signs, ends: OPEN };
            Some(Rotation { next, others_end: signs.plus(LONGEST).plus(LEEWAY * 2) })
        }
        (None, _) => {
            let number = newest.map_or(1, |record| record.number + 1);
            let next = Record { number, salt: salt.to_vec(), made: now, signs: now, ends: OPEN };
            Some(Rotation { next, others_end: now })
        }
    }
}

/// A key with its times.
#[derive(Clone)]
struct Link {
    record: Record,
    key: Arc<TokenKey>,
}

/// All keys.
#[derive(Clone)]
pub struct Ring {
    /// Oldest first; never empty.
    links: Vec<Link>,
    first: Arc<TokenKey>,
}

impl Ring {
    /// The keys of the records, made of the key in the file.
    #[must_use]
    pub fn new(file: &SigningKey, records: &[Record]) -> Self {
        let mut records = records.to_vec();
        records.sort_by_key(|record| record.number);
        let first = Arc::new(TokenKey::new(file.clone()));
        let key = |record: &Record| {
            if record.salt.is_empty() {
                first.clone()
            } else {
                Arc::new(TokenKey::new(derive(file, &record.salt)))
            }
        };
        let links = records.into_iter().map(|record| Link { key: key(&record), record }).collect();
        Self { links, first }
    }

    /// The key that signs at a point in time.
    #[must_use]
    pub fn signer(&self, now: Micros) -> &TokenKey {
        let good = |link: &&Link| !link.record.has_ended(now);
        let signing = self.links.iter().rev().filter(good).find(|link| link.record.signs <= now);
        signing.or_else(|| self.links.iter().find(good)).map_or(&self.first, |link| &link.key)
    }

    /// The keys that verify at a point in time, newest first.
    pub fn published(&self, now: Micros) -> impl Iterator<Item = &TokenKey> {
        self.links.iter().rev().filter(move |link| !link.record.has_ended(now)).map(|link| link.key.as_ref())
    }

    /// All keys with what they are good for, newest first.
    pub fn states(&self, now: Micros) -> impl Iterator<Item = (&Record, &str, State)> {
        let signer = self.signer(now).id();
        self.links.iter().rev().map(move |link| {
            let state = match &link.record {
                record if record.has_ended(now) => State::Ended,
                _ if link.key.id() == signer => State::Signing,
                record if record.signs > now => State::Announced,
                _ => State::Verifying,
            };
            (&link.record, link.key.id(), state)
        })
    }

    /// The key that a token names, if it verifies at that point in time.
    ///
    /// # Errors
    /// When it names none of ours.
    pub fn key_of(&self, token: &str, now: Micros) -> Result<&TokenKey, Refused> {
        let id = key_id(token)?;
        self.published(now).find(|key| key.id() == id).ok_or(Refused::Foreign)
    }

    /// Who a token speaks of.
    ///
    /// # Errors
    /// The first reason to refuse it.
    pub fn verify(&self, token: &str, now: Micros) -> Result<Principal, Refused> {
        self.key_of(token, now)?.verify(token, now)
    }
}

/// Ed25519 seeds are any 32 bytes; both parts have fixed lengths, so that no two
/// pairs of them are the same text.
fn derive(file: &SigningKey, salt: &[u8]) -> SigningKey {
    let mut hash = Sha256::new();
    hash.update(b"probity token key v1\0");
    hash.update(Zeroizing::new(file.to_bytes()).as_slice());
    hash.update(salt);
    let seed: Zeroizing<[u8; 32]> = Zeroizing::new(hash.finalize().into());
    SigningKey::from_bytes(&seed)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::domain::token::Grant;
    use probity_types::{Role, Roles};
    use proptest::prelude::*;

    pub(crate) fn ring(now: Micros) -> Ring {
        Ring::new(&file(), &[first(now)])
    }

    fn file() -> SigningKey {
        SigningKey::from_bytes(&[1; 32])
    }

    fn first(now: Micros) -> Record {
        Record { number: 0, salt: Vec::new(), made: now, signs: now, ends: OPEN }
    }

    fn grant() -> Grant {
        Grant {
            actor: "users/olga".into(),
            tenant: "default".into(),
            roles: Roles::new([Role::Officer]),
            ttl: LONGEST,
            session: None,
        }
    }

    /// What the store does with a rotation.
    fn store(records: &mut Vec<Record>, rotation: Rotation) {
        for record in records.iter_mut().filter(|r| r.ends == OPEN || r.ends > rotation.others_end) {
            record.ends = rotation.others_end;
        }
        records.push(rotation.next);
    }

    const NOW: Micros = Micros(1_700_000_000_000_000);
    const ANNOUNCE: Duration = Duration::from_secs(600);

    #[test]
    fn a_key_is_published_then_signs_then_verifies_then_ends() {
        let mut records = vec![first(NOW)];
        let rotation = rotate(&records, [7; 32], NOW, Some(ANNOUNCE)).unwrap();
        store(&mut records, rotation);
        let ring = Ring::new(&file(), &records);
        let states = |at: Micros| ring.states(at).map(|(_, _, state)| state).collect::<Vec<_>>();
        let signs = NOW.plus(ANNOUNCE);
        assert_eq!(states(NOW), [State::Announced, State::Signing]);
        assert_eq!(ring.published(NOW).count(), 2, "published before it signs");
        assert_eq!(states(signs), [State::Signing, State::Verifying]);
        assert_eq!(states(signs.plus(LONGEST).plus(LEEWAY)), [State::Signing, State::Verifying]);
        assert_eq!(states(signs.plus(LONGEST).plus(LEEWAY * 2)), [State::Signing, State::Ended]);
        assert_eq!(rotate(&records, [8; 32], NOW, Some(ANNOUNCE)), None, "one waits to sign");
        assert!(rotate(&records, [8; 32], signs, Some(ANNOUNCE)).is_some());
    }

    #[test]
    fn at_once_ends_every_other_key() {
        let mut records = vec![first(NOW)];
        let old = Ring::new(&file(), &records).signer(NOW).issue(&grant(), NOW).unwrap().token;
        let soon = rotate(&records, [7; 32], NOW, Some(ANNOUNCE)).unwrap();
        store(&mut records, soon);
        let now = rotate(&records, [8; 32], NOW, None).unwrap();
        store(&mut records, now);
        let ring = Ring::new(&file(), &records);
        assert_eq!(ring.published(NOW).count(), 1);
        assert_eq!(ring.verify(&old, NOW), Err(Refused::Foreign));
        let new = ring.signer(NOW).issue(&grant(), NOW).unwrap().token;
        assert!(ring.verify(&new, NOW).is_ok());
    }

    #[test]
    fn keys_are_made_of_both_the_file_and_the_salt() {
        let id = |file: u8, salt: u8| {
            let records = [Record { number: 1, salt: vec![salt; 32], ..first(NOW) }];
            let ring = Ring::new(&SigningKey::from_bytes(&[file; 32]), &records);
            ring.signer(NOW).id().to_owned()
        };
        assert_eq!(id(1, 1), id(1, 1));
        assert_ne!(id(1, 1), id(1, 2));
        assert_ne!(id(1, 1), id(2, 1));
    }

    proptest! {
        /// However often it is rotated, a token is good at every moment of its life.
        #[test]
        fn no_token_outlives_its_key(
            waits in prop::collection::vec(0_u64..2_000, 1..12), issued in 0_usize..12, asked in 0_u64..2_592_000,
        ) {
            let (mut records, mut now, mut token) = (vec![first(NOW)], NOW, None);
            for (at, wait) in waits.iter().enumerate() {
                now = now.plus(Duration::from_secs(*wait));
                if at == issued {
                    let ring = Ring::new(&file(), &records);
                    token = Some((ring.signer(now).issue(&grant(), now).unwrap().token, now));
                }
                if let Some(rotation) = rotate(&records, [u8::try_from(at).unwrap(); 32], now, Some(ANNOUNCE)) {
                    store(&mut records, rotation);
                }
            }
            if let Some((token, at)) = token {
                let ring = Ring::new(&file(), &records);
                prop_assert!(ring.verify(&token, at.plus(Duration::from_secs(asked))).is_ok());
            }
        }
    }
}
