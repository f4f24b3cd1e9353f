//! A certificate signing request, of which only the proven key is used.

use rcgen::{CertificateSigningRequestParams, PublicKey};
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};

/// Largest request, in bytes of text.
const REQUEST_BYTES_MAX: usize = 16 << 10;

/// The text is no signing request that can be accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadRequest {
    /// Too long, or not a PEM block of a request.
    #[error("the certificate signing request is not one in PEM")]
    Malformed,
    /// The sender does not hold the private key, or the request was altered.
    #[error("the certificate signing request's own signature is wrong")]
    Signature,
    /// A kind of key or extension that is not taken.
    #[error(
        "the certificate signing request has a kind of key or extension that is not taken; use ECDSA P-256"
    )]
    Unsupported,
}

/// A request whose signature proves that its sender holds the private key.
#[derive(Debug)]
pub struct Request {
    key: PublicKey,
    hash: [u8; 32],
}

impl Request {
    /// The request that `pem` spells.
    ///
    /// # Errors
    /// It spells none, or its signature is wrong.
    pub fn parse(pem: &str) -> Result<Self, BadRequest> {
        if pem.len() > REQUEST_BYTES_MAX {
            return Err(BadRequest::Malformed);
        }
        let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes());
        let der = der.map_err(|_| BadRequest::Malformed)?;
        let parsed = CertificateSigningRequestParams::from_der(&der).map_err(|error| match error {
            rcgen::Error::CouldNotParseCertificationRequest => BadRequest::Malformed,
            rcgen::Error::InvalidCertificationRequestSignature => BadRequest::Signature,
            _ => BadRequest::Unsupported,
        })?;
        let key = parsed.public_key;
        if key.algorithm() != &rcgen::PKCS_ECDSA_P256_SHA256 {
            return Err(BadRequest::Unsupported);
        }
        Ok(Self { key, hash: Sha256::digest(&der).into() })
    }

    /// The key to certify.
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// What tells this request from others: the same bytes give the same hash.
    pub const fn hash(&self) -> [u8; 32] {
        self.hash
    }
}
