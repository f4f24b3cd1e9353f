//! Writes put together from their records, whole and cut.

use super::*;
use crate::join::sample::{CallSample, feed};

fn call(write: u64, tid: u32) -> CallSample {
    CallSample { write, tid, ..CallSample::default() }
}

/// Bytes and holes, the holes as dots.
fn shown(write: &Write) -> String {
    let mut shown = String::new();
    write.for_each(|piece| match piece {
        Ok(bytes) => shown.push_str(std::str::from_utf8(bytes).unwrap()),
        Err(missing) => shown.extend((0..missing).map(|_| '.')),
    });
    shown
}

fn check(records: &[Vec<u8>], expected: &[(&str, u64, u64)]) {
    let mut writes = Writes::default();
    let mut done: Vec<Write> = records.iter().flat_map(|record| feed(&mut writes, record)).collect();
    done.extend(writes.take_all());
    let found: Vec<_> = done.iter().map(|it| (shown(it), it.lost_bytes, it.skipped_bytes)).collect();
    let found: Vec<_> =
        found.iter().map(|(shown, lost, skipped)| (shown.as_str(), *lost, *skipped)).collect();
    assert_eq!(found, expected);
    assert_eq!((writes.held_bytes, writes.by_id.len(), writes.by_thread.len()), (0, 0, 0));
}

#[test]
fn a_part_of_a_file_is_a_write() {
    let a = call(1, 1);
    for (asked, part, expected) in [
        (4, Some(("abcd", 4)), Some(("abcd", 0, 0))),
        (100, Some(("abcd", 4)), Some(("abcd", 0, 0))),
        (4, Some(("ab", 4)), Some(("ab..", 0, 2))),
        (4, None, Some(("....", 0, 4))),
        (4, Some(("", 0)), None),
    ] {
        let mut writes = Writes::default();
        assert!(feed(&mut writes, &a.head(asked, b"")).is_empty());
        let part = part.map(|(bytes, len): (&str, u64)| FilePart { bytes: bytes.into(), len });
        let done = writes.file(&a.file(asked), part);
        let found = done.first().map(|it| (shown(it), it.lost_bytes, it.skipped_bytes));
        assert_eq!(found, expected.map(|(shown, lost, skipped)| (shown.to_owned(), lost, skipped)));
        assert_eq!((done.len() <= 1, writes.held_bytes, writes.by_id.len()), (true, 0, 0));
    }
    assert!(Writes::default().file(&a.file(4), None).is_empty(), "of no write");
}

#[test]
fn a_write_is_put_together_from_its_records() {
    let (a, b) = (call(1, 1), call(2, 2));
    check(&[a.head(3, b"abc")], &[("abc", 0, 0)]);
    check(&[a.head(4, b""), a.data(0, b"ab"), a.data(2, b"cd"), a.end(0, 0)], &[("abcd", 0, 0)]);
    let both = [
        a.head(4, b""),
        b.head(2, b""),
        a.data(0, b"ab"),
        b.data(0, b"x"),
        b.data(1, b"y"),
        b.end(0, 0),
        a.data(2, b"cd"),
        a.end(0, 0),
    ];
    check(&both, &[("xy", 0, 0), ("abcd", 0, 0)]);
    check(&[a.data(0, b"of no write"), a.end(0, 0)], &[]);
}

#[test]
fn what_is_missing_is_counted_whatever_the_records_say() {
    let a = call(1, 1);
    check(&[a.head(6, b""), a.data(0, b"ab"), a.data(4, b"ef"), a.end(2, 0)], &[("ab..ef", 2, 0)]);
    check(&[a.head(6, b""), a.data(0, b"ab"), a.data(4, b"ef"), a.end(0, 2)], &[("ab..ef", 0, 2)]);
    check(&[a.head(6, b""), a.data(0, b"ab"), a.end(1, 3)], &[("ab....", 1, 3)]);
    check(&[a.head(6, b""), a.end(0, 0)], &[("......", 6, 0)]);
    check(&[a.head(3, b"abc"), a.end(9, 9)], &[("abc", 0, 0)]);
    check(&[a.head(3, b""), a.data(0, b"abc"), a.end(9, 9)], &[("abc", 0, 0)]);
}

