//! A client for the agents' listener: rustls and hyper, with whatever certificate a test wants to show.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use cprvagt_report::Refusal;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::SendRequest;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What a client shows.
#[derive(Clone)]
pub struct Shown {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: Vec<u8>,
}

/// How a client connects.
pub struct Dial {
    pub address: SocketAddr,
    /// Whom it trusts; `None`: everybody.
    pub authority: Option<CertificateDer<'static>>,
    pub shown: Option<Shown>,
    pub version: &'static SupportedProtocolVersion,
}

/// An open connection.
pub struct Client {
    requests: SendRequest<Full<Bytes>>,
    pub server_chain: Vec<CertificateDer<'static>>,
}

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub retry_after: Option<u32>,
    pub body: Bytes,
}

impl Answer {
    /// What the refusal says.
    pub fn refusal(&self) -> String {
        serde_json::from_slice::<Refusal>(&self.body).expect("refusals are JSON").error
    }
}

impl Dial {
    pub fn to(address: SocketAddr) -> Self {
        Self { address, authority: None, shown: None, version: &rustls::version::TLS13 }
    }

    fn config(&self) -> ClientConfig {
        let provider = Arc::new(ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_protocol_versions(&[self.version]).unwrap();
        let builder = match &self.authority {
            None => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody)),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.clone()).unwrap();
                builder.with_root_certificates(roots)
            }
        };
        let mut config = match &self.shown {
            None => builder.with_no_client_auth(),
            Some(shown) => {
                let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(shown.key.clone()));
                builder.with_client_auth_cert(shown.chain.clone(), key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }

    /// Connects and begins HTTP/2. With TLS 1.3 a server refuses a client's certificate only after the client
    /// believes to be done, so the first request is what fails.
    pub async fn connect(&self) -> Result<Client, String> {
        let tcp = TcpStream::connect(self.address).await.map_err(|error| error.to_string())?;
        let connector = TlsConnector::from(Arc::new(self.config()));
        let name = ServerName::try_from("localhost").unwrap();
        let stream = connector.connect(name, tcp).await.map_err(|error| error.to_string())?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let server_chain = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (requests, connection) = handshake.await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        Ok(Client { requests, server_chain })
    }
}

impl Client {
    pub fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }

    pub async fn post(&mut self, path: &str, content_type: &str, body: Vec<u8>) -> Result<Answer, String> {
        let request = Request::post(format!("https://localhost{path}"))
            .header("content-type", content_type)
            .body(Full::new(body.into()))
            .unwrap();
        self.requests.ready().await.map_err(|error| error.to_string())?;
        let response = self.requests.send_request(request).await.map_err(|error| error.to_string())?;
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.map(|seconds| seconds.to_str().unwrap().parse().unwrap());
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok(Answer { status, retry_after, body })
    }
}

/// Takes any server certificate.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
