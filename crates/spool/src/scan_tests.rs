//! Tests of the scan: every flipped bit and every truncation of a small segment, against what was written.

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::format::{Kind, PAYLOAD_BYTES_MAX};

const SEGMENT: u64 = 5;
const FIRST: u64 = 4;

/// A segment of records with these payloads, and where each ends.
fn segment(payloads: &[&[u8]]) -> (Vec<u8>, Vec<usize>) {
    let epoch = Uuid::from_u128(77);
    let made_at = Timestamp::from_second(1_700_000_000).unwrap();
    let mut bytes = Header { number: SEGMENT, first_sequence: FIRST, made_at, epoch }.encode().to_vec();
    let mut ends = Vec::new();
    for (sequence, payload) in (FIRST..).zip(payloads) {
        let head = Head {
            payload_crc: crc32fast::hash(payload),
            payload_bytes: u32::try_from(payload.len()).unwrap(),
            sequence,
            written_at: made_at,
            leaks: 10,
            age_clock_s: 0,
            kind: Kind::Report,
            epoch,
        };
        bytes.extend_from_slice(&head.encode(SEGMENT));
        bytes.extend_from_slice(payload);
        ends.push(bytes.len());
    }
    (bytes, ends)
}

fn sequences(scan: &Scan) -> Vec<u64> {
    scan.entries.iter().map(|entry| entry.head.sequence).collect()
}

const PAYLOADS: [&[u8]; 4] = [b"the first", b"", b"\xCARec is how a record begins", b"the last one"];

#[test]
fn an_intact_segment_has_no_hole() {
    let (bytes, _) = segment(&PAYLOADS);
    let scan = scan(SEGMENT, &bytes).unwrap();
    assert_eq!(sequences(&scan), [4, 5, 6, 7]);
    assert_eq!(scan.losses(0, None), []);
    assert_eq!(scan.losses(0, Some(8)), []);
}

#[test]
fn a_flipped_bit_costs_its_record_only_and_is_told() {
    let (bytes, ends) = segment(&PAYLOADS);
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let scan = scan(SEGMENT, &flipped).unwrap();
        let hit = ends.partition_point(|&end| end <= bit / 8) as u64 + FIRST;
        let is_header = bit / 8 < HEADER_BYTES;
        let expected: Vec<u64> = (4..8).filter(|&sequence| is_header || sequence != hit).collect();
        assert_eq!(sequences(&scan), expected, "bit {bit}");
        let losses = scan.losses(0, Some(8));
        let records: u64 = losses.iter().map(records).sum();
        assert_eq!((losses.len(), records), (1, u64::from(!is_header)), "bit {bit}: {losses:?}");
    }
}

fn records(loss: &Notice) -> u64 {
    match loss {
        Notice::MiddleSkipped { records, .. } => *records,
        Notice::Missing { first, last } => last - first.sequence + 1,
        other => panic!("{other}"),
    }
}

#[test]
fn a_truncation_costs_what_it_cut_and_is_told() {
    let (bytes, ends) = segment(&PAYLOADS);
    for length in 0..bytes.len() {
        let Ok(scan) = scan(SEGMENT, &bytes[..length]) else {
            assert!(length < HEADER_BYTES);
            continue;
        };
        let whole = ends.iter().filter(|&&end| end <= length).count();
        assert_eq!(scan.entries.len(), whole, "{length} bytes");
        let lost: u64 = scan.losses(0, Some(8)).iter().map(records).sum();
        assert_eq!(lost, 4 - whole as u64, "{length} bytes");
        let torn = length as u64 - scan.end();
        let tail = (torn > 0).then_some(Notice::TailCut { segment: SEGMENT, bytes: torn });
        assert_eq!(scan.losses(0, None), Vec::from_iter(tail), "{length} bytes");
    }
}

#[test]
fn leaks_of_a_damaged_payload_are_known_from_its_head() {
    let (mut bytes, ends) = segment(&PAYLOADS);
    bytes[ends[0] - 1] ^= 1;
    let (from, to) = (HEADER_BYTES as u64, ends[0] as u64);
    let expected = Notice::MiddleSkipped { segment: SEGMENT, from, to, records: 1, leaks: 10 };
    assert_eq!(scan(SEGMENT, &bytes).unwrap().losses(0, None), [expected]);
}

#[test]
fn what_is_acknowledged_is_no_loss() {
    let (mut bytes, ends) = segment(&PAYLOADS);
    bytes[ends[0] - 1] ^= 1;
    let scan = scan(SEGMENT, &bytes).unwrap();
    assert_eq!(scan.losses(4, None), []);
    assert_eq!(scan.losses(3, None).len(), 1);
}

#[test]
fn superseded_records_are_neither_read_nor_lost() {
    let (mut bytes, _) = segment(&PAYLOADS);
    bytes.extend_from_slice(b"torn");
    let mut scan = scan(SEGMENT, &bytes).unwrap();
    scan.supersede(6);
    assert_eq!(sequences(&scan), [4, 5]);
    assert_eq!(scan.losses(0, Some(6)), []);
}

/// Only a forged header says so.
#[test]
fn a_record_before_the_first_that_the_header_names_can_be_acknowledged() {
    let (mut bytes, _) = segment(&PAYLOADS);
    let header = Header { first_sequence: 1000, ..Header::decode(&bytes).unwrap() };
    bytes[..HEADER_BYTES].copy_from_slice(&header.encode());
    let scan = scan(SEGMENT, &bytes).unwrap();
    assert_eq!((scan.first_sequence(), scan.last_sequence()), (4, 7));
}

#[test]
fn records_of_other_segments_and_epochs_do_not_pass() {
    let (bytes, _) = segment(&PAYLOADS);
    assert_eq!(scan(SEGMENT + 1, &bytes).unwrap_err(), BadHeader::Damaged);
    let (mut twice, _) = segment(&PAYLOADS);
    twice.extend_from_slice(&bytes[HEADER_BYTES..]);
    assert_eq!(sequences(&scan(SEGMENT, &twice).unwrap()), [4, 5, 6, 7]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn anything_is_read_without_a_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let large = vec![0xCA; 3000];
        let (mut bytes, _) = segment(&[&large, b"small", &large]);
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len()));
        if let Ok(scan) = scan(SEGMENT, &bytes) {
            let covered: u64 = scan.entries.iter().map(|entry| entry.end() - entry.offset).sum::<u64>()
                + scan.holes.iter().map(|hole| hole.to - hole.from).sum::<u64>();
            let header = if scan.header.is_some() { HEADER_BYTES as u64 } else { 0 };
            prop_assert_eq!(covered + header, bytes.len() as u64);
            prop_assert!(scan.entries.iter().all(|entry| entry.head.payload_bytes as usize <= PAYLOAD_BYTES_MAX));
        }
    }
}
