//! The webhook outlet: one signed POST an event; any 2xx answer is the receipt.
//!
//! *Invariants*: no redirect is followed, because the event was not meant for whom it leads to. The address and
//! what the receiver answers are never logged.
//! *Limits*: [`ATTEMPT_MAX`] for one request until its answer begins; [`ANSWER_BYTES_MAX`] of an answer are read, so that
//! the connection can serve the next event.

use std::error::Error as _;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode, Uri, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::Failure;
use super::retry::retry_after;
use super::settings::{OutletError, WebhookOutlet};
use super::signature::{DELIVERY_HEADER, SIGNATURE_HEADER, Secret, TIMESTAMP_HEADER, delivery_id};

/// Longest time for one attempt, from the name look-up to the answer.
pub const ATTEMPT_MAX: Duration = Duration::from_secs(30);
/// Longest time until a connection stands.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long an unused connection is kept.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// How long the body of an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Most of an answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// The authorities that the system trusts, on Debian and its relatives.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";
/// What our requests say that they come from.
const USER_AGENT: &str = concat!("cprvagt-collector/", env!("CARGO_PKG_VERSION"));

/// A webhook, ready to send.
pub(super) struct Webhook {
    name: String,
    address: Uri,
    secret: Secret,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Webhook {
    /// Reads the secret and the authorities.
    ///
    /// # Errors
    /// A bad address, a secret that others can read, or no authorities.
    pub(super) fn new(settings: &WebhookOutlet) -> Result<Self, OutletError> {
        let address = settings.address()?;
        let secret = Secret::new(settings.secret()?);
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_MAX));
        let tls = HttpsConnectorBuilder::new().with_tls_config(trust(settings, &address)?);
        let connector = tls.https_or_http().enable_all_versions().wrap_connector(tcp);
        let mut client = Client::builder(TokioExecutor::new());
        client.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_MAX);
        Ok(Self { name: settings.name.clone(), address, secret, client: client.build(connector) })
    }

    /// Posts one event.
    ///
    /// # Errors
    /// Anything but a 2xx answer in time.
    pub(super) async fn post(&self, event_uid: &str, body: Bytes) -> Result<(), Failure> {
        let request = self.request(event_uid, body, SystemTime::now());
        let attempt = async {
            let answer = self.client.request(request).await.map_err(|error| Failure::of(cause(&error)))?;
            judge(answer).await
        };
        tokio::time::timeout(ATTEMPT_MAX, attempt).await.unwrap_or(Err(Failure::of("timeout")))
    }

    fn request(&self, event_uid: &str, body: Bytes, now: SystemTime) -> Request<Full<Bytes>> {
        let timestamp = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs().to_string();
        let delivery = delivery_id(&self.name, event_uid);
        let signature = self.secret.sign(&timestamp, &delivery, &body);
        Request::post(self.address.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, USER_AGENT)
            .header(TIMESTAMP_HEADER, timestamp)
            .header(DELIVERY_HEADER, delivery)
            .header(SIGNATURE_HEADER, signature)
            .body(Full::new(body))
            .expect("the address was checked and the headers are ASCII")
    }
}

/// What the answer means. Every refusal is tried again, also a 4xx: a receiver that was set up wrongly is mended
/// by a person, and until then nothing may be lost or overtaken.
async fn judge(answer: Response<Incoming>) -> Result<(), Failure> {
    let (status, headers) = (answer.status(), answer.headers().clone());
    // Whether all of it comes does not matter: the status is the receipt.
    let rest = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect();
    let _ = tokio::time::timeout(ANSWER_MAX, rest).await;
    if status.is_success() {
        return Ok(());
    }
    let asked = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let honoured = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let retry_after = asked.filter(|_| honoured).and_then(|value| retry_after(value, SystemTime::now()));
    Err(Failure { reason: kind(status), code: Some(i32::from(status.as_u16())), retry_after })
}

/// What went wrong before there was an answer.
fn cause(error: &Error) -> &'static str {
    let mut sources = std::iter::successors(error.source(), |error| (**error).source());
    match error.is_connect() {
        true if sources.any(is_tls) => "tls",
        true => "unreachable",
        false => "broken-off",
    }
}

/// What TLS finds wrong comes inside an I/O error, or inside one inside another.
fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>() || inner.is_some_and(|inner| is_tls(inner))
}

fn kind(status: StatusCode) -> &'static str {
    match status.as_u16() {
        300..400 => "redirect",
        429 => "busy",
        400..500 => "refused",
        503 => "busy",
        _ => "server-error",
    }
}

fn trust(settings: &WebhookOutlet, address: &Uri) -> Result<ClientConfig, OutletError> {
    let path = settings.ca_file.as_deref().unwrap_or(Path::new(SYSTEM_ROOTS));
    let roots = match address.scheme_str() {
        Some("http") => RootCertStore::empty(),
        _ => roots(settings, path)?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the suites of both versions");
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The authorities in a PEM file. One that cannot be used is passed over, as long as others can: the system's file
/// holds many.
fn roots(settings: &WebhookOutlet, path: &Path) -> Result<RootCertStore, OutletError> {
    let mut file = std::fs::File::open(path).map_err(|cause| settings.unreadable(path, cause))?;
    let mode = file.metadata().map_err(|cause| settings.unreadable(path, cause))?.mode() & 0o7777;
    if mode & 0o002 != 0 {
        return Err(OutletError::Writable { outlet: settings.name.clone(), path: path.to_owned(), mode });
    }
    let mut pem = Vec::new();
    file.read_to_end(&mut pem).map_err(|cause| settings.unreadable(path, cause))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
    match roots.is_empty() {
        false => Ok(roots),
        true => Err(OutletError::NoAuthority { outlet: settings.name.clone(), path: path.to_owned() }),
    }
}
