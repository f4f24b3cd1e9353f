//! The spool as its owner sees it.

mod reader;
mod writer;

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use uuid::Uuid;

use crate::clock::AgeClock;
use crate::error::SpoolError;
use crate::files::{Disk, Files};
use crate::format::Kind;
use crate::notice::{Notice, Reason};
use crate::pending::Pending;
use crate::segment::Segment;
use crate::settling::Settling;
use crate::state::{Cursor, State};
use crate::survey::{CLOSED, SEGMENT_BYTES_MAX, Survey, name};

pub(crate) use reader::read_record;

/// How often the heartbeat is made durable, by the age clock.
const HEARTBEAT_MS: u64 = 60_000;

/// Bounds. [`Spool::enforce`] keeps the last two.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// A segment that is longer is not appended to; at most 64 MiB.
    pub segment_bytes_max: u64,
    /// All segments together.
    pub total_bytes_max: u64,
    /// Of a segment's youngest record, by the age clock ([`crate::clock`]).
    pub age_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            segment_bytes_max: 8 << 20,
            total_bytes_max: 1 << 30,
            age_max: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

/// The number of a record, never used twice.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Position {
    /// One for each open of a spool.
    pub epoch: Uuid,
    /// From 1 in an epoch; 0 stands before the first.
    pub sequence: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.epoch, self.sequence)
    }
}

/// A record as it comes out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stored {
    /// Its number.
    pub position: Position,
    /// What it is.
    pub kind: Kind,
    /// Leaks in it, as its owner counted them.
    pub leaks: u32,
    /// When it was appended, to the microsecond, by the wall clock.
    pub written_at: Timestamp,
    /// As it was appended.
    pub payload: Vec<u8>,
}

/// Where the spool stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stats {
    /// Of this open.
    pub epoch: Uuid,
    /// The next record gets it.
    pub next_sequence: u64,
    /// Committed and neither acknowledged nor dropped.
    pub waiting_records: u64,
    /// Leaks in these.
    pub waiting_leaks: u64,
    /// Appended and not committed.
    pub uncommitted_records: u64,
    /// Bytes of all segments.
    pub bytes: u64,
    /// How many files.
    pub segments: u64,
    /// When the oldest waiting record was written; None if nothing waits.
    pub oldest_written_at: Option<Timestamp>,
}

/// A spool, open for one owner.
pub struct Spool<F: Files = Disk> {
    files: F,
    limits: Limits,
    epoch: Uuid,
    /// The oldest first.
    segments: VecDeque<Segment>,
    /// The last segment's file, while it may be written to.
    live: Option<F::File>,
    pending: Pending,
    next_sequence: u64,
    durable_sequence: u64,
    next_number: u64,
    clock: AgeClock,
    alive: Timestamp,
    state_written_ms: Option<u64>,
    /// Not yet handed out.
    notices: Vec<Notice>,
    /// There until the notices of the open are safe.
    settling: Option<Settling>,
    /// Segments that are done and could not be removed.
    leftovers: Vec<u64>,
    was_full: bool,
}

impl Spool<Disk> {
    /// Opens a directory, makes it if it is not there, and begins a new epoch.
    ///
    /// The notices are told again at the next open until a commit has succeeded: commit them first.
    ///
    /// # Errors
    /// [`SpoolError::Busy`], [`SpoolError::Version`], or the system refuses. No room for the
    /// state file is no error: what waits must be sent to make room.
    pub fn open(dir: &Path, limits: Limits, now: Timestamp) -> Result<(Self, Vec<Notice>), SpoolError> {
        let disk = Disk::new(dir).map_err(SpoolError::io("making", &dir.display().to_string()))?;
        Self::open_in(disk, limits, now)
    }
}

impl<F: Files> Spool<F> {
    /// [`Spool::open`] for any files.
    ///
    /// # Errors
    /// As [`Spool::open`].
    pub fn open_in(mut files: F, limits: Limits, now: Timestamp) -> Result<(Self, Vec<Notice>), SpoolError> {
        let is_new = lock(&mut files)?;
        let mut survey = Survey::take(&files)?;
        let is_first = is_new && survey.state.is_none() && survey.number_max == 0;
        if !survey.is_closed && !is_first {
            let last_alive = survey.state.map(|state| state.alive);
            survey.notices.insert(0, Notice::UncleanStart { last_alive, now });
        }
        clean_up(&files, &survey)?;
        let mut spool = Self::found(files, limits, now, survey);
        if spool.notices.is_empty() {
            spool.settling = None;
            spool.write_state().or_else(|error| if error.is_full() { Ok(()) } else { Err(error) })?;
        }
        let notices = core::mem::take(&mut spool.notices);
        Ok((spool, notices))
    }

