//! For tests: authorities, and a collector on loopback that answers by a script, over real TLS and HTTP/2.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use cprvagt_report::seal::PrivateKey;
use cprvagt_report::{AgentId, Delivery, Moment, Receipt, ReceiptOutcome, Receipts, Refusal};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

use crate::config::CollectorUrl;
use crate::enrol::{Controller, Enrolment, EnrolmentSchema, NewKey, provider, store};

/// An hour, in seconds.
pub const HOUR: i64 = 3600;

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// Validity, in seconds from now.
fn valid(params: &mut CertificateParams, (from, to): (i64, i64)) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let at = |seconds: i64| Duration::from_secs(now.checked_add_signed(seconds).unwrap());
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + at(from);
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + at(to);
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its certificate.
    pub fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// Its certificate as text.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A server's chain and key.
    pub fn server(&self, name: &str, validity: (i64, i64)) -> (Vec<CertificateDer<'static>>, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        valid(&mut params, validity);
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.0).unwrap();
        (vec![leaf.der().clone(), self.der()], key)
    }

    /// The certificate that a request of an agent asks for.
    pub fn sign(&self, request: &str, validity: (i64, i64)) -> String {
        let mut request = CertificateSigningRequestParams::from_pem(request).unwrap();
        request.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        valid(&mut request.params, validity);
        request.signed_by(&self.0).unwrap().pem()
    }

    /// A certificate of an agent and its key, both as text.
    pub fn agent(&self, validity: (i64, i64)) -> (String, String) {
        let NewKey { key, request } = NewKey::generate().unwrap();
        (self.sign(&request, validity), key.to_string())
    }

    /// Enrols a host at `url` into the folder `dir`; what opens its reports comes back.
    pub fn enrol(&self, dir: &Path, url: &CollectorUrl, validity: (i64, i64)) -> PrivateKey {
        let (collector, controller) = (PrivateKey::generate(), PrivateKey::generate());
        let enrolment = Enrolment {
            schema: EnrolmentSchema::V1,
            url: url.clone(),
            agent: AgentId(Uuid::nil()),
            sealing_key: collector.public().clone(),
            controller: Controller {
                name: "x".to_owned(),
                key_id: "0".to_owned(),
                sealing_key: controller.public().clone(),
            },
            made_at: Moment::now(),
        };
        let (certificate, key) = self.agent(validity);
        let files: [(&str, &[u8]); 4] = [
            ("agent.key", key.as_bytes()),
            ("agent.crt", certificate.as_bytes()),
            ("ca.crt", &self.pem().into_bytes()),
            ("enrolment.json", &enrolment.to_text()),
        ];
        store(dir, &files).unwrap();
        collector
    }
}

/// A request as the collector sees it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its path.
    pub path: String,
    /// Its body.
    pub body: Bytes,
    /// The client's certificate.
    pub certificate: Option<CertificateDer<'static>>,
    /// Which connection, from 0.
    pub connection: usize,
}

impl Seen {
    /// The epochs and numbers of the reports delivered.
    pub fn positions(&self) -> Vec<(Uuid, u64)> {
        self.delivery().reports.iter().map(|it| (it.epoch, it.sequence)).collect()
    }

    /// The delivery.
    pub fn delivery(&self) -> Delivery {
        Delivery::decode(&self.body).unwrap()
    }
}

/// What the collector does with a request.
pub enum Reply {
    /// An answer: status, `Retry-After`, body.
    Answer(u16, Option<&'static str>, Vec<u8>),
    /// The connection is cut.
    Cut,
}

impl Reply {
    /// A receipt for each report.
    pub fn receipts(seen: &Seen, outcome: ReceiptOutcome) -> Self {
        Self::receipts_for(&seen.positions(), outcome)
    }

    /// Receipts for these.
    pub fn receipts_for(positions: &[(Uuid, u64)], outcome: ReceiptOutcome) -> Self {
        let receipt = |&(epoch, sequence): &(Uuid, u64)| Receipt { epoch, sequence, outcome };
        let receipts = Receipts { receipts: positions.iter().map(receipt).collect() };
        Self::Answer(200, None, receipts.encode())
    }

