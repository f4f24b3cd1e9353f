//! Enrolling at a collector that answers by a script, over real TLS.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use cprvagt_report::AgentId;
use cprvagt_report::seal::PrivateKey;
use rcgen::KeyPair;
use uuid::Uuid;

use super::*;
use crate::bundle;
use crate::send::scripted::{Authority, HOUR, Reply, Scripted, Seen, Speech};

const VALID: (i64, i64) = (-HOUR, HOUR);

/// What a collector in order answers.
fn answer(seen: &Seen, authority: &Authority) -> EnrolAnswer {
    let request: EnrolRequest = serde_json::from_slice(&seen.body).unwrap();
    EnrolAnswer {
        agent: AgentId(Uuid::max()),
        certificate: authority.sign(&request.request, VALID),
        authority: authority.pem(),
        sealing_key: PrivateKey::generate().public().clone(),
        expires_at: Moment::now(),
    }
}

fn reply(answer: &EnrolAnswer) -> Reply {
    Reply::Answer(200, None, serde_json::to_vec(answer).unwrap())
}

fn token(authority: &Authority) -> Token {
    Token::new([7; 32], &authority.der())
}

async fn ask_one_that_answers(
    token: Token,
    speech: Speech,
    script: impl FnMut(&Seen) -> Reply + Send + 'static,
) -> (Result<Enrolled, EnrolError>, Vec<Seen>) {
    let collector = Scripted::start(speech, script).await;
    let enrolled = ask(&collector.url, &token).await;
    (enrolled, collector.seen())
}

#[tokio::test]
async fn what_the_collector_gives_becomes_an_enrolment_that_works() {
    let authority = Authority::new();
    let (speech, token) = (Speech::of(&authority), token(&authority));
    let given = std::sync::Arc::new(std::sync::Mutex::new(None));
    let kept = std::sync::Arc::clone(&given);
    let (enrolled, seen) = ask_one_that_answers(token.clone(), speech, move |seen| {
        let answer = answer(seen, &authority);
        let reply = reply(&answer);
        *kept.lock().unwrap() = Some(answer);
        reply
    })
    .await;
    let request: EnrolRequest = serde_json::from_slice(&seen[0].body).unwrap();
    assert_eq!((&seen[0].path[..], request.secret), (ENROL_PATH, token.secret()));
    assert!(seen[0].certificate.is_none());
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("enrolment");
    let (bundle, _) = bundle::generate("Myndighed X").unwrap();
    let (pseudonym_key, controller_key) = (bundle.pseudonym_key.clone(), bundle.sealing_key.clone());
    let body = String::from_utf8_lossy(&seen[0].body).into_owned();
    assert!(!body.contains(&**pseudonym_key), "the collector never gets the key of pseudonyms");
    let url: CollectorUrl = "https://localhost:8443".parse().unwrap();
    let enrolment = enrolled.unwrap().keep(url.clone(), bundle, &dir).unwrap();
    assert_eq!(Enrolment::read(&dir).unwrap(), Some(enrolment.clone()));
    let given = given.lock().unwrap().take().unwrap();
    assert_eq!(
        (enrolment.url, enrolment.agent, enrolment.sealing_key),
        (url, given.agent, given.sealing_key)
    );
    assert_eq!(enrolment.controller.sealing_key, controller_key);
    assert_eq!(fs::read_to_string(dir.join(TENANT_KEY)).unwrap(), *pseudonym_key);
    assert!(crate::pseudonym::Key::load(&dir.join(TENANT_KEY)).is_ok());
    let credentials = Credentials::load(&dir).unwrap();
    assert_eq!(credentials.not_after.duration_since(credentials.not_before).as_hours(), 2);
    for entry in fs::read_dir(&dir).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().mode() & 0o7777, 0o600);
    }
    assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o7777, 0o700);
}

/// How enrolling fails at a collector that speaks so; it must not see the token's secret.
async fn check_not_asked(token: Token, speech: Speech, expected: &str) {
    let (enrolled, seen) = ask_one_that_answers(token, speech, |_| Reply::refusal(500, None, "asked")).await;
    let error = enrolled.err().unwrap().to_string();
    assert!(error.contains(expected), "{expected}: {error}");
    assert!(seen.is_empty(), "{expected}");
}

