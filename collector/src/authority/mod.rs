//! The embedded certificate authority: made at first use, signs agents and, unless told otherwise, the server.
//!
//! *Invariants*: of a signing request only the key is taken; names, uses and times are the authority's own.
//! An agent's certificate is good for client authentication alone, the server's for server authentication
//! alone, so neither can pass for the other.
//! *Units*: days.

mod request;

use std::time::Duration;

use cprvagt_report::{AgentId, Moment};
use jiff::{SignedDuration, Timestamp};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use zeroize::Zeroizing;

use crate::data_dir::{DataDir, DataError};
use crate::keys::{Mark, mark};
pub use request::{BadRequest, Request};

/// File of the authority's private key.
const KEY: &str = "ca.key";
/// File of the authority's certificate.
const CERTIFICATE: &str = "ca.crt";
/// Life of the authority.
const AUTHORITY_DAYS: u32 = 3650;
/// How far behind an agent's clock may be.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_hours(1);

/// Why there is no authority, or it cannot sign.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Its files.
    #[error(transparent)]
    Data(#[from] DataError),
    /// What its files hold, or what is to be signed.
    #[error("embedded authority (ca.key, ca.crt): {0}")]
    Certificate(#[from] rcgen::Error),
    /// `ca.crt` is no certificate.
    #[error("embedded authority: ca.crt holds no certificate")]
    NoCertificate,
    /// The system's random numbers.
    #[error("random numbers: {0}")]
    NoRandom(#[from] getrandom::Error),
}

/// The authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

/// An agent's new certificate.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub pem: String,
    /// Its serial number, unique.
    pub serial: [u8; 16],
    /// When it ends.
    pub expires_at: Moment,
}

/// The server's new certificate.
pub struct ServerIdentity {
    /// The server's certificate, then the authority's.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the first.
    pub key: PrivateKeyDer<'static>,
}

impl Authority {
    /// Its files in the data folder.
    pub const FILES: [&'static str; 2] = [KEY, CERTIFICATE];

    /// The authority in `data`, made if there is none.
    ///
    /// # Errors
    /// Its files cannot be read or made, or are not what they should be.
    pub fn load_or_make(data: &DataDir, now: Timestamp) -> Result<Self, AuthorityError> {
        let fresh = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let key = data.secret(KEY, || Zeroizing::new(fresh.serialize_pem()))?;
        let key = KeyPair::from_pem(&key)?;
        let fresh = authority_params(now)?.self_signed(&key)?;
        let pem = data.secret(CERTIFICATE, || Zeroizing::new(fresh.pem()))?.to_string();
        let certificate =
            CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| AuthorityError::NoCertificate)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self { issuer, certificate, pem })
    }

    /// Its own certificate.
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What tells the contents of [`Self::FILES`] from others.
    pub fn marks(&self) -> [Mark; 2] {
        [mark(&self.issuer.key().subject_public_key_info()), mark(&self.certificate)]
    }

    /// Its own certificate as text.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for `agent` and the key in `request`, from now on for `days`.
    ///
    /// # Errors
    /// No random numbers, or a time beyond what certificates can say.
    pub fn issue_agent(
        &self,
        agent: AgentId,
        request: &Request,
        days: u32,
        now: Timestamp,
    ) -> Result<Issued, AuthorityError> {
        let life = Duration::from_secs(u64::from(days) * 86_400);
        let (mut params, serial) = leaf_params(now, life, ExtendedKeyUsagePurpose::ClientAuth)?;
        params.distinguished_name.push(DnType::CommonName, agent.to_string());
        let uri = Ia5String::try_from(format!("urn:uuid:{agent}"))?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        let certificate = params.signed_by(request.key(), &self.issuer)?;
        let expires_at = Moment(whole_seconds(now) + life);
        Ok(Issued { pem: certificate.pem(), serial, expires_at })
    }

    /// A certificate and a new key for a server with these names, from now on for `life`.
    ///
    /// # Errors
    /// As [`Self::issue_agent`].
    pub fn issue_server(
        &self,
        names: &[ServerName<'static>],
        life: Duration,
        now: Timestamp,
    ) -> Result<ServerIdentity, AuthorityError> {
        let (mut params, _) = leaf_params(now, life, ExtendedKeyUsagePurpose::ServerAuth)?;
        params.distinguished_name.push(DnType::CommonName, "cprvagt collector");
        params.subject_alt_names = names.iter().map(san).collect::<Result<_, _>>()?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(ServerIdentity {
            chain: vec![certificate.der().clone(), self.certificate.clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        })
    }
}

fn san(name: &ServerName<'static>) -> Result<SanType, rcgen::Error> {
    match name {
        ServerName::IpAddress(address) => Ok(SanType::IpAddress((*address).into())),
        name => Ok(SanType::DnsName(Ia5String::try_from(name.to_str().into_owned())?)),
    }
}

fn authority_params(now: Timestamp) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    let serial = serial()?;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = rcgen::DistinguishedName::new();
    // Two authorities of one name could not be told apart in a chain.
    let name = format!("cprvagt collector {}", data_encoding::HEXLOWER.encode(&serial[..4]));
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_times(&mut params, now, Duration::from_secs(u64::from(AUTHORITY_DAYS) * 86_400));
    Ok(params)
}

fn leaf_params(
    now: Timestamp,
    life: Duration,
    usage: ExtendedKeyUsagePurpose,
) -> Result<(CertificateParams, [u8; 16]), AuthorityError> {
    let mut params = CertificateParams::default();
    let serial = serial()?;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    set_times(&mut params, now, life);
    Ok((params, serial))
}

/// Random, positive, and with its first bit set so that no encoding shortens it (RFC 5280, 4.1.2.2).
fn serial() -> Result<[u8; 16], AuthorityError> {
    let mut serial = [0; 16];
    getrandom::fill(&mut serial)?;
    serial[0] = (serial[0] & 0x7f) | 0x40;
    Ok(serial)
}

fn set_times(params: &mut CertificateParams, now: Timestamp, life: Duration) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since_epoch = |time: Timestamp| Duration::from_secs(time.as_second().try_into().unwrap_or(0));
    params.not_before = epoch + since_epoch(now - CLOCK_SLACK);
    params.not_after = epoch + since_epoch(now) + life;
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).expect("the seconds of a time are a time")
}

#[cfg(test)]
#[path = "authority_tests.rs"]
mod tests;
