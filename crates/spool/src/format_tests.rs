//! Tests of the segment format: what is written is read, and nothing else is.

use super::*;

fn header() -> Header {
    let made_at = Timestamp::from_second(1_700_000_000).unwrap();
    Header { number: 5, first_sequence: 9, made_at, epoch: Uuid::from_u128(77) }
}

fn head(payload: &[u8]) -> Head {
    Head {
        payload_crc: crc32fast::hash(payload),
        payload_bytes: u32::try_from(payload.len()).unwrap(),
        sequence: 3,
        written_at: Timestamp::from_microsecond(-5).unwrap(),
        leaks: 200,
        age_clock_s: 60,
        kind: Kind::Other(200),
        epoch: Uuid::from_u128(77),
    }
}

#[test]
fn a_header_is_read_as_written_and_each_flipped_bit_is_found() {
    let bytes = header().encode();
    assert_eq!(Header::decode(&bytes), Ok(header()));
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Header::decode(&flipped), Err(BadHeader::Damaged), "bit {bit}");
    }
    for length in 0..bytes.len() {
        assert_eq!(Header::decode(&bytes[..length]), Err(BadHeader::Damaged), "{length} bytes");
    }
}

#[test]
fn an_intact_header_of_another_version_is_named_whatever_its_length() {
    for length in [16, 64, 100] {
        let mut bytes = vec![7; length];
        begin(&mut bytes, SEGMENT_MAGIC, 2);
        finish(&mut bytes);
        assert_eq!(Header::decode(&bytes), Err(BadHeader::Version(2)), "{length} bytes");
    }
}

#[test]
fn a_record_is_read_as_written_in_its_segment_only() {
    let payload = b"opaque";
    let head = head(payload);
    let mut record = head.encode(5).to_vec();
    record.extend_from_slice(payload);
    assert_eq!(Head::decode(5, &record), Some(head));
    assert_eq!(head.payload(5, &record), Some(&payload[..]));
    assert_eq!(Head::decode(6, &record), None);
    for bit in 0..record.len() * 8 {
        let mut flipped = record.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(head.payload(5, &flipped), None, "bit {bit}");
    }
}

#[test]
fn a_length_beyond_the_bound_is_no_record_even_with_a_right_crc() {
    let mut head = head(b"");
    head.payload_bytes = u32::try_from(PAYLOAD_BYTES_MAX).unwrap();
    assert!(Head::decode(5, &head.encode(5)).is_some());
    head.payload_bytes += 1;
    assert_eq!(Head::decode(5, &head.encode(5)), None);
}
