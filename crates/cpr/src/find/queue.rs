//! Lanes that have starts, waiting to be looked at: so that how many there are costs no branch in the loop that finds
//! them.
//!
//! *Limits.* An entry has 16 bits for the number of its lane, counted from the last time that the queue was empty.

use super::vector::{LANE_STARTS, STARTS};

/// Most lanes that are queued between two looks at how full it is, and what a backend may write behind them.
const CHUNK_LANES_MAX: usize = 48;

/// Lanes that an entry can tell apart.
const NUMBERS: usize = 1 << (64 - LANE_STARTS);

/// Up to `LEN` lanes, in the order of the text.
pub(super) struct Queue<const LEN: usize> {
    /// Starts in the lowest 48 bits, above them the number of the lane.
    entries: [u64; LEN],
    len: usize,
    /// Where in the text lane 0 begins.
    base: usize,
    /// The number of the first lane of the marks that are looked at now.
    lane: usize,
}

impl<const LEN: usize> Queue<LEN> {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self { entries: [0; LEN], len: 0, base: 0, lane: 0 }
    }

    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Where the next entries go, `len` being there.
    #[inline(always)]
    pub(super) fn tail(&mut self, len: usize) -> Tail<'_> {
        Tail { len, lane: self.lane, entries: &mut self.entries }
    }

    /// The marks of so many lanes are done with; there are so many entries now.
    #[inline(always)]
    pub(super) fn pass(&mut self, lanes: usize, len: usize) {
        self.lane += lanes;
        self.len = len;
    }

    /// Whether the lanes of one more set of marks may find no room, or no number.
    #[inline(always)]
    pub(super) fn is_nearly_full(&self) -> bool {
        self.len + 2 * CHUNK_LANES_MAX > LEN || self.lane + 2 * CHUNK_LANES_MAX > NUMBERS
    }

    /// Hands out every start, in order, and is empty.
    #[inline(always)]
    pub(super) fn drain(&mut self, mut start: impl FnMut(usize)) {
        for &entry in &self.entries[..self.len] {
            let lane_at = self.base + (entry >> LANE_STARTS) as usize * LANE_STARTS;
            let mut starts = entry & STARTS;
            while starts != 0 {
                start(lane_at + starts.trailing_zeros() as usize);
                starts &= starts - 1;
            }
        }
        self.len = 0;
        self.base += self.lane * LANE_STARTS;
        self.lane = 0;
    }
}

/// The end of a queue, apart from it: so that its length can stay in a register while entries are written.
pub(super) struct Tail<'q> {
    entries: &'q mut [u64],
    len: usize,
    lane: usize,
}

impl Tail<'_> {
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// What an entry for this lane of the marks has in its upper bits.
    #[inline(always)]
    pub(super) fn number(&self, lane: usize) -> u64 {
        ((self.lane + lane) as u64) << LANE_STARTS
    }

    /// Takes in one lane; without starts it is overwritten by the next.
    #[inline(always)]
    pub(super) fn push(&mut self, lane: usize, starts: u64) {
        self.entries[self.len] = self.number(lane) | starts;
        self.len += usize::from(starts != 0);
    }

    /// Room for several entries at once, of which the first `used` stay.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn extend<const COUNT: usize>(&mut self, used: usize) -> &mut [u64; COUNT] {
        let at = self.len;
        self.len += used;
        self.entries[at..].first_chunk_mut().expect("room behind the fullest queue")
    }
}
