//! Checksums for bytes that nearly are a segment, so that what lies behind them is reached.

use cprvagt_spool::Kind;
use cprvagt_spool::format::{HEAD_BYTES, HEADER_BYTES, Head, Header, RECORD_MAGIC};
use jiff::Timestamp;
use uuid::Uuid;

/// Makes the first bytes an intact header of segment `number`, with the values that stand there.
pub fn header(number: u64, segment: &mut [u8]) {
    let Some(bytes) = segment.get_mut(..HEADER_BYTES) else { return };
    let header = Header {
        number,
        first_sequence: u64_at(bytes, 24),
        made_at: time_at(bytes, 32),
        epoch: uuid_at(bytes, 40),
    };
    bytes.copy_from_slice(&header.encode());
}

/// Makes whatever begins like a record an intact head, and its payload too unless `kept` says to leave it.
pub fn records(number: u64, segment: &mut [u8], kept: bool) {
    let mut at = HEADER_BYTES;
    while at + HEAD_BYTES <= segment.len() {
        if !segment[at..].starts_with(&RECORD_MAGIC) {
            at += 1;
            continue;
        }
        let head = head(&segment[at..], kept);
        segment[at..at + HEAD_BYTES].copy_from_slice(&head.encode(number));
        at += HEAD_BYTES;
    }
}

fn head(record: &[u8], kept: bool) -> Head {
    let payload_bytes = u32::from_le_bytes(record[12..16].try_into().expect("four bytes"));
    let payload = record[HEAD_BYTES..].get(..payload_bytes as usize);
    let intact_crc = payload.filter(|_| !kept).map(crc32fast::hash);
    let written_crc = || u32::from_le_bytes(record[8..12].try_into().expect("four bytes"));
    Head {
        payload_crc: intact_crc.unwrap_or_else(written_crc),
        payload_bytes,
        sequence: u64_at(record, 16),
        written_at: time_at(record, 24),
        leaks: u32::from_le_bytes(record[32..36].try_into().expect("four bytes")),
        age_clock_s: u32::from_le_bytes(record[36..40].try_into().expect("four bytes")),
        kind: Kind::Other(record[40]),
        epoch: uuid_at(record, 44),
    }
}

/// Makes the bytes an intact state file: its checksum is that of any of the spool's headers.
pub fn state(bytes: &mut [u8; HEADER_BYTES]) {
    bytes[..8].copy_from_slice(b"CPRSTATE");
    bytes[8..12].copy_from_slice(&[1, 0, HEADER_BYTES as u8, 0]);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..12]);
    hasher.update(&bytes[16..]);
    bytes[12..16].copy_from_slice(&hasher.finalize().to_le_bytes());
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn time_at(bytes: &[u8], at: usize) -> Timestamp {
    let microseconds = i64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    Timestamp::from_microsecond(microseconds).unwrap_or_default()
}

fn uuid_at(bytes: &[u8], at: usize) -> Uuid {
    Uuid::from_bytes(bytes[at..at + 16].try_into().expect("sixteen bytes"))
}
