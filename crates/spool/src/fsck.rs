//! Looking at a spool without being its owner, and mending one that has none.
//!
//! [`list`], [`check`] and [`export`] only read, take no lock, and work while an owner runs and on any copy of
//! a spool. What the owner writes at the moment may then look like a tail to cut, and what it removes like a
//! segment that is missing: damage is certain only without an owner.

use std::io;
use std::path::Path;

use jiff::Timestamp;
use uuid::Uuid;

use crate::error::SpoolError;
use crate::files::{Disk, Files};
use crate::notice::Notice;
use crate::segment::Segment;
use crate::settling::Settling;
use crate::spool::{Stored, read_record};
use crate::survey::{Survey, name, read_segment};

/// A segment with waiting records.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Summary {
    /// Its number.
    pub number: u64,
    /// The file's name.
    pub name: String,
    /// The epoch of its records.
    pub epoch: Uuid,
    /// Its length.
    pub bytes: u64,
    /// Waiting records.
    pub records: u64,
    /// Leaks in them.
    pub leaks: u64,
    /// Sequence of the first that waits.
    pub first: u64,
    /// Sequence of the last that waits.
    pub last: u64,
    /// Earliest time of writing.
    pub from: Timestamp,
    /// Latest time of writing.
    pub to: Timestamp,
}

/// What is wrong with a spool.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checkup {
    /// Segments with waiting records, the oldest first.
    pub segments: Vec<Summary>,
    /// Damage, the oldest first; none if all is well.
    pub damage: Vec<Notice>,
    /// Unfinished files of an interrupted writer; harmless.
    pub unfinished: Vec<String>,
    /// Segments that were set aside, the oldest first.
    pub aside: Vec<u64>,
    /// When the owner was last known to run.
    pub last_alive: Option<Timestamp>,
    /// False while an owner runs, and after one that died.
    pub is_closed: bool,
}

/// The segments in which records wait, the oldest first.
///
/// # Errors
/// No such directory, a file of another version, or the system refuses.
pub fn list(dir: &Path) -> Result<Vec<Summary>, SpoolError> {
    Ok(check(dir)?.segments)
}

/// Reads everything and reports what is wrong; changes nothing.
///
/// # Errors
/// As [`list`].
pub fn check(dir: &Path) -> Result<Checkup, SpoolError> {
    Ok(checkup(Survey::take(&Disk::existing(dir))?))
}

/// Cuts torn tails, sets unreadable segments aside and removes unfinished files; reports what was wrong before.
///
/// # Errors
/// [`SpoolError::Busy`] while an owner runs; else as [`list`].
pub fn repair(dir: &Path) -> Result<Checkup, SpoolError> {
    let mut disk = Disk::existing(dir);
    disk.lock().map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => SpoolError::Busy,
        _ => SpoolError::io("locking", "the spool")(error),
    })?;
    let survey = Survey::take(&disk)?;
    for temp in &survey.temps {
        disk.remove(temp).map_err(SpoolError::io("removing", temp))?;
    }
    let settling = Settling {
        cuts: survey.cuts.clone(),
        unreadable: survey.unreadable.clone(),
        aside: survey.aside.clone(),
    };
    settling.run(&disk);
    disk.sync_dir().map_err(SpoolError::io("syncing", "the spool"))?;
    Ok(checkup(survey))
}

/// Shows every waiting record, the oldest first, until `show` says false.
///
/// # Errors
/// As [`list`].
pub fn export(dir: &Path, mut show: impl FnMut(Stored) -> bool) -> Result<(), SpoolError> {
    let disk = Disk::existing(dir);
    for segment in Survey::take(&disk)?.segments {
        let Some(Ok(scan)) = read_segment(&disk, segment.number, segment.bytes)? else { continue };
        let is_waiting = |sequence| sequence > segment.acknowledged && sequence <= segment.last_sequence;
        for entry in scan.entries.iter().filter(|entry| is_waiting(entry.head.sequence)) {
            let failed = SpoolError::io("reading", &name(segment.number));
            let stored = read_record(&disk, segment.number, entry).map_err(failed)?;
            if stored.is_some_and(|stored| !show(stored)) {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn checkup(survey: Survey) -> Checkup {
    Checkup {
        segments: survey.segments.iter().filter_map(summary).collect(),
        damage: survey.notices,
        unfinished: survey.temps,
        aside: survey.aside,
        last_alive: survey.state.map(|state| state.alive),
        is_closed: survey.is_closed,
    }
}

fn summary(segment: &Segment) -> Option<Summary> {
    let waiting = segment.waiting?;
    Some(Summary {
        number: segment.number,
        name: name(segment.number),
        epoch: segment.epoch,
        bytes: segment.bytes,
        records: waiting.records,
        leaks: waiting.leaks,
        first: waiting.first,
        last: waiting.last,
        from: waiting.from,
        to: waiting.to,
    })
}
