//! Sessions: a password for tokens, a refresh token for the next ones.

use crate::config::LoginConfig;
use crate::domain::attempts::{Attempts, Whose};
use crate::domain::keyring::Ring;
use crate::domain::principal::Principal;
use crate::domain::refresh::Refresh;
use crate::domain::token::Grant;
use crate::error::Error;
use crate::identity::hasher::{Checked, Hasher};
use crate::identity::keeper::Keeper;
use crate::metrics::Metrics;
use crate::store::{Account, Advanced, Refreshing, Session, Store};
use parking_lot::Mutex;
use probity_runtime::denials::{Denial, Denials};
use probity_types::{AuditEvent, Clock, Ctx, Micros, Roles};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;
use zeroize::Zeroizing;

/// The RPC that failed logins are counted for.
const METHOD: &str = "/probity.gateway.v1.AuthService/Login";

/// Who wants to log in, and from where.
#[derive(Debug, Clone)]
pub(crate) struct Knock {
    pub(crate) tenant: String,
    pub(crate) actor: String,
    /// The address, of IPv6 its network.
    pub(crate) network: String,
    /// The call it comes by.
    pub(crate) ctx: Ctx,
}

impl Knock {
    fn tries(&self) -> [Whose; 2] {
        let account = Whose::Account(self.tenant.clone(), self.actor.clone());
        [account, Whose::Address(self.network.clone())]
    }

    /// As whom it is noted: nobody is known yet.
    fn ctx(&self) -> Ctx {
        Ctx {
            tenant: self.tenant.clone(),
            actor: self.actor.clone(),
            roles: Roles::default(),
            ..self.ctx.clone()
        }
    }
}

/// Tokens of a session, just made.
pub(crate) struct Tokens {
    pub(crate) session: Session,
    pub(crate) principal: Principal,
    pub(crate) access: String,
    pub(crate) refresh: String,
}

/// Begins, refreshes and ends sessions.
pub(crate) struct Logins {
    store: Store,
    keeper: Arc<Keeper>,
    hasher: Hasher,
    clock: Arc<dyn Clock>,
    denials: Denials,
    metrics: Metrics,
    config: LoginConfig,
    attempts: Mutex<Attempts>,
    began: Instant,
}

impl Logins {
    pub(crate) fn new(
        store: Store,
        keeper: Arc<Keeper>,
        hasher: Hasher,
        clock: Arc<dyn Clock>,
        (denials, metrics): (Denials, Metrics),
        config: &LoginConfig,
    ) -> Self {
        let attempts = Mutex::new(Attempts::new(config.failures()));
        let (config, began) = (config.clone(), Instant::now());
        Self { store, keeper, hasher, clock, denials, metrics, config, attempts, began }
    }

    /// Begins a session.
    ///
    /// # Errors
    /// When the account or the password is wrong, which of them nobody is told; when
    /// there were too many failures; when the store does not answer.
    pub(crate) async fn login(&self, knock: &Knock, password: Zeroizing<String>) -> Result<Tokens, Error> {
        let (account, checked) = self.prove(knock, password).await?;
        let now = self.clock.now();
        let session = self.session(&account, now);
        let tokens = self.tokens(session.clone(), &account, now)?;
        let detail = json!({
            "session": name(session.id),
            "address": knock.network,
            "roles": account.roles.iter().map(probity_types::Role::as_str).collect::<Vec<_>>(),
            "hash_upgraded": matches!(checked, Checked::Better(_)),
        });
        let event =
            AuditEvent::new(&knock.ctx(), now, "auth.login", knock.actor.as_str()).with_detail(&detail);
        let better = match checked {
            Checked::Better(hash) => Some((account, hash)),
            Checked::Right | Checked::Wrong => None,
        };
        self.store.begin(session, better, event).await?;
        self.metrics.login("ok");
        Ok(tokens)
    }

    /// The account, once the password is proved to be its own.
    ///
    /// # Errors
    /// As [`Self::login`].
    pub(crate) async fn prove(
        &self,
        knock: &Knock,
        password: Zeroizing<String>,
    ) -> Result<(Account, Checked), Error> {
        let (tries, answer_at) = (knock.tries(), Instant::now() + self.delay());
        let taken = self.attempts.lock().take(&tries, self.began.elapsed());
        if let Err(too_many) = taken {
            let error = Error::Attempts { whose: too_many.whose, after: too_many.after };
            self.failed(knock, None, &error);
            return Err(error);
        }
        let outcome = self.look(knock, password).await;
        match outcome {
            Ok((Some(account), checked)) if checked != Checked::Wrong && !account.disabled => {
                self.attempts.lock().give_back(&tries, self.began.elapsed());
                Ok((account, checked))
            }
            Ok((account, _)) => {
                self.failed(knock, account.as_ref(), &Error::Login);
                tokio::time::sleep_until(answer_at).await;
                Err(Error::Login)
            }
            Err(error) => {
                // Nobody looked at the password.
                self.attempts.lock().give_back(&tries, self.began.elapsed());
                Err(error)
            }
        }
    }

    async fn look(
        &self,
        knock: &Knock,
        password: Zeroizing<String>,
    ) -> Result<(Option<Account>, Checked), Error> {
        let account = self.store.account(&knock.tenant, &knock.actor).await?;
        let stored = account.as_ref().map(|account| account.password.as_str());
        let checked = self.hasher.check(password, stored).await?;
        Ok((account, checked))
    }

