//! The process `send`: takes sealed reports from `inspect` into the spool, and delivers them.
//!
//! It has the network and the spool, and no capability. It sees no plaintext: reports come sealed.
//! One thread. A commit to the disk holds it up for as long as the disk takes; connections bear that.
//!
//! *Invariants*: a report counts as spooled after a commit to the disk, and is forgotten after a receipt.
//! The process ends when told to, or when the main process is gone; signals are for the main process.

mod backoff;
mod connection;
mod deliver;
mod flush;
pub mod frame;
mod intake;
mod link;
pub mod protocol;
mod sealed_spool;

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use cprvagt_report::Moment;
use cprvagt_spool::{Disk, Files, Limits, SpoolError, Stats};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

pub use connection::{Answer, Connection, ConnectionError};
pub use flush::{FlushError, flush};
pub use intake::IntakeError;

use crate::channel;
use crate::config::CollectorUrl;
use crate::scrub::Scrubber;
use deliver::{Deliverer, LOOK_EVERY, Next};
use intake::Intake;
use link::Link;
use protocol::{FromSend, SendStatus, Settings, SpoolStatus, ToSend};
use sealed_spool::SealedSpool;

/// How often [`FromSend::Alive`] is said.
pub const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// How often the spool notes that the process runs, and keeps its bounds.
const TOUCH_EVERY: Duration = Duration::from_secs(20);
/// How long the rest of the reports may take at the end.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// How long the main process may leave its messages unread.
const TELL_MAX: Duration = Duration::from_secs(10);
/// Messages of the main process that wait.
const WAITING_MAX: usize = 16;
/// Segments that a full spool has at least, so that dropping one does not drop all.
const SEGMENTS_MIN: u64 = 8;

/// Why `send` ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The spool.
    #[error("spool: {0}")]
    Spool(#[from] SpoolError),
    /// The stream of reports.
    #[error(transparent)]
    Intake(#[from] IntakeError),
    /// The process could not be confined.
    #[error("the process could not be confined: {0}")]
    Confine(String),
    /// The main process said something else first, or nothing.
    #[error("the main process did not begin")]
    NotStarted,
    /// The main process cannot be talked to.
    #[error("the main process: {0}")]
    Control(#[from] io::Error),
}

/// What the parts of the process share; they take turns on one thread.
pub struct Shared<F: Files = Disk> {
    spool: RefCell<SealedSpool<F>>,
    progress: RefCell<Progress>,
    arrived: Notify,
}

/// How delivering goes.
#[derive(Debug, Default)]
struct Progress {
    blocked_since: Option<Moment>,
    collector: Option<CollectorUrl>,
    certificate_expires_at: Option<Moment>,
    delivered: u64,
    set_aside: u64,
    last_delivery_at: Option<Moment>,
    last_error: Option<String>,
    next_attempt: Option<Instant>,
}

/// Runs the process until the main process says [`ToSend::Stop`] or is gone.
///
/// `confine` gives up what the process does not need; it is called once the spool is open, before the first
/// byte from `inspect` or the network is read. Afterwards the process needs: its spool and enrolment folders,
/// TCP connections, what finds addresses by name, and threads.
///
/// # Errors
/// What kept it from starting or going on; the main process was told.
pub fn run<E: fmt::Display>(
    control: UnixStream,
    reports: UnixStream,
    confine: impl FnOnce(&Settings) -> Result<(), E>,
) -> Result<(), SendError> {
    control.set_write_timeout(Some(TELL_MAX))?;
    let ended = serve(&control, reports, confine);
    if let Err(error) = &ended {
        // The main process may be what is gone.
        let _ = channel::send(&control, &FromSend::Failed(error.to_string()));
    }
    ended
}

fn serve<E: fmt::Display>(
    control: &UnixStream,
    reports: UnixStream,
    confine: impl FnOnce(&Settings) -> Result<(), E>,
) -> Result<(), SendError> {
    let Some(ToSend::Start(settings)) = channel::receive(control)? else { return Err(SendError::NotStarted) };
    let shared = Shared::open(&settings)?;
    confine(&settings).map_err(|error| SendError::Confine(error.to_string()))?;
    let mut deliverer = Deliverer::new(Link::new(settings.enrolment.clone(), settings.url.clone()));
    deliverer.look(&shared);
    reports.set_nonblocking(true)?;
    let messages = listen(control.try_clone()?);
    channel::send(control, &FromSend::Ready { epoch: shared.spool.borrow().stats().epoch })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let intake = Intake::new(tokio::net::UnixStream::from_std(reports)?);
        work(control, messages, intake, deliverer, &settings, &shared).await
    });
    // A look-up of a name that hangs must not hold up the end.
    runtime.shutdown_background();
    let spool = shared.spool.into_inner();
    match &ended {
        Ok(End::Told) => spool.close()?,
        // Without the mark of a clean end: what the others had not handed over is lost, and the next start says so.
        Ok(End::Abandoned) | Err(_) => spool.abandon()?,
    }
    ended.map(drop)
}

