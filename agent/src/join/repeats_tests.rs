//! Retries, continuations and true repeats of a write.

use super::*;
use crate::join::sample::CallSample;

fn write(content: &[u8]) -> Rc<Write> {
    Rc::new(CallSample::default().whole(content))
}

#[test]
fn a_hash_does_not_depend_on_how_the_bytes_are_cut() {
    let content: Vec<u8> = (0..80_000u32).map(|it| (it % 253) as u8).collect();
    let key = RandomState::new();
    let whole = write(&content);
    for from in [0, 1, 16_384, 32_768, 40_000] {
        assert_eq!(hash(&whole, from as u64, &key), hash(&write(&content[from..]), 0, &key), "{from}");
    }
    assert_ne!(hash(&whole, 0, &key), hash(&whole, 1, &key));
}

#[test]
fn the_last_record_of_a_write_begins_at_a_multiple() {
    for (len, at) in [(0, 0), (1, 0), (16_384, 0), (16_385, 16_384), (32_768, 16_384), (40_000, 32_768)] {
        assert_eq!(tail_at(len), at, "{len}");
    }
}

#[test]
fn of_a_write_that_left_no_bytes_are_kept() {
    let mut repeats = Repeats::default();
    let first = write(b"content");
    repeats.begin(1, Rc::clone(&first));
    assert_eq!(Rc::strong_count(&first), 2);
    repeats.left(1, 7);
    assert_eq!(Rc::strong_count(&first), 1);
    assert!(repeats.is_retry(&write(b"content")), "it is known all the same");
}

#[test]
fn calls_of_long_ago_are_forgotten() {
    let mut repeats = Repeats::default();
    let call = |repeats: &mut Repeats, number| {
        let content = format!("number {number:02}");
        repeats.begin(number, write(content.as_bytes()));
        assert!(repeats.is_retry(&write(content.as_bytes())));
    };
    for number in 1..=AGAIN_MAX as u64 + 3 {
        call(&mut repeats, number);
    }
    assert_eq!(repeats.again.len(), AGAIN_MAX);
    repeats.left(AGAIN_MAX as u64 + 3, 9);
    assert_eq!(repeats.again.len(), AGAIN_MAX, "all are of one length");
    repeats.left(AGAIN_WRITES_MAX + 6, 9);
    assert_eq!(repeats.take(u64::MAX, |_| true).map(|(number, _)| number), Some(6));
    repeats.left(AGAIN_WRITES_MAX + 6, 10);
    assert!(repeats.again.is_empty(), "a record of another length passed");
}
