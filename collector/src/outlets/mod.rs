//! Outlets: incidents and their changes leave the collector as OCSF events, to a file and to webhooks.
//!
//! ```text
//! take(), mark_changes() -> outbox -> outlet's cursor -> Finding (OCSF) -> guard -> file | webhook
//! ```
//!
//! **At least once.** An event is written into the outbox in the transaction that changes its incident, and an
//! outlet's cursor moves after the receiver has it. A crash between the two sends the event again, with the same
//! `metadata.uid`, the same body and, at a webhook, the same delivery id: receivers drop what they have seen. An
//! outlet that is new gets all that the outbox has, from its beginning.
//!
//! *Invariants*: each outlet has its own task and cursor, so a slow one holds up nobody else. The order of events
//! is kept, so an event that an outlet's receiver refuses is tried for ever and holds up those behind it;
//! [`Outlets::status`] and the metrics tell. An event is passed over only if the guard holds it back, or if its row
//! cannot be read: then it stays in the outbox, and that it was held back is kept until a replay delivers it.
//! *Units*: metrics `outlet_events_total`, `outlet_failures_total` and `outlet_blocked_total` count events,
//! attempts and events since the start; `outlet_held_back` is how many events are held back, and
//! `outlet_failed_attempts` how many attempts in a row have failed.
//! *Not here*: what an incident is, and when it has changed (`store`).

mod dispatch;
mod file;
mod finding;
mod guard;
mod ocsf;
mod retry;
mod settings;
mod signature;
mod status;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::store::Store;

use dispatch::{Sink, Worker};
use file::LineFile;
use status::Board;
use webhook::Webhook;

pub use finding::event_json;
pub use ocsf::OCSF_VERSION;
pub use retry::{DELAY_FIRST, DELAY_MAX, RETRY_AFTER_MAX, RETRY_AFTER_MIN};
pub use settings::{
    FILE_OUTLET, FileOutlet, NAME_BYTES_MAX, OUTLETS_MAX, OutletError, OutletSettings, SECRET_BYTES_MAX,
    SECRET_BYTES_MIN, WebhookOutlet,
};
pub use signature::{DELIVERY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER};
pub use status::OutletStatus;
pub use webhook::ATTEMPT_MAX;

/// The running outlets. Dropping it ends them at once, which loses nothing.
pub struct Outlets {
    wake: Waker,
    board: Arc<Board>,
    tasks: JoinSet<()>,
}

/// Tells the outlets that there may be something new in the outbox.
#[derive(Clone)]
pub struct Waker(watch::Sender<()>);

impl Waker {
    /// To be called after a commit that wrote to the outbox; cheap, and harmless when nothing is new.
    pub fn wake(&self) {
        self.0.send_replace(());
    }
}

/// Starts every outlet of `settings`, inside a tokio runtime.
///
/// # Errors
/// What is wrong with the settings; nothing runs then.
pub fn start(store: &Store, settings: &OutletSettings) -> Result<Outlets, OutletError> {
    let sinks = sinks(settings)?;
    let (sender, _) = watch::channel(());
    let board = Arc::new(Board::default());
    let mut tasks = JoinSet::new();
    for (name, sink) in sinks {
        let worker = Worker::new(name, sink, store.clone(), sender.subscribe(), Arc::clone(&board));
        tasks.spawn(worker.run());
    }
    tasks.spawn(dispatch::tell_changes(store.clone(), settings.quiet, Waker(sender.clone())));
    Ok(Outlets { wake: Waker(sender), board, tasks })
}

/// Whether [`start`] would take `settings`: names, addresses, and the files that they name.
///
/// # Errors
/// What is wrong with the settings.
pub fn check(settings: &OutletSettings) -> Result<(), OutletError> {
    sinks(settings).map(drop)
}

fn sinks(settings: &OutletSettings) -> Result<Vec<(String, Sink)>, OutletError> {
    settings.check()?;
    let file = settings.file.iter().map(|file| Sink::file(LineFile::new(file.path.clone())));
    let mut sinks: Vec<_> = file.map(|sink| (FILE_OUTLET.to_owned(), sink)).collect();
    for webhook in &settings.webhooks {
        sinks.push((webhook.name.clone(), Sink::Webhook(Box::new(Webhook::new(webhook)?))));
    }
    Ok(sinks)
}

impl Outlets {
    /// What ingest holds, to wake the outlets after a commit.
    pub fn waker(&self) -> Waker {
        self.wake.clone()
    }

    /// How each outlet fares, in the order of the settings.
    pub fn status(&self) -> Vec<OutletStatus> {
        self.board.read()
    }

    /// Ends the outlets. An attempt under way is broken off, and its event comes again at the next start.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Why an attempt failed; no text of the receiver's, and no address.
#[derive(Debug)]
struct Failure {
    /// A fixed word, for the metric.
    reason: &'static str,
    /// The HTTP status, or the system's error number.
    code: Option<i32>,
    /// When the receiver wants to be asked again.
    retry_after: Option<Duration>,
}

impl Failure {
    const fn of(reason: &'static str) -> Self {
        Self { reason, code: None, retry_after: None }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason)?;
        self.code.map_or(Ok(()), |code| write!(f, " ({code})"))
    }
}
