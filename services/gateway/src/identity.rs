//! Who a bearer token speaks of: verified once, then remembered until it ends.

pub(crate) mod hasher;
pub(crate) mod keeper;

use crate::domain::principal::Principal;
use crate::domain::token::{LEEWAY, MAX_TOKEN_LEN, Refused, key_id};
use crate::error::Error;
use crate::metrics::Metrics;
use http::{HeaderMap, header};
use keeper::Keeper;
use lru::LruCache;
use parking_lot::Mutex;
use probity_types::{Clock, Micros};
use sha2::{Digest as _, Sha256};
use std::num::NonZeroUsize;
use std::sync::Arc;

type Fingerprint = [u8; 32];

/// A caller whose token was verified, and the key it was verified with.
struct Verified {
    principal: Arc<Principal>,
    key: String,
}

/// Verifies the tokens of callers.
pub(crate) struct Identity {
    keeper: Arc<Keeper>,
    clock: Arc<dyn Clock>,
    /// By the SHA-256 of the token, so that no token lies in memory longer than
    /// its request.
    known: Mutex<LruCache<Fingerprint, Verified>>,
    metrics: Metrics,
}

impl Identity {
    pub(crate) fn new(
        keeper: Arc<Keeper>,
        clock: Arc<dyn Clock>,
        remembered: usize,
        metrics: Metrics,
    ) -> Self {
        let size = NonZeroUsize::new(remembered).unwrap_or(NonZeroUsize::MIN);
        Self { keeper, clock, known: Mutex::new(LruCache::new(size)), metrics }
    }

    /// The caller named by the `authorization` header.
    ///
    /// # Errors
    /// When there is no token, more than one, or one that is refused.
    pub(crate) fn caller(&self, headers: &HeaderMap) -> Result<Arc<Principal>, Error> {
        let token = bearer(headers)?;
        if token.len() > MAX_TOKEN_LEN {
            return Err(Refused::TooLong.into());
        }
        let now = self.clock.now();
        let fingerprint: Fingerprint = Sha256::digest(token).into();
        let known =
            self.known.lock().get(&fingerprint).map(|known| (known.principal.clone(), known.key.clone()));
        self.metrics.token_known(known.is_some());
        if let Some((principal, key)) = known {
            let passes = self.still_good(&principal, &key, now);
            return passes
                .map(|()| principal)
                .inspect_err(|_| drop(self.known.lock().pop(&fingerprint)))
                .map_err(Error::from);
        }
        let key = key_id(token)?;
        let principal = Arc::new(self.keeper.verify(token, now)?);
        self.known.lock().put(fingerprint, Verified { principal: principal.clone(), key });
        Ok(principal)
    }

    /// Whether what was good when it was verified still is.
    fn still_good(&self, principal: &Principal, key: &str, now: Micros) -> Result<(), Refused> {
        if now >= principal.expires.plus(LEEWAY) {
            return Err(Refused::Expired);
        }
        if !self.keeper.trusts(key, now) {
            return Err(Refused::Foreign);
        }
        self.keeper.admits(principal)
    }
}

