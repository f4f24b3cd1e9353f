//! A webhook's receiver: a real HTTP server that answers as it is told and keeps what it got.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What the next request gets.
pub enum Answer {
    /// This status, and this header.
    Status(u16, Option<(&'static str, String)>),
    /// Nothing, ever.
    Silence,
    /// 200, once it is told to.
    Once(oneshot::Receiver<()>),
}

/// One request.
#[derive(Clone)]
pub struct Seen {
    pub path: String,
    pub headers: HeaderMap,
    pub delivery: String,
    pub body: Bytes,
    pub event: Value,
}

#[derive(Default)]
struct State {
    seen: Mutex<Vec<Seen>>,
    answers: Mutex<VecDeque<Answer>>,
}

/// An authority that issues a certificate for 127.0.0.1.
pub struct Authority {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new([]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: rcgen::Issuer::new(params, key) }
    }

    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    fn server(&self) -> TlsAcceptor {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key);
        TlsAcceptor::from(Arc::new(config.unwrap()))
    }
}

/// The server; it ends when dropped.
pub struct Receiver {
    scheme: &'static str,
    address: SocketAddr,
    state: Arc<State>,
    server: JoinHandle<()>,
}

impl Receiver {
    /// A server that answers with `answers`, then 200 for ever.
    pub async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::listen("http", answers.into_iter().collect(), None).await
    }

    /// A server with a certificate of `authority`, that answers 200.
    pub async fn start_tls(authority: &Authority) -> Self {
        Self::listen("https", VecDeque::new(), Some(authority.server())).await
    }

    async fn listen(scheme: &'static str, answers: VecDeque<Answer>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { answers: Mutex::new(answers), ..State::default() });
        let server = tokio::spawn(serve(listener, tls, Arc::clone(&state)));
        Self { scheme, address, state, server }
    }

    pub fn url(&self) -> String {
        format!("{}://{}/hook?stream=1", self.scheme, self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.state.seen.lock().unwrap().len()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, state: Arc<State>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (tls, state) = (tls.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            match tls {
                None => converse(stream, state).await,
                Some(tls) => {
                    // A client that does not trust us is part of some tests.
                    if let Ok(stream) = tls.accept(stream).await {
                        converse(stream, state).await;
                    }
                }
            }
        });
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, state: Arc<State>) {
    let service = service_fn(|request| answer(request, Arc::clone(&state)));
    let builder = auto::Builder::new(TokioExecutor::new());
    // A client that breaks off is part of some tests.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let seen = Seen {
        path: head.uri.path_and_query().unwrap().to_string(),
        delivery: head.headers["cprvagt-delivery"].to_str().unwrap().to_owned(),
        headers: head.headers,
        event: serde_json::from_slice(&body).unwrap(),
        body,
    };
    state.seen.lock().unwrap().push(seen);
    let next = state.answers.lock().unwrap().pop_front();
    let (status, header) = match next {
        Some(Answer::Silence) => std::future::pending().await,
        Some(Answer::Status(status, header)) => (status, header),
        Some(Answer::Once(told)) => {
            told.await.unwrap();
            (200, None)
        }
        None => (200, None),
    };
    let mut answer = Response::new(Full::new(Bytes::from_static(b"what a receiver says")));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    if let Some((name, value)) = header {
        answer.headers_mut().insert(name, value.parse().unwrap());
    }
    Ok(answer)
}