    /// A refusal in words.
    pub fn refusal(status: u16, retry_after: Option<&'static str>, error: &str) -> Self {
        let body = serde_json::to_vec(&Refusal { error: error.to_owned() }).unwrap();
        Self::Answer(status, retry_after, body)
    }
}

/// How a collector speaks.
pub struct Speech {
    /// Its chain.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: KeyPair,
    /// Whose clients it believes.
    pub clients: CertificateDer<'static>,
    /// Its version of TLS.
    pub version: &'static SupportedProtocolVersion,
    /// What it speaks over TLS.
    pub alpn: &'static [u8],
}

impl Speech {
    /// That of a collector in order, under `authority`.
    pub fn of(authority: &Authority) -> Self {
        let (chain, key) = authority.server("localhost", (-HOUR, HOUR));
        Self { chain, key, clients: authority.der(), version: &rustls::version::TLS13, alpn: b"h2" }
    }

    fn config(self) -> ServerConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.clients).unwrap();
        let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider())
            .allow_unauthenticated()
            .build()
            .unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.key.serialize_pem().as_bytes()).unwrap();
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[self.version])
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(self.chain, key)
            .unwrap();
        config.alpn_protocols = vec![self.alpn.to_vec()];
        config
    }
}

type Script = Arc<Mutex<dyn FnMut(&Seen) -> Reply + Send>>;

/// A collector on loopback.
pub struct Scripted {
    /// Its address.
    pub url: CollectorUrl,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Scripted {
    /// Starts one that does as `script` says.
    pub async fn start(speech: Speech, script: impl FnMut(&Seen) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port()).parse().unwrap();
        let (seen, script): (Arc<Mutex<Vec<Seen>>>, Script) = (Arc::default(), Arc::new(Mutex::new(script)));
        let acceptor = TlsAcceptor::from(Arc::new(speech.config()));
        let kept = Arc::clone(&seen);
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, seen, script) = (acceptor.clone(), Arc::clone(&seen), Arc::clone(&script));
                tokio::spawn(async move { serve(stream, acceptor, connection, seen, script).await });
            }
        });
        Self { url, seen: kept }
    }

    /// Starts one for a test that has no runtime; it lives as long as the tests do.
    pub fn in_background(speech: Speech, script: impl FnMut(&Seen) -> Reply + Send + 'static) -> Self {
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                sender.send(Self::start(speech, script).await).unwrap();
                std::future::pending::<()>().await;
            });
        });
        receiver.recv().unwrap()
    }

    /// What it saw so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    connection: usize,
    seen: Arc<Mutex<Vec<Seen>>>,
    script: Script,
) {
    // A client that does not believe the collector ends here; that is its matter.
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let certificate =
        stream.get_ref().1.peer_certificates().and_then(|it| Some(it.first()?.clone().into_owned()));
    let cut = Arc::new(Notify::new());
    let service = service_fn(|request: Request<Incoming>| {
        let (seen, script, cut) = (Arc::clone(&seen), Arc::clone(&script), Arc::clone(&cut));
        let certificate = certificate.clone();
        async move {
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await?.to_bytes();
            let request = Seen { path, body, certificate, connection };
            seen.lock().unwrap().push(request.clone());
            let reply = script.lock().unwrap()(&request);
            match reply {
                Reply::Answer(status, retry_after, body) => {
                    let mut response = Response::builder().status(status);
                    if let Some(value) = retry_after {
                        response = response.header("retry-after", value);
                    }
                    Ok::<_, hyper::Error>(response.body(Full::new(Bytes::from(body))).unwrap())
                }
                Reply::Cut => {
                    cut.notify_one();
                    std::future::pending().await
                }
            }
        }
    });
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    tokio::select! {
        _ = server.serve_connection(TokioIo::new(stream), service) => {}
        () = cut.notified() => {}
    }
}
