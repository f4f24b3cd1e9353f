//! The HTTP of one connection, from its first request to its end.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;

use super::tls::Stream;
use super::{Limits, Peer};
use crate::stop::Stop;

/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 32;
/// Headers of one request, in bytes.
const HEADER_BYTES_MAX: u32 = 32 << 10;
/// Headers of one request.
const HEADERS_MAX: usize = 64;
/// What may be on its way unread: enough that a delivery does not wait for round trips.
const WINDOW_BYTES: u32 = 1 << 20;

/// One connection's end of HTTP.
pub(super) struct Connection {
    router: TowerToHyperService<Router>,
    peer: Peer,
    limits: Limits,
    activity: Arc<Activity>,
}

/// Requests begun and ended; equal when none is under way.
#[derive(Default)]
struct Activity {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Connection {
    pub(super) fn new(router: Router, peer: Peer, limits: Limits) -> Self {
        Self { router: TowerToHyperService::new(router), peer, limits, activity: Arc::default() }
    }

    /// Answers until either side ends it, it idles, or `stop`.
    pub(super) async fn run(self, io: Pin<Box<dyn Stream>>, mut stop: Stop) {
        let (limits, activity) = (self.limits, self.activity.clone());
        let address = self.peer.address;
        let builder = builder(limits);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(io), self));
        tokio::select! {
            ended = connection.as_mut() => return told(address, ended),
            () = stop.asked() => {}
            () = activity.idle_for(limits.idle) => {}
        }
        connection.as_mut().graceful_shutdown();
        if let Ok(ended) = tokio::time::timeout(limits.farewell, connection).await {
            told(address, ended);
        }
    }
}

fn builder(limits: Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.request)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .keep_alive_interval(limits.request / 2)
        .keep_alive_timeout(limits.request / 2);
    builder
}

fn told(address: std::net::SocketAddr, ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!("{address}: connection ended: {error}");
    }
}

impl Activity {
    /// Ends when no request was under way, nor any begun, for `limit`.
    async fn idle_for(&self, limit: Duration) {
        let mut before = None;
        loop {
            tokio::time::sleep(limit).await;
            let ended = self.ended.load(Ordering::Relaxed);
            let begun = self.begun.load(Ordering::Relaxed);
            if begun == ended && before == Some(begun) {
                return;
            }
            before = Some(begun);
        }
    }
}

/// Counts a request as ended, also when it is given up.
struct UnderWay(Arc<Activity>);

impl UnderWay {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.begun.fetch_add(1, Ordering::Relaxed);
        Self(activity.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

impl Service<Request<Incoming>> for Connection {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(ConnectInfo(self.peer.address));
        request.extensions_mut().insert(self.peer.clone());
        let (limit, under_way) = (self.limits.answer, UnderWay::begin(&self.activity));
        let answer = self.router.call(request);
        Box::pin(async move {
            let _under_way = under_way;
            tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| {
                let mut late = Response::new(Body::empty());
                *late.status_mut() = StatusCode::REQUEST_TIMEOUT;
                Ok(late)
            })
        })
    }
}
