//! The state file: cursor, heartbeat and age clock, written whole and renamed into place.
//!
//! ```text
//!  0  8 magic "CPRSTATE"     16  8 cursor: segment      48  8 last alive, microseconds since 1970
//!  8  2 version              24  8 cursor: sequence     56  8 age clock, milliseconds
//! 10  2 bytes of the file    32 16 cursor: epoch
//! 12  4 CRC-32, as in a segment's header
//! ```

use jiff::Timestamp;
use uuid::Uuid;

use crate::error::SpoolError;
use crate::files::Files;
use crate::format::{self, BadHeader, put};

/// The file's name.
pub const NAME: &str = "state";
/// The name while it is written.
pub const TEMP: &str = "state.tmp";
const MAGIC: [u8; 8] = *b"CPRSTATE";
const VERSION: u16 = 1;
const BYTES: usize = 64;

/// Up to where everything is acknowledged or dropped.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Cursor {
    /// All segments before this one are done.
    pub segment: u64,
    /// In it, if it is of this epoch,
    pub epoch: Uuid,
    /// all records up to this one are done.
    pub sequence: u64,
}

/// What the state file holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct State {
    /// What is done.
    pub cursor: Cursor,
    /// When the owner was last known to run.
    pub alive: Timestamp,
    /// The age clock at that time.
    pub age_clock_ms: u64,
}

impl State {
    fn encode(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        format::begin(&mut bytes, MAGIC, VERSION);
        put(&mut bytes, 16, &self.cursor.segment.to_le_bytes());
        put(&mut bytes, 24, &self.cursor.sequence.to_le_bytes());
        put(&mut bytes, 32, self.cursor.epoch.as_bytes());
        put(&mut bytes, 48, &self.alive.as_microsecond().to_le_bytes());
        put(&mut bytes, 56, &self.age_clock_ms.to_le_bytes());
        format::finish(&mut bytes);
        bytes
    }

    /// From a file's bytes.
    ///
    /// # Errors
    /// Of another version, or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadHeader> {
        let bytes = format::verified(bytes, MAGIC, VERSION, BYTES)?;
        let cursor = Cursor {
            segment: format::number_at(bytes, 16).ok_or(BadHeader::Damaged)?,
            sequence: format::number_at(bytes, 24).ok_or(BadHeader::Damaged)?,
            epoch: format::uuid_at(bytes, 32),
        };
        let alive = format::time_at(bytes, 48).ok_or(BadHeader::Damaged)?;
        Ok(Self { cursor, alive, age_clock_ms: format::u64_at(bytes, 56) })
    }

    /// Makes it durable; what was there before stays until then.
    ///
    /// # Errors
    /// Full, or the system refuses.
    pub fn write<F: Files>(&self, files: &F) -> Result<(), SpoolError> {
        let failed = |error| SpoolError::io("writing", NAME)(error);
        let mut file = files.create(TEMP).map_err(failed)?;
        files.append(&mut file, &self.encode()).map_err(failed)?;
        files.sync(&mut file).map_err(failed)?;
        files.rename(TEMP, NAME).map_err(failed)?;
        files.sync_dir().map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_each_flipped_bit_is_found() {
        let cursor = Cursor { segment: 7, epoch: Uuid::from_u128(9), sequence: 11 };
        let state = State { cursor, alive: Timestamp::from_second(1_700_000_000).unwrap(), age_clock_ms: 5 };
        let bytes = state.encode();
        assert_eq!(State::decode(&bytes), Ok(state));
        for bit in 0..BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(State::decode(&flipped), Err(BadHeader::Damaged), "bit {bit}");
        }
        let endless = Cursor { segment: u64::MAX, ..cursor };
        assert_eq!(State::decode(&State { cursor: endless, ..state }.encode()), Err(BadHeader::Damaged));
        for length in 0..BYTES {
            assert_eq!(State::decode(&bytes[..length]), Err(BadHeader::Damaged), "{length} bytes");
        }
    }
}
