//! Tests of the embedded authority, its certificates read back with another parser.

use rustls::pki_types::CertificateSigningRequestDer;
use uuid::Uuid;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::*;

fn data() -> (tempfile::TempDir, DataDir) {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::open(&dir.path().join("data")).unwrap();
    (dir, data)
}

fn request() -> String {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["evil.example".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.serialize_request(&key).unwrap().pem().unwrap()
}

#[test]
fn the_authority_is_made_once() {
    let (_dir, data) = data();
    let first = Authority::load_or_make(&data, Timestamp::now()).unwrap();
    let again = Authority::load_or_make(&data, Timestamp::now()).unwrap();
    assert_eq!(first.certificate(), again.certificate());
    // A crash between key and certificate: the certificate is made anew for the same key.
    std::fs::remove_file(data.path().join(CERTIFICATE)).unwrap();
    assert!(Authority::load_or_make(&data, Timestamp::now()).is_ok());
}

#[test]
fn an_agents_certificate_says_what_the_authority_decides() {
    let (_dir, data) = data();
    let now = Timestamp::now();
    let authority = Authority::load_or_make(&data, now).unwrap();
    let agent = AgentId(Uuid::now_v7());
    let issued = authority.issue_agent(agent, &Request::parse(&request()).unwrap(), 30, now).unwrap();
    let der = CertificateDer::from_pem_slice(issued.pem.as_bytes()).unwrap();
    let (_, read) = X509Certificate::from_der(&der).unwrap();
    let (_, ca) = X509Certificate::from_der(authority.certificate()).unwrap();
    read.verify_signature(Some(ca.public_key())).unwrap();
    assert!(!read.is_ca() && ca.is_ca());
    assert_eq!(read.raw_serial(), issued.serial);
    assert_eq!(read.validity().not_after.timestamp(), issued.expires_at.0.as_second());
    assert_eq!(read.validity().not_after.timestamp() - now.as_second(), 30 * 86_400);
    let usage = read.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
    let names = &read.subject_alternative_name().unwrap().unwrap().value.general_names;
    assert_eq!(names.as_slice(), [GeneralName::URI(&format!("urn:uuid:{agent}"))]);
    let second = authority.issue_agent(agent, &Request::parse(&request()).unwrap(), 30, now).unwrap();
    assert_ne!(second.serial, issued.serial);
}

#[test]
fn a_server_has_its_names_and_the_chain() {
    let (_dir, data) = data();
    let now = Timestamp::now();
    let authority = Authority::load_or_make(&data, now).unwrap();
    let names = ["c.example", "192.0.2.1"].map(|name| ServerName::try_from(name).unwrap());
    let server = authority.issue_server(&names, Duration::from_secs(3600), now).unwrap();
    assert_eq!(server.chain.len(), 2);
    assert_eq!(&server.chain[1], authority.certificate());
    let (_, read) = X509Certificate::from_der(&server.chain[0]).unwrap();
    let usage = read.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && !usage.client_auth);
    let names = &read.subject_alternative_name().unwrap().unwrap().value.general_names;
    assert_eq!(
        names.as_slice(),
        [GeneralName::DNSName("c.example"), GeneralName::IPAddress(&[192, 0, 2, 1])]
    );
}

#[test]
fn requests_prove_their_key() {
    let good = request();
    assert_eq!(Request::parse(&good).unwrap().hash(), Request::parse(&good).unwrap().hash());
    assert_ne!(Request::parse(&good).unwrap().hash(), Request::parse(&request()).unwrap().hash());
    let der = CertificateSigningRequestDer::from_pem_slice(good.as_bytes()).unwrap();
    let pem = |der: &[u8]| {
        let body = data_encoding::BASE64.encode(der);
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n")
    };
    assert!(Request::parse(&pem(&der)).is_ok());
    let mut forged = der.to_vec();
    // Another name under the same signature.
    let at = forged.windows(4).position(|window| window == b"evil").unwrap();
    forged[at] = b'd';
    assert_eq!(Request::parse(&pem(&forged)).unwrap_err(), BadRequest::Signature);
    for bad in ["", "x", &good[..good.len() / 2], &pem(b""), &pem(&der[..50]), &"A".repeat(20_000)] {
        assert_eq!(Request::parse(bad).unwrap_err(), BadRequest::Malformed, "{bad}");
    }
    let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let other = CertificateParams::default().serialize_request(&ed25519).unwrap().pem().unwrap();
    assert_eq!(Request::parse(&other).unwrap_err(), BadRequest::Unsupported);
}
