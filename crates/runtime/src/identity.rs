//! Caller tokens: how services know on whose behalf they are called.
//!
//! The gateway authenticates a user once and mints a token that every service
//! verifies; the orchestrator mints one for the owner of an execution; any
//! service mints one for itself to hand events to the audit log. A token is a
//! compact JWS (RFC 7515) signed with Ed25519 (RFC 8037) whose header is fixed:
//! no header field of an incoming token chooses an algorithm or a key location.
//!
//! **Architecture invariants.** A service accepts only tokens of issuers that
//! `edges.toml` lets call it. Only the gateway and the orchestrator may speak
//! for somebody else; every other issuer can only be itself, in the role
//! `service`. The request id and the trace are not authority and travel beside
//! the token, so that one token serves many calls.

use crate::keys::{KeyFile, read_public_key};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ed25519_dalek::{Signature, Signer as _, SigningKey, Verifier as _, VerifyingKey};
use parking_lot::{Mutex, RwLock};
use probity_types::{Clock, Ctx, Fault, FaultKind, Micros, Role, Roles};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Metadata key of the caller token.
pub const CALLER_HEADER: &str = "x-probity-caller";

/// Who the tokens are for.
const AUDIENCE: &str = "probity-platform";
/// Issuers that may speak for somebody else.
const SPEAK_FOR_OTHERS: [&str; 2] = ["gateway", "orchestrator"];
/// How long a token lasts.
const LIFETIME: Duration = Duration::from_secs(300);
/// How far the clocks of two machines may differ.
const LEEWAY: Duration = Duration::from_secs(30);
/// Longest token that is looked at.
const MAX_TOKEN_LEN: usize = 4_096;
/// Tokens remembered, so that a signature is checked once and not per call.
const REMEMBERED: usize = 4_096;
/// An unknown issuer's key is looked for on disk at most this often.
const RELOAD_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    iss: String,
    aud: String,
    exp: i64,
    tenant: String,
    actor: String,
    roles: Roles,
}

