//! The certificate that a listener shows, and its renewal while connections go on.
//!
//! One of the embedded authority is made anew at two thirds of its life. Given files are read again when they
//! change, or on request. What cannot be used does not replace what works; it is told and tried again.
//!
//! *Invariants*: a handshake gets one certificate with its own key, old or new, never half of each.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::authority::{Authority, AuthorityError};
use crate::config::CertificateFiles;
use crate::stop::Stop;

/// Largest certificate or key file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Line length of PEM (RFC 7468, 2).
const PEM_LINE: usize = 64;

/// Where the certificate comes from.
pub enum Source {
    /// The embedded authority makes it for these names.
    Authority(Arc<Authority>, Vec<ServerName<'static>>),
    /// The operator gives it, with any chain.
    Files(CertificateFiles),
    /// The operator gives it, and the chain ends with the authority that agents learn to trust.
    FilesWithAuthority(CertificateFiles),
}

/// When it is renewed.
#[derive(Clone, Copy, Debug)]
pub struct Renewal {
    /// How often files and clock are looked at.
    pub every: Duration,
    /// Life of a certificate of the embedded authority.
    pub life: Duration,
}

impl Default for Renewal {
    fn default() -> Self {
        Self { every: Duration::from_secs(10), life: Duration::from_secs(7 * 24 * 60 * 60) }
    }
}

/// Why there is no certificate to show.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{path}: {cause}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path}: {what}", path = path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The embedded authority.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The key cannot be used.
    #[error("certificate and key: {0}")]
    Tls(#[from] rustls::Error),
}

/// A certificate in use.
pub struct Certificate {
    source: Source,
    renewal: Renewal,
    shown: Arc<Shown>,
    state: State,
}

/// Files with another authority than that by which enrolled agents know the collector.
const OTHER_AUTHORITY: &str = "the chain ends with another authority than before, which no enrolled agent trusts; \
     agents must enrol again if it is to be used: restart the collector then";

/// What the handshakes take.
#[derive(Debug)]
struct Shown(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// What the shown certificate was made from.
#[derive(Clone, Debug, Eq, PartialEq)]
enum State {
    /// Made anew from this time on, in seconds of the epoch.
    Until(i64),
    /// Inode, length, and time of change of both files.
    Files([Option<(u64, u64, i64, i64)>; 2]),
}

impl Certificate {
    /// The certificate of `source`, ready to be shown.
    ///
    /// # Errors
    /// There is none that could be used.
    pub fn load(source: Source, renewal: Renewal) -> Result<Self, CertificateError> {
        let now = Timestamp::now();
        let state = source.state(renewal, now);
        let shown = Arc::new(Shown(ArcSwap::from_pointee(source.read(renewal, now)?)));
        Ok(Self { source, renewal, shown, state })
    }

    /// What handshakes take it from.
    pub fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        self.shown.clone()
    }

    /// Renews it until `stop`; each change of `again` makes it look at once.
    pub async fn keep(mut self, mut again: watch::Receiver<()>, mut stop: Stop) {
        // The state of files that could not be used, so that each is told once.
        let mut told = None;
        loop {
            let forced = tokio::select! {
                () = stop.asked() => return,
                changed = again.changed() => changed.is_ok(),
                () = tokio::time::sleep(self.renewal.every) => false,
            };
            if let Some(state) = self.due(forced) {
                self.renew(state, &mut told);
            }
        }
    }

    /// What a new certificate would be made from; `None` while the shown one will do.
    fn due(&self, forced: bool) -> Option<State> {
        let now = Timestamp::now();
        let state = self.source.state(self.renewal, now);
        let due = match &self.state {
            State::Until(end) => now.as_second() >= *end,
            files => forced || state != *files,
        };
        due.then_some(state)
    }

    fn renew(&mut self, state: State, told: &mut Option<State>) {
        match self.source.read(self.renewal, Timestamp::now()).and_then(|read| self.trusted(read)) {
            Ok(certificate) => {
                self.shown.0.store(Arc::new(certificate));
                self.state = state;
                *told = None;
                metrics::counter!("certificate_renewals_total", "outcome" => "done").increment(1);
                tracing::info!("a new certificate is shown from now on");
            }
            Err(error) => {
                metrics::counter!("certificate_renewals_total", "outcome" => "failed").increment(1);
                if told.as_ref() != Some(&state) {
                    tracing::warn!("the certificate stays as it is: {error}");
                }
                *told = Some(state);
            }
        }
    }
}

impl Certificate {
    /// `read`, unless agents that trust the shown chain's authority would not trust it.
    fn trusted(&self, read: CertifiedKey) -> Result<CertifiedKey, CertificateError> {
        match &self.source {
            Source::FilesWithAuthority(files) if read.cert.last() != self.shown.0.load().cert.last() => {
                let path = files.certificate.clone();
                Err(CertificateError::Unusable { path, what: OTHER_AUTHORITY.to_owned() })
            }
            _ => Ok(read),
        }
    }
}

impl Source {
    fn state(&self, renewal: Renewal, now: Timestamp) -> State {
        match self {
            Self::Authority(..) => {
                let life = i64::try_from(renewal.life.as_secs()).unwrap_or(i64::MAX / 2);
                State::Until(now.as_second().saturating_add(life / 3 * 2))
            }
            Self::Files(files) | Self::FilesWithAuthority(files) => {
                State::Files([&files.certificate, &files.key].map(|path| version(path)))
            }
        }
    }

