//! Appending and committing.
//!
//! *Invariants*: a segment's number is used for one attempt to make it; a segment whose write or sync failed
//! is never written to again.

use jiff::Timestamp;

use super::{Position, Spool};
use crate::error::SpoolError;
use crate::files::Files;
use crate::format::{HEADER_BYTES, Head, Header, Kind, PAYLOAD_BYTES_MAX};
use crate::segment::Segment;
use crate::survey::{name, temp_name};

/// Room that a commit needs beside its records: a new segment's first block and its place in the directory.
const SLACK_BYTES: u64 = 64 << 10;

impl<F: Files> Spool<F> {
    /// Takes a payload into memory and numbers it; [`Spool::commit`] makes it durable.
    ///
    /// # Errors
    /// [`SpoolError::TooLarge`] and [`SpoolError::Backlog`]; then it was not taken.
    pub fn append(
        &mut self,
        kind: Kind,
        leaks: u32,
        payload: &[u8],
        now: Timestamp,
    ) -> Result<Position, SpoolError> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(SpoolError::TooLarge(payload.len()));
        }
        self.advance(now);
        let head = Head {
            payload_crc: crc32fast::hash(payload),
            payload_bytes: u32::try_from(payload.len()).expect("at most the longest payload"),
            sequence: self.next_sequence,
            written_at: to_microsecond(now),
            leaks,
            age_clock_s: self.clock.passed_s(),
            kind,
            epoch: self.epoch,
        };
        if !self.pending.push(head, payload) {
            return Err(SpoolError::Backlog);
        }
        self.next_sequence += 1;
        Ok(Position { epoch: self.epoch, sequence: head.sequence })
    }

    /// Makes everything appended durable with one fdatasync; the position of the last durable record comes back.
    ///
    /// # Errors
    /// [`SpoolError::Full`] or another of the system's. Everything stays in memory, and the next call tries again.
    pub fn commit(&mut self) -> Result<Position, SpoolError> {
        if self.pending.records() > 0 {
            let outcome = self.write_pending();
            self.was_full = outcome.as_ref().is_err_and(SpoolError::is_full);
            outcome?;
            self.settle();
        }
        Ok(Position { epoch: self.epoch, sequence: self.durable_sequence })
    }

    fn write_pending(&mut self) -> Result<(), SpoolError> {
        self.refuse_while_full()?;
        self.roll();
        if self.live.is_none() {
            self.begin_segment()?;
        }
        let (Some(file), Some(segment)) = (&mut self.live, self.segments.back_mut()) else {
            unreachable!("a segment was begun")
        };
        let bytes = self.pending.bytes_for(segment.number);
        let outcome = self.files.append(file, bytes).and_then(|()| self.files.sync(file));
        if let Err(error) = outcome {
            let name = name(segment.number);
            self.abandon();
            return Err(SpoolError::io("writing", &name)(error));
        }
        segment.add(self.pending.written_at(segment.bytes));
        self.durable_sequence = segment.last_sequence;
        Ok(())
    }

    /// After a failure for want of room the system is asked first: each attempt costs a segment.
    fn refuse_while_full(&self) -> Result<(), SpoolError> {
        let needed = self.pending.bytes() as u64 + SLACK_BYTES;
        if self.was_full && self.files.free().is_ok_and(|free| free < needed) {
            return Err(SpoolError::Full { doing: "writing to", name: "the spool".to_owned() });
        }
        Ok(())
    }

    /// Closes the segment that is written to if the next commit would make it too long.
    fn roll(&mut self) {
        let Some(segment) = self.segments.back() else { return };
        let is_empty = segment.bytes == HEADER_BYTES as u64;
        let bytes = segment.bytes + self.pending.bytes() as u64;
        if self.live.is_some() && !is_empty && bytes > self.limits.segment_bytes_max {
            self.seal();
            self.remove_done();
        }
    }

    /// Writes no more to the last segment. Its index goes, unless it is the one that is read.
    fn seal(&mut self) {
        self.live = None;
        if self.segments.len() > 1
            && let Some(segment) = self.segments.back_mut()
        {
            segment.index = None;
        }
    }

    /// Header, fsync, rename, fsync of the directory: a segment that is there has a durable header.
    fn begin_segment(&mut self) -> Result<(), SpoolError> {
        let number = self.next_number;
        self.next_number += 1;
        let made_at = self.pending.first().map_or(self.alive, |head| head.written_at);
        let first_sequence = self.durable_sequence + 1;
        let header = Header { number, first_sequence, made_at, epoch: self.epoch };
        let (name, temp) = (name(number), temp_name(number));
        match make_segment(&self.files, &header, &temp, &name) {
            Ok(file) => {
                self.live = Some(file);
                let segment = Segment::new(number, self.epoch, self.durable_sequence, HEADER_BYTES as u64);
                self.segments.push_back(segment);
                Ok(())
            }
            Err(error) => {
                let _ = self.files.remove(&temp);
                self.leftovers.push(number);
                let _ = self.remove_leftovers();
                Err(SpoolError::io("making", &name)(error))
            }
        }
    }

    /// Gives up the last segment behind its last durable byte. Cutting it is for room only: readers do not take
    /// what lies there, see the crate's notes.
    fn abandon(&mut self) {
        if let Some(segment) = self.segments.back() {
            let _ = self.files.truncate(&name(segment.number), segment.bytes);
        }
        self.seal();
        self.remove_done();
    }
}

fn make_segment<F: Files>(files: &F, header: &Header, temp: &str, name: &str) -> std::io::Result<F::File> {
    let mut file = files.create(temp)?;
    files.append(&mut file, &header.encode())?;
    files.sync(&mut file)?;
    files.rename(temp, name)?;
    files.sync_dir()?;
    Ok(file)
}

/// What the format can hold.
fn to_microsecond(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}