/// The header of every token of an issuer, encoded.
fn header(issuer: &str) -> String {
    B64.encode(format!(r#"{{"alg":"EdDSA","typ":"probity-caller+jwt","kid":"{issuer}"}}"#))
}

/// Mints caller tokens in the name of one service.
pub struct Minter {
    issuer: String,
    header: String,
    key: SigningKey,
    clock: Arc<dyn Clock>,
    minted: Mutex<lru::LruCache<Whom, (String, Micros)>>,
}

/// For whom a token was minted: tenant, actor, roles.
type Whom = (String, String, Vec<Role>);

impl Minter {
    /// A minter with the key in `keys_dir`, which is made on first use; its
    /// public half is published beside it.
    ///
    /// # Errors
    /// When the key cannot be read or written.
    pub fn open(keys_dir: &Path, issuer: &str, clock: Arc<dyn Clock>) -> Result<Self, Fault> {
        let key = KeyFile::open_or_create(keys_dir, issuer)?.into_signing_key();
        let minted = Mutex::new(lru::LruCache::new(NonZeroUsize::MIN.saturating_add(REMEMBERED)));
        Ok(Self { issuer: issuer.to_owned(), header: header(issuer), key, clock, minted })
    }

    /// A token for a caller, valid for up to five minutes. Tokens are handed
    /// out again until half their life is over.
    ///
    /// # Errors
    /// When the claims cannot be encoded.
    pub fn mint(&self, ctx: &Ctx) -> Result<String, Fault> {
        let now = self.clock.now();
        let slot = (ctx.tenant.clone(), ctx.actor.clone(), ctx.roles.iter().collect::<Vec<_>>());
        if let Some((token, until)) = self.minted.lock().get(&slot)
            && now < *until
        {
            return Ok(token.clone());
        }
        let token = self.sign(ctx, now)?;
        self.minted.lock().put(slot, (token.clone(), now.plus(LIFETIME / 2)));
        Ok(token)
    }

    /// A token for the service itself.
    ///
    /// # Errors
    /// As [`Minter::mint`].
    pub fn mint_own(&self) -> Result<(Ctx, String), Fault> {
        let ctx = Ctx::service(&self.issuer, "platform", "");
        let token = self.mint(&ctx)?;
        Ok((ctx, token))
    }

    fn sign(&self, ctx: &Ctx, now: Micros) -> Result<String, Fault> {
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            exp: now.plus(LIFETIME).0 / 1_000_000,
            tenant: ctx.tenant.clone(),
            actor: ctx.actor.clone(),
            roles: ctx.roles.clone(),
        };
        let body = serde_json::to_vec(&claims).map_err(|e| {
            Fault::new(FaultKind::Internal, "RUN-0003", "a caller token cannot be encoded").with_source(e)
        })?;
        let signed = format!("{}.{}", self.header, B64.encode(body));
        let signature = self.key.sign(signed.as_bytes());
        Ok(format!("{signed}.{}", B64.encode(signature.to_bytes())))
    }
}

/// Verifies caller tokens for one service.
pub struct Verifier {
    keys_dir: PathBuf,
    allowed: Vec<String>,
    keys: RwLock<HashMap<String, VerifyingKey>>,
    looked: Mutex<HashMap<String, Micros>>,
    known: Mutex<lru::LruCache<String, (Ctx, Micros)>>,
    clock: Arc<dyn Clock>,
}

impl Verifier {
    /// A verifier that trusts the public keys in `keys_dir` of the `allowed`
    /// issuers.
    #[must_use]
    pub fn new(keys_dir: &Path, allowed: Vec<String>, clock: Arc<dyn Clock>) -> Self {
        Self {
            keys_dir: keys_dir.to_owned(),
            allowed,
            keys: RwLock::default(),
            looked: Mutex::default(),
            known: Mutex::new(lru::LruCache::new(NonZeroUsize::MIN.saturating_add(REMEMBERED))),
            clock,
        }
    }

    /// The caller a token speaks of, with an empty request id and trace.
    ///
    /// # Errors
    /// UNAUTHENTICATED with the reason; the reason never repeats the token.
    pub fn verify(&self, token: &str) -> Result<Ctx, Fault> {
        let now = self.clock.now();
        if let Some((ctx, until)) = self.known.lock().get(token)
            && now < *until
        {
            return Ok(ctx.clone());
        }
        let (ctx, until) = self.check(token, now)?;
        self.known.lock().put(token.to_owned(), (ctx.clone(), until));
        Ok(ctx)
    }

    fn check(&self, token: &str, now: Micros) -> Result<(Ctx, Micros), Fault> {
        if token.len() > MAX_TOKEN_LEN {
            return Err(refused("the caller token is too long"));
        }
        let (signed, signature) =
            token.rsplit_once('.').ok_or_else(|| refused("the caller token has no signature"))?;
        let (head, body) = signed.split_once('.').ok_or_else(|| refused("the caller token has no body"))?;
        let claims: Claims = B64
            .decode(body)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(|| refused("the caller token's body cannot be read"))?;
        if head != header(&claims.iss) {
            return Err(refused("the caller token's header is not the one its issuer uses"));
        }
        let key = self.key(&claims.iss, now)?;
        let signature = B64
            .decode(signature)
            .ok()
            .and_then(|bytes| Signature::from_slice(&bytes).ok())
            .ok_or_else(|| refused("the caller token's signature cannot be read"))?;
        if key.verify(signed.as_bytes(), &signature).is_err() {
            self.keys.write().remove(&claims.iss);
            return Err(refused("the caller token's signature is wrong"));
        }
        self.accept(claims, now)
    }

    fn accept(&self, claims: Claims, now: Micros) -> Result<(Ctx, Micros), Fault> {
        let until = Micros(claims.exp.saturating_mul(1_000_000)).plus(LEEWAY);
        if claims.aud != AUDIENCE {
            return Err(refused("the caller token is for somebody else"));
        }
        if now >= until {
            return Err(refused("the caller token has expired"));
        }
        let itself =
            claims.actor == format!("services/{}", claims.iss) && claims.roles == Roles::new([Role::Service]);
        if !itself && !SPEAK_FOR_OTHERS.contains(&claims.iss.as_str()) {
            return Err(refused("this issuer may only speak for itself"));
        }
        let ctx = Ctx {
            tenant: claims.tenant,
            actor: claims.actor,
            roles: claims.roles,
            request_id: String::new(),
            trace_id: String::new(),
        };
        Ok((ctx, until))
    }

    /// The key of an issuer, from memory or from disk, so that a service that
    /// starts later, or changes its key, is known without a restart.
    fn key(&self, issuer: &str, now: Micros) -> Result<VerifyingKey, Fault> {
        if !self.allowed.iter().any(|name| name == issuer) {
            return Err(refused("calls from this issuer are not allowed here"));
        }
        if let Some(key) = self.keys.read().get(issuer) {
            return Ok(*key);
        }
        let mut looked = self.looked.lock();
        let again = looked.get(issuer).is_none_or(|at| now.since(*at) >= RELOAD_EVERY || now < *at);
        if !again {
            return Err(refused("the issuer's public key is not known here"));
        }
        looked.insert(issuer.to_owned(), now);
        let key = read_public_key(&self.keys_dir, issuer)?;
        self.keys.write().insert(issuer.to_owned(), key);
        looked.remove(issuer);
        Ok(key)
    }
}

fn refused(why: &str) -> Fault {
    Fault::new(FaultKind::Unauthenticated, "RUN-0004", why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_types::ManualClock;

    struct Setup {
        _dir: tempfile::TempDir,
        clock: Arc<ManualClock>,
        gateway: Minter,
        intake: Minter,
        verifier: Verifier,
    }

    fn setup() -> Setup {
        let dir = tempfile::tempdir().expect("temporary folder");
        let clock = Arc::new(ManualClock::at(Micros(1_700_000_000_000_000)));
        let mint = |name: &str| Minter::open(dir.path(), name, clock.clone()).expect("minter");
        let (gateway, intake) = (mint("gateway"), mint("intake"));
        mint("stranger");
        let verifier = Verifier::new(dir.path(), vec!["gateway".into(), "intake".into()], clock.clone());
        Setup { gateway, intake, verifier, clock, _dir: dir }
    }

    fn officer() -> Ctx {
        Ctx {
            tenant: "t1".into(),
            actor: "users/olga".into(),
            roles: Roles::new([Role::Officer]),
            request_id: String::new(),
            trace_id: String::new(),
        }
    }

    #[test]
    fn a_token_carries_its_caller() {
        let s = setup();
        let token = s.gateway.mint(&officer()).expect("token");
        assert_eq!(s.verifier.verify(&token).expect("verified"), officer());
        assert_eq!(s.gateway.mint(&officer()).expect("again"), token, "handed out again while fresh");
    }

    #[test]
    fn a_token_ends() {
        let s = setup();
        let token = s.gateway.mint(&officer()).expect("token");
        s.verifier.verify(&token).expect("fresh");
        s.clock.advance(LIFETIME + LEEWAY);
        assert!(s.verifier.verify(&token).is_err(), "remembered tokens end as well");
    }

    #[test]
    fn most_services_speak_only_for_themselves() {
        let s = setup();
        let (own, token) = s.intake.mint_own().expect("own");
        assert_eq!(s.verifier.verify(&token).expect("itself").actor, own.actor);
        let forged = s.intake.mint(&officer()).expect("minted");
        assert!(s.verifier.verify(&forged).is_err());
    }

    #[test]
    fn every_altered_token_is_refused() {
        let s = setup();
        let token = s.gateway.mint(&officer()).expect("token");
        for i in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[i] = if bytes[i] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(bytes).expect("ascii");
            if altered != token && B64.decode(altered.rsplit('.').next().unwrap_or("")).is_ok() {
                assert!(s.verifier.verify(&altered).is_err(), "byte {i}");
            }
        }
        for bad in ["", ".", "..", "a.b.c", &token[..token.len() - 4]] {
            assert!(s.verifier.verify(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_issuer_that_may_not_call_is_refused() {
        let s = setup();
        let other = Verifier::new(s._dir.path(), vec!["orchestrator".into()], s.clock.clone());
        let token = s.gateway.mint(&officer()).expect("token");
        assert!(other.verify(&token).is_err());
    }
}
