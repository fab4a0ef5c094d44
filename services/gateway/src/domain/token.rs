//! Bearer tokens of users: a compact JWS (RFC 7515) with Ed25519 (RFC 8037) and
//! the claims of RFC 9068, signed and verified here.
//!
//! One algorithm, one shape. Nothing in a token chooses how it is verified: `alg`
//! must be `EdDSA`, `kid` must be a key we hold, and `jku`, `x5u`, `jwk` and
//! `x5c` are never looked at. Written here rather than taken from a library,
//! because the libraries are built around choosing an algorithm per token, and
//! the one at hand keeps its cryptography in a process-wide setting.

use super::principal::{Principal, check_actor, check_roles, check_tenant};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use probity_types::{Micros, Role, Roles};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::time::Duration;
use uuid::Uuid;

/// Longest token that is looked at.
pub const MAX_TOKEN_LEN: usize = 8 * 1024;
/// How far the clock of the issuer may differ from ours.
pub const LEEWAY: Duration = Duration::from_secs(30);

const ISSUER: &str = "probity";
const AUDIENCE: &str = "probity-api";
const ALGORITHM: &str = "EdDSA";
const TYPE: &str = "at+jwt";

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    kid: String,
    typ: String,
    /// Extensions that must be understood: we understand none.
    #[serde(skip_serializing)]
    crit: Option<IgnoredAny>,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    tenant: String,
    roles: Vec<Role>,
    jti: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    /// The session it belongs to; absent in tokens that an administrator issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<Uuid>,
}

/// For whom a token is made.
#[derive(Debug, Clone)]
pub struct Grant {
    /// `users/…` or `service-accounts/…`.
    pub actor: String,
    /// The tenant.
    pub tenant: String,
    /// The roles.
    pub roles: Roles,
    /// How long it lasts.
    pub ttl: Duration,
    /// The session it belongs to, if it belongs to one.
    pub session: Option<Uuid>,
}

/// A token just made.
pub struct Issued {
    /// The token itself; never logged.
    pub token: String,
    /// Its id, for the audit log.
    pub id: String,
    /// When it ends.
    pub expires: Micros,
}

/// Why a token is refused, in words for its bearer. Never repeats the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Larger than [`MAX_TOKEN_LEN`].
    #[error("the token is longer than 8 KiB")]
    TooLong,
    /// Not three parts of base64url with JSON in the first two.
    #[error("the token is no compact JWS of ours")]
    Malformed,
    /// `alg`, `typ`, `crit` or `kid` is not what this platform signs with.
    #[error("the token was not made by this platform")]
    Foreign,
    /// The signature does not fit.
    #[error("the signature of the token is wrong")]
    Signature,
    /// For another issuer or audience.
    #[error("the token is for somebody else")]
    Audience,
    /// `exp` has passed.
    #[error("the token has expired; ask for a new one")]
    Expired,
    /// `nbf` or `iat` lies in the future.
    #[error("the token is not valid yet; check the clocks")]
    TooEarly,
    /// Its session was ended, or its account was disabled.
    #[error("the session of the token has ended; log in again")]
    Ended,
    /// The subject, the tenant or the roles are none we know.
    #[error("the token names a subject, a tenant or roles that cannot be")]
    Claims,
}

/// The key that signs and verifies the tokens of users.
pub struct TokenKey {
    key: SigningKey,
    public: VerifyingKey,
    id: String,
}

impl TokenKey {
    /// The id of a key is the beginning of the hash of its public half.
    #[must_use]
    pub fn new(key: SigningKey) -> Self {
        let public = key.verifying_key();
        let digest = Sha256::digest(public.as_bytes());
        Self { id: hex::encode(&digest[..8]), public, key }
    }

    /// The id of the key and its public half.
    #[must_use]
    pub fn public(&self) -> (&str, [u8; 32]) {
        (&self.id, self.public.to_bytes())
    }

