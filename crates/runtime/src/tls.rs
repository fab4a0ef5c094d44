//! Mutual TLS between services: who listens shows a certificate, who calls shows
//! one as well, and both are held against the same authority.
//!
//! A certificate names a service (`intake.probity.internal`), not a machine: a peer
//! is verified by what it is, wherever it listens, and a service lets in only those
//! that `edges.toml` lets call it. The caller token is checked besides.
//!
//! Certificates are replaced while everything runs: a new connection is made with
//! the newest ones, those that are open stay.
//!
//! **Architecture invariant:** with TLS on there is no way in without it: no
//! fallback, no second port.

mod connect;
mod development;
mod expiry;
mod files;
mod listen;

pub(crate) use connect::channel;
pub(crate) use files::Paths;
pub(crate) use listen::Secure;

use crate::config::TlsConfig;
use crate::metrics::TlsMetrics;
use anyhow::Context as _;
use parking_lot::RwLock;
use probity_types::Micros;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What a service proves itself with, and what it holds others against.
#[derive(Debug)]
pub(crate) struct Material {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) authorities: Vec<CertificateDer<'static>>,
}

/// Where certificates come from.
enum Source {
    Files(files::Files),
    Development(development::Authority),
}

/// The certificates of one service. Clones are the same ones.
#[derive(Clone)]
pub(crate) struct Tls(Arc<Inner>);

struct Inner {
    domain: String,
    source: Source,
    every: Duration,
    current: RwLock<Arc<Current>>,
}

/// What connections are made with now.
struct Current {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    fingerprint: [u8; 32],
    expires: Micros,
}

impl Tls {
    /// Reads, or in development makes, the certificates of a service; `None` when
    /// TLS is off.
    ///
    /// # Errors
    /// When they cannot be read or do not belong together.
    pub(crate) fn open(
        config: &TlsConfig,
        keys_dir: &Path,
        service: &str,
        now: Micros,
    ) -> anyhow::Result<Option<Self>> {
        let source = match config.files() {
            Some(files) => Source::Files(files::Files::new(files)),
            None if config.development => {
                let name = format!("{service}.{}", config.domain);
                Source::Development(development::Authority::open(&keys_dir.join("tls"), name)?)
            }
            None => return Ok(None),
        };
        let current = Current::of(&source.load(now)?)?;
        anyhow::ensure!(
            current.expires > now,
            "the certificate of {service} expired at {}; put a new one in its place",
            current.expires
        );
        Ok(Some(Self(Arc::new(Inner {
            domain: config.domain.clone(),
            source,
            every: Duration::from_millis(config.reload_ms),
            current: RwLock::new(Arc::new(current)),
        }))))
    }

    fn current(&self) -> Arc<Current> {
        self.0.current.read().clone()
    }

    /// When the certificate ends.
    pub(crate) fn expires(&self) -> Micros {
        self.current().expires
    }

    /// The name a service has in its certificate.
    fn name_of(&self, service: &str) -> String {
        format!("{service}.{}", self.0.domain)
    }

    fn server_name(
        &self,
        service: &str,
    ) -> Result<ServerName<'static>, rustls::pki_types::InvalidDnsNameError> {
        ServerName::try_from(self.name_of(service))
    }

    /// Looks for new certificates; answers whether there were any.
    ///
    /// # Errors
    /// When they cannot be used: those that are there stay.
    pub(crate) fn reload(&self, now: Micros) -> anyhow::Result<bool> {
        if !self.0.source.is_due(self.expires(), now) {
            return Ok(false);
        }
        let new = Current::of(&self.0.source.load(now)?)?;
        if new.fingerprint == self.current().fingerprint {
            return Ok(false);
        }
        *self.0.current.write() = Arc::new(new);
        Ok(true)
    }

    /// Looks for new certificates until `stop`.
    pub(crate) async fn watch(
        self,
        metrics: TlsMetrics,
        clock: Arc<dyn probity_types::Clock>,
        stop: CancellationToken,
    ) {
        loop {
            metrics.expiry.set(self.expires().0 / 1_000_000);
            if tokio::time::timeout(self.0.every, stop.cancelled()).await.is_ok() {
                return;
            }
            match self.reload(clock.now()) {
                Ok(false) => {}
                Ok(true) => {
                    metrics.reloads.with_label_values(&["ok"]).inc();
                    tracing::info!(expires = %self.expires(), "new certificates are in use");
                }
                Err(error) => {
                    metrics.reloads.with_label_values(&["failed"]).inc();
                    tracing::error!(
                        error = format!("{error:#}"),
                        "new certificates cannot be used; the old ones stay"
                    );
                }
            }
        }
    }
}

impl Source {
    fn load(&self, now: Micros) -> anyhow::Result<Material> {
        match self {
            Self::Files(files) => files.load(),
            Self::Development(authority) => authority.issue(now),
        }
    }

    /// Whether it is time to look: files may change at any time, what is made here
    /// is made anew when half of its life is over.
    fn is_due(&self, expires: Micros, now: Micros) -> bool {
        match self {
            Self::Files(_) => true,
            Self::Development(_) => expires.since(now) < development::LIFE / 2,
        }
    }
}

impl Current {
    fn of(material: &Material) -> anyhow::Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        let mut hash = Sha256::new();
        for authority in &material.authorities {
            hash.update(authority);
            roots.add(authority.clone()).context("a certificate of the authority cannot be used")?;
        }
        material.chain.iter().for_each(|certificate| hash.update(certificate));
        let roots = Arc::new(roots);
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build()?;
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(material.chain.clone(), material.key.clone_key())
            .context("certificate and key do not belong together")?;
        server.alpn_protocols = vec![b"h2".to_vec()];
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(material.chain.clone(), material.key.clone_key())
            .context("certificate and key do not belong together")?;
        client.alpn_protocols = vec![b"h2".to_vec()];
        let own = material.chain.first().context("there is no certificate")?;
        let expires = expiry::not_after(own).context("the end of the certificate cannot be read")?;
        let fingerprint = hash.finalize().into();
        Ok(Self { server: Arc::new(server), client: Arc::new(client), fingerprint, expires })
    }
}

#[cfg(test)]
mod tests;
