//! Believes exactly one authority: the one whose certificate a token names by its fingerprint.
//!
//! The host knows nothing else of the collector yet. The collector sends its authority's certificate along;
//! if it is the one that the token names, it is the only root, and the chain, the name and the times are
//! checked as ever.

use std::sync::Arc;

use cprvagt_report::Token;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::credentials::provider;

/// What is said of a collector that is another than the token names.
pub const NOT_NAMED: Error = Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);

/// Verifies a server by the authority that a token names.
#[derive(Debug)]
pub struct Pinned {
    token: Token,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pinned {
    /// The verifier for `token`.
    pub fn new(token: Token) -> Self {
        Self { token, algorithms: provider().signature_verification_algorithms }
    }

    fn verifier(&self, presented: &[CertificateDer<'_>]) -> Result<Arc<WebPkiServerVerifier>, Error> {
        let named = presented.iter().find(|certificate| self.token.names(certificate)).ok_or(NOT_NAMED)?;
        let mut roots = RootCertStore::empty();
        roots.add(named.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(roots.into(), provider())
            .build()
            .map_err(|error| Error::General(error.to_string()))
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verifier = self.verifier(intermediates)?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