/// How the work ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    /// The main process said so, and everything that `inspect` said was taken.
    Told,
    /// The main process is gone, or `inspect` did not come to its end.
    Abandoned,
}

/// Everything that goes on at once.
async fn work<F: Files>(
    control: &UnixStream,
    mut messages: mpsc::Receiver<ToSend>,
    mut intake: Intake,
    mut deliverer: Deliverer,
    settings: &Settings,
    shared: &Shared<F>,
) -> Result<End, SendError> {
    // Taking a signal over is what keeps it from ending the process.
    let _held = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let (changes, changed) = watch::channel(settings.clone());
    let take = async {
        intake.run(shared).await?;
        // The end of the stream is not the end: what waits is still delivered.
        std::future::pending().await
    };
    let ended = tokio::select! {
        ended = obey(control, &mut messages, &changes, shared) => ended,
        broken = take => broken,
        () = keep_alive(shared) => Ok(End::Abandoned),
        () = deliver(&mut deliverer, changed, shared) => Ok(End::Abandoned),
    };
    // What `inspect` said last is taken whatever happened; a stream that broke says so again.
    match timeout(DRAIN_MAX, intake.run(shared)).await {
        Ok(drained) => drained.map_err(SendError::from).and(ended),
        Err(_) => {
            tracing::error!("the last reports could not be taken in {} seconds", DRAIN_MAX.as_secs());
            ended.map(|_| End::Abandoned)
        }
    }
}

/// Does as the main process says, until it says stop or is gone.
async fn obey<F: Files>(
    control: &UnixStream,
    messages: &mut mpsc::Receiver<ToSend>,
    changes: &watch::Sender<Settings>,
    shared: &Shared<F>,
) -> Result<End, SendError> {
    let mut alive = interval(ALIVE_EVERY);
    alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let answer = tokio::select! {
            message = messages.recv() => match message {
                None => return Ok(End::Abandoned),
                Some(ToSend::Stop) => return Ok(End::Told),
                Some(ToSend::Status) => FromSend::Status(shared.status().into()),
                Some(ToSend::Start(settings) | ToSend::Reload(settings)) => {
                    reload(settings, changes);
                    continue;
                }
            },
            _ = alive.tick() => FromSend::Alive,
        };
        match channel::send(control, &answer) {
            Err(error) if is_gone(&error) => return Ok(End::Abandoned),
            sent => sent?,
        }
    }
}

/// Whether the other side closed the socket, by its end or in order.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

fn reload(settings: Settings, changes: &watch::Sender<Settings>) {
    let old = changes.send_replace(settings);
    let new = changes.borrow();
    let fixed =
        |it: &Settings| (it.spool_dir.clone(), it.spool_bytes_max, it.spool_age_max, it.enrolment.clone());
    if fixed(&old) != fixed(&new) {
        tracing::warn!("[spool] and the enrolment's folder change with a restart only");
    }
}