/// The token of the one `authorization: Bearer …` header.
fn bearer(headers: &HeaderMap) -> Result<&str, Error> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let first = all.next().ok_or(Error::NoToken)?;
    if all.next().is_some() {
        return Err(Refused::Malformed.into());
    }
    let text = first.to_str().map_err(|_| Refused::Malformed)?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Error::NoToken);
    }
    Ok(token.trim_start_matches(' '))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LoginConfig;
    use crate::domain::token::Grant;
    use crate::store::{MIGRATIONS, Store};
    use ed25519_dalek::SigningKey;
    use http::HeaderValue;
    use probity_storage::{Db, DbConfig};
    use probity_types::{AuditEvent, Ctx, ManualClock, Role, Roles};
    use std::time::Duration;

    struct Door {
        identity: Identity,
        keeper: Arc<Keeper>,
        clock: Arc<ManualClock>,
        token: String,
        registry: prometheus::Registry,
        _dir: tempfile::TempDir,
    }

    async fn door() -> Door {
        let dir = tempfile::tempdir().expect("folder");
        let url = format!("sqlite:{}", dir.path().join("gateway.db").display());
        let db =
            Db::open(&DbConfig { url, ..DbConfig::default() }, "gateway", MIGRATIONS).await.expect("store");
        let clock = Arc::new(ManualClock::at(Micros(1_700_000_000_000_000)));
        let key = SigningKey::from_bytes(&[1; 32]);
        let keeper = Keeper::open(Store::new(db), key, clock.clone(), &LoginConfig::default()).await;
        let keeper = Arc::new(keeper.expect("keys"));
        let grant = Grant {
            actor: "users/olga".into(),
            tenant: "default".into(),
            roles: Roles::new([Role::Officer]),
            ttl: Duration::from_secs(60),
            session: None,
        };
        let token = keeper.known().ring.signer(clock.now()).issue(&grant, clock.now()).expect("issued").token;
        let registry = prometheus::Registry::new();
        let metrics = Metrics::new(&registry).expect("metrics");
        let identity = Identity::new(keeper.clone(), clock.clone(), 2, metrics);
        Door { identity, keeper, clock, token, registry, _dir: dir }
    }

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).expect("value"));
        }
        headers
    }

    #[tokio::test]
    async fn one_bearer_token_is_taken() {
        let door = door().await;
        let check = |values: &[&str], code: Option<&str>| {
            let got = door.identity.caller(&headers(values));
            assert_eq!(got.err().map(|e| e.code()), code, "{values:?}");
        };
        let good = format!("Bearer {}", door.token);
        check(&[&good], None);
        check(&[&format!("bEARER   {}", door.token)], None);
        check(&[], Some("GTW-0014"));
        check(&["Basic dXNlcjpwYXNz"], Some("GTW-0014"));
        check(&[&door.token], Some("GTW-0014"));
        check(&["Bearer"], Some("GTW-0015"));
        check(&["Bearer "], Some("GTW-0015"));
        check(&[&good, &good], Some("GTW-0015"));
        check(&[&format!("Bearer {}", "a".repeat(9_000))], Some("GTW-0015"));
        check(&[&format!("{good}, {good}")], Some("GTW-0015"));
    }

    #[tokio::test]
    async fn a_remembered_token_ends_with_its_key() {
        let door = door().await;
        let headers = headers(&[&format!("Bearer {}", door.token)]);
        assert!(door.identity.caller(&headers).is_ok());
        let event = |ctx: &Ctx| AuditEvent::new(ctx, door.clock.now(), "auth.key_rotated", "signingKeys");
        let ctx = Ctx::service("gateway", "default", "");
        door.keeper.rotate(false, event(&ctx)).await.expect("rotated");
        assert!(door.identity.caller(&headers).is_ok(), "the old key verifies on");
        door.keeper.rotate(true, event(&ctx)).await.expect("rotated");
        assert_eq!(door.identity.caller(&headers).err().map(|e| e.code()), Some("GTW-0015"));
    }

    #[tokio::test]
    async fn a_remembered_token_ends_with_its_life() {
        let door = door().await;
        let headers = headers(&[&format!("Bearer {}", door.token)]);
        for _ in 0..3 {
            assert!(door.identity.caller(&headers).is_ok());
        }
        let text = probity_telemetry::metrics::encode(&door.registry);
        assert!(text.contains("cache_hits_total{cache=\"token\"} 2"), "{text}");
        door.clock.advance(Duration::from_secs(60) + LEEWAY);
        assert_eq!(door.identity.caller(&headers).err().map(|e| e.code()), Some("GTW-0015"));
        assert_eq!(door.identity.caller(&headers).err().map(|e| e.code()), Some("GTW-0015"));
    }
}