#[tokio::test]
async fn only_the_collector_that_the_token_names_is_asked() {
    let (authority, other) = (Authority::new(), Authority::new());
    let speech = |signer: &Authority, name, validity| {
        let (chain, key) = signer.server(name, validity);
        Speech { chain, key, ..Speech::of(&authority) }
    };
    let is_other = "is not the collector that the token names";
    check_not_asked(token(&other), speech(&authority, "localhost", VALID), is_other).await;
    // The named certificate is public: showing it beside a chain of one's own must not help.
    let mut borrowed = speech(&other, "localhost", VALID);
    borrowed.chain.push(authority.der());
    check_not_asked(token(&authority), borrowed, "no secure connection").await;
    let mut alone = speech(&authority, "localhost", VALID);
    alone.chain.truncate(1);
    check_not_asked(token(&authority), alone, is_other).await;
    let is_clock = "is not valid at this host's time";
    for validity in [(-9 * HOUR, -HOUR), (HOUR, 9 * HOUR)] {
        check_not_asked(token(&authority), speech(&authority, "localhost", validity), is_clock).await;
    }
    let elsewhere = speech(&authority, "other.example", VALID);
    check_not_asked(token(&authority), elsewhere, "is for other names").await;
    let old = Speech { version: &rustls::version::TLS12, ..Speech::of(&authority) };
    check_not_asked(token(&authority), old, "ProtocolVersion").await;
    let own = KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&own).unwrap();
    let self_signed = Speech { chain: vec![certificate.der().clone()], key: own, ..Speech::of(&authority) };
    check_not_asked(token(&authority), self_signed, is_other).await;
}

