//! `/healthz`, `/readyz` and `/metrics`: what those ask who look after the collector.
//!
//! *Invariants*: nothing in the answers is about a person, an agent or an incident.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;

use crate::ingest::Ingest;
use crate::metrics::Exposition;
use crate::store::Store;

/// A commit that takes longer means that something is wrong with disk or database.
pub const COMMIT_MAX: Duration = Duration::from_secs(30);

struct Health {
    store: Store,
    ingest: Ingest,
    exposition: Exposition,
}

/// The routes.
pub fn router(store: Store, ingest: Ingest, exposition: Exposition) -> Router {
    Router::new()
        .route("/healthz", get(async || plain(StatusCode::OK, "alive\n")))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(Health { store, ingest, exposition }))
}

/// Whether reports can be stored now: whether the last were, and whether the database lets itself be written.
async fn ready(State(health): State<Arc<Health>>) -> Response {
    if health.ingest.stuck_for() > COMMIT_MAX {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "a commit takes too long: look at the disk\n");
    }
    if let Some(trouble) = health.ingest.trouble() {
        return plain(StatusCode::SERVICE_UNAVAILABLE, format!("{trouble}\n"));
    }
    let written = health.store.prune_sessions(cprvagt_report::Moment(Timestamp::now()));
    match tokio::time::timeout(COMMIT_MAX, written).await {
        Ok(Ok(_)) => plain(StatusCode::OK, "ready\n"),
        Ok(Err(error)) => plain(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
        Err(_) => plain(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n"),
    }
}

async fn metrics(State(health): State<Arc<Health>>) -> Response {
    let text = health.exposition.text();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

fn plain(status: StatusCode, text: impl Into<String>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, text.into()).into_response()
}
