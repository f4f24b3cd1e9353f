//! Tests of renewing certificates; connections that go on meanwhile are in `collector/tests`.

use super::*;
use crate::data_dir::DataDir;

struct Files {
    dir: tempfile::TempDir,
    authority: Authority,
}

impl Files {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(&dir.path().join("data")).unwrap();
        let authority = Authority::load_or_make(&data, Timestamp::now()).unwrap();
        let files = Self { dir, authority };
        files.write(true);
        files
    }

    fn paths(&self) -> CertificateFiles {
        CertificateFiles { certificate: self.dir.path().join("c.pem"), key: self.dir.path().join("k.pem") }
    }

    fn write(&self, with_authority: bool) {
        let names = [ServerName::try_from("localhost").unwrap()];
        let made = self.authority.issue_server(&names, Duration::from_secs(3600), Timestamp::now()).unwrap();
        let count = if with_authority { 2 } else { 1 };
        let pem: String = made.chain[..count].iter().map(to_pem).collect();
        fs::write(self.paths().certificate, pem).unwrap();
        let key = data_encoding::BASE64.encode(made.key.secret_der());
        fs::write(
            self.paths().key,
            format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n"),
        )
        .unwrap();
    }

    fn load(&self) -> Result<Certificate, CertificateError> {
        Certificate::load(Source::FilesWithAuthority(self.paths()), Renewal::default())
    }
}

fn shown(certificate: &Certificate) -> CertificateDer<'static> {
    let shown = certificate.shown.0.load_full();
    shown.end_entity_cert().unwrap().clone().into_owned()
}

#[test]
fn pem_is_read_back() {
    let files = Files::new();
    assert_eq!(
        to_pem(files.authority.certificate()).replace('\r', ""),
        files.authority.pem().replace('\r', "")
    );
    assert_eq!(authority_in(&files.paths().certificate).unwrap(), *files.authority.certificate());
}

#[test]
fn changed_files_are_taken_up_and_broken_ones_are_not() {
    let files = Files::new();
    let mut certificate = files.load().unwrap();
    let first = shown(&certificate);
    assert_eq!(certificate.due(false), None);
    files.write(true);
    let state = certificate.due(false).unwrap();
    certificate.renew(state, &mut None);
    let second = shown(&certificate);
    assert_ne!(first, second);
    assert_eq!(certificate.due(false), None);
    assert!(certificate.due(true).is_some());

    // A new certificate whose key is not there yet.
    let old_key = fs::read(files.paths().key).unwrap();
    files.write(true);
    let new_key = fs::read(files.paths().key).unwrap();
    fs::write(files.paths().key, old_key).unwrap();
    let mut told = None;
    let state = certificate.due(false).unwrap();
    certificate.renew(state.clone(), &mut told);
    assert_eq!((shown(&certificate), told), (second.clone(), Some(state)));
    fs::write(files.paths().key, new_key).unwrap();
    let state = certificate.due(false).unwrap();
    certificate.renew(state, &mut None);
    assert_ne!(shown(&certificate), second);
}

#[test]
fn another_authority_needs_a_restart() {
    let (mut files, other) = (Files::new(), Files::new());
    let mut certificate = files.load().unwrap();
    let first = shown(&certificate);
    files.authority = other.authority;
    files.write(true);
    let state = certificate.due(false).unwrap();
    certificate.renew(state, &mut None);
    assert_eq!(shown(&certificate), first);
}

#[test]
fn what_cannot_be_used_is_refused() {
    let files = Files::new();
    files.write(false);
    assert!(files.load().is_err_and(|error| error.to_string().contains("must be the authority's")));
    let certificate = Certificate::load(Source::Files(files.paths()), Renewal::default());
    assert!(certificate.is_ok());
    fs::write(files.paths().certificate, "").unwrap();
    assert!(files.load().is_err_and(|error| error.to_string().contains("no certificate")));
    fs::remove_file(files.paths().certificate).unwrap();
    assert!(files.load().is_err());
}

#[test]
fn the_authoritys_own_is_renewed_at_two_thirds_of_its_life() {
    let files = Files::new();
    let source =
        Source::Authority(Arc::new(files.authority), vec![ServerName::try_from("localhost").unwrap()]);
    let renewal = Renewal { life: Duration::from_secs(300), ..Renewal::default() };
    let mut certificate = Certificate::load(source, renewal).unwrap();
    assert_eq!(certificate.due(true), None);
    let State::Until(end) = certificate.state else { panic!("not of the authority") };
    assert!((end - Timestamp::now().as_second() - 200).abs() <= 5);
    certificate.state = State::Until(Timestamp::now().as_second());
    let first = shown(&certificate);
    let state = certificate.due(false).unwrap();
    certificate.renew(state, &mut None);
    assert_ne!(shown(&certificate), first);
    assert_eq!(certificate.due(false), None);
}
