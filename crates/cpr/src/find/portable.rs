//! The backend that every processor has: eight bytes at a time in a word.

use super::marks::BLOCK_BYTES;
use super::queue::Queue;
use super::vector::{LANE_STEP, Lanes, STARTS, Vector};

const ZEROS: u64 = each(b'0');
const LOW_BITS: u64 = each(0x7F);
const HIGH_BITS: u64 = each(0x80);

/// A word whose bytes all are `byte`.
const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Words of 64 bits.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Vector for Portable {
    type Lanes = u64;

    #[inline(always)]
    fn marks(self, block: &[u8; BLOCK_BYTES]) -> (u64, u64) {
        marks_of_words(block.as_chunks().0)
    }

    #[inline(always)]
    fn lanes(self, marks: &[u8], lane: usize) -> u64 {
        u64::from_le_bytes(*marks[lane * LANE_STEP..].first_chunk().expect("marks are longer than the lanes"))
    }

    #[inline(always)]
    fn digits(self, bytes: u128) -> u32 {
        let [low, high] = [bytes as u64, (bytes >> 64) as u64];
        (gathered(word_marks(low).0) | gathered(word_marks(high).0) << 8) as u32
    }

    #[inline(always)]
    fn prefetch(self, _block: &[u8; BLOCK_BYTES]) {}
}

impl Lanes for u64 {
    const COUNT: usize = 1;

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        self & other
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        self | other
    }

    #[inline(always)]
    fn without(self, other: Self) -> Self {
        self & !other
    }

    #[inline(always)]
    fn ahead<const BYTES: i32>(self) -> Self {
        self >> BYTES
    }

    #[inline(always)]
    fn behind<const BYTES: i32>(self) -> Self {
        self << BYTES
    }

    #[inline(always)]
    fn enqueue<const LEN: usize>(self, lane: usize, queue: &mut Queue<LEN>) {
        queue.push(lane, self & STARTS);
    }
}

/// The marks of a text that is shorter than a block.
pub(super) fn short_marks(text: &[u8]) -> (u64, u64) {
    let (words, rest) = text.as_chunks();
    let (digits, tens) = marks_of_words(words);
    let last = rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    let last = word_marks(last);
    let at = 8 * words.len();
    match rest.is_empty() {
        true => (digits, tens),
        false => (digits | gathered(last.0) << at, tens | gathered(last.1) << at),
    }
}

#[inline(always)]
fn marks_of_words(words: &[[u8; 8]]) -> (u64, u64) {
    let (mut digits, mut tens) = (0, 0);
    for (number, word) in words.iter().enumerate() {
        let marks = word_marks(u64::from_le_bytes(*word));
        digits |= gathered(marks.0) << (8 * number);
        tens |= gathered(marks.1) << (8 * number);
    }
    (digits, tens)
}

/// The highest bit of each byte that is a digit, and of each that is `0` or `1`.
#[inline(always)]
fn word_marks(word: u64) -> (u64, u64) {
    let values = word ^ ZEROS;
    let low = values & LOW_BITS;
    // A sum reaches the highest bit of its byte where the value is ten or more, two or more.
    let not_digits = (low + each(0x80 - 10)) | values;
    let not_tens = (low + each(0x80 - 2)) | values;
    (!not_digits & HIGH_BITS, !not_tens & HIGH_BITS)
}

/// The highest bits of the eight bytes as one byte, the first byte's lowest.
#[inline(always)]
fn gathered(high_bits: u64) -> u64 {
    (high_bits >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}