    fn read(&self, renewal: Renewal, now: Timestamp) -> Result<CertifiedKey, CertificateError> {
        match self {
            Self::Authority(authority, names) => {
                let made = authority.issue_server(names, renewal.life, now)?;
                certified(made.chain, made.key)
            }
            Self::Files(files) => certified(chain(&files.certificate)?, key(&files.key)?),
            Self::FilesWithAuthority(files) => {
                let chain = chain(&files.certificate)?;
                last_authority(&files.certificate, &chain)?;
                certified(chain, key(&files.key)?)
            }
        }
    }
}

fn version(path: &Path) -> Option<(u64, u64, i64, i64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, CertificateError> {
    Ok(CertifiedKey::from_der(chain, key, &ring::default_provider())?)
}

/// The authority's certificate in a chain file: its last.
///
/// # Errors
/// The file cannot be read, or its last certificate is no authority's.
pub fn authority_in(path: &Path) -> Result<CertificateDer<'static>, CertificateError> {
    last_authority(path, &chain(path)?)
}

fn last_authority(
    path: &Path,
    chain: &[CertificateDer<'static>],
) -> Result<CertificateDer<'static>, CertificateError> {
    let last = chain.last().filter(|last| X509Certificate::from_der(last).is_ok_and(|(_, it)| it.is_ca()));
    let what = "the last certificate must be the authority's, which agents learn to trust; append it";
    last.cloned().ok_or_else(|| CertificateError::Unusable { path: path.to_owned(), what: what.to_owned() })
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let unusable = |what: String| CertificateError::Unusable { path: path.to_owned(), what };
    let text = zeroize::Zeroizing::new(read(path)?);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(unusable("holds no certificate in PEM".to_owned())),
        Ok(chain) => Ok(chain),
        Err(error) => Err(unusable(error.to_string())),
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, CertificateError> {
    let text = zeroize::Zeroizing::new(read(path)?);
    let what = "holds no private key in PEM".to_owned();
    PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| CertificateError::Unusable { path: path.to_owned(), what })
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let unreadable = |cause| CertificateError::Unreadable { path: path.to_owned(), cause };
    if fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(unreadable(io::Error::other("larger than any certificate or key")));
    }
    fs::read(path).map_err(unreadable)
}

/// A certificate as text.
pub fn to_pem(certificate: &CertificateDer<'_>) -> String {
    let body = data_encoding::BASE64.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in body.as_bytes().chunks(PEM_LINE) {
        pem.extend(line.iter().map(|byte| char::from(*byte)));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
