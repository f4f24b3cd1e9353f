//! The operations that differ from processor to processor.
//!
//! *Invariants.* Every operation is safe to call: a value of a [`Vector`] is the proof that this processor has what
//! the operations need, and [`super::Backend`] makes none without having asked.

use super::marks::BLOCK_BYTES;
use super::queue::Tail;
use super::starts::starts;

/// Starts that one lane decides: the bits 48 to 63 of its marks are what the last of them reaches.
pub(super) const LANE_STARTS: usize = 48;

/// Bytes of marks from one lane to the next.
pub(super) const LANE_STEP: usize = LANE_STARTS / 8;

/// The bits of a lane that are starts.
pub(super) const STARTS: u64 = (1 << LANE_STARTS) - 1;

/// The highest of the low bytes, all read as signed: one comparison marks them. Of digits they are those that a month begins
/// with; of others all that may stand between day, month and year, and the high bytes of digits in UTF-16, but no letter.
pub(super) const LOW_MAX: i8 = b'1'.cast_signed();

/// Lanes of a short text.
pub(super) const SHORT_LANES: usize = 4;

/// A kind of processor.
pub(super) trait Vector: Copy {
    /// Several words of marks.
    type Lanes: Lanes;

    /// Whether low bytes are marked. Where that costs more than what it spares the proof, they are not.
    const HAS_LOW: bool;

    /// A bit for each digit of a block, and a bit for each byte up to [`LOW_MAX`]; the first byte is the lowest bit.
    fn marks(self, block: &[u8; BLOCK_BYTES]) -> (u64, u64);

    /// The marks of `Lanes::COUNT` lanes from lane number `lane` on.
    ///
    /// # Panics
    /// Where the marks end before the last lane does.
    fn lanes(self, marks: &[u8], lane: usize) -> Self::Lanes;

    /// The starts of a few lanes whose marks are still in registers. They come one by one.
    #[inline(always)]
    fn starts<const FULL: bool>(
        self,
        digits: [u64; SHORT_LANES],
        low: [u64; SHORT_LANES],
    ) -> [u64; SHORT_LANES] {
        let mut found = [0; SHORT_LANES];
        for number in 0..SHORT_LANES {
            let low = if Self::HAS_LOW { Some(low[number]) } else { None };
            found[number] = starts::<u64, FULL>(digits[number], low) & STARTS;
        }
        found
    }

    /// A bit for each digit of sixteen bytes.
    fn digits(self, bytes: u128) -> u32;

    /// Asks for the bytes that are to be read soon behind `block`, where that helps.
    #[inline(always)]
    fn prefetch(self, _block: &[u8; BLOCK_BYTES]) {}
}

/// Words of 64 marks, each for itself.
pub(super) trait Lanes: Copy {
    /// How many.
    const COUNT: usize;

    /// What both have.
    fn and(self, other: Self) -> Self;

    /// What either has.
    fn or(self, other: Self) -> Self;

    /// What this has and `other` has not.
    fn without(self, other: Self) -> Self;

    /// For each position what stands `BYTES` further on in the text.
    fn ahead<const BYTES: i32>(self) -> Self;

    /// For each position what stands `BYTES` before it in the text.
    fn behind<const BYTES: i32>(self) -> Self;

    /// Queues the lanes that have starts; the first is lane number `lane` of the marks.
    fn enqueue(self, lane: usize, queue: &mut Tail<'_>);
}