    const fn delay(&self) -> Duration {
        Duration::from_millis(self.config.failure_delay_ms)
    }

    /// Takes note of a login that failed. Names that are no accounts are not written
    /// down: some are passwords in the wrong field.
    fn failed(&self, knock: &Knock, account: Option<&Account>, error: &Error) {
        self.metrics.login(if matches!(error, Error::Login) { "wrong" } else { "too_many" });
        let denial = Denial {
            tenant: knock.tenant.clone(),
            actor: account.map_or_else(|| "anonymous".to_owned(), |account| account.actor.clone()),
            address: knock.network.clone(),
            method: METHOD.to_owned(),
            code: error.code(),
            reason: if account.is_some_and(|account| account.disabled) {
                "the account is disabled".to_owned()
            } else {
                error.to_string()
            },
        };
        self.denials.note(denial, &knock.ctx.request_id);
    }

    fn session(&self, account: &Account, now: Micros) -> Session {
        let limit = now.plus(Duration::from_secs(self.config.session_ttl_s));
        Session {
            tenant: account.tenant.clone(),
            id: Uuid::now_v7(),
            actor: account.actor.clone(),
            generation: 0,
            expires: now.plus(Duration::from_secs(self.config.idle_ttl_s)).min(limit),
            limit,
        }
    }

    /// The tokens of a session as it stands.
    fn tokens(&self, session: Session, account: &Account, now: Micros) -> Result<Tokens, Error> {
        let known = self.keeper.known();
        let left = session.limit.since(now);
        let grant = Grant {
            actor: account.actor.clone(),
            tenant: account.tenant.clone(),
            roles: account.roles.clone(),
            ttl: Duration::from_secs(self.config.access_ttl_s).min(left.max(Duration::from_secs(1))),
            session: Some(session.id),
        };
        let issued = known.ring.signer(now).issue(&grant, now).map_err(Error::Encode)?;
        let refresh = Refresh::new(&session.tenant, session.id, session.generation, session.expires);
        let refresh = refresh.sign(&known.ring, now).map_err(Error::Encode)?;
        let principal = Principal {
            actor: grant.actor,
            tenant: grant.tenant,
            roles: grant.roles,
            expires: issued.expires,
            session: grant.session,
        };
        Ok(Tokens { session, principal, access: issued.token, refresh })
    }

    /// Gives the next tokens of a session.
    ///
    /// # Errors
    /// When the token is none of ours, or its session is over; a token that was used
    /// before ends its session.
    pub(crate) async fn refresh(&self, token: &str, knock: &Knock) -> Result<Tokens, Error> {
        let now = self.clock.now();
        let refresh = self.open(&self.keeper.known().ring, token, now)?;
        let how = Refreshing {
            now,
            idle: Duration::from_secs(self.config.idle_ttl_s),
            grace: Duration::from_millis(self.config.refresh_grace_ms),
        };
        let (mut ctx, network, session) = (knock.ctx(), knock.network.clone(), name(refresh.sid));
        ctx.tenant.clone_from(&refresh.tenant);
        let reused = move |actor: &str| {
            actor.clone_into(&mut ctx.actor);
            let detail = json!({"address": network, "reason": "a refresh token was used twice"});
            AuditEvent::new(&ctx, now, "auth.session_reused", session)
                .with_outcome("denied")
                .with_detail(&detail)
        };
        let asked = (refresh.tenant, refresh.sid, refresh.generation);
        match self.store.advance(asked, how, reused).await? {
            Advanced::Next(session, account) => {
                self.metrics.login("refreshed");
                self.tokens(session, &account, now)
            }
            Advanced::Reused => {
                self.metrics.login("reused");
                self.keeper.reload().await?;
                Err(Error::SessionOver)
            }
            Advanced::Over => Err(Error::SessionOver),
        }
    }

    /// Ends a session; one that has ended stays so.
    ///
    /// # Errors
    /// When the token is none of ours, or the store does not answer.
    pub(crate) async fn logout(&self, token: &str, knock: &Knock) -> Result<(), Error> {
        let now = self.clock.now();
        let refresh = self.open(&self.keeper.known().ring, token, now)?;
        let (mut ctx, session) = (knock.ctx(), name(refresh.sid));
        ctx.tenant.clone_from(&refresh.tenant);
        let ended = move |actor: &str| {
            actor.clone_into(&mut ctx.actor);
            AuditEvent::new(&ctx, now, "auth.logout", session)
        };
        self.store.end((refresh.tenant, refresh.sid), now, ended).await?;
        self.keeper.reload().await
    }

    fn open(&self, ring: &Ring, token: &str, now: Micros) -> Result<Refresh, Error> {
        Refresh::open(ring, token, now).map_err(|refused| {
            self.metrics.login("refused");
            tracing::debug!(%refused, "a refresh token was refused");
            Error::SessionOver
        })
    }

    /// The hash of a new password.
    ///
    /// # Errors
    /// When too many are hashed at once.
    pub(crate) async fn hash(&self, password: Zeroizing<String>) -> Result<String, Error> {
        self.hasher.hash(password).await
    }
}

/// The name of a session.
pub(crate) fn name(id: Uuid) -> String {
    format!("sessions/{}", id.as_simple())
}
