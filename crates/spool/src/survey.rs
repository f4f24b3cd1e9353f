//! A look at all files of a spool, without changing any.
//!
//! *Limits*: one segment is in memory at a time; longer than [`FILE_BYTES_MAX`] it is not read.

use std::io;

use crate::error::{SpoolError, is_damage};
use crate::files::{Files, Listed};
use crate::format::BadHeader;
use crate::notice::Notice;
use crate::pending::PENDING_BYTES_MAX;
use crate::scan::{self, Scan};
use crate::segment::Segment;
use crate::state::{self, Cursor, State};

/// The file that is there while the spool is closed cleanly.
pub const CLOSED: &str = "closed";
/// Longest segment that [`crate::Limits`] permit.
pub const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// Longest segment that a writer makes: a commit is never split.
const FILE_BYTES_MAX: u64 = SEGMENT_BYTES_MAX + PENDING_BYTES_MAX as u64;
/// What is read at once; an unreadable sector costs no more than this.
const BLOCK_BYTES: usize = 64 << 10;

/// The name of a segment file.
pub fn name(number: u64) -> String {
    format!("{number:016x}.seg")
}

/// The name while its header is not durable.
pub fn temp_name(number: u64) -> String {
    format!("{number:016x}.tmp")
}

/// The name once it was set aside.
pub fn aside_name(number: u64) -> String {
    format!("{number:016x}.bad")
}

/// All there is.
#[derive(Default)]
pub struct Survey {
    /// With waiting records, the oldest first.
    pub segments: Vec<Segment>,
    /// Segments without any.
    pub done: Vec<u64>,
    /// Segments to cut, and to which length.
    pub cuts: Vec<(u64, u64)>,
    /// Segments to set aside.
    pub unreadable: Vec<u64>,
    /// Segments set aside before, the oldest first.
    pub aside: Vec<u64>,
    /// Unfinished files.
    pub temps: Vec<String>,
    /// What the state file says.
    pub state: Option<State>,
    /// Closed cleanly.
    pub is_closed: bool,
    /// The highest number that any file bears or bore.
    pub number_max: u64,
    /// What is lost.
    pub notices: Vec<Notice>,
}

impl Survey {
    /// Looks at everything.
    ///
    /// # Errors
    /// A file of another version; or the system refuses.
    pub fn take<F: Files>(files: &F) -> Result<Self, SpoolError> {
        let mut survey = Self::default();
        survey.read_state(files)?;
        let mut numbers = Vec::new();
        for Listed { name, bytes } in files.list().map_err(SpoolError::io("listing", "the spool"))? {
            survey.sort_in(&name, bytes, &mut numbers);
        }
        survey.aside.sort_unstable();
        numbers.sort_unstable();
        // The newest first: what an earlier segment may still hold of an epoch, the later one knows.
        let mut later = None;
        for &(number, bytes) in numbers.iter().rev() {
            survey.look_at(files, number, bytes, &mut later)?;
        }
        survey.segments.reverse();
        survey.notices.reverse();
        Ok(survey)
    }

    fn cursor(&self) -> Cursor {
        self.state.map(|state| state.cursor).unwrap_or_default()
    }

    fn read_state<F: Files>(&mut self, files: &F) -> Result<(), SpoolError> {
        match files.read(state::NAME, 0, BLOCK_BYTES).map(|bytes| State::decode(&bytes)) {
            Ok(Ok(state)) => self.state = Some(state),
            Ok(Err(BadHeader::Version(found))) => {
                return Err(SpoolError::Version { name: state::NAME.to_owned(), found });
            }
            Ok(Err(BadHeader::Damaged)) => self.notices.push(Notice::CursorLost),
            Err(error) if is_damage(&error) => self.notices.push(Notice::CursorLost),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(SpoolError::io("reading", state::NAME)(error)),
        }
        self.number_max = self.cursor().segment;
        Ok(())
    }

