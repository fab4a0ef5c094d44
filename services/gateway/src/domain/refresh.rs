//! Refresh tokens: what the next tokens of a session are given for.
//!
//! One is a JWS as the tokens of calls are, with another type and audience, so that
//! neither is taken for the other. It names its session and its generation; the
//! store remembers only which generation is the newest. One of an older generation
//! that is genuine was used before: somebody else has it too.

use super::keyring::Ring;
use super::token::{LEEWAY, Refused};
use probity_types::Micros;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const TYPE: &str = "rt+jwt";
const AUDIENCE: &str = "probity-refresh";

/// What a refresh token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refresh {
    aud: String,
    /// The tenant of the session.
    pub tenant: String,
    /// The session.
    pub sid: Uuid,
    /// Which of its refresh tokens this is.
    pub generation: i64,
    exp: i64,
}

impl Refresh {
    /// The refresh token of a generation; it lasts until `expires`.
    #[must_use]
    pub fn new(tenant: &str, sid: Uuid, generation: i64, expires: Micros) -> Self {
        let exp = expires.0.div_euclid(1_000_000);
        Self { aud: AUDIENCE.to_owned(), tenant: tenant.to_owned(), sid, generation, exp }
    }

    /// Signs it.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn sign(&self, ring: &Ring, now: Micros) -> Result<String, serde_json::Error> {
        ring.signer(now).sign(TYPE, self)
    }

    /// Reads one back that a key of the ring signed.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn open(ring: &Ring, token: &str, now: Micros) -> Result<Self, Refused> {
        let read: Self = ring.key_of(token, now)?.open(TYPE, token)?;
        if read.aud != AUDIENCE {
            return Err(Refused::Audience);
        }
        if now >= Micros(read.exp.saturating_mul(1_000_000)).plus(LEEWAY) {
            return Err(Refused::Expired);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::keyring::tests::ring;
    use std::time::Duration;

    const NOW: Micros = Micros(1_700_000_000_000_000);

    #[test]
    fn it_comes_back_until_it_ends_and_is_no_token_of_calls() {
        let ring = ring(NOW);
        let refresh = Refresh::new("t1", Uuid::from_u128(7), 3, NOW.plus(Duration::from_secs(60)));
        let token = refresh.sign(&ring, NOW).unwrap();
        assert_eq!(Refresh::open(&ring, &token, NOW), Ok(refresh));
        let late = NOW.plus(Duration::from_secs(60) + LEEWAY);
        assert_eq!(Refresh::open(&ring, &token, late), Err(Refused::Expired));
        assert_eq!(ring.verify(&token, NOW), Err(Refused::Foreign));
        for bad in ["", "a.b", "a.b.c", &token[1..], &format!("{token}x")] {
            assert!(Refresh::open(&ring, bad, NOW).is_err(), "{bad}");
        }
    }
}
