//! A spool's directory as a crash, a bad disk or an intruder left it.

use cprvagt_spool::format::HEADER_BYTES;
use cprvagt_spool::{Kind, Limits, Spool, SpoolError, Stored};
use jiff::Timestamp;

use crate::memory::Memory;
use crate::mend;

/// Bits of the first byte: what is mended, and whether the last bytes are a state file.
const MEND_HEADERS: u8 = 1;
const MEND_RECORDS: u8 = 2;
const KEEP_PAYLOADS: u8 = 4;
const WITH_STATE: u8 = 8;
/// Most segments; two bits of the first byte choose.
const SEGMENTS_MAX: u8 = 4;
/// What is appended to whatever was found.
const PAYLOAD: &[u8] = b"appended";

/// Whatever lies there, the spool opens or says why not; what it shows and what is then committed comes out of
/// the next open, in order.
pub fn spool_open(bytes: &[u8]) {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    let files = directory(choice, bytes);
    let Some(mut spool) = open(&files.copy()) else { return };
    let found = drain(&mut spool);
    commit_one_more(&files);
    let again = drain(&mut open(&files).expect("what was settled opens again"));
    let (last, before) = again.split_last().expect("what was committed is there");
    // There may be more: a superseded record is seen again once a damaged successor was given up.
    let mut rest = before.iter();
    assert!(found.iter().all(|stored| rest.any(|other| other == stored)), "{found:?} became {before:?}");
    assert_eq!(last.payload, PAYLOAD);
}

fn directory(choice: u8, bytes: &[u8]) -> Memory {
    let files = Memory::default();
    let (segments, state) = match bytes.split_last_chunk::<HEADER_BYTES>() {
        Some((segments, state)) if choice & WITH_STATE != 0 => (segments, Some(*state)),
        _ => (bytes, None),
    };
    if let Some(mut state) = state {
        if choice & MEND_HEADERS != 0 {
            mend::state(&mut state);
        }
        files.put("state", state.to_vec());
    }
    let count = usize::from(choice >> 6) % usize::from(SEGMENTS_MAX) + 1;
    for (number, segment) in (1..).zip(segments.chunks(segments.len().div_ceil(count).max(1))) {
        let mut segment = segment.to_vec();
        if choice & MEND_HEADERS != 0 {
            mend::header(number, &mut segment);
        }
        if choice & MEND_RECORDS != 0 {
            mend::records(number, &mut segment, choice & KEEP_PAYLOADS != 0);
        }
        files.put(&format!("{number:016x}.seg"), segment);
    }
    files
}

/// A spool over the files; None when they are of another version, the only reason to refuse them.
fn open(files: &Memory) -> Option<Spool<Memory>> {
    match Spool::open_in(files.clone(), Limits::default(), Timestamp::UNIX_EPOCH) {
        Ok((spool, notices)) => {
            assert!(notices.iter().all(|notice| !notice.to_string().is_empty()));
            Some(spool)
        }
        Err(SpoolError::Version { .. }) => None,
        Err(error) => panic!("memory does not fail: {error}"),
    }
}

/// Everything that waits, in order, acknowledged as it comes.
fn drain(spool: &mut Spool<Memory>) -> Vec<Stored> {
    let mut all = Vec::new();
    loop {
        let (batch, _) = spool.next(3, usize::MAX).expect("memory does not fail");
        let Some(last) = batch.last() else { break };
        spool.acknowledge(last.position).expect("what came out can be acknowledged");
        all.extend(batch);
    }
    let stats = spool.stats();
    assert_eq!((stats.waiting_records, stats.waiting_leaks, stats.oldest_written_at), (0, 0, None));
    all
}

fn commit_one_more(files: &Memory) {
    let now = Timestamp::UNIX_EPOCH;
    let mut spool = open(files).expect("it opened before");
    spool.append(Kind::Report, 1, PAYLOAD, now).expect("there is room");
    spool.commit().expect("memory does not fail");
    spool.close(now).expect("memory does not fail");
}
