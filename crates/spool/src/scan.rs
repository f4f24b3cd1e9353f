//! The bytes of a segment, whatever became of them, to the records in it and the holes between.
//!
//! A record whose head is intact and whose payload is not is stepped over by its length. Anything else
//! that is no record is searched, byte by byte, for the next intact head.
//!
//! *Invariants*: sequences rise strictly; holes and records together cover everything behind the header.

use uuid::Uuid;

use crate::format::{BadHeader, HEADER_BYTES, Head, Header, RECORD_MAGIC};
use crate::notice::Notice;
use crate::spool::Position;

/// An intact record and where it begins.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub offset: u64,
    pub head: Head,
}

impl Entry {
    /// Behind its last byte.
    pub fn end(&self) -> u64 {
        self.offset + self.head.record_bytes() as u64
    }
}

/// Bytes that are no intact record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hole {
    pub from: u64,
    pub to: u64,
    /// Leaks in records of which only the head is intact.
    pub leaks: u64,
    /// How many intact records lie before it.
    pub behind: usize,
}

/// What is in a segment.
#[derive(Debug)]
pub struct Scan {
    pub number: u64,
    pub header: Option<Header>,
    pub epoch: Uuid,
    pub entries: Vec<Entry>,
    pub holes: Vec<Hole>,
    pub bytes: u64,
}

/// Reads a segment.
///
/// # Errors
/// An intact header of another version; or damaged, with neither an intact header nor an intact record.
pub fn scan(number: u64, bytes: &[u8]) -> Result<Scan, BadHeader> {
    let header = match Header::decode(bytes) {
        Ok(header) if header.number == number => Some(header),
        Err(BadHeader::Version(version)) => return Err(BadHeader::Version(version)),
        _ => None,
    };
    let mut walk = Walk { number, bytes, epoch: header.map(|header| header.epoch), last: 0 };
    let (entries, holes) = walk.run(if header.is_some() { HEADER_BYTES } else { 0 });
    let epoch = walk.epoch.ok_or(BadHeader::Damaged)?;
    if header.is_none() && entries.is_empty() {
        return Err(BadHeader::Damaged);
    }
    Ok(Scan { number, header, epoch, entries, holes, bytes: bytes.len() as u64 })
}

impl Scan {
    /// The first sequence that belongs here: what the header says, or an earlier one that is here all the same.
    /// Otherwise nobody could acknowledge that record.
    pub fn first_sequence(&self) -> u64 {
        let said = self.header.map(|header| header.first_sequence);
        let found = self.entries.first().map(|entry| entry.head.sequence);
        said.into_iter().chain(found).min().unwrap_or(1)
    }

    /// The last sequence that is here; one less than the first if there is none.
    pub fn last_sequence(&self) -> u64 {
        let none = self.first_sequence().saturating_sub(1);
        self.entries.last().map_or(none, |entry| entry.head.sequence)
    }

    /// Behind the last intact record.
    pub fn end(&self) -> u64 {
        self.entries.last().map_or(HEADER_BYTES as u64, Entry::end)
    }

    /// Forgets the records from `limit` on: a later segment has them.
    pub fn supersede(&mut self, limit: u64) {
        let kept = self.entries.partition_point(|entry| entry.head.sequence < limit);
        let Some(superseded) = self.entries.get(kept) else { return };
        let from = superseded.offset;
        self.entries.truncate(kept);
        self.holes.retain(|hole| hole.from < from);
        match self.holes.last_mut() {
            Some(hole) if hole.to == from => hole.to = self.bytes,
            _ => self.holes.push(Hole { from, to: self.bytes, leaks: 0, behind: kept }),
        }
    }

