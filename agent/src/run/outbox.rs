//! From leaks to sealed reports on their way to the send process.
//!
//! *Invariants*: never waits for the other side. What finds no room is counted, and told as a gap once there
//! is room again.
//! *Limits*: a report is closed after [`REPORT_ENTRIES_MAX`] entries or [`WAIT_MAX`]; [`QUEUE_BYTES_MAX`] of
//! sealed reports wait.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use cprvagt_report::seal::PublicKey;
use cprvagt_report::{
    Entry, Gap, GapRecord, Host, Label, Leak, Ledger, Moment, REPORT_ENTRIES_MAX, Report, ReportSchema,
};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::send::frame::{Frame, FrameKind};

/// How long a leak may wait for others to share its report.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// Sealed bytes that wait for the send process.
const QUEUE_BYTES_MAX: usize = 16 << 20;
/// Lines of lost or blind bytes in a reported ledger, the worst first.
const LEDGER_LINES_MAX: usize = 256;
/// Why leaks were lost here.
const REASON: &str = "agent-queue-full";

/// The way out of the inspect process.
pub struct Outbox {
    stream: UnixStream,
    collector: PublicKey,
    host: Host,
    entries: Vec<Entry>,
    oldest: Option<Instant>,
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    /// How much of the first frame is written.
    written: usize,
    lost: Option<Lost>,
    lost_total: u64,
}

struct Queued {
    bytes: Vec<u8>,
    leaks: usize,
}

/// Leaks that found no room.
struct Lost {
    from: Moment,
    to: Moment,
    leaks: u64,
}

impl Outbox {
    /// An empty outbox that writes to `stream` and seals to `collector`.
    ///
    /// # Errors
    /// The stream cannot be made non-blocking.
    pub fn new(stream: UnixStream, collector: PublicKey, host: Host) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            collector,
            host,
            entries: Vec::new(),
            oldest: None,
            queue: VecDeque::new(),
            queued_bytes: 0,
            written: 0,
            lost: None,
            lost_total: 0,
        })
    }

    /// Takes a leak.
    pub fn leak(&mut self, leak: Leak, now: Instant) {
        if self.queued_bytes >= QUEUE_BYTES_MAX {
            return self.lose();
        }
        self.entry(Entry::Leak(Box::new(leak)), now);
    }

    /// Takes an account. One that finds no room is left out: the next one holds all of it.
    pub fn ledger(&mut self, mut ledger: Ledger, now: Instant) {
        if self.queued_bytes < QUEUE_BYTES_MAX {
            ledger.fold_lines(LEDGER_LINES_MAX);
            self.entry(Entry::Ledger(Box::new(ledger)), now);
        }
    }

    fn entry(&mut self, entry: Entry, now: Instant) {
        self.entries.push(entry);
        self.oldest.get_or_insert(now);
        if self.entries.len() >= REPORT_ENTRIES_MAX {
            self.close_report();
        }
    }

    fn lose(&mut self) {
        let now = Moment::now();
        let lost = self.lost.get_or_insert(Lost { from: now, to: now, leaks: 0 });
        (lost.to, lost.leaks) = (now, lost.leaks + 1);
        self.lost_total += 1;
    }

    /// Closes the report that has waited long enough, and writes what the other side takes.
    ///
    /// # Errors
    /// The send process is gone.
    pub fn turn(&mut self, now: Instant) -> io::Result<()> {
        if self.queued_bytes < QUEUE_BYTES_MAX
            && let Some(lost) = self.lost.take()
        {
            self.entry(Entry::Gap(gap(&lost)), now);
        }
        if self.oldest.is_some_and(|oldest| now.saturating_duration_since(oldest) >= WAIT_MAX) {
            self.close_report();
        }
        self.write()
    }

    /// Closes the open report and writes everything, waiting at most `limit`.
    ///
    /// # Errors
    /// The send process is gone, or did not take it in time.
    pub fn finish(mut self, limit: Duration) -> io::Result<()> {
        if let Some(lost) = self.lost.take() {
            self.entries.push(Entry::Gap(gap(&lost)));
        }
        self.close_report();
        // Not `set_nonblocking`: that is an `ioctl`, which this process has given up.
        fcntl(&self.stream, FcntlArg::F_SETFL(OFlag::empty()))?;
        self.stream.set_write_timeout(Some(limit))?;
        self.write()?;
        // A write that timed out looks like a socket that is full.
        if self.queue.is_empty() { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
    }

    fn close_report(&mut self) {
        self.oldest = None;
        if self.entries.is_empty() {
            return;
        }
        let entries = std::mem::take(&mut self.entries);
        let report =
            Report { schema: ReportSchema::V1, host: self.host.clone(), made_at: Moment::now(), entries };
        let leaks = report.leaks();
        let sealed = report.seal(&self.collector);
        let leaks_told = u32::try_from(leaks).unwrap_or(u32::MAX);
        let frame = Frame { kind: FrameKind::Report, leaks: leaks_told, sealed };
        let bytes = frame.encode();
        self.queued_bytes += bytes.len();
        self.queue.push_back(Queued { bytes, leaks });
    }

    fn write(&mut self) -> io::Result<()> {
        while let Some(first) = self.queue.front() {
            match self.stream.write(&first.bytes[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if self.written == first.bytes.len() {
                self.queued_bytes -= first.bytes.len();
                self.written = 0;
                self.queue.pop_front();
            }
        }
        Ok(())
    }

    /// The descriptor to wait for when frames could not be written.
    pub fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        (!self.queue.is_empty()).then(|| self.stream.as_fd())
    }

    /// Leaks that wait here.
    pub fn queued_leaks(&self) -> usize {
        let open = self.entries.iter().filter(|entry| matches!(entry, Entry::Leak(_))).count();
        open + self.queue.iter().map(|frame| frame.leaks).sum::<usize>()
    }

    /// Leaks that found no room since the start.
    pub fn lost_leaks(&self) -> u64 {
        self.lost_total
    }
}

fn gap(lost: &Lost) -> GapRecord {
    let gap = Gap { from: lost.from, to: lost.to, reason: Label::new(REASON), bytes_min: 0 };
    GapRecord { gap, leaks_lost: lost.leaks }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
