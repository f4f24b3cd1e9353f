//! Who is let in: wrong, foreign, expired and revoked certificates, old TLS, and new certificates of the server
//! while connections go on.

use std::sync::Arc;
use std::time::Duration;

use cprvagt_collector::authority::{Authority, Request};
use cprvagt_collector::config::CertificateFiles;
use cprvagt_collector::data_dir::DataDir;
use cprvagt_collector::listener::{Renewal, to_pem};
use cprvagt_collector::serve::Bounds;
use cprvagt_report::{AgentId, Moment};
use jiff::Timestamp;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use uuid::Uuid;

use crate::client::{Answer, Dial, Shown};
use crate::rig::{Applicant, Rig, deliver, until};

/// What a delivery gets that shows `shown`, as far as it gets.
async fn try_as(rig: &Rig, shown: Option<Shown>) -> Result<Answer, String> {
    let mut client = Dial { shown, ..rig.dial() }.connect().await?;
    let delivery = cprvagt_report::Delivery::default().encode();
    client.post(cprvagt_report::REPORTS_PATH, cprvagt_report::DELIVERY_TYPE, delivery).await
}

/// A certificate of the rig's own authority, made at `now`.
fn issued(rig: &Rig, agent: AgentId, now: Timestamp) -> Shown {
    let data = DataDir::open(&rig.config.data_dir).unwrap();
    issued_by(&Authority::load_or_make(&data, now).unwrap(), agent, now)
}

fn issued_by(authority: &Authority, agent: AgentId, now: Timestamp) -> Shown {
    let applicant = Applicant::new();
    let issued = authority.issue_agent(agent, &Request::parse(&applicant.request).unwrap(), 30, now).unwrap();
    let certificate = rustls::pki_types::CertificateDer::from_pem_slice(issued.pem.as_bytes()).unwrap();
    Shown { chain: vec![certificate], key: applicant.key.serialize_der() }
}

