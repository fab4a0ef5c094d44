//! The listening side: who may connect.

use super::Tls;
use crate::edges::edges;
use crate::metrics::TlsMetrics;
use rustls::pki_types::CertificateDer;
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use webpki::EndEntityCert;

/// What a listener with TLS asks of whoever connects.
#[derive(Clone)]
pub(crate) struct Secure {
    tls: Tls,
    service: &'static str,
    metrics: TlsMetrics,
}

impl Secure {
    pub(crate) const fn new(tls: Tls, service: &'static str, metrics: TlsMetrics) -> Self {
        Self { tls, service, metrics }
    }

    /// Shakes hands, and lets in who may call the service. A connection without TLS,
    /// without a certificate or with a foreign one ends here.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
        limit: Duration,
    ) -> io::Result<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(self.tls.current().server.clone());
        let shaken = tokio::time::timeout(limit, acceptor.accept(stream)).await;
        let stream = shaken.map_err(io::Error::from).flatten().inspect_err(|_| self.refused("handshake"))?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        if shown.is_some_and(|certificate| self.may_call(certificate)) {
            return Ok(stream);
        }
        self.refused("caller");
        let why = format!("its certificate names no service that may call {}", self.service);
        Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
    }

    fn may_call(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok(certificate) = EndEntityCert::try_from(certificate) else { return false };
        let callers: Vec<_> = edges().callers_of(self.service).iter().map(|c| self.tls.name_of(c)).collect();
        certificate.valid_dns_names().any(|name| callers.iter().any(|caller| caller == name))
    }

    fn refused(&self, reason: &str) {
        self.metrics.refused.with_label_values(&[reason]).inc();
    }
}
