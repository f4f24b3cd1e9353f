//! The bytes of a segment file, version 1.
//!
//! All integers are little-endian. A file is named by its segment number, sixteen hexadecimal digits and `.seg`.
//!
//! ```text
//! header, 64 bytes              record, 60 bytes and payload
//!  0  8 magic "CPRSPOOL"         0  4 magic "\xCARec"
//!  8  2 version                  4  4 CRC-32 over segment number (8 bytes) and bytes 8..60
//! 10  2 bytes of the header      8  4 CRC-32 over the payload
//! 12  4 CRC-32, see below       12  4 payload bytes
//! 16  8 segment number          16  8 sequence
//! 24  8 first sequence          24  8 written at, microseconds since 1970, signed
//! 32  8 made at, microseconds   32  4 leaks
//! 40 16 epoch                   36  4 age clock, seconds
//! 56  8 zero                    40  1 kind
//!                               41  3 zero
//!                               44 16 epoch
//! ```
//!
//! The header's CRC covers all of it but the CRC itself. The first 16 bytes keep their meaning in every
//! version, so that any version can tell an intact header of another from a damaged one.
//!
//! The record's first CRC covers the second, hence the payload. It has the segment number in it, and the record has
//! the epoch: a record that a file system hands back from a deleted file does not pass for one of this.
//! Each record names its epoch so that a damaged header costs no record. The length is used only after its
//! CRC has proved it: a flipped bit there makes nobody allocate.
//!
//! *Limits*: [`PAYLOAD_BYTES_MAX`].

use jiff::Timestamp;
use uuid::Uuid;

/// Largest payload: a mebibyte, and room for what an owner wraps around it.
pub const PAYLOAD_BYTES_MAX: usize = (1 << 20) + 4096;
/// Version of the format.
pub const VERSION: u16 = 1;
/// Bytes of a segment's header.
pub const HEADER_BYTES: usize = 64;
/// Bytes of a record without its payload.
pub const HEAD_BYTES: usize = 60;
/// Largest sequence, and largest segment number that a cursor may name. No spool gets there: what claims more is
/// damaged or forged, and counting on from it must not overflow.
pub const NUMBER_MAX: u64 = u64::MAX / 2;
/// How each record begins.
pub const RECORD_MAGIC: [u8; 4] = *b"\xCARec";
/// How each segment begins.
const SEGMENT_MAGIC: [u8; 8] = *b"CPRSPOOL";

/// What a payload is, for who reads the spool without opening payloads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A report with leaks.
    Report,
    /// A gap: something was lost.
    Gap,
    /// A kind of another version, passed on as it is.
    Other(u8),
}

impl Kind {
    fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Report,
            2 => Self::Gap,
            other => Self::Other(other),
        }
    }

    fn byte(self) -> u8 {
        match self {
            Self::Report => 1,
            Self::Gap => 2,
            Self::Other(other) => other,
        }
    }
}

/// The header of a segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// The segment's number, as in its name.
    pub number: u64,
    /// Records of this epoch from this sequence on are in this segment or later ones, whatever earlier ones hold.
    pub first_sequence: u64,
    /// When it was made, to the microsecond.
    pub made_at: Timestamp,
    /// The epoch of all its records.
    pub epoch: Uuid,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BadHeader {
    /// An intact header of another version.
    Version(u16),
    /// Damaged, or something else.
    Damaged,
}

impl Header {
    /// As bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        begin(&mut bytes, SEGMENT_MAGIC, VERSION);
        put(&mut bytes, 16, &self.number.to_le_bytes());
        put(&mut bytes, 24, &self.first_sequence.to_le_bytes());
        put(&mut bytes, 32, &self.made_at.as_microsecond().to_le_bytes());
        put(&mut bytes, 40, self.epoch.as_bytes());
        finish(&mut bytes);
        bytes
    }

    /// From the first bytes of a segment.
    ///
    /// # Errors
    /// Of another version, or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadHeader> {
        let bytes = verified(bytes, SEGMENT_MAGIC, VERSION, HEADER_BYTES)?;
        Ok(Self {
            number: u64_at(bytes, 16),
            first_sequence: number_at(bytes, 24).ok_or(BadHeader::Damaged)?,
            made_at: time_at(bytes, 32).ok_or(BadHeader::Damaged)?,
            epoch: uuid_at(bytes, 40),
        })
    }
}

/// The head of a record: all but the payload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Head {
    /// Of the payload.
    pub payload_crc: u32,
    /// At most [`PAYLOAD_BYTES_MAX`].
    pub payload_bytes: u32,
    /// From 1 in an epoch.
    pub sequence: u64,
    /// As the wall clock had it, to the microsecond.
    pub written_at: Timestamp,
    /// Leaks in the payload, as its owner counts them.
    pub leaks: u32,
    /// The age clock when it was written, in seconds.
    pub age_clock_s: u32,
    /// What it is.
    pub kind: Kind,
    /// The epoch that its sequence counts in.
    pub epoch: Uuid,
}