    fn found(files: F, limits: Limits, now: Timestamp, survey: Survey) -> Self {
        let Survey { segments, done, cuts, unreadable, aside, state, number_max, notices, .. } = survey;
        let youngest = segments.iter().filter_map(|segment| Some(segment.waiting?.youngest_s)).max();
        let known_ms = u64::from(youngest.unwrap_or(0)) * 1000;
        let passed_ms = state.map_or(0, |state| state.age_clock_ms).max(known_ms);
        let mut clock = AgeClock::new(passed_ms, state.map(|state| state.alive));
        clock.advance(now);
        let segment_bytes_max = limits.segment_bytes_max.min(SEGMENT_BYTES_MAX);
        let mut spool = Self {
            files,
            limits: Limits { segment_bytes_max, ..limits },
            epoch: Uuid::now_v7(),
            segments: segments.into(),
            live: None,
            pending: Pending::default(),
            next_sequence: 1,
            durable_sequence: 0,
            next_number: number_max + 1,
            clock,
            alive: now,
            state_written_ms: None,
            notices,
            settling: Some(Settling { cuts, unreadable, aside }),
            leftovers: done,
            was_full: false,
        };
        let _ = spool.remove_leftovers();
        spool
    }

    /// Forgets everything up to and including a position, and deletes the segments behind it.
    ///
    /// A position of an epoch that is gone already changes nothing.
    ///
    /// # Errors
    /// [`SpoolError::NotStored`], or the segment cannot be read at the moment; then nothing is changed.
    pub fn acknowledge(&mut self, upto: Position) -> Result<(), SpoolError> {
        if upto.epoch == self.epoch && upto.sequence > self.durable_sequence {
            return Err(SpoolError::NotStored(upto));
        }
        let covers =
            |segment: &Segment| segment.epoch == upto.epoch && segment.first_sequence <= upto.sequence;
        let Some(last) = self.segments.iter().rposition(covers) else { return Ok(()) };
        if upto.sequence < self.segments[last].last_sequence {
            self.load_index(last)?;
        }
        for (at, segment) in self.segments.iter_mut().enumerate().take(last + 1) {
            segment.acknowledge(if at < last { u64::MAX } else { upto.sequence });
        }
        self.remove_done();
        Ok(())
    }

    /// Keeps the bounds: drops whole segments, the oldest first, and tells what was in them.
    ///
    /// To be called every few minutes at least, and after commits.
    ///
    /// # Errors
    /// Nothing was dropped, and a file that is done cannot be removed.
    pub fn enforce(&mut self, now: Timestamp) -> Result<Vec<Notice>, SpoolError> {
        self.advance(now);
        let removed = self.remove_leftovers();
        let mut is_changed = false;
        while let Some(reason) = self.broken_bound() {
            if self.segments.len() == 1 {
                self.live = None;
            }
            let Some(segment) = self.segments.pop_front() else { break };
            self.notices.extend(segment.dropped(reason));
            self.leftovers.push(segment.number);
            is_changed = true;
        }
        if is_changed {
            self.forget_leftovers();
        }
        match removed {
            Err(error) if self.notices.is_empty() => Err(error),
            _ => Ok(core::mem::take(&mut self.notices)),
        }
    }

    fn broken_bound(&self) -> Option<Reason> {
        let age_max_s = self.limits.age_max.as_secs();
        let youngest_s = self.segments.front()?.waiting.map(|waiting| u64::from(waiting.youngest_s));
        if youngest_s.is_some_and(|youngest_s| youngest_s + age_max_s < self.clock.passed_s().into()) {
            return Some(Reason::Age);
        }
        (self.bytes() > self.limits.total_bytes_max).then_some(Reason::Size)
    }

    /// The owner is alive. Made durable about once a minute; a failure is mended by the next call.
    pub fn touch(&mut self, now: Timestamp) {
        self.advance(now);
        let is_due = |written_ms| self.clock.passed_ms().saturating_sub(written_ms) >= HEARTBEAT_MS;
        if self.state_written_ms.is_none_or(is_due) {
            let _ = self.write_state();
        }
    }

