//! What agents ask of the collector: to be enrolled, to renew, to have reports taken.
//!
//! *Invariants*: an agent is who its client certificate says; nothing in a body says who sent it. Revoked
//! and unknown agents are refused at each request. Every refusal is JSON that says what is wrong and what to do.
//! *Limits*: [`BODIES_MAX`] deliveries at once, one of each agent; [`JSON_BYTES_MAX`] of any other body;
//! [`BODY_TIME`] for a body to come in, and more as it comes, see [`BODY_RATE`].

mod body;
mod enrol;
mod identity;
mod opening;
mod rate;
mod refusal;
mod renew;
mod reports;
mod seen;
mod turn;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use cprvagt_report::seal::PrivateKey;
use cprvagt_report::{DELIVERY_BYTES_MAX, ENROL_PATH, RENEW_PATH, REPORTS_PATH};
use rustls::pki_types::CertificateDer;
use tokio::sync::Semaphore;

use crate::authority::Authority;
use crate::citizen::CitizenKey;
use crate::ingest::Ingest;
use crate::listener::to_pem;
use crate::stop::Stop;
use crate::store::Store;

pub(crate) use identity::agent_named;
use opening::Opener;
use rate::Rate;
use refusal::Refused;
use seen::Seen;
use turn::Turns;

/// Deliveries whose bodies are in memory at once.
const BODIES_MAX: usize = 16;
/// Largest body that is not a delivery.
const JSON_BYTES_MAX: usize = 64 << 10;
/// Time for a body to come in, without regard to its size.
const BODY_TIME: Duration = Duration::from_secs(30);
/// Bytes of a body that have come give it a second more: so slow may a link be for a whole delivery.
const BODY_RATE: usize = 8 << 10;
/// Time for the largest body to come in and its answer to begin.
pub(crate) const ANSWER_TIME: Duration = Duration::from_secs(600);
const _: () =
    assert!(BODY_TIME.as_secs() as usize + DELIVERY_BYTES_MAX / BODY_RATE < ANSWER_TIME.as_secs() as usize);

/// What answering agents needs.
pub struct Settings {
    /// The data.
    pub store: Store,
    /// The queue into it.
    pub ingest: Ingest,
    /// Signs agents' certificates.
    pub authority: Arc<Authority>,
    /// The authority that agents are to trust the server by.
    pub trusted: CertificateDer<'static>,
    /// Opens reports.
    pub sealing_key: PrivateKey,
    /// Makes citizens of pseudonyms.
    pub citizen_key: CitizenKey,
    /// Life of an agent's certificate.
    pub certificate_days: u32,
}

/// What every request shares.
struct Desk {
    store: Store,
    ingest: Ingest,
    authority: Arc<Authority>,
    trusted_pem: String,
    certificate_days: u32,
    opener: Opener,
    bodies: Semaphore,
    turns: Turns,
    seen: Seen,
    enrolments: Mutex<Rate>,
}

/// The routes of agents, and what writes down when each was heard, until told to stop.
pub fn router(settings: Settings, stop: Stop) -> (Router, impl Future<Output = ()> + Send + use<>) {
    let desk = Arc::new(Desk {
        opener: Opener::new(settings.sealing_key, settings.citizen_key),
        store: settings.store,
        ingest: settings.ingest,
        authority: settings.authority,
        trusted_pem: to_pem(&settings.trusted),
        certificate_days: settings.certificate_days,
        bodies: Semaphore::new(BODIES_MAX),
        turns: Turns::default(),
        seen: Seen::default(),
        enrolments: Mutex::default(),
    });
    let router = Router::new()
        .route(ENROL_PATH, post(enrol::answer))
        .route(RENEW_PATH, post(renew::answer))
        .route(REPORTS_PATH, post(reports::answer))
        .fallback(async || Refused::NOT_FOUND)
        .method_not_allowed_fallback(async || Refused::NOT_POST)
        .with_state(desk.clone());
    (router, async move { desk.seen.keep(&desk.store, stop).await })
}