#[tokio::test]
async fn answers_that_are_no_enrolment_are_refused() {
    type Spoil = fn(&mut EnrolAnswer);
    let spoils: [(Spoil, &str); 4] = [
        (|it| it.authority = Authority::new().pem(), "is not the collector that the token names"),
        (|it| it.authority.clear(), "no certificate in PEM"),
        (|it| it.certificate = Authority::new().agent(VALID).0, "is not that of the certificate"),
        (|it| it.certificate = "x".to_owned(), "no certificate in PEM"),
    ];
    for (spoil, expected) in spoils {
        let authority = Authority::new();
        let (speech, token) = (Speech::of(&authority), token(&authority));
        let script = move |seen: &Seen| {
            let mut answer = answer(seen, &authority);
            spoil(&mut answer);
            reply(&answer)
        };
        let error = ask_one_that_answers(token, speech, script).await.0.err().unwrap().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[tokio::test]
async fn a_refusal_is_told_in_the_collectors_words() {
    let authority = Authority::new();
    let (speech, token) = (Speech::of(&authority), token(&authority));
    let script = |_: &Seen| Reply::refusal(409, None, "the token was used already; print another");
    let error = ask_one_that_answers(token, speech, script).await.0.err().unwrap().to_string();
    assert_eq!(error, "the collector refused (409): the token was used already; print another");
}

/// Enrolment in `dir`, spool beside it.
fn config_of(dir: &Path) -> Config {
    let mut config = Config::default();
    config.collector.enrolment = dir.to_owned();
    config.spool.dir = dir.with_file_name("spool");
    config
}

/// The error of `cprvagt enrol` with these arguments.
fn failure(url: &str, token: &str, bundle: &Path, dir: &Path) -> EnrolError {
    let options = cli::Enrol {
        url: url.to_owned(),
        token: token.to_owned(),
        bundle: bundle.to_owned(),
        replace: false,
    };
    run(&options, &config_of(dir), &mut vec![]).unwrap_err()
}

#[test]
fn what_is_wrong_on_this_side_is_told_before_anybody_is_asked() {
    let root = tempfile::tempdir().unwrap();
    let (bundle, dir) = (root.path().join("x.bundle"), root.path().join("enrolment"));
    let url = "https://localhost:1";
    let token = Token::new([7; 32], b"authority").to_string();
    let missing = failure(url, &token, &bundle, &dir);
    assert!(matches!(missing, EnrolError::Bundle(BundleError::File(_))), "{missing}");
    crate::secret_file::create(&bundle, b"{}").unwrap();
    let malformed = failure(url, &token, &bundle, &dir);
    assert!(matches!(malformed, EnrolError::Bundle(BundleError::Malformed { .. })), "{malformed}");
    crate::secret_file::replace(&bundle, &bundle::generate("x").unwrap().0.to_text()).unwrap();
    let closed = failure(url, &token, &bundle, &dir);
    assert!(matches!(closed, EnrolError::Connection(ConnectionError::Unreachable { .. })), "{closed}");
    assert!(matches!(failure("localhost", &token, &bundle, &dir), EnrolError::Url(_)));
    let bad_token = failure(url, "cprvagt1.x.y", &bundle, &dir);
    assert!(matches!(bad_token, EnrolError::Token(_)), "{bad_token}");
    assert_eq!(bad_token.exit(), Exit::Config);
    assert!(!dir.exists(), "nothing was written");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("enrolment.json"), "{}").unwrap();
    assert!(matches!(failure(url, &token, &bundle, &dir), EnrolError::Enrolled(_)));
}

#[test]
fn a_token_comes_from_standard_input_where_asked_for() {
    assert_eq!(super::token("given", &mut &b"other"[..]).unwrap(), "given");
    assert_eq!(super::token("-", &mut &b" piped\n"[..]).unwrap(), " piped\n");
}

/// A renewal is three writes; a crash may come between any of them.
#[test]
fn a_renewal_that_a_crash_cuts_short_leaves_a_pair_that_fits() {
    let authority = Authority::new();
    let url: CollectorUrl = "https://localhost:1".parse().unwrap();
    let (certificate, key) = authority.agent((-HOUR, 50 * HOUR));
    for writes in 0..=3 {
        let dir = tempfile::tempdir().unwrap();
        authority.enrol(dir.path(), &url, VALID);
        let write = |name: &str, content: &str| fs::write(dir.path().join(name), content).unwrap();
        if writes >= 1 {
            crate::secret_file::create(&dir.path().join("agent.key.next"), key.as_bytes()).unwrap();
        }
        if writes >= 2 {
            write("agent.crt", &certificate);
        }
        if writes >= 3 {
            fs::rename(dir.path().join("agent.key.next"), dir.path().join("agent.key")).unwrap();
        }
        for _ in 0..2 {
            let credentials = Credentials::load(dir.path()).unwrap();
            let hours = credentials.not_after.duration_since(credentials.not_before).as_hours();
            assert_eq!(hours, if writes >= 2 { 51 } else { 2 }, "{writes}");
        }
        renew(dir.path(), &key, &certificate).unwrap();
        assert!(Credentials::load(dir.path()).is_ok(), "{writes}");
        assert!(!dir.path().join("agent.key.next").exists());
    }
}

#[test]
fn credentials_that_do_not_fit_are_refused() {
    let authority = Authority::new();
    let url: CollectorUrl = "https://localhost:1".parse().unwrap();
    let dir = tempfile::tempdir().unwrap();
    authority.enrol(dir.path(), &url, VALID);
    let (certificate, key) = authority.agent(VALID);
    let before = Stamp::of(dir.path());
    assert!(renew(dir.path(), &authority.agent(VALID).1, &certificate).is_err());
    assert_eq!(Stamp::of(dir.path()), before, "what does not fit is not written");
    fs::write(dir.path().join("agent.crt"), &certificate).unwrap();
    assert!(Credentials::load(dir.path()).is_err());
    fs::write(dir.path().join("agent.key"), &key).unwrap();
    assert!(Credentials::load(dir.path()).is_ok());
    fs::set_permissions(dir.path().join("agent.key"), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .unwrap();
    assert!(matches!(Credentials::load(dir.path()), Err(EnrolmentError::Secret(_))));
}

#[test]
fn a_new_enrolment_does_not_strand_what_waits_for_the_old_collector() {
    let root = tempfile::tempdir().unwrap();
    let spool = root.path().join("spool");
    assert!(refuse_while_reports_wait(&spool).is_ok(), "no spool, nothing waits");
    let now = jiff::Timestamp::now();
    let (mut open, _) = cprvagt_spool::Spool::open(&spool, cprvagt_spool::Limits::default(), now).unwrap();
    open.append(cprvagt_spool::Kind::Report, 3, b"sealed", now).unwrap();
    open.commit().unwrap();
    let error = refuse_while_reports_wait(&spool).unwrap_err().to_string();
    assert!(error.contains("1 reports wait") && error.contains("spool flush"), "{error}");
}