    /// The id of the key.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Makes a token.
    ///
    /// # Errors
    /// When the claims cannot be encoded.
    pub fn issue(&self, grant: &Grant, now: Micros) -> Result<Issued, serde_json::Error> {
        let iat = now.0.div_euclid(1_000_000);
        let exp = now.plus(grant.ttl).0.div_euclid(1_000_000);
        let id = uuid::Uuid::now_v7().as_simple().to_string();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: grant.actor.clone(),
            tenant: grant.tenant.clone(),
            roles: grant.roles.iter().collect(),
            jti: id.clone(),
            iat,
            nbf: iat,
            exp,
            sid: grant.session,
        };
        let token = self.sign(TYPE, &claims)?;
        Ok(Issued { token, id, expires: Micros(exp.saturating_mul(1_000_000)) })
    }

    /// A compact JWS of this type with these claims.
    ///
    /// # Errors
    /// When the claims cannot be encoded.
    pub(super) fn sign(&self, typ: &str, claims: &impl Serialize) -> Result<String, serde_json::Error> {
        let header = serde_json::to_vec(&Header {
            alg: ALGORITHM.to_owned(),
            kid: self.id.clone(),
            typ: typ.to_owned(),
            crit: None,
        })?;
        let signed = format!("{}.{}", B64.encode(header), B64.encode(serde_json::to_vec(claims)?));
        let signature = B64.encode(self.key.sign(signed.as_bytes()).to_bytes());
        Ok(format!("{signed}.{signature}"))
    }

    /// Who a token speaks of.
    ///
    /// # Errors
    /// The first reason to refuse it; the signature is checked before any claim
    /// is believed.
    pub fn verify(&self, token: &str, now: Micros) -> Result<Principal, Refused> {
        accept(self.open(TYPE, token)?, now)
    }

    /// The claims of a JWS of this type that this key signed; none of them has been
    /// looked at.
    ///
    /// # Errors
    /// The first reason to refuse it.
    pub(super) fn open<T: for<'de> Deserialize<'de>>(&self, typ: &str, token: &str) -> Result<T, Refused> {
        if token.len() > MAX_TOKEN_LEN {
            return Err(Refused::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refused::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Refused::Malformed)?;
        self.check_header(&part::<Header>(header)?, typ)?;
        let signature = B64
            .decode(signature)
            .ok()
            .and_then(|bytes| Signature::from_slice(&bytes).ok())
            .ok_or(Refused::Malformed)?;
        self.public.verify_strict(signed.as_bytes(), &signature).map_err(|_| Refused::Signature)?;
        part(claims)
    }

    fn check_header(&self, header: &Header, typ: &str) -> Result<(), Refused> {
        let ours = header.alg == ALGORITHM && header.typ == typ && header.kid == self.id;
        if ours && header.crit.is_none() { Ok(()) } else { Err(Refused::Foreign) }
    }
}

/// The id of the key that a token says it was signed with.
///
/// # Errors
/// When it has no header of ours.
pub fn key_id(token: &str) -> Result<String, Refused> {
    if token.len() > MAX_TOKEN_LEN {
        return Err(Refused::TooLong);
    }
    let mut parts = token.split('.');
    let header = parts.next().filter(|_| parts.count() == 2).ok_or(Refused::Malformed)?;
    Ok(part::<Header>(header)?.kid)
}

fn part<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, Refused> {
    let bytes = B64.decode(text).map_err(|_| Refused::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| Refused::Malformed)
}

fn accept(claims: Claims, now: Micros) -> Result<Principal, Refused> {
    if claims.iss != ISSUER || claims.aud != AUDIENCE {
        return Err(Refused::Audience);
    }
    let at = |seconds: i64| Micros(seconds.saturating_mul(1_000_000));
    if now >= at(claims.exp).plus(LEEWAY) || claims.exp <= claims.iat {
        return Err(Refused::Expired);
    }
    if now.plus(LEEWAY) < at(claims.nbf) || now.plus(LEEWAY) < at(claims.iat) {
        return Err(Refused::TooEarly);
    }
    let sound = check_actor(&claims.sub).is_ok()
        && check_tenant(&claims.tenant).is_ok()
        && check_roles(&claims.roles).is_ok()
        && !claims.jti.is_empty();
    if !sound {
        return Err(Refused::Claims);
    }
    Ok(Principal {
        actor: claims.sub,
        tenant: claims.tenant,
        roles: Roles::new(claims.roles),
        expires: at(claims.exp),
        session: claims.sid,
    })
}

#[cfg(test)]
mod tests;
