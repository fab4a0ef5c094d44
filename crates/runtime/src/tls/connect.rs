//! The calling side: connections that are made with the newest certificates.

use super::Tls;
use hyper_util::rt::TokioIo;
use probity_types::{Fault, FaultKind};
use std::io;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

/// A channel to a service, encrypted when there are certificates. What answers must
/// prove to be that service, wherever it listens.
///
/// # Errors
/// When no certificate can carry the name.
pub(crate) fn channel(endpoint: &Endpoint, tls: Option<&Tls>, callee: &str) -> Result<Channel, Fault> {
    let Some(tls) = tls.cloned() else { return Ok(endpoint.connect_lazy()) };
    let name = tls.server_name(callee).map_err(|error| {
        Fault::new(FaultKind::Internal, "RUN-0007", format!("{callee} has no name for TLS"))
            .with_source(error)
    })?;
    let connector = tower::service_fn(move |uri: http::Uri| {
        let (tls, name) = (tls.clone(), name.clone());
        async move {
            let stream = dial(&uri).await?;
            let connector = TlsConnector::from(tls.current().client.clone());
            let stream = connector.connect(name, stream).await?;
            Ok::<TokioIo<TlsStream<TcpStream>>, io::Error>(TokioIo::new(stream))
        }
    });
    Ok(endpoint.connect_with_connector_lazy(connector))
}

async fn dial(uri: &http::Uri) -> io::Result<TcpStream> {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(443))).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