/// Notes that the process runs, and keeps the spool's bounds while nothing arrives.
async fn keep_alive<F: Files>(shared: &Shared<F>) {
    let mut tick = interval(TOUCH_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let mut spool = shared.spool.borrow_mut();
        spool.touch();
        match spool.commit() {
            // It may have been what the spool had to say for itself when it was opened.
            Ok(_) => shared.arrived.notify_one(),
            // Intake tells of a spool that cannot be written, and tries on.
            Err(error) => tracing::debug!("spool: {error}"),
        }
    }
}

/// Delivers for ever.
async fn deliver<F: Files>(
    deliverer: &mut Deliverer,
    mut changed: watch::Receiver<Settings>,
    shared: &Shared<F>,
) {
    loop {
        let next = deliverer.turn(shared).await;
        let now = Instant::now();
        let (mut due, wakes) = match next {
            Next::AtOnce => continue,
            Next::WhenSomethingArrives => (now + LOOK_EVERY, true),
            Next::After(wait) => (now + wait, false),
        };
        shared.progress.borrow_mut().next_attempt = (!wakes).then_some(due);
        while Instant::now() < due {
            tokio::select! {
                () = sleep_until(due.min(Instant::now() + LOOK_EVERY)) => {
                    // New files may be what was missing.
                    if deliverer.look(shared) {
                        due = Instant::now();
                    }
                }
                () = shared.arrived.notified(), if wakes => due = Instant::now(),
                change = changed.changed() => {
                    let url = changed.borrow_and_update().url.clone();
                    deliverer.link().set_url(url);
                    due = Instant::now();
                    if change.is_err() {
                        return;
                    }
                }
            }
        }
        shared.progress.borrow_mut().next_attempt = None;
    }
}

/// Reads the main process's messages in a thread of its own; the end of the channel is its end.
fn listen(control: UnixStream) -> mpsc::Receiver<ToSend> {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    std::thread::spawn(move || {
        loop {
            match channel::receive(&control) {
                Ok(Some(message)) => {
                    if sender.blocking_send(message).is_err() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => return tracing::error!("the main process: {error}"),
            }
        }
    });
    receiver
}

/// What an error says, without numbers and cut.
fn scrubbed(error: &impl fmt::Display) -> String {
    Scrubber::at(Moment::now().0.as_second()).name(error.to_string()).to_string()
}

impl Shared {
    /// Opens the spool that `settings` name.
    fn open(settings: &Settings) -> Result<Self, SpoolError> {
        let built_in = Limits::default();
        let limits = Limits {
            segment_bytes_max: built_in.segment_bytes_max.min(settings.spool_bytes_max / SEGMENTS_MIN),
            total_bytes_max: settings.spool_bytes_max,
            age_max: settings.spool_age_max,
        };
        Ok(Self::new(SealedSpool::open(&settings.spool_dir, limits, settings.host.clone())?))
    }
}

impl<F: Files> Shared<F> {
    fn new(spool: SealedSpool<F>) -> Self {
        Self { spool: RefCell::new(spool), progress: RefCell::default(), arrived: Notify::new() }
    }

    /// How it goes.
    fn status(&self) -> SendStatus {
        let progress = self.progress.borrow();
        let now = Instant::now();
        SendStatus {
            spool: SpoolStatus::from(self.spool.borrow().stats()),
            spool_blocked_since: progress.blocked_since,
            collector: progress.collector.clone(),
            certificate_expires_at: progress.certificate_expires_at,
            delivered: progress.delivered,
            set_aside: progress.set_aside,
            last_delivery_at: progress.last_delivery_at,
            last_error: progress.last_error.clone(),
            next_attempt_in: progress.next_attempt.map(|due| due.saturating_duration_since(now).as_secs()),
        }
    }
}

impl From<Stats> for SpoolStatus {
    fn from(stats: Stats) -> Self {
        Self {
            epoch: stats.epoch,
            records: stats.waiting_records,
            leaks: stats.waiting_leaks,
            bytes: stats.bytes,
            segments: stats.segments,
            oldest_at: stats.oldest_written_at.map(Moment),
        }
    }
}

#[cfg(test)]
#[path = "scripted_tests.rs"]
pub mod scripted;
#[cfg(test)]
#[path = "send_tests.rs"]
mod tests;
