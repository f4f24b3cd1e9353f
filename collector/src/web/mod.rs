//! The pages that people read: in Danish, made on the server, without a script.
//!
//! *Invariants*: no page holds a digit of a number, a pseudonym or a key. Every string from outside passes
//! the templates' escaping; nothing is marked as safe.
//! *Limits*: [`FORM_BYTES_MAX`] of a form.
//! *Not here*: listening, TLS, health and metrics.

mod account;
mod agents;
mod assets;
mod attempts;
mod chart;
mod danish;
mod frame;
mod headers;
mod incident;
mod incidents;
mod login;
mod loss;
mod mark;
mod origin;
pub mod password;
mod refusal;
mod session;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use self::mark::Mark;
use crate::store::Store;

/// Most bytes of a form.
pub const FORM_BYTES_MAX: usize = 4096;

/// How the pages are served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WebSettings {
    /// Whether the listener speaks TLS: cookies are `Secure` then, and HSTS is sent.
    pub tls: bool,
    /// Hours after which a session ends.
    pub session_hours: u16,
}

/// What every page needs.
#[derive(Clone)]
struct Web {
    store: Store,
    settings: WebSettings,
    attempts: Arc<attempts::Attempts>,
    comparer: password::Comparer,
}

/// All pages. The limit on log-in attempts by address needs the peer's address as the extension
/// `ConnectInfo<SocketAddr>` of each request; without it all peers count as one.
pub fn router(store: Store, settings: WebSettings) -> Router {
    let web = Web { store, settings, attempts: Arc::default(), comparer: password::Comparer::default() };
    let signed = Router::new()
        .route("/", get(incidents::show))
        .route("/haendelser/{id}", get(incident::show))
        .route("/agenter", get(agents::show))
        .route_layer(from_fn_with_state(web.clone(), session::require));
    Router::new()
        .merge(signed)
        .route(login::PATH, get(login::form).post(login::submit))
        .route("/log-ud", post(login::end))
        .route("/assets/{name}", get(assets::serve))
        .fallback(async || refusal::Refused::NotFound)
        .method_not_allowed_fallback(async || refusal::Refused::Method)
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(from_fn_with_state(settings, origin::check))
        .layer(from_fn_with_state(settings, headers::add))
        .with_state(web)
}

#[cfg(test)]
#[path = "web_tests.rs"]
mod tests;