fn self_signed(agent: AgentId) -> Shown {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let uri = format!("urn:uuid:{agent}");
    params.subject_alt_names = vec![rcgen::SanType::URI(uri.as_str().try_into().unwrap())];
    let certificate = params.self_signed(&key).unwrap();
    Shown { chain: vec![certificate.der().clone()], key: key.serialize_der() }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_valid_certificate_of_an_active_agent_is_heard() {
    let rig = Rig::start().await;
    let agent = rig.enrol().await;
    let now = Timestamp::now();
    assert_eq!(try_as(&rig, Some(agent.shown.clone())).await.unwrap().status, 200);
    assert_eq!(try_as(&rig, Some(issued(&rig, agent.id, now))).await.unwrap().status, 200);

    let nobody = try_as(&rig, None).await.unwrap();
    assert_eq!(nobody.status, 401);
    assert!(nobody.refusal().contains("enrol"), "{}", nobody.refusal());
    let unknown = try_as(&rig, Some(issued(&rig, AgentId(Uuid::now_v7()), now))).await.unwrap();
    assert_eq!(unknown.status, 403);

    let year_ago = now - jiff::SignedDuration::from_hours(24 * 365);
    assert!(try_as(&rig, Some(issued(&rig, agent.id, year_ago))).await.is_err());
    let in_a_year = now + jiff::SignedDuration::from_hours(24 * 365);
    assert!(try_as(&rig, Some(issued(&rig, agent.id, in_a_year))).await.is_err());
    assert!(try_as(&rig, Some(self_signed(agent.id))).await.is_err());
    let other = DataDir::open(&rig.dir.path().join("other")).unwrap();
    let foreign = Authority::load_or_make(&other, now).unwrap();
    assert!(try_as(&rig, Some(issued_by(&foreign, agent.id, now))).await.is_err());
    assert_told(&["certificate-expired", "certificate-invalid", "certificate-foreign"]);
}

/// The metrics name these reasons of failed handshakes.
fn assert_told(reasons: &[&str]) {
    let metrics = cprvagt_collector::metrics::Exposition::start().unwrap().text();
    for reason in reasons {
        let line = format!("handshake_failures_total{{listener=\"agents\",reason=\"{reason}\"}}");
        assert!(metrics.contains(&line), "{reason}: {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servers_certificate_is_none_for_a_client() {
    let rig = Rig::start().await;
    let data = DataDir::open(&rig.config.data_dir).unwrap();
    let authority = Authority::load_or_make(&data, Timestamp::now()).unwrap();
    let names = [ServerName::try_from("localhost").unwrap()];
    let server = authority.issue_server(&names, Duration::from_secs(60), Timestamp::now()).unwrap();
    let shown = Shown { chain: server.chain, key: server.key.secret_der().to_vec() };
    assert!(try_as(&rig, Some(shown)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_agent_is_refused_on_its_open_connection() {
    let rig = Rig::start().await;
    let agent = rig.enrol().await;
    let mut client = rig.dial_as(&agent).connect().await.unwrap();
    assert_eq!(deliver(&mut client, vec![]).await.status, 200);
    rig.store.revoke(agent.id, Moment::now()).await.unwrap();
    let refused = deliver(&mut client, vec![]).await;
    assert_eq!(refused.status, 403);
    assert!(refused.refusal().contains("revoked"), "{}", refused.refusal());
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_1_2_is_refused() {
    let rig = Rig::start().await;
    assert!(rig.dial().connect().await.is_ok());
    let old = Dial { version: &rustls::version::TLS12, ..rig.dial() };
    let error = old.connect().await.err().expect("TLS 1.2 must be refused");
    assert!(error.contains("ProtocolVersion"), "{error}");
    until("the count", async || {
        let metrics = cprvagt_collector::metrics::Exposition::start().unwrap().text();
        metrics.contains("reason=\"version-or-cipher\"")
    })
    .await;
}

fn write(files: &CertificateFiles, authority: &Authority) {
    let names = [ServerName::try_from("localhost").unwrap()];
    let made = authority.issue_server(&names, Duration::from_secs(3600), Timestamp::now()).unwrap();
    let key = data_encoding::BASE64.encode(made.key.secret_der());
    let key = format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n");
    std::fs::write(&files.key, key).unwrap();
    std::fs::write(&files.certificate, made.chain.iter().map(to_pem).collect::<String>()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_while_a_connection_goes_on() {
    let mut kept = None;
    let renewal = Renewal { every: Duration::from_millis(50), ..Renewal::default() };
    let rig = Rig::start_with(Bounds { renewal, ..Bounds::default() }, |config, dir| {
        let data = DataDir::open(&dir.path().join("own")).unwrap();
        let authority = Authority::load_or_make(&data, Timestamp::now()).unwrap();
        let files = CertificateFiles { certificate: dir.path().join("c"), key: dir.path().join("k") };
        write(&files, &authority);
        config.agents.certificate = Some(files.clone());
        kept = Some((Arc::new(authority), files));
    })
    .await;
    let (authority, files) = kept.unwrap();
    let agent = rig.enrol().await;
    // Agents learn to trust the given chain's authority, not the embedded one.
    assert_eq!(agent.authority, *authority.certificate());
    let mut open = rig.dial_as(&agent).connect().await.unwrap();
    let before = open.server_chain.clone();
    write(&files, &authority);
    until("the new certificate", async || {
        rig.dial_as(&agent).connect().await.unwrap().server_chain != before
    })
    .await;
    assert_eq!(deliver(&mut open, vec![]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_authority_renews_by_itself() {
    let renewal = Renewal { every: Duration::from_millis(50), life: Duration::from_secs(6) };
    let rig = Rig::start_with(Bounds { renewal, ..Bounds::default() }, |_, _| {}).await;
    let agent = rig.enrol().await;
    let mut open = rig.dial_as(&agent).connect().await.unwrap();
    let before = open.server_chain.clone();
    until("the new certificate", async || {
        rig.dial_as(&agent).connect().await.unwrap().server_chain != before
    })
    .await;
    assert_eq!(deliver(&mut open, vec![]).await.status, 200);
}
