//! From `inspect` into the spool: frames are taken as they come and made durable in groups.
//!
//! While nothing can be written, nothing is read: the stream fills, and `inspect`, which bounds its own
//! memory, tells what it has to drop. When there is room again, a gap record says how long it lasted.
//!
//! *Invariants*: what was read is in the spool or still here; a future that is dropped in the middle of
//! [`Intake::run`] loses nothing when it is run again.
//! *Limits*: a group has [`GROUP_FRAMES_MAX`] frames and takes [`GROUP_MAX`].

use std::io;
use std::time::Duration;

use cprvagt_report::Moment;
use cprvagt_spool::{Files, SpoolError};
use jiff::Timestamp;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout_at};

use super::Shared;
use super::frame::{BadFrame, Frame, Frames};
use super::sealed_spool;

/// Most frames that one commit makes durable.
const GROUP_FRAMES_MAX: usize = 64;
/// How long a group waits for further frames.
const GROUP_MAX: Duration = Duration::from_millis(50);
/// How often a spool that cannot be written is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// Why intake ended before the stream did.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The stream broke.
    #[error("the stream of reports broke: {0}")]
    Stream(#[from] io::Error),
    /// What came is no frame.
    #[error("the stream of reports is not what it should be: {0}")]
    Frame(#[from] BadFrame),
    /// The stream ended inside a frame.
    #[error("the stream of reports ended in the middle of one")]
    Cut,
}

/// The reading end of the stream of reports.
pub struct Intake {
    stream: UnixStream,
    frames: Frames,
    /// Read, and refused by the spool so far.
    held: Option<Frame>,
    /// Since when nothing can be written, and why.
    blocked: Option<(Timestamp, &'static str)>,
    bytes: Vec<u8>,
}

impl Intake {
    /// Takes what comes on `stream`.
    pub fn new(stream: UnixStream) -> Self {
        Self { stream, frames: Frames::default(), held: None, blocked: None, bytes: vec![0; READ_BYTES] }
    }

    /// Takes frames until the other side closes the stream; all of them are durable then.
    ///
    /// # Errors
    /// The stream broke, or something else than frames came.
    pub async fn run<F: Files>(&mut self, shared: &Shared<F>) -> Result<(), IntakeError> {
        // What an earlier run left uncommitted.
        self.commit(shared).await;
        while let Some(frame) = self.next().await? {
            self.append(frame, shared).await;
            let taken = self.group(shared).await;
            self.commit(shared).await;
            taken?;
            shared.arrived.notify_one();
        }
        Ok(())
    }

    /// Takes what else comes within [`GROUP_MAX`].
    async fn group<F: Files>(&mut self, shared: &Shared<F>) -> Result<(), IntakeError> {
        let end = Instant::now() + GROUP_MAX;
        for _ in 1..GROUP_FRAMES_MAX {
            match timeout_at(end, self.next()).await {
                Ok(Ok(Some(frame))) => self.append(frame, shared).await,
                Ok(Err(error)) => return Err(error),
                Ok(Ok(None)) | Err(_) => break,
            }
        }
        Ok(())
    }

    /// The next frame; `None` at the end of the stream. A dropped future has lost no byte.
    async fn next(&mut self) -> Result<Option<Frame>, IntakeError> {
        loop {
            if let Some(frame) = self.frames.next()? {
                return Ok(Some(frame));
            }
            match self.stream.read(&mut self.bytes).await? {
                0 if self.frames.is_whole() => return Ok(None),
                0 => return Err(IntakeError::Cut),
                count => self.frames.push(&self.bytes[..count]),
            }
        }
    }

    async fn append<F: Files>(&mut self, frame: Frame, shared: &Shared<F>) {
        self.held = Some(frame);
        self.put_held(shared).await;
    }

    /// Puts the held frame into the spool, however long that takes. What it holds in memory is bounded: a
    /// commit makes room.
    async fn put_held<F: Files>(&mut self, shared: &Shared<F>) {
        while let Some(frame) = &self.held {
            let refused = shared.spool.borrow_mut().append(frame);
            match refused {
                Ok(()) => self.held = None,
                Err(SpoolError::Backlog) => self.commit_taken(shared).await,
                Err(error) => self.wait_after(&error, shared).await,
            }
        }
    }

    /// Makes everything taken durable, however long that takes.
    async fn commit<F: Files>(&mut self, shared: &Shared<F>) {
        self.put_held(shared).await;
        self.commit_taken(shared).await;
    }

    async fn commit_taken<F: Files>(&mut self, shared: &Shared<F>) {
        loop {
            let refused = shared.spool.borrow_mut().commit();
            match refused {
                Err(error) => self.wait_after(&error, shared).await,
                Ok(()) if self.blocked.is_some() => self.unblock(shared),
                Ok(()) => return,
            }
        }
    }

    async fn wait_after<F: Files>(&mut self, error: &SpoolError, shared: &Shared<F>) {
        if self.blocked.is_none() {
            let reason = if error.is_full() { "disk-full" } else { "spool-failed" };
            let now = Timestamp::now();
            tracing::error!("no report can be kept, so none is taken until that changes: {error}");
            self.blocked = Some((now, reason));
            shared.progress.borrow_mut().blocked_since = Some(Moment(now));
        }
        sleep(RETRY_EVERY).await;
    }

    fn unblock<F: Files>(&mut self, shared: &Shared<F>) {
        if let Some((since, reason)) = self.blocked.take() {
            tracing::warn!("reports can be kept again; none could since {since}");
            shared.progress.borrow_mut().blocked_since = None;
            shared.spool.borrow_mut().tell(sealed_spool::gap(reason, since, Timestamp::now(), 0));
        }
    }
}

#[cfg(test)]
#[path = "intake_tests.rs"]
mod tests;
