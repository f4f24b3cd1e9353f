//! The spool, and what it has to tell of itself: unclean starts and losses become sealed gap records in it.
//!
//! *Invariants*: a notice is told in the log at once and in a gap record as soon as there is a key to seal to.
//! *Limits*: [`UNTOLD_MAX`] gaps wait for that; what comes then stretches the last of them.

use std::path::Path;

use cprvagt_report::seal::PublicKey;
use cprvagt_report::{Entry, Gap, GapRecord, Host, Label, Moment, Report, ReportSchema};
use cprvagt_spool::{Disk, Files, Kind, Limits, Notice, Position, Reason, Spool, SpoolError, Stats, Stored};
use jiff::Timestamp;

use super::frame::{Frame, FrameKind};

/// Most gaps that wait for a key; as many fit into one report.
const UNTOLD_MAX: usize = 100;

/// A spool that tells its own losses.
pub struct SealedSpool<F: Files = Disk> {
    spool: Spool<F>,
    host: Host,
    sealing_key: Option<PublicKey>,
    untold: Vec<GapRecord>,
}

impl SealedSpool {
    /// Opens the spool in the folder `dir`.
    ///
    /// # Errors
    /// Somebody else has it, or the system refuses.
    pub fn open(dir: &Path, limits: Limits, host: Host) -> Result<Self, SpoolError> {
        let now = Timestamp::now();
        let (spool, notices) = Spool::open(dir, limits, now)?;
        Ok(Self::new(spool, notices, host, now))
    }
}

impl<F: Files> SealedSpool<F> {
    /// With an open spool, and what it told at its opening.
    pub fn new(spool: Spool<F>, notices: Vec<Notice>, host: Host, now: Timestamp) -> Self {
        let mut this = Self { spool, host, sealing_key: None, untold: vec![] };
        this.note(notices, now);
        this
    }

    /// Gap records are sealed to `key` from now on; without one they wait.
    pub fn seal_to(&mut self, key: Option<PublicKey>) {
        self.sealing_key = key;
    }

    /// Takes a report; it is not durable yet.
    ///
    /// # Errors
    /// Too much waits for a commit.
    pub fn append(&mut self, frame: &Frame) -> Result<(), SpoolError> {
        let kind = match frame.kind {
            FrameKind::Report => Kind::Report,
            FrameKind::Gap => Kind::Gap,
        };
        self.spool.append(kind, frame.leaks, &frame.sealed, Timestamp::now()).map(drop)
    }

    /// Makes all that was taken durable, gaps included, and keeps the bounds.
    ///
    /// # Errors
    /// No room, or the system refuses. Nothing is forgotten; it can be done again.
    pub fn commit(&mut self) -> Result<(), SpoolError> {
        let now = Timestamp::now();
        match self.append_gaps(now) {
            // What waits goes first, and makes room.
            Err(SpoolError::Backlog) => {
                self.spool.commit()?;
                self.append_gaps(now)?;
            }
            told => told?,
        }
        self.spool.commit()?;
        let notices = self.spool.enforce(now)?;
        if notices.is_empty() {
            return Ok(());
        }
        self.note(notices, now);
        self.append_gaps(now)?;
        self.spool.commit().map(drop)
    }

    /// Tells a gap, at the next commit at the earliest.
    pub fn tell(&mut self, gap: GapRecord) {
        let is_full = self.untold.len() == UNTOLD_MAX;
        match self.untold.last_mut() {
            Some(last) if is_full => {
                last.gap.to = last.gap.to.max(gap.gap.to);
                last.leaks_lost += gap.leaks_lost;
            }
            _ => self.untold.push(gap),
        }
    }

    /// Some of the oldest reports that wait, within both bounds, at least one if any waits.
    ///
    /// # Errors
    /// The system refuses.
    pub fn next(&mut self, count_max: usize, bytes_max: usize) -> Result<Vec<Stored>, SpoolError> {
        let (stored, notices) = self.spool.next(count_max, bytes_max)?;
        self.note(notices, Timestamp::now());
        Ok(stored)
    }

    /// Forgets everything up to and with `upto`.
    ///
    /// # Errors
    /// The system refuses; the reports then come again.
    pub fn acknowledge(&mut self, upto: Position) -> Result<(), SpoolError> {
        self.spool.acknowledge(upto)
    }

    /// Notes that the process runs.
    pub fn touch(&mut self) {
        self.spool.touch(Timestamp::now());
    }

    /// The spool in figures.
    pub fn stats(&self) -> Stats {
        self.spool.stats()
    }

    /// Marks the spool as closed in order, unless it has a gap to tell that could not be sealed: then the next
    /// start is to notice again.
    ///
    /// # Errors
    /// What was taken last could not be made durable, or the mark not be set.
    pub fn close(mut self) -> Result<(), SpoolError> {
        self.commit()?;
        if self.untold.is_empty() { self.spool.close(Timestamp::now()) } else { Ok(()) }
    }

    /// Lets go of the spool without a mark: the next start finds an unclean end, and tells it.
    ///
    /// # Errors
    /// What was taken last could not be made durable.
    pub fn abandon(mut self) -> Result<(), SpoolError> {
        self.commit()
    }

    fn note(&mut self, notices: Vec<Notice>, now: Timestamp) {
        for notice in notices {
            tracing::warn!("spool: {notice}");
            if let Some(gap) = gap_of(&notice, now) {
                self.tell(gap);
            }
        }
    }

    fn append_gaps(&mut self, now: Timestamp) -> Result<(), SpoolError> {
        let Some(key) = self.sealing_key.as_ref().filter(|_| !self.untold.is_empty()) else { return Ok(()) };
        let report = Report {
            schema: ReportSchema::V1,
            host: self.host.clone(),
            made_at: Moment(now),
            entries: self.untold.iter().cloned().map(Entry::Gap).collect(),
        };
        // What is lost counts as told in it: a gap record that is dropped in its turn takes no count with it.
        let lost = self.untold.iter().map(|record| record.leaks_lost).sum::<u64>();
        self.spool.append(Kind::Gap, u32::try_from(lost).unwrap_or(u32::MAX), &report.seal(key), now)?;
        self.untold.clear();
        Ok(())
    }
}

/// A gap without a measure of bytes: what is missing was sealed, and nobody can say how much it covered.
pub fn gap(reason: &'static str, from: Timestamp, to: Timestamp, leaks_lost: u64) -> GapRecord {
    let gap = Gap { from: Moment(from), to: Moment(to.max(from)), reason: Label::new(reason), bytes_min: 0 };
    GapRecord { gap, leaks_lost }
}

/// The gap that a notice means; `None` where nothing was lost.
fn gap_of(notice: &Notice, now: Timestamp) -> Option<GapRecord> {
    match notice {
        Notice::UncleanStart { last_alive, now } => {
            Some(gap("unclean-start", last_alive.unwrap_or(*now), *now, 0))
        }
        Notice::Dropped { reason, leaks, from, to, .. } => {
            let reason = match reason {
                Reason::Size => "spool-size",
                Reason::Age => "spool-age",
            };
            Some(gap(reason, *from, *to, *leaks))
        }
        Notice::MiddleSkipped { leaks, .. } => Some(gap("spool-corrupt", now, now, *leaks)),
        Notice::TailCut { .. } | Notice::SegmentUnreadable { .. } | Notice::Missing { .. } => {
            Some(gap("spool-corrupt", now, now, 0))
        }
        Notice::CursorLost => None,
    }
}

#[cfg(test)]
#[path = "sealed_spool_tests.rs"]
mod tests;
