//! `cprvagt enrol`: makes this host an agent of a collector, once.
//!
//! The host brings a one-time token, which names the collector's authority, and the data controller's
//! bundle. It makes a key, asks for a certificate, and keeps what it got in one folder:
//!
//! | file | content |
//! |---|---|
//! | `agent.key`, `agent.crt` | its private key and certificate |
//! | `ca.crt` | the authority, the only one believed from then on |
//! | `tenant.key` | the controller's key that makes pseudonyms |
//! | `enrolment.json` | [`Enrolment`] |
//!
//! *Invariants*: nothing is written before all is known to be good. The collector gets neither key.

mod credentials;
mod folder;
mod pinned;
mod record;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cprvagt_report::{ENROL_PATH, EnrolAnswer, EnrolRequest, Moment, Refusal, Token};
use rustls::CertificateError;

#[cfg(test)]
pub use credentials::provider;
pub use credentials::{Credentials, NewKey, Stamp, renew};
#[cfg(test)]
pub use folder::store;
pub use record::{Controller, Enrolment, EnrolmentError, EnrolmentSchema};

use crate::bundle::{Bundle, BundleError};
use crate::cli::{self, Exit, Exits};
use crate::config::{BadUrl, CollectorUrl, Config};
use crate::host::this_host;
use crate::owner::become_owner_of;
use crate::scrub::Scrubber;
use crate::send::{Answer, Connection, ConnectionError};
use credentials::{AUTHORITY, CERTIFICATE, KEY, check_answer, client_config, from_pem, over_http2};
use pinned::{NOT_NAMED, Pinned};

/// The controller's key that makes pseudonyms.
pub const TENANT_KEY: &str = "tenant.key";
/// Longest token read from standard input, in bytes.
const TOKEN_BYTES_MAX: u64 = 1024;

