//! TLS 1.3, and nothing older: who is let in, and why a handshake failed.
//!
//! *Invariants*: sessions are not resumed, since a resumed one would not look at the client's certificate
//! again. There is no early data.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{CertificateError, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::Peer;

/// For agents: a client certificate, if there is one, must be of `authority`, valid and for clients.
///
/// # Errors
/// `authority` is no certificate that can be trusted.
pub fn for_agents(
    served: Arc<dyn ResolvesServerCert>,
    authority: &CertificateDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone())?;
    let provider = Arc::new(ring::default_provider());
    // Who enrols has no certificate yet.
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13])?;
    Ok(common(builder.with_client_cert_verifier(verifier).with_cert_resolver(served)))
}

/// For people: no client certificates.
///
/// # Errors
/// Never with this provider.
pub fn for_people(served: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13])?;
    Ok(common(builder.with_no_client_auth().with_cert_resolver(served)))
}

fn common(mut config: ServerConfig) -> ServerConfig {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}

/// A connection that HTTP runs on.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("not done in time")]
    Timeout,
    #[error(transparent)]
    Failed(#[from] io::Error),
}

impl HandshakeError {
    /// The reason in one word, for metrics.
    pub(super) fn reason(&self) -> &'static str {
        let Self::Failed(error) = self else { return "timeout" };
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match tls {
            None => "closed",
            Some(rustls::Error::InvalidCertificate(reason)) => match reason {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => "certificate-expired",
                CertificateError::UnknownIssuer | CertificateError::BadSignature => "certificate-foreign",
                _ => "certificate-invalid",
            },
            Some(rustls::Error::PeerIncompatible(_)) => "version-or-cipher",
            Some(rustls::Error::AlertReceived(_)) => "refused-by-client",
            Some(_) => "malformed",
        }
    }
}

/// The encrypted connection, or the plain one without `tls`, and who is at its end.
pub(super) async fn shake_hands(
    tls: Option<TlsAcceptor>,
    tcp: TcpStream,
    address: SocketAddr,
    limit: Duration,
) -> Result<(Pin<Box<dyn Stream>>, Peer), HandshakeError> {
    tcp.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok((Box::pin(tcp), Peer { address, certificate: None })) };
    let shaken = tokio::time::timeout(limit, tls.accept(tcp)).await;
    let stream = shaken.map_err(|_| HandshakeError::Timeout)??;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).cloned();
    let certificate = certificate.map(CertificateDer::into_owned);
    Ok((Box::pin(stream), Peer { address, certificate }))
}
