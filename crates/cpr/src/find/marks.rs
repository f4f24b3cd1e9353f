//! Which bytes of a piece of text are digits, and which are `0` or `1`: a bit for each byte.
//!
//! The second kind is what a month begins with. It refuses four of five runs of digits at the price of a comparison.

use core::ops::Range;

use super::portable;
use super::vector::Vector;

/// What is marked at once.
pub(super) const BLOCK_BYTES: usize = 64;

/// Bytes of marks of a block.
const MARKS_BYTES: usize = BLOCK_BYTES / 8;

/// Bytes without marks behind the last block: more than any backend loads beyond the last lane.
pub(super) const CLEAR_BYTES: usize = 64;

/// Marks of up to `(LEN - CLEAR_BYTES) / 8` blocks.
pub(super) struct Marks<const LEN: usize> {
    digits: [u8; LEN],
    tens: [u8; LEN],
}

impl<const LEN: usize> Marks<LEN> {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self { digits: [0; LEN], tens: [0; LEN] }
    }

    /// The marks of digits, the first byte of text in the lowest bit of the first byte.
    #[inline(always)]
    pub(super) fn digits(&self) -> &[u8; LEN] {
        &self.digits
    }

    /// The marks of `0` and `1`.
    #[inline(always)]
    pub(super) fn tens(&self) -> &[u8; LEN] {
        &self.tens
    }

    /// Marks whole blocks from block number `at` on.
    ///
    /// # Panics
    /// Where there is no room for so many blocks.
    #[inline(always)]
    pub(super) fn fill<V: Vector>(&mut self, vector: V, blocks: &[[u8; BLOCK_BYTES]], at: usize) {
        let range = at * MARKS_BYTES..(at + blocks.len()) * MARKS_BYTES;
        let digits = self.digits[range.clone()].as_chunks_mut().0;
        let tens = self.tens[range].as_chunks_mut().0;
        for (block, (digits, tens)) in blocks.iter().zip(digits.iter_mut().zip(tens)) {
            vector.prefetch(block);
            let marks = vector.marks(block);
            *digits = marks.0.to_le_bytes();
            if V::HAS_TENS {
                *tens = marks.1.to_le_bytes();
            }
        }
    }

    /// Marks the text from `start` on, and nothing behind its end.
    ///
    /// # Panics
    /// As [`Self::fill`].
    #[inline(always)]
    pub(super) fn fill_last<V: Vector>(&mut self, vector: V, text: &[u8], start: usize) {
        let (blocks, rest) = text[start..].as_chunks();
        self.fill(vector, blocks, 0);
        let mut end = blocks.len() * MARKS_BYTES;
        if !rest.is_empty() {
            let marks = last_marks(vector, text, rest.len());
            self.put(end..end + MARKS_BYTES, marks);
            end += MARKS_BYTES;
        }
        if start > 0 {
            self.digits[end..end + CLEAR_BYTES].fill(0);
            self.tens[end..end + CLEAR_BYTES].fill(0);
        }
    }

    #[inline(always)]
    fn put(&mut self, range: Range<usize>, marks: (u64, u64)) {
        self.digits[range.clone()].copy_from_slice(&marks.0.to_le_bytes());
        self.tens[range].copy_from_slice(&marks.1.to_le_bytes());
    }
}

/// The marks of the last bytes of a text, which are fewer than a block: of the block that ends there, where there is
/// one. A text shorter than that has its tens left to the proof.
#[inline(always)]
pub(super) fn last_marks<V: Vector>(vector: V, text: &[u8], bytes: usize) -> (u64, u64) {
    match text.last_chunk() {
        Some(block) => {
            let (digits, tens) = vector.marks(block);
            (digits >> (BLOCK_BYTES - bytes), tens >> (BLOCK_BYTES - bytes))
        }
        None => (portable::short_digits(text), u64::MAX),
    }
}
