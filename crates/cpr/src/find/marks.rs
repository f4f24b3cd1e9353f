//! Which bytes of a piece of text are digits, and which are low: a bit for each byte.
//!
//! The second kind are what a month begins with, which refuses four of five runs of digits, and what stands in a date with
//! separators, which refuses times of day: both at the price of one comparison.

use core::ops::Range;

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
    low: [u8; LEN],
}

impl<const LEN: usize> Marks<LEN> {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self { digits: [0; LEN], low: [0; LEN] }
    }

    /// The marks of digits, the first byte of text in the lowest bit of the first byte.
    #[inline(always)]
    pub(super) fn digits(&self) -> &[u8; LEN] {
        &self.digits
    }

    /// The marks of low bytes.
    #[inline(always)]
    pub(super) fn low(&self) -> &[u8; LEN] {
        &self.low
    }

    /// Marks whole blocks from block number `at` on.
    ///
    /// # Panics
    /// Where there is no room for so many blocks.
    #[inline(always)]
    pub(super) fn fill<V: Vector>(&mut self, vector: V, blocks: &[[u8; BLOCK_BYTES]], at: usize) {
        let range = at * MARKS_BYTES..(at + blocks.len()) * MARKS_BYTES;
        let digits = self.digits[range.clone()].as_chunks_mut().0;
        let low = self.low[range].as_chunks_mut().0;
        for (block, (digits, low)) in blocks.iter().zip(digits.iter_mut().zip(low)) {
            vector.prefetch(block);
            let marks = vector.marks(block);
            *digits = marks.0.to_le_bytes();
            if V::HAS_LOW {
                *low = marks.1.to_le_bytes();
            }
        }
    }

    /// Marks the text from `start` on, and nothing behind its end.
    ///
    /// # Panics
    /// As [`Self::fill`]; where the text is shorter than a block.
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
            self.low[end..end + CLEAR_BYTES].fill(0);
        }
    }

    #[inline(always)]
    fn put(&mut self, range: Range<usize>, marks: (u64, u64)) {
        self.digits[range.clone()].copy_from_slice(&marks.0.to_le_bytes());
        self.low[range].copy_from_slice(&marks.1.to_le_bytes());
    }
}

/// The marks of the last bytes of a text, fewer than a block: of the block that ends there.
#[inline(always)]
fn last_marks<V: Vector>(vector: V, text: &[u8], bytes: usize) -> (u64, u64) {
    let block = text.last_chunk().expect("short texts go another way");
    let (digits, low) = vector.marks(block);
    (digits >> (BLOCK_BYTES - bytes), low >> (BLOCK_BYTES - bytes))
}