impl Head {
    /// As bytes for a segment.
    pub fn encode(&self, segment: u64) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        put(&mut bytes, 0, &RECORD_MAGIC);
        put(&mut bytes, 8, &self.payload_crc.to_le_bytes());
        put(&mut bytes, 12, &self.payload_bytes.to_le_bytes());
        put(&mut bytes, 16, &self.sequence.to_le_bytes());
        put(&mut bytes, 24, &self.written_at.as_microsecond().to_le_bytes());
        put(&mut bytes, 32, &self.leaks.to_le_bytes());
        put(&mut bytes, 36, &self.age_clock_s.to_le_bytes());
        bytes[40] = self.kind.byte();
        put(&mut bytes, 44, self.epoch.as_bytes());
        let crc = head_crc(segment, &bytes);
        put(&mut bytes, 4, &crc.to_le_bytes());
        bytes
    }

    /// From bytes that begin with a record of the segment; None for anything else.
    pub fn decode(segment: u64, bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEAD_BYTES)?;
        if !bytes.starts_with(&RECORD_MAGIC) || u32_at(bytes, 4) != head_crc(segment, bytes) {
            return None;
        }
        let head = Self {
            payload_crc: u32_at(bytes, 8),
            payload_bytes: u32_at(bytes, 12),
            sequence: number_at(bytes, 16)?,
            written_at: time_at(bytes, 24)?,
            leaks: u32_at(bytes, 32),
            age_clock_s: u32_at(bytes, 36),
            kind: Kind::from_byte(bytes[40]),
            epoch: uuid_at(bytes, 44),
        };
        (head.payload_bytes as usize <= PAYLOAD_BYTES_MAX).then_some(head)
    }

    /// Bytes of the whole record.
    pub fn record_bytes(&self) -> usize {
        HEAD_BYTES + self.payload_bytes as usize
    }

    /// The payload, if the bytes are this whole record and intact.
    pub fn payload<'bytes>(&self, segment: u64, record: &'bytes [u8]) -> Option<&'bytes [u8]> {
        let payload = record.get(HEAD_BYTES..self.record_bytes())?;
        let intact = Self::decode(segment, record)? == *self && crc32fast::hash(payload) == self.payload_crc;
        intact.then_some(payload)
    }
}

fn head_crc(segment: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&segment.to_le_bytes());
    hasher.update(&bytes[8..]);
    hasher.finalize()
}

/// Magic, version and length of a header whose CRC [`finish`] adds.
pub(crate) fn begin(bytes: &mut [u8], magic: [u8; 8], version: u16) {
    let length = u16::try_from(bytes.len()).expect("headers are short");
    put(bytes, 0, &magic);
    put(bytes, 8, &version.to_le_bytes());
    put(bytes, 10, &length.to_le_bytes());
}

pub(crate) fn finish(bytes: &mut [u8]) {
    let crc = header_crc(bytes);
    put(bytes, 12, &crc.to_le_bytes());
}

/// The header at the start of the bytes, if it is intact and of this version.
pub(crate) fn verified(
    bytes: &[u8],
    magic: [u8; 8],
    version: u16,
    expected: usize,
) -> Result<&[u8], BadHeader> {
    if bytes.len() < 16 || !bytes.starts_with(&magic) {
        return Err(BadHeader::Damaged);
    }
    let length = usize::from(u16_at(bytes, 10)).max(16);
    let header = bytes.get(..length).ok_or(BadHeader::Damaged)?;
    if u32_at(header, 12) != header_crc(header) {
        return Err(BadHeader::Damaged);
    }
    match u16_at(header, 8) {
        found if found != version => Err(BadHeader::Version(found)),
        _ if length != expected => Err(BadHeader::Damaged),
        _ => Ok(header),
    }
}

fn header_crc(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..12]);
    hasher.update(&bytes[16..]);
    hasher.finalize()
}

pub(crate) fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// None for what is above [`NUMBER_MAX`].
pub(crate) fn number_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64_at(bytes, at)).filter(|number| *number <= NUMBER_MAX)
}

pub(crate) fn time_at(bytes: &[u8], at: usize) -> Option<Timestamp> {
    let microseconds = i64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    Timestamp::from_microsecond(microseconds).ok()
}

pub(crate) fn uuid_at(bytes: &[u8], at: usize) -> Uuid {
    Uuid::from_bytes(bytes[at..at + 16].try_into().expect("sixteen bytes"))
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
