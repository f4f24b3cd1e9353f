//! Which bytes of a piece of text are digits, and which are `0` or `1`: a bit for each byte.
//!
//! The second kind is what a month begins with. It refuses four of five runs of digits at the price of a comparison.

use core::ops::Range;

use super::portable;
use super::vector::Vector;

/// What is marked at once.
pub(super) const BLOCK_BYTES: usize = 64;

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

    /// Marks `text[range]`, and no byte behind it.
    ///
    /// # Panics
    /// Where there is no room for so many blocks.
    #[inline(always)]
    pub(super) fn fill<V: Vector>(&mut self, vector: V, text: &[u8], range: Range<usize>) {
        let (blocks, rest) = text[range.clone()].as_chunks::<BLOCK_BYTES>();
        let room = self.digits.chunks_exact_mut(8).zip(self.tens.chunks_exact_mut(8));
        for (block, (digits, tens)) in blocks.iter().zip(room) {
            vector.prefetch(block);
            let marks = vector.marks(block);
            digits.copy_from_slice(&marks.0.to_le_bytes());
            tens.copy_from_slice(&marks.1.to_le_bytes());
        }
        let mut end = 8 * blocks.len();
        if !rest.is_empty() {
            let marks = last_marks(vector, &text[..range.end], rest.len());
            self.digits[end..end + 8].copy_from_slice(&marks.0.to_le_bytes());
            self.tens[end..end + 8].copy_from_slice(&marks.1.to_le_bytes());
            end += 8;
        }
        self.digits[end..end + CLEAR_BYTES].fill(0);
        self.tens[end..end + CLEAR_BYTES].fill(0);
    }
}

/// The marks of the last bytes of a text, which are fewer than a block: of the block that ends there, where there is
/// one.
#[inline(always)]
fn last_marks<V: Vector>(vector: V, text: &[u8], bytes: usize) -> (u64, u64) {
    match text.last_chunk::<BLOCK_BYTES>() {
        Some(block) => {
            let (digits, tens) = vector.marks(block);
            (digits >> (BLOCK_BYTES - bytes), tens >> (BLOCK_BYTES - bytes))
        }
        None => portable::short_marks(text),
    }
}
