//! One connection to a collector: TLS 1.3, HTTP/2, kept open and pinged.
//!
//! *Limits*: each step has a time-out; an answer has [`ANSWER_BYTES_MAX`] bytes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, RETRY_AFTER};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::CollectorUrl;

/// Largest answer that is read, in bytes: receipts of a delivery take a few kilobytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Time to find the collector and to connect.
const CONNECT_MAX: Duration = Duration::from_secs(15);
/// Time for the TLS and HTTP/2 handshakes.
const HANDSHAKE_MAX: Duration = Duration::from_secs(15);
/// Time for a request and its answer: the collector commits before it answers. Each [`SLOW_LINK_BYTES`] get a second
/// more.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// What the slowest link carries in a second.
const SLOW_LINK_BYTES: u64 = 8 << 10;
/// How often an idle connection is pinged, so that one that died is noticed, and how long an answer may take.
const PING: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The address cannot be a server's name.
    #[error("{0:?} is neither a host name nor an address")]
    Name(String),
    /// No connection.
    #[error("{url} cannot be reached: {cause}")]
    Unreachable {
        /// The collector.
        url: CollectorUrl,
        /// What the system says.
        cause: io::Error,
    },
    /// No secure connection.
    #[error("no secure connection to {url}: {cause}")]
    Tls {
        /// The collector.
        url: CollectorUrl,
        /// What TLS says.
        cause: io::Error,
    },
    /// The other side does not speak HTTP/2.
    #[error("{0} does not speak HTTP/2: it is no collector")]
    NotHttp2(CollectorUrl),
    /// It took too long.
    #[error("{url}: no answer in {} seconds to: {step}", after.as_secs())]
    Late {
        /// The collector.
        url: CollectorUrl,
        /// What was waited for.
        step: &'static str,
        /// How long.
        after: Duration,
    },
    /// The connection broke.
    #[error("{url}: the connection broke: {cause}")]
    Broken {
        /// The collector.
        url: CollectorUrl,
        /// What HTTP says.
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ConnectionError {
    /// What TLS found wrong, where it is TLS that did.
    pub fn tls(&self) -> Option<&rustls::Error> {
        match self {
            Self::Tls { cause, .. } => cause.get_ref()?.downcast_ref(),
            _ => None,
        }
    }
}

/// An open connection.
pub struct Connection {
    url: CollectorUrl,
    requests: SendRequest<Full<Bytes>>,
}

/// What the collector answered.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
    /// Body.
    pub body: Bytes,
}

impl Connection {
    /// Connects to the collector at `url`.
    ///
    /// # Errors
    /// It cannot be reached, is not the one that `config` believes, or speaks something else.
    pub async fn open(url: &CollectorUrl, config: Arc<ClientConfig>) -> Result<Self, ConnectionError> {
        let name = ServerName::try_from(url.host().to_owned());
        let name = name.map_err(|_| ConnectionError::Name(url.host().to_owned()))?;
        let connect = TcpStream::connect((url.host(), url.port()));
        let stream = in_time(url, "connecting", CONNECT_MAX, connect)
            .await?
            .map_err(|cause| ConnectionError::Unreachable { url: url.clone(), cause })?;
        // Only a little slower without; nothing to tell anybody.
        let _ = stream.set_nodelay(true);
        let shaken = TlsConnector::from(config).connect(name, stream);
        let stream = in_time(url, "the TLS handshake", HANDSHAKE_MAX, shaken)
            .await?
            .map_err(|cause| ConnectionError::Tls { url: url.clone(), cause })?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(ConnectionError::NotHttp2(url.clone()));
        }
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new()).keep_alive_interval(PING).keep_alive_timeout(PING);
        http.keep_alive_while_idle(true);
        let shaken = http.handshake(TokioIo::new(stream));
        let (requests, connection) = in_time(url, "the HTTP/2 handshake", HANDSHAKE_MAX, shaken)
            .await?
            .map_err(|cause| ConnectionError::Broken { url: url.clone(), cause: cause.into() })?;
        // How it ended is told to the request that was under way, and there is nobody else to tell.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { url: url.clone(), requests })
    }

    /// Whether requests can still be made.
    pub fn is_open(&self) -> bool {
        !self.requests.is_closed()
    }

    /// Sends `body` to `path` and waits for the answer.
    ///
    /// # Errors
    /// The connection broke or the answer did not come in time. The collector may have acted all the same.
    pub async fn post(
        &mut self,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Answer, ConnectionError> {
        let url = self.url.clone();
        let limit = ANSWER_MAX + Duration::from_secs(body.len() as u64 / SLOW_LINK_BYTES);
        in_time(&url, "a request", limit, self.exchange(path, content_type, body)).await?
    }

    async fn exchange(
        &mut self,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Answer, ConnectionError> {
        let url = self.url.clone();
        let broken = |cause| ConnectionError::Broken { url: url.clone(), cause };
        let request = Request::post(format!("{url}{path}"))
            .header(CONTENT_TYPE, content_type)
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| broken(error.into()))?;
        self.requests.ready().await.map_err(|error| broken(error.into()))?;
        let answer = self.requests.send_request(request).await.map_err(|error| broken(error.into()))?;
        let (head, body) = answer.into_parts();
        let retry_after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.map(str::to_owned);
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(broken)?.to_bytes();
        Ok(Answer { status: head.status, retry_after, body })
    }
}

async fn in_time<T>(
    url: &CollectorUrl,
    step: &'static str,
    after: Duration,
    work: impl Future<Output = T>,
) -> Result<T, ConnectionError> {
    timeout(after, work).await.map_err(|_| ConnectionError::Late { url: url.clone(), step, after })
}