    fn sort_in(&mut self, name: &str, bytes: u64, numbers: &mut Vec<(u64, u64)>) {
        self.is_closed |= name == CLOSED;
        if name == state::TEMP {
            self.temps.push(name.to_owned());
        }
        let Some((Ok(number), suffix)) =
            name.split_once('.').map(|(stem, suffix)| (u64::from_str_radix(stem, 16), suffix))
        else {
            return;
        };
        // No number would be left for the next.
        if number == u64::MAX {
            return;
        }
        match suffix {
            "seg" if name == self::name(number) => numbers.push((number, bytes)),
            "tmp" if name == temp_name(number) => self.temps.push(name.to_owned()),
            "bad" if name == aside_name(number) => self.aside.push(number),
            _ => return,
        }
        self.number_max = self.number_max.max(number);
    }

    fn look_at<F: Files>(
        &mut self,
        files: &F,
        number: u64,
        bytes: u64,
        later: &mut Option<(uuid::Uuid, u64)>,
    ) -> Result<(), SpoolError> {
        if number < self.cursor().segment {
            self.done.push(number);
            return Ok(());
        }
        match read_segment(files, number, bytes)? {
            Some(Ok(scan)) => self.take_in(scan, later),
            Some(Err(BadHeader::Version(found))) => {
                return Err(SpoolError::Version { name: name(number), found });
            }
            Some(Err(BadHeader::Damaged)) => {
                self.unreadable.push(number);
                self.notices.push(Notice::SegmentUnreadable { segment: number, bytes });
            }
            None => {}
        }
        Ok(())
    }

    fn take_in(&mut self, mut scan: Scan, later: &mut Option<(uuid::Uuid, u64)>) {
        let limit = later.filter(|(epoch, _)| *epoch == scan.epoch).map(|(_, first)| first);
        if let Some(limit) = limit {
            scan.supersede(limit);
        }
        *later = Some((scan.epoch, scan.first_sequence()));
        let cursor = self.cursor();
        let is_under_cursor = cursor.segment == scan.number && cursor.epoch == scan.epoch;
        let acknowledged = if is_under_cursor { cursor.sequence } else { 0 };
        let losses = scan.losses(acknowledged, limit);
        if losses.iter().any(|loss| matches!(loss, Notice::TailCut { .. })) {
            self.cuts.push((scan.number, scan.end()));
        }
        self.notices.extend(losses.iter().rev().cloned());
        let segment = Segment::found(&scan, acknowledged, losses);
        match segment.waiting {
            Some(_) => self.segments.push(segment),
            None => self.done.push(segment.number),
        }
    }
}

/// Reads and scans a segment; None if it is not there any more.
///
/// # Errors
/// The system refuses for a reason that may pass.
pub fn read_segment<F: Files>(
    files: &F,
    number: u64,
    bytes: u64,
) -> Result<Option<Result<Scan, BadHeader>>, SpoolError> {
    if bytes > FILE_BYTES_MAX {
        return Ok(Some(Err(BadHeader::Damaged)));
    }
    match read_whole(files, &name(number), bytes) {
        Ok(bytes) => Ok(Some(scan::scan(number, &bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SpoolError::io("reading", &name(number))(error)),
    }
}

/// The file's bytes, with zeros where the medium gives none: a scan steps over those.
fn read_whole<F: Files>(files: &F, name: &str, bytes: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(bytes).map_err(io::Error::other)?;
    match files.read(name, 0, length) {
        Err(error) if is_damage(&error) => {}
        other => return other,
    }
    let mut whole = Vec::with_capacity(length);
    while whole.len() < length {
        let block_bytes = BLOCK_BYTES.min(length - whole.len());
        match files.read(name, whole.len() as u64, block_bytes) {
            Ok(block) if block.is_empty() => break,
            Ok(block) => whole.extend(block),
            Err(error) if is_damage(&error) => whole.resize(whole.len() + block_bytes, 0),
            Err(error) => return Err(error),
        }
    }
    Ok(whole)
}
