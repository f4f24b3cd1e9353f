//! What the spool remembers of a segment file.

use jiff::Timestamp;
use uuid::Uuid;

use crate::notice::{Notice, Reason};
use crate::scan::{Entry, Scan};
use crate::spool::Position;

/// A segment with its waiting records in sum, and one by one while they are being read or written.
pub struct Segment {
    pub number: u64,
    pub epoch: Uuid,
    /// Bytes of the file that count.
    pub bytes: u64,
    pub first_sequence: u64,
    pub last_sequence: u64,
    /// All up to this sequence are acknowledged.
    pub acknowledged: u64,
    pub waiting: Option<Waiting>,
    /// The waiting records; None until they are needed.
    pub index: Option<Vec<Entry>>,
    /// Losses that were told.
    pub told: Vec<Notice>,
}

impl Segment {
    /// A new one, that begins behind `last_sequence`.
    pub fn new(number: u64, epoch: Uuid, last_sequence: u64, bytes: u64) -> Self {
        Self {
            number,
            epoch,
            bytes,
            first_sequence: last_sequence + 1,
            last_sequence,
            acknowledged: last_sequence,
            waiting: None,
            index: Some(Vec::new()),
            told: Vec::new(),
        }
    }

    /// An old one, as it was found.
    pub fn found(scan: &Scan, acknowledged: u64, told: Vec<Notice>) -> Self {
        let waiting = scan.entries.iter().filter(|entry| entry.head.sequence > acknowledged);
        Self {
            number: scan.number,
            epoch: scan.epoch,
            bytes: scan.bytes,
            first_sequence: scan.first_sequence(),
            last_sequence: scan.last_sequence(),
            acknowledged,
            waiting: Waiting::of(waiting),
            index: None,
            told,
        }
    }

    /// Takes records that were written behind the others.
    pub fn add(&mut self, entries: Vec<Entry>) {
        let Some(last) = entries.last() else { return };
        self.bytes = last.end();
        self.last_sequence = last.head.sequence;
        self.waiting = entries.iter().fold(self.waiting, |sum, entry| Some(Waiting::with(sum, entry)));
        self.index.get_or_insert_default().extend(entries);
    }

    /// Forgets waiting records up to a sequence; the index must be there unless that is all of them.
    pub fn acknowledge(&mut self, sequence: u64) {
        self.acknowledged = self.acknowledged.max(sequence.min(self.last_sequence));
        let index = self.index.get_or_insert_default();
        index.drain(..index.partition_point(|entry| entry.head.sequence <= sequence));
        self.waiting = Waiting::of(index.iter());
    }

    /// Only these are left of the waiting records.
    pub fn keep(&mut self, index: Vec<Entry>) {
        self.waiting = Waiting::of(index.iter());
        self.index = Some(index);
    }

    /// The notice that its waiting records were dropped, if there are any.
    pub fn dropped(&self, reason: Reason) -> Option<Notice> {
        let waiting = self.waiting?;
        let position = |sequence| Position { epoch: self.epoch, sequence };
        Some(Notice::Dropped {
            reason,
            first: position(waiting.first),
            last: position(waiting.last),
            records: waiting.records,
            leaks: waiting.leaks,
            from: waiting.from,
            to: waiting.to,
        })
    }
}

/// Records that are not acknowledged, in sum.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    pub records: u64,
    pub leaks: u64,
    /// Sequence of the first.
    pub first: u64,
    /// Sequence of the last.
    pub last: u64,
    /// Earliest time of writing.
    pub from: Timestamp,
    /// Latest time of writing.
    pub to: Timestamp,
    /// The age clock when the youngest was written.
    pub youngest_s: u32,
}

impl Waiting {
    fn of<'entry>(entries: impl Iterator<Item = &'entry Entry>) -> Option<Self> {
        entries.fold(None, |sum, entry| Some(Self::with(sum, entry)))
    }

    fn with(sum: Option<Self>, entry: &Entry) -> Self {
        let head = &entry.head;
        let one = Self {
            records: 1,
            leaks: head.leaks.into(),
            first: head.sequence,
            last: head.sequence,
            from: head.written_at,
            to: head.written_at,
            youngest_s: head.age_clock_s,
        };
        sum.map_or(one, |sum| Self {
            records: sum.records + 1,
            leaks: sum.leaks + one.leaks,
            first: sum.first,
            last: one.last,
            from: sum.from.min(one.from),
            to: sum.to.max(one.to),
            youngest_s: sum.youngest_s.max(one.youngest_s),
        })
    }
}
