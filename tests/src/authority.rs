//! The lab's own certificate authority, new for each lab.
//!
//! Programs trust it through their own options, never through the system's store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, SupportedProtocolVersion};

use crate::scratch::Scratch;

/// TLS 1.2 and 1.3: what the lab's servers offer unless told otherwise.
pub static BOTH_VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// Issues server certificates; its own is in a file for the programs.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    /// Makes a key and a certificate, and writes the certificate into `scratch`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn new(scratch: &Scratch) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "cprvagt lab authority");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let file = scratch.write("authority.pem", certificate.pem())?;
        Ok(Self { issuer: Issuer::new(params, key), file })
    }

    /// The PEM file that programs are told to trust.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Writes a certificate for `host` and its key into `scratch`, for servers that read PEM files.
    ///
    /// # Errors
    /// When `host` is not a DNS name, or a file cannot be written.
    pub fn files(&self, scratch: &Scratch, host: &str) -> Result<[PathBuf; 2]> {
        let (certificate, key) = self.issue(host)?;
        let certificate = scratch.write(&format!("{host}.crt.pem"), certificate.pem())?;
        Ok([certificate, scratch.write(&format!("{host}.key.pem"), key.serialize_pem())?])
    }

    fn issue(&self, host: &str) -> Result<(Certificate, KeyPair)> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![host.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, host);
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate, key))
    }

    /// A server set-up for `host` that speaks HTTP/1.1 over the given versions of TLS.
    ///
    /// # Errors
    /// When `host` is not a DNS name.
    pub fn server(
        &self,
        host: &str,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<Arc<ServerConfig>> {
        let (certificate, key) = self.issue(host)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
        let private: PrivateKeyDer<'static> = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let chain = vec![certificate.der().clone()];
        let mut config =
            builder.with_no_client_auth().with_single_cert(chain, private).context("own certificate")?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}