#[test]
fn bytes_out_of_order_or_beyond_the_write_are_left_out() {
    let a = call(1, 1);
    check(&[a.head(6, b""), a.data(2, b"cd"), a.data(0, b"ab"), a.end(0, 0)], &[("..cd..", 4, 0)]);
    check(&[a.head(4, b""), a.data(0, b"ab"), a.data(1, b"bc"), a.end(0, 0)], &[("ab..", 2, 0)]);
    check(&[a.head(2, b""), a.data(0, b"abc"), a.data(u64::MAX, b"ab"), a.end(0, 0)], &[("..", 2, 0)]);
    check(&[a.head(2, b"abc"), a.end(0, 0)], &[("..", 2, 0)]);
}

#[test]
fn a_thread_that_begins_again_has_ended_what_it_had_open() {
    let (a, b) = (call(1, 7), call(2, 7));
    check(
        &[a.head(4, b""), a.data(0, b"ab"), b.head(1, b"x"), a.data(2, b"cd")],
        &[("ab..", 2, 0), ("x", 0, 0)],
    );
    check(&[a.head(4, b""), call(1, 8).head(2, b"xy")], &[("....", 4, 0), ("xy", 0, 0)]);
}

#[test]
fn a_process_that_dies_leaves_its_writes_in_order() {
    let mut writes = Writes::default();
    for write in 1..=3 {
        assert!(feed(&mut writes, &call(write, write as u32).head(write, b"")).is_empty());
    }
    assert!(writes.take_of_process(9).is_empty());
    let lens: Vec<u64> = writes.take_of_process(CallSample::default().tgid).iter().map(Write::len).collect();
    assert_eq!(lens, [1, 2, 3]);
}

#[test]
fn too_many_and_too_large_writes_make_room() {
    let mut writes = Writes::default();
    for write in 0..WRITES_MAX as u64 {
        assert!(feed(&mut writes, &call(write, write as u32).head(5, b"")).is_empty());
    }
    let made_room = feed(&mut writes, &call(u64::MAX, u32::MAX).head(6, b""));
    assert_eq!(made_room.iter().map(|it| it.call.write).collect::<Vec<_>>(), [0]);
    assert_eq!(writes.open.len(), WRITES_MAX);

    let mut writes = Writes::default();
    let chunk = vec![b'x'; cprvagt_abi::CHUNK_MAX];
    let (old, new) = (call(1, 1), call(2, 2));
    feed(&mut writes, &old.head(1 << 40, b""));
    feed(&mut writes, &new.head(1 << 40, b""));
    feed(&mut writes, &old.data(0, &chunk));
    let chunks = WRITES_BYTES_MAX / chunk.len() as u64;
    let cut: Vec<Write> =
        (0..chunks).flat_map(|at| feed(&mut writes, &new.data(at * chunk.len() as u64, &chunk))).collect();
    assert_eq!(cut.iter().map(|it| it.call.write).collect::<Vec<_>>(), [1]);
    assert!(writes.held_bytes <= WRITES_BYTES_MAX);
}

#[test]
fn an_absurd_length_is_cut() {
    let mut writes = Writes::default();
    feed(&mut writes, &call(1, 1).head(u64::MAX, b""));
    assert_eq!(writes.take_all()[0].len(), WRITE_LEN_MAX);
}

#[test]
fn a_tail_is_known_wherever_the_pieces_are_cut() {
    let content: Vec<u8> = (0..100_000u32).map(|it| (it % 251) as u8).collect();
    let whole = CallSample::default().whole(&content);
    for from in [0, 1, 8192, 32_767, 32_768, 32_769, 99_999] {
        let tail = CallSample::default().whole(&content[from..]);
        assert!(tail.is_tail_of(&whole, from as u64), "{from}");
        assert!(!tail.is_tail_of(&whole, from as u64 + 1), "{from}");
        let mut other = content[from..].to_vec();
        *other.last_mut().unwrap() ^= 1;
        assert!(!CallSample::default().whole(&other).is_tail_of(&whole, from as u64), "{from}");
    }
}
