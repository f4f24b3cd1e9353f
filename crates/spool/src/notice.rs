//! What an owner must know: unclean starts, and everything that was lost.

use core::fmt;

use jiff::Timestamp;

use crate::spool::Position;

/// Something that was lost, or may have been; the owner makes a gap record of each.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Notice {
    /// The last owner did not close the spool: what it had not committed is lost.
    UncleanStart {
        /// When it was last known to run; None if that is not known.
        last_alive: Option<Timestamp>,
        /// The time of this start.
        now: Timestamp,
    },
    /// The last segment of an epoch ended in bytes that are no whole record.
    TailCut {
        /// Segment number.
        segment: u64,
        /// Bytes that were cut.
        bytes: u64,
    },
    /// Damage inside a segment; what lies behind it was found again.
    MiddleSkipped {
        /// Segment number.
        segment: u64,
        /// First damaged byte.
        from: u64,
        /// Behind the last damaged byte.
        to: u64,
        /// Records missing, as far as the sequences around show.
        records: u64,
        /// Leaks in these, as far as intact heads of records show.
        leaks: u64,
    },
    /// A segment without one intact record or header.
    SegmentUnreadable {
        /// Segment number.
        segment: u64,
        /// Its length.
        bytes: u64,
    },
    /// Records are gone without a trace, with their segment.
    Missing {
        /// First of them.
        first: Position,
        /// Last sequence of them, in the same epoch.
        last: u64,
    },
    /// Waiting records were given up to keep the bounds.
    Dropped {
        /// Which bound.
        reason: Reason,
        /// The first dropped.
        first: Position,
        /// The last dropped.
        last: Position,
        /// How many.
        records: u64,
        /// Leaks in them.
        leaks: u64,
        /// The earliest time of writing.
        from: Timestamp,
        /// The latest time of writing.
        to: Timestamp,
    },
    /// The cursor was damaged: what was acknowledged and not yet deleted is sent again.
    CursorLost,
}

/// Which bound made the spool drop records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// [`crate::Limits::total_bytes_max`].
    Size,
    /// [`crate::Limits::age_max`].
    Age,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UncleanStart { last_alive: Some(time), now } => {
                write!(f, "not closed cleanly: nothing is known between {time} and {now}")
            }
            Self::UncleanStart { last_alive: None, now } => {
                write!(f, "not closed cleanly: nothing is known of the time before {now}")
            }
            Self::TailCut { segment, bytes } => {
                write!(f, "segment {segment:x} ended in {bytes} bytes of an unfinished write; they were cut")
            }
            Self::MiddleSkipped { segment, from, to, records, leaks } => write!(
                f,
                "segment {segment:x} is damaged from byte {from} to {to}: {records} records and at least {leaks} \
                 leaks are lost"
            ),
            Self::SegmentUnreadable { segment, bytes } => {
                write!(f, "segment {segment:x} with {bytes} bytes cannot be read; it was set aside")
            }
            Self::Missing { first, last } => write!(f, "records {first} to {last} are not in the spool"),
            Self::Dropped { reason, records, leaks, from, to, .. } => {
                let bound = match reason {
                    Reason::Size => "too large",
                    Reason::Age => "too old",
                };
                write!(f, "{bound}: {records} records with {leaks} leaks from {from} to {to} were dropped")
            }
            Self::CursorLost => write!(f, "the cursor is damaged: what was acknowledged may be sent again"),
        }
    }
}