    /// What is lost here. `acknowledged` are nobody's loss; `limit` is the first sequence of the next segment
    /// of the same epoch.
    pub fn losses(&self, acknowledged: u64, limit: Option<u64>) -> Vec<Notice> {
        let mut losses: Vec<_> =
            self.holes.iter().filter_map(|hole| self.loss(hole, acknowledged, limit)).collect();
        let is_tail_whole = self.holes.last().is_none_or(|hole| hole.behind < self.entries.len());
        let first = self.last_sequence() + 1;
        if let (true, Some(limit)) = (is_tail_whole, limit)
            && first.max(acknowledged + 1) < limit
        {
            let first = Position { epoch: self.epoch, sequence: first.max(acknowledged + 1) };
            losses.push(Notice::Missing { first, last: limit - 1 });
        }
        losses
    }

    fn loss(&self, hole: &Hole, acknowledged: u64, limit: Option<u64>) -> Option<Notice> {
        let is_tail = hole.behind == self.entries.len();
        if is_tail && limit.is_none() {
            return Some(Notice::TailCut { segment: self.number, bytes: hole.to - hole.from });
        }
        let next = self.entries.get(hole.behind).map(|entry| entry.head.sequence).or(limit)?;
        let before = hole.behind.checked_sub(1).map(|at| self.entries[at].head.sequence + 1);
        let first = before.unwrap_or_else(|| self.first_sequence());
        let is_superseded = is_tail && first >= next;
        let is_header = self.header.is_none() && hole.behind == 0;
        if is_superseded || (next <= acknowledged + 1 && !is_header) {
            return None;
        }
        let records = next.saturating_sub(first.max(acknowledged + 1));
        let Hole { from, to, leaks, .. } = *hole;
        Some(Notice::MiddleSkipped { segment: self.number, from, to, records, leaks })
    }
}

/// A walk over a segment's bytes.
struct Walk<'bytes> {
    number: u64,
    bytes: &'bytes [u8],
    epoch: Option<Uuid>,
    last: u64,
}

impl Walk<'_> {
    fn run(&mut self, start: usize) -> (Vec<Entry>, Vec<Hole>) {
        let (mut entries, mut holes) = (Vec::new(), Vec::new());
        let mut at = start;
        while at < self.bytes.len() {
            let head = self.head_at(at);
            let end = head.map(|head| at + head.record_bytes()).filter(|&end| end <= self.bytes.len());
            match (head, end) {
                (Some(head), Some(end)) if self.is_intact(&head, at) => {
                    self.last = head.sequence;
                    self.epoch = Some(head.epoch);
                    entries.push(Entry { offset: at as u64, head });
                    at = end;
                }
                _ => {
                    let to = end.unwrap_or_else(|| self.next_head(at + 1));
                    add_hole(&mut holes, at, to, head.map_or(0, |head| head.leaks), entries.len());
                    at = to;
                }
            }
        }
        (entries, holes)
    }

    fn head_at(&self, at: usize) -> Option<Head> {
        let head = Head::decode(self.number, &self.bytes[at..])?;
        let is_of_epoch = self.epoch.is_none_or(|epoch| epoch == head.epoch);
        (is_of_epoch && head.sequence > self.last).then_some(head)
    }

    fn is_intact(&self, head: &Head, at: usize) -> bool {
        head.payload(self.number, &self.bytes[at..]).is_some()
    }

    /// Where the next intact head begins, or the end.
    fn next_head(&self, from: usize) -> usize {
        let mut at = from;
        while let Some(found) = position_of_magic(self.bytes.get(at..).unwrap_or_default()) {
            at += found;
            if self.head_at(at).is_some() {
                return at;
            }
            at += 1;
        }
        self.bytes.len()
    }
}

fn position_of_magic(bytes: &[u8]) -> Option<usize> {
    bytes.windows(RECORD_MAGIC.len()).position(|window| window == RECORD_MAGIC)
}

fn add_hole(holes: &mut Vec<Hole>, from: usize, to: usize, leaks: u32, behind: usize) {
    let (from, to, leaks) = (from as u64, to as u64, u64::from(leaks));
    match holes.last_mut() {
        Some(hole) if hole.to == from && hole.behind == behind => {
            hole.to = to;
            hole.leaks += leaks;
        }
        _ => holes.push(Hole { from, to, leaks, behind }),
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
