//! Reading what waits.
//!
//! Every record is verified again as it is read: a disk may rot after the open.

use std::io;

use super::{Position, Spool, Stored};
use crate::error::{SpoolError, is_damage};
use crate::files::Files;
use crate::format::HEAD_BYTES;
use crate::notice::Notice;
use crate::scan::{Entry, Scan};
use crate::segment::Segment;
use crate::survey::{aside_name, name, read_segment};

impl<F: Files> Spool<F> {
    /// The oldest committed records that are not acknowledged, in order; the same again until they are.
    ///
    /// At least one if any waits, however small the bounds; `bytes_max` counts payloads. Records of two
    /// segments never come at once, so fewer than could be may come.
    ///
    /// # Errors
    /// The system refuses for a reason that may pass.
    pub fn next(
        &mut self,
        count_max: usize,
        bytes_max: usize,
    ) -> Result<(Vec<Stored>, Vec<Notice>), SpoolError> {
        while let Some(at) = self.segments.iter().position(|segment| segment.waiting.is_some()) {
            self.load_index(at)?;
            let batch = self.read_batch(at, count_max.max(1), bytes_max)?;
            self.remove_done();
            if !batch.is_empty() {
                return Ok((batch, core::mem::take(&mut self.notices)));
            }
        }
        Ok((Vec::new(), core::mem::take(&mut self.notices)))
    }

    /// Reads a segment's index again, if it is not there; tells what is gone since.
    pub(super) fn load_index(&mut self, at: usize) -> Result<(), SpoolError> {
        let segment = &mut self.segments[at];
        if segment.index.is_some() {
            return Ok(());
        }
        match read_segment(&self.files, segment.number, segment.bytes)? {
            Some(Ok(scan)) => take_again(segment, scan, &mut self.notices),
            Some(Err(_)) => {
                let bytes = segment.bytes;
                self.notices.push(Notice::SegmentUnreadable { segment: segment.number, bytes });
                let _ = self.files.rename(&name(segment.number), &aside_name(segment.number));
                segment.keep(Vec::new());
            }
            None => {
                self.notices.extend(missing(segment));
                segment.keep(Vec::new());
            }
        }
        Ok(())
    }

    fn read_batch(
        &mut self,
        at: usize,
        count_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Stored>, SpoolError> {
        let segment = &mut self.segments[at];
        let index = segment.index.take().unwrap_or_default();
        let (mut batch, mut bytes, mut broken) = (Vec::new(), 0, Vec::new());
        let mut failure = None;
        for entry in &index {
            bytes += entry.head.payload_bytes as usize;
            if batch.len() == count_max || (bytes > bytes_max && !batch.is_empty()) {
                break;
            }
            match read_record(&self.files, segment.number, entry) {
                Ok(Some(stored)) => batch.push(stored),
                Ok(None) => broken.push(entry.head.sequence),
                Err(error) => {
                    failure = Some(SpoolError::io("reading", &name(segment.number))(error));
                    break;
                }
            }
        }
        let (lost, index): (Vec<_>, Vec<_>) =
            index.into_iter().partition(|entry| broken.contains(&entry.head.sequence));
        self.notices.extend(lost.iter().map(|entry| skipped(segment.number, entry)));
        if lost.is_empty() {
            segment.index = Some(index)
        } else {
            segment.keep(index)
        }
        failure.filter(|_| batch.is_empty()).map_or(Ok(batch), Err)
    }
}

/// None if it is damaged.
pub fn read_record<F: Files>(files: &F, segment: u64, entry: &Entry) -> io::Result<Option<Stored>> {
    let head = &entry.head;
    let mut record = match files.read(&name(segment), entry.offset, head.record_bytes()) {
        Ok(record) => record,
        Err(error) if is_damage(&error) || error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if head.payload(segment, &record).is_none() {
        return Ok(None);
    }
    record.drain(..HEAD_BYTES);
    Ok(Some(Stored {
        position: Position { epoch: head.epoch, sequence: head.sequence },
        kind: head.kind,
        leaks: head.leaks,
        written_at: head.written_at,
        payload: record,
    }))
}

fn skipped(segment: u64, entry: &Entry) -> Notice {
    let (from, to) = (entry.offset, entry.end());
    Notice::MiddleSkipped { segment, from, to, records: 1, leaks: entry.head.leaks.into() }
}

/// The segment was known to end with its last sequence: what was beyond is not taken, what is missing is told.
fn take_again(segment: &mut Segment, mut scan: Scan, notices: &mut Vec<Notice>) {
    let limit = segment.last_sequence + 1;
    scan.supersede(limit);
    let losses = scan.losses(segment.acknowledged, Some(limit));
    for loss in losses {
        if !segment.told.contains(&loss) {
            notices.push(loss.clone());
            segment.told.push(loss);
        }
    }
    scan.entries.retain(|entry| entry.head.sequence > segment.acknowledged);
    segment.keep(scan.entries);
}

fn missing(segment: &Segment) -> Option<Notice> {
    let waiting = segment.waiting?;
    let first = Position { epoch: segment.epoch, sequence: waiting.first };
    Some(Notice::Missing { first, last: waiting.last })
}