/// Why the host is not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The address.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// The token.
    #[error("--token: {0}")]
    Token(#[from] cprvagt_report::BadToken),
    /// The bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The host is enrolled.
    #[error("{}: this host is enrolled already; --replace makes a new enrolment in its place", .0.display())]
    Enrolled(PathBuf),
    /// Reports wait for the collector of the present enrolment.
    #[error(
        "{}: {waiting} reports wait, sealed to the collector of the present enrolment; deliver them with \
         `cprvagt spool flush`, or keep them with `cprvagt spool export FILE` and move the folder away",
        spool.display()
    )]
    Waiting {
        /// The spool.
        spool: PathBuf,
        /// How many.
        waiting: u64,
    },
    /// The spool cannot be looked at.
    #[error("spool: {0}")]
    Spool(#[from] cprvagt_spool::SpoolError),
    /// The authority is another.
    #[error(
        "{0} is not the collector that the token names, or somebody stands in between. Ask for a new token, \
         printed by `cprvagt-collector token` on that collector"
    )]
    OtherCollector(CollectorUrl),
    /// A certificate that is not valid now.
    #[error(
        "the certificate of {url} is not valid at this host's time, {now}. Is the clock right, here and there?"
    )]
    Clock {
        /// The collector.
        url: CollectorUrl,
        /// The host's time.
        now: Moment,
    },
    /// A certificate of another name.
    #[error(
        "the certificate of {0} is for other names. Use a name that it has, or add this one to [agents] names \
         in collector.toml"
    )]
    OtherName(CollectorUrl),
    /// No connection.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The collector says no.
    #[error("the collector refused ({status}): {text}")]
    Refused {
        /// The status of its answer.
        status: u16,
        /// What it says, scrubbed.
        text: String,
    },
    /// The answer is no enrolment.
    #[error("the collector's answer is no enrolment: {0}")]
    Answer(String),
    /// No key.
    #[error("a private key could not be made: {0}")]
    Key(#[from] rcgen::Error),
    /// The folder.
    #[error("{dir}: the enrolment could not be written: {cause}", dir = dir.display())]
    Unwritable {
        /// The folder.
        dir: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// Standard input or output.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Exits for EnrolError {
    fn exit(&self) -> Exit {
        match self {
            Self::Url(_) | Self::Token(_) | Self::Bundle(_) | Self::Enrolled(_) | Self::Waiting { .. } => {
                Exit::Config
            }
            Self::Unwritable { cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied => Exit::Unable,
            _ => Exit::Failure,
        }
    }
}

/// Enrols this host; its keys and certificate end up in the folder that `config` names.
///
/// # Errors
/// What kept it from it; the folder is then as it was.
pub fn run(options: &cli::Enrol, config: &Config, out: &mut impl Write) -> Result<(), EnrolError> {
    let dir = config.collector.enrolment.clone();
    let url: CollectorUrl = options.url.parse()?;
    let token: Token = token(&options.token, &mut io::stdin())?.trim().parse()?;
    let bundle = Bundle::read(&options.bundle)?;
    become_owner_of(&dir)?;
    if folder::is_enrolled(&dir) && !options.replace {
        return Err(EnrolError::Enrolled(dir));
    }
    if folder::is_enrolled(&dir) {
        refuse_while_reports_wait(&config.spool.dir)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let enrolled = runtime.block_on(ask(&url, &token))?;
    let enrolment = enrolled.keep(url, bundle, &dir)?;
    writeln!(
        out,
        "enrolled at {} as agent {}, for {}\n{}: certificate and keys\n\
         A daemon that runs takes a new enrolment up when it is restarted.",
        enrolment.url,
        enrolment.agent,
        enrolment.controller.name,
        dir.display()
    )?;
    Ok(())
}

/// Reports that wait are sealed to the collector of the enrolment that would be replaced; another one cannot read
/// them.
fn refuse_while_reports_wait(spool: &Path) -> Result<(), EnrolError> {
    if !spool.exists() {
        return Ok(());
    }
    let waiting: u64 = cprvagt_spool::list(spool)?.iter().map(|segment| segment.records).sum();
    if waiting > 0 {
        return Err(EnrolError::Waiting { spool: spool.to_owned(), waiting });
    }
    Ok(())
}

/// The token as it was given, or, for `-`, from `input`, where no list of processes shows it.
fn token(given: &str, input: &mut impl Read) -> io::Result<String> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    let mut text = String::new();
    input.take(TOKEN_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// What the collector gave, and the key that it is for.
struct Enrolled {
    answer: EnrolAnswer,
    key: NewKey,
}

async fn ask(url: &CollectorUrl, token: &Token) -> Result<Enrolled, EnrolError> {
    let key = NewKey::generate()?;
    let config = client_config(Arc::new(Pinned::new(token.clone()))).with_no_client_auth();
    let connection = Connection::open(url, over_http2(config)).await;
    let mut connection = connection.map_err(|error| told(error, url))?;
    let now = Moment::now();
    let host = this_host(&Scrubber::at(now.0.as_second()));
    let request = EnrolRequest { secret: token.secret(), request: key.request.clone(), host };
    let body = serde_json::to_vec(&request).expect("memory takes plain data");
    let answer = connection.post(ENROL_PATH, "application/json", body).await?;
    if !answer.status.is_success() {
        return Err(EnrolError::Refused { status: answer.status.as_u16(), text: refusal(&answer) });
    }
    let answer: EnrolAnswer =
        serde_json::from_slice(&answer.body).map_err(|error| EnrolError::Answer(error.to_string()))?;
    check_answer(&key.key, &answer.certificate).map_err(EnrolError::Answer)?;
    match from_pem(answer.authority.as_bytes()).map_err(EnrolError::Answer)?.as_slice() {
        [authority] if token.names(authority) => Ok(Enrolled { answer, key }),
        _ => Err(EnrolError::OtherCollector(url.clone())),
    }
}

/// The connection's failure, in words of what to do.
fn told(error: ConnectionError, url: &CollectorUrl) -> EnrolError {
    match error.tls() {
        Some(tls) if *tls == NOT_NAMED => EnrolError::OtherCollector(url.clone()),
        Some(rustls::Error::InvalidCertificate(wrong)) => match wrong {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => {
                EnrolError::Clock { url: url.clone(), now: Moment::now() }
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                EnrolError::OtherName(url.clone())
            }
            _ => error.into(),
        },
        _ => error.into(),
    }
}

/// What the collector says in its answer, scrubbed and cut.
pub fn refusal(answer: &Answer) -> String {
    let scrubber = Scrubber::at(Moment::now().0.as_second());
    match serde_json::from_slice::<Refusal>(&answer.body) {
        Ok(refusal) => scrubber.name(&refusal.error).to_string(),
        Err(_) => "it gives no reason".to_owned(),
    }
}

impl Enrolled {
    /// Writes everything into the folder `dir`.
    fn keep(self, url: CollectorUrl, bundle: Bundle, dir: &std::path::Path) -> Result<Enrolment, EnrolError> {
        let enrolment = Enrolment {
            schema: EnrolmentSchema::V1,
            url,
            agent: self.answer.agent,
            sealing_key: self.answer.sealing_key,
            controller: Controller {
                name: bundle.controller,
                key_id: bundle.key_id,
                sealing_key: bundle.sealing_key,
            },
            made_at: Moment::now(),
        };
        let files: [(&str, &[u8]); 5] = [
            (KEY, self.key.key.as_bytes()),
            (CERTIFICATE, self.answer.certificate.as_bytes()),
            (AUTHORITY, self.answer.authority.as_bytes()),
            (TENANT_KEY, bundle.pseudonym_key.as_bytes()),
            (record::RECORD, &enrolment.to_text()),
        ];
        folder::store(dir, &files).map_err(|cause| EnrolError::Unwritable { dir: dir.to_owned(), cause })?;
        Ok(enrolment)
    }
}

#[cfg(test)]
#[path = "enrol_tests.rs"]
mod tests;