    /// Where it stands.
    pub fn stats(&self) -> Stats {
        let waiting = || self.segments.iter().filter_map(|segment| segment.waiting);
        Stats {
            epoch: self.epoch,
            next_sequence: self.next_sequence,
            waiting_records: waiting().map(|waiting| waiting.records).sum(),
            waiting_leaks: waiting().map(|waiting| waiting.leaks).sum(),
            uncommitted_records: self.pending.records() as u64,
            bytes: self.bytes(),
            segments: self.segments.len() as u64,
            oldest_written_at: waiting().map(|waiting| waiting.from).min(),
        }
    }

    /// Commits what is left and leaves a clean mark.
    ///
    /// # Errors
    /// As [`Spool::commit`]; then the next start is an unclean one. Whoever wants to try again commits first.
    pub fn close(mut self, now: Timestamp) -> Result<(), SpoolError> {
        self.advance(now);
        self.commit()?;
        self.settle();
        self.live = None;
        self.remove_done();
        self.write_state()?;
        let failed = |error| SpoolError::io("making", CLOSED)(error);
        let mut file = self.files.create(CLOSED).map_err(failed)?;
        self.files.sync(&mut file).map_err(failed)?;
        self.files.sync_dir().map_err(failed)
    }

    fn advance(&mut self, now: Timestamp) {
        self.clock.advance(now);
        self.alive = now;
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    fn settle(&mut self) {
        if let Some(settling) = self.settling.take() {
            settling.run(&self.files);
        }
    }

    /// Until the notices of the open are safe, the last heartbeat before it is what must stay.
    fn write_state(&mut self) -> Result<(), SpoolError> {
        if self.settling.is_some() {
            return Ok(());
        }
        let front = self.segments.front().map(|front| Cursor {
            segment: front.number,
            epoch: front.epoch,
            sequence: front.acknowledged,
        });
        let cursor = front.unwrap_or(Cursor { segment: self.next_number, ..Cursor::default() });
        let state = State { cursor, alive: self.alive, age_clock_ms: self.clock.passed_ms() };
        state.write(&self.files)?;
        self.state_written_ms = Some(self.clock.passed_ms());
        Ok(())
    }

    /// Lets go of segments in which nothing waits, all but the one that is written to.
    fn remove_done(&mut self) {
        let live = self.live.as_ref().and(self.segments.back()).map(|segment| segment.number);
        let leftovers = &mut self.leftovers;
        let count = leftovers.len();
        self.segments.retain(|segment| {
            let is_kept = segment.waiting.is_some() || Some(segment.number) == live;
            if !is_kept {
                leftovers.push(segment.number);
            }
            is_kept
        });
        if self.leftovers.len() > count {
            self.forget_leftovers();
        }
    }

    /// The cursor first, so that an unlink undone by a crash changes nothing; yet a full disk must not keep files
    /// from being removed, and there is no harm but sending again.
    fn forget_leftovers(&mut self) {
        let _ = self.write_state();
        let _ = self.remove_leftovers();
    }

    /// Removes what is done. What cannot be removed stays noted, and the next calls try again.
    fn remove_leftovers(&mut self) -> Result<(), SpoolError> {
        let mut failure = None;
        self.leftovers.retain(|&number| match self.files.remove(&name(number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                failure = Some(SpoolError::io("removing", &name(number))(error));
                true
            }
            _ => false,
        });
        failure.map_or(Ok(()), Err)
    }
}

fn lock<F: Files>(files: &mut F) -> Result<bool, SpoolError> {
    files.lock().map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => SpoolError::Busy,
        _ => SpoolError::io("locking", "the spool")(error),
    })
}

/// Takes the clean mark away, durably, and what no one will miss.
fn clean_up<F: Files>(files: &F, survey: &Survey) -> Result<(), SpoolError> {
    for temp in &survey.temps {
        let _ = files.remove(temp);
    }
    if survey.is_closed {
        files.remove(CLOSED).map_err(SpoolError::io("removing", CLOSED))?;
    }
    files.sync_dir().map_err(SpoolError::io("syncing", "the spool"))
}

#[cfg(test)]
#[path = "spool_tests.rs"]
mod tests;
