//! The operations that differ from processor to processor.
//!
//! *Invariants.* Every operation is safe to call: a value of a [`Vector`] is the proof that this processor has what
//! the operations need, and [`super::Backend`] makes none without having asked.

use super::marks::BLOCK_BYTES;
use super::queue::Tail;

/// Starts that one lane decides: the bits 48 to 63 of its marks are what the last of them reaches.
pub(super) const LANE_STARTS: usize = 48;

/// Bytes of marks from one lane to the next.
pub(super) const LANE_STEP: usize = LANE_STARTS / 8;

/// The bits of a lane that are starts.
pub(super) const STARTS: u64 = (1 << LANE_STARTS) - 1;

/// A kind of processor.
pub(super) trait Vector: Copy {
    /// Several words of marks.
    type Lanes: Lanes;

    /// Whether marks tell which bytes are `0` or `1`. Where they cost more than what they spare the proof, they do not.
    const HAS_TENS: bool;

    /// A bit for each digit of a block, and a bit for each `0` and `1`; the first byte is the lowest bit.
    fn marks(self, block: &[u8; BLOCK_BYTES]) -> (u64, u64);

    /// The marks of `Lanes::COUNT` lanes from lane number `lane` on.
    ///
    /// # Panics
    /// Where the marks end before the last lane does.
    fn lanes(self, marks: &[u8], lane: usize) -> Self::Lanes;

    /// A bit for each digit of sixteen bytes.
    fn digits(self, bytes: u128) -> u32;

    /// Asks for the bytes that are to be read soon behind `block`, where that helps.
    fn prefetch(self, block: &[u8; BLOCK_BYTES]);
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
