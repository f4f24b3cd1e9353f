//! `cprvagt spool flush`: everything delivered, now.
//!
//! A daemon that has the spool delivers by itself, and is waited for. Without one the spool is opened here.

use std::path::Path;
use std::time::Duration;

use cprvagt_spool::SpoolError;
use tokio::time::{Instant, sleep, timeout_at};

use super::Shared;
use super::deliver::{Deliverer, Next};
use super::link::Link;
use super::protocol::Settings;
use crate::enrol::EnrolmentError;

/// How often a daemon's spool is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Why it was not tried.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    /// The spool.
    #[error("spool: {0}")]
    Spool(#[from] SpoolError),
    /// The enrolment.
    #[error(transparent)]
    Enrolment(#[from] EnrolmentError),
    /// There is nowhere to deliver to.
    #[error("{left} reports wait, and this host is not enrolled: run cprvagt enrol")]
    NotEnrolled {
        /// How many.
        left: u64,
    },
    /// The system refuses.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// What is left.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Flushed {
    /// Reports that still wait.
    pub left: u64,
    /// What went wrong last, scrubbed.
    pub error: Option<String>,
}

/// Delivers everything, or waits for the daemon, whose status socket is in `runtime_dir`, to do it; for at most
/// `period`.
///
/// # Errors
/// The spool or the enrolment cannot be used.
pub fn flush(settings: &Settings, runtime_dir: &Path, period: Duration) -> Result<Flushed, FlushError> {
    if !settings.spool_dir.exists() {
        return Ok(Flushed { left: 0, error: None });
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let flushed = runtime.block_on(async {
        let end = Instant::now() + period;
        match Shared::open(settings) {
            Err(SpoolError::Busy) => watch(&settings.spool_dir, runtime_dir, end).await,
            opened => deliver(opened?, settings, end).await,
        }
    });
    // A look-up of a name that hangs must not hold up the end.
    runtime.shutdown_background();
    flushed
}

async fn watch(dir: &Path, runtime_dir: &Path, end: Instant) -> Result<Flushed, FlushError> {
    loop {
        let left = told(runtime_dir).map_or_else(|| waiting(dir), Ok)?;
        if left == 0 || Instant::now() >= end {
            return Ok(Flushed { left, error: None });
        }
        sleep(LOOK_EVERY.min(end.saturating_duration_since(Instant::now()))).await;
    }
}

/// What the daemon says. The files know less: what is acknowledged is noted there once a minute.
fn told(runtime_dir: &Path) -> Option<u64> {
    crate::run::ask(runtime_dir).ok()??.pointer("/send/spool/records")?.as_u64()
}

/// Reports that wait in a spool that somebody else has.
fn waiting(dir: &Path) -> Result<u64, SpoolError> {
    Ok(cprvagt_spool::list(dir)?.iter().map(|segment| segment.records).sum())
}

async fn deliver(shared: Shared, settings: &Settings, end: Instant) -> Result<Flushed, FlushError> {
    let mut link = Link::new(settings.enrolment.clone(), settings.url.clone());
    link.refresh()?;
    let left = |shared: &Shared| shared.spool.borrow().stats().waiting_records;
    let is_enrolled = link.url().is_some();
    let mut deliverer = Deliverer::new(link);
    deliverer.look(&shared);
    let opened = shared.spool.borrow_mut().commit();
    if is_enrolled && opened.is_ok() {
        // An interruption ends the waiting, not the process: the spool is still closed in order.
        tokio::select! {
            _ = timeout_at(end, until_empty(&mut deliverer, &shared)) => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    }
    let left = left(&shared);
    let error = shared.progress.borrow().last_error.clone();
    shared.spool.into_inner().close()?;
    opened?;
    match (is_enrolled, left) {
        (false, 1..) => Err(FlushError::NotEnrolled { left }),
        _ => Ok(Flushed { left, error }),
    }
}

async fn until_empty(deliverer: &mut Deliverer, shared: &Shared) {
    loop {
        match deliverer.turn(shared).await {
            Next::AtOnce => {}
            Next::WhenSomethingArrives => return,
            Next::After(wait) => sleep(wait).await,
        }
    }
}
