//! The backend that every processor has: eight bytes at a time in a word.

use super::marks::BLOCK_BYTES;
use super::queue::Tail;
use super::vector::{LANE_STEP, LOW_MAX, Lanes, STARTS, Vector};

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
    const HAS_LOW: bool = false;

    #[inline(always)]
    fn marks(self, block: &[u8; BLOCK_BYTES]) -> (u64, u64) {
        (marks_of_words(block.as_chunks().0), 0)
    }

    #[inline(always)]
    fn lanes(self, marks: &[u8], lane: usize) -> u64 {
        u64::from_le_bytes(*marks[lane * LANE_STEP..].first_chunk().expect("marks are longer than the lanes"))
    }

    #[inline(always)]
    fn digits(self, bytes: u128) -> u32 {
        let [low, high] = [bytes as u64, (bytes >> 64) as u64];
        (gathered(word_digits(low)) | gathered(word_digits(high)) << 8) as u32
    }

    /// An operation that every processor of the kind has; Miri has it not.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    #[inline(always)]
    fn prefetch(self, block: &[u8; BLOCK_BYTES]) {
        super::avx2::prefetch(block);
    }
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
    fn enqueue(self, lane: usize, queue: &mut Tail<'_>) {
        queue.push(lane, self & STARTS);
    }
}

/// The digits of a text that is shorter than a block, and its low bytes, a bit for each. Behind the end are no digits.
pub(super) fn short_marks(text: &[u8]) -> (u64, u64) {
    let (words, rest) = text.as_chunks();
    let last = rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    let (mut digits, mut low) = (0, 0);
    for (number, word) in words.iter().map(|word| u64::from_le_bytes(*word)).chain([last]).enumerate() {
        digits |= gathered(word_digits(word)) << (8 * number);
        low |= gathered(word_low(word)) << (8 * number);
    }
    (digits, low)
}

#[inline(always)]
fn marks_of_words(words: &[[u8; 8]]) -> u64 {
    let mut digits = 0;
    for (number, word) in words.iter().enumerate() {
        digits |= gathered(word_digits(u64::from_le_bytes(*word))) << (8 * number);
    }
    digits
}

/// The highest bit of each byte that is a digit.
#[inline(always)]
fn word_digits(word: u64) -> u64 {
    let values = word ^ ZEROS;
    // The sum reaches the highest bit of its byte where the value is ten or more.
    let others = ((values & LOW_BITS) + each(0x80 - 10)) | values;
    !others & HIGH_BITS
}

/// The highest bit of each byte that is at most [`LOW_MAX`], read as signed.
#[inline(always)]
fn word_low(word: u64) -> u64 {
    // The sum reaches the highest bit of its byte where the lower bits are more.
    let others = (word & LOW_BITS) + each(0x7F - LOW_MAX.cast_unsigned());
    (!others | word) & HIGH_BITS
}

/// The highest bits of the eight bytes as one byte, the first byte's lowest.
#[inline(always)]
fn gathered(high_bits: u64) -> u64 {
    (high_bits >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}
