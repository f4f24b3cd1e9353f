//! A collector in this process, on free ports and a folder of its own, and agents enrolled at it.

use std::time::Duration;

use cprvagt_collector::config::Config;
use cprvagt_collector::serve::{Bounds, Collector};
use cprvagt_collector::store::Store;
use cprvagt_report::seal::PublicKey;
use cprvagt_report::{
    AgentId, DELIVERY_TYPE, Delivery, ENROL_PATH, EnrolAnswer, EnrolRequest, Envelope, Moment, REPORTS_PATH,
    Receipts, Report, Token,
};
use jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use uuid::Uuid;

use crate::client::{Answer, Client, Dial, Shown};
use crate::sample;

pub struct Rig {
    pub dir: tempfile::TempDir,
    pub config: Config,
    pub collector: Collector,
    /// As another process sees the data.
    pub store: Store,
}

/// An enrolled agent.
pub struct Agent {
    pub id: AgentId,
    pub shown: Shown,
    pub authority: CertificateDer<'static>,
    pub sealing_key: PublicKey,
}

/// A key and a signing request for it.
pub struct Applicant {
    pub key: KeyPair,
    pub request: String,
}

impl Applicant {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let request = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        Self { key, request }
    }
}

pub fn config(dir: &tempfile::TempDir) -> Config {
    let mut config = Config { data_dir: dir.path().join("data"), ..Config::default() };
    config.agents.listen.set_port(0);
    config.web.listen.set_port(0);
    config
}

impl Rig {
    pub async fn start() -> Self {
        Self::start_with(Bounds::default(), |_, _| {}).await
    }

    pub async fn start_with(bounds: Bounds, set: impl FnOnce(&mut Config, &tempfile::TempDir)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(&dir);
        set(&mut config, &dir);
        let collector = Collector::start(&config, bounds).await.unwrap();
        let store = Store::open(&config.data_dir).await.unwrap();
        Self { dir, config, collector, store }
    }

    pub fn dial(&self) -> Dial {
        Dial::to(self.collector.agents_address())
    }

    pub fn dial_as(&self, agent: &Agent) -> Dial {
        Dial { shown: Some(agent.shown.clone()), authority: Some(agent.authority.clone()), ..self.dial() }
    }

    /// A token that ends in `life`, or ended that long ago when negative; its authority is not looked at.
    pub async fn token(&self, life_seconds: i64) -> Token {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).unwrap();
        let token = Token::new(secret, b"");
        let hash = Token::hash_of_secret(&token.secret()).unwrap();
        let now = Timestamp::now();
        let end = now + jiff::SignedDuration::from_secs(life_seconds);
        self.store.add_token(&hash, Moment(now), Moment(end), None).await.unwrap();
        token
    }

    pub async fn ask_to_enrol(&self, secret: String, request: String) -> Answer {
        let asked = EnrolRequest { secret, request, host: sample::host() };
        let mut client = self.dial().connect().await.unwrap();
        client.post(ENROL_PATH, "application/json", serde_json::to_vec(&asked).unwrap()).await.unwrap()
    }

    pub async fn enrol(&self) -> Agent {
        let applicant = Applicant::new();
        let answer = self.ask_to_enrol(self.token(60).await.secret(), applicant.request.clone()).await;
        Agent::of(&answer, &applicant)
    }
}

impl Agent {
    pub fn of(answer: &Answer, applicant: &Applicant) -> Self {
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer: EnrolAnswer = serde_json::from_slice(&answer.body).unwrap();
        let certificate = CertificateDer::from_pem_slice(answer.certificate.as_bytes()).unwrap();
        Self {
            id: answer.agent,
            shown: Shown { chain: vec![certificate], key: applicant.key.serialize_der() },
            authority: CertificateDer::from_pem_slice(answer.authority.as_bytes()).unwrap(),
            sealing_key: answer.sealing_key,
        }
    }

    pub fn envelope(&self, epoch: Uuid, sequence: u64, report: &Report) -> Envelope {
        Envelope { epoch, sequence, sealed: report.seal(&self.sealing_key) }
    }
}

pub async fn deliver(client: &mut Client, reports: Vec<Envelope>) -> Answer {
    client.post(REPORTS_PATH, DELIVERY_TYPE, Delivery { reports }.encode()).await.unwrap()
}

pub fn receipts(answer: &Answer) -> Receipts {
    assert_eq!(answer.status, 200, "{}", answer.refusal());
    Receipts::decode(&answer.body).unwrap()
}

/// Waits for what must come, and says what did not.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    for _ in 0..600 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} did not come");
}
