//! What the agent proves its identity with: its certificate and private key, and the one authority that it
//! believes.
//!
//! A renewal changes two files, key and certificate, and no rename changes both. So the next key is written
//! beside the old one first ([`NEXT_KEY`]), then the certificate is replaced, then the key. Whoever reads the
//! files takes whichever key the certificate is for, and completes what a crash cut short.
//!
//! *Invariants*: a certificate is never used with a key that is not its own. No root but `ca.crt` is believed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use zeroize::Zeroizing;

use super::record::{EnrolmentError, RECORD};
use crate::secret_file;

/// The private key.
pub const KEY: &str = "agent.key";
/// The private key that a renewal under way will use.
pub const NEXT_KEY: &str = "agent.key.next";
/// The certificate.
pub const CERTIFICATE: &str = "agent.crt";
/// The authority's certificate.
pub const AUTHORITY: &str = "ca.crt";
/// HTTP/2 over TLS (RFC 9113, section 3.2).
const ALPN: &[u8] = b"h2";

/// Certificate, key and authority, ready for a connection.
#[derive(Clone)]
pub struct Credentials {
    config: Arc<ClientConfig>,
    /// Start of the certificate's validity.
    pub not_before: Timestamp,
    /// End of the certificate's validity.
    pub not_after: Timestamp,
}

/// Tells whether the files of an enrolment changed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Stamp(Vec<Option<(i64, i64, u64, u64)>>);

/// A new key, and the request for its certificate.
pub struct NewKey {
    /// The private key, PEM.
    pub key: Zeroizing<String>,
    /// The certificate signing request, PEM.
    pub request: String,
}

impl Stamp {
    /// The files in `dir` as they are now.
    pub fn of(dir: &Path) -> Self {
        let seen = |name: &&str| {
            let meta = fs::metadata(dir.join(name)).ok()?;
            Some((meta.mtime(), meta.mtime_nsec(), meta.ino(), meta.len()))
        };
        Self([RECORD, KEY, CERTIFICATE, AUTHORITY].iter().map(seen).collect())
    }
}

impl NewKey {
    /// A P-256 key and its request. The collector decides what the certificate says.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn generate() -> Result<Self, rcgen::Error> {
        let pair = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "cprvagt agent");
        let request = params.serialize_request(&pair)?.pem()?;
        Ok(Self { key: Zeroizing::new(pair.serialize_pem()), request })
    }
}

impl Credentials {
    /// The credentials in the folder `dir`; completes a renewal that a crash cut short.
    ///
    /// # Errors
    /// A file is missing, exposed or malformed, or no key is that of the certificate.
    pub fn load(dir: &Path) -> Result<Self, EnrolmentError> {
        let certificates = read_certificates(&dir.join(CERTIFICATE))?;
        let authority = read_certificates(&dir.join(AUTHORITY))?;
        let current = secret_file::read(&dir.join(KEY)).map_err(EnrolmentError::from);
        let fits = current.and_then(|key| Self::new(&certificates, &key, &authority, dir));
        match (fits, secret_file::read(&dir.join(NEXT_KEY))) {
            (Err(_), Ok(next)) => {
                let credentials = Self::new(&certificates, &next, &authority, dir)?;
                let path = dir.join(KEY);
                secret_file::rename(&dir.join(NEXT_KEY), &path)
                    .map_err(|cause| EnrolmentError::Unreadable { path, cause })?;
                Ok(credentials)
            }
            (fits, _) => fits,
        }
    }

    fn new(
        certificates: &[CertificateDer<'static>],
        key: &str,
        authority: &[CertificateDer<'static>],
        dir: &Path,
    ) -> Result<Self, EnrolmentError> {
        let malformed = |name: &str, why: String| EnrolmentError::Malformed { path: dir.join(name), why };
        let key = private_key(key).map_err(|why| malformed(KEY, why))?;
        check_pair(certificates, key.clone_key()).map_err(|why| malformed(KEY, why))?;
        let (not_before, not_after) =
            validity(&certificates[0]).map_err(|why| malformed(CERTIFICATE, why))?;
        let mut roots = RootCertStore::empty();
        for certificate in authority {
            roots.add(certificate.clone()).map_err(|error| malformed(AUTHORITY, error.to_string()))?;
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider());
        let verifier = verifier.build().map_err(|error| malformed(AUTHORITY, error.to_string()))?;
        let config = client_config(verifier).with_client_auth_cert(certificates.to_vec(), key);
        let config = config.map_err(|error| malformed(CERTIFICATE, error.to_string()))?;
        Ok(Self { config: over_http2(config), not_before, not_after })
    }

    /// How connections are made.
    pub fn client_config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// When the next certificate is to be asked for: after two thirds of this one's time.
    pub fn renew_at(&self) -> Timestamp {
        let life = self.not_after.duration_since(self.not_before);
        self.not_before.saturating_add(life / 3 * 2).unwrap_or(self.not_after)
    }
}

/// Puts a renewed certificate and its key in place.
///
/// # Errors
/// The certificate is not for that key, or the files cannot be written; the old pair then still holds.
pub fn renew(dir: &Path, key: &str, certificate: &str) -> Result<(), EnrolmentError> {
    check_answer(key, certificate)
        .map_err(|why| EnrolmentError::Malformed { path: dir.join(CERTIFICATE), why })?;
    let unwritable = |name: &str| {
        let path = dir.join(name);
        move |cause| EnrolmentError::Unreadable { path, cause }
    };
    secret_file::replace(&dir.join(NEXT_KEY), key.as_bytes()).map_err(unwritable(NEXT_KEY))?;
    secret_file::replace(&dir.join(CERTIFICATE), certificate.as_bytes()).map_err(unwritable(CERTIFICATE))?;
    secret_file::rename(&dir.join(NEXT_KEY), &dir.join(KEY)).map_err(unwritable(KEY))
}

/// Whether `certificate` is one for `key`, both PEM; else what is wrong.
pub fn check_answer(key: &str, certificate: &str) -> Result<(), String> {
    check_pair(&from_pem(certificate.as_bytes())?, private_key(key)?)
}

/// The certificates that `pem` spells, at least one.
pub fn from_pem(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err("no certificate in PEM".to_owned()),
    }
}

/// A client of TLS 1.3 alone that believes `verifier`.
pub fn client_config(
    verifier: Arc<dyn rustls::client::danger::ServerCertVerifier>,
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
}

/// The only cryptography: ring.
pub fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    rustls::crypto::ring::default_provider().into()
}

/// `config` for connections that speak HTTP/2.
pub fn over_http2(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.into()
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, EnrolmentError> {
    let unreadable = |cause| EnrolmentError::Unreadable { path: PathBuf::from(path), cause };
    let pem = fs::read(path).map_err(unreadable)?;
    from_pem(&pem).map_err(|why| EnrolmentError::Malformed { path: path.to_owned(), why })
}

fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| "no private key in PEM".to_owned())
}

fn check_pair(certificates: &[CertificateDer<'static>], key: PrivateKeyDer<'static>) -> Result<(), String> {
    let pair = CertifiedKey::from_der(certificates.to_vec(), key, &provider());
    pair.map(drop).map_err(|_| "the private key is not that of the certificate".to_owned())
}

fn validity(certificate: &CertificateDer<'_>) -> Result<(Timestamp, Timestamp), String> {
    let wrong = || "not a certificate".to_owned();
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).map_err(|_| wrong())?;
    let moment = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp());
    let validity = certificate.validity();
    match (moment(validity.not_before), moment(validity.not_after)) {
        (Ok(from), Ok(to)) => Ok((from, to)),
        _ => Err(wrong()),
    }
}
