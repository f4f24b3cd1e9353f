//! Finds every candidate of the written form in a text, near the speed of memory.
//!
//! ```text
//! text -> marks (which bytes are digits, which are low) -> starts (shifts and ands, many positions at once)
//!      -> queue (what is left, without a branch) -> proof (date, separator, boundaries, one by one) -> Candidate
//! ```
//!
//! A word of 64 marks decides 48 starts alone: no start is told by what is further than 15 bytes behind it, so nothing is
//! carried from word to word, and zeros behind the end of the text are no digits. What stands before the first of the
//! 48 is not known to the word; a start that it lets through for that reason is refused by the proof.
//!
//! Everything but the few operations of a [`vector::Vector`] is written once, for all kinds of processor.
//!
//! *Invariants.* Linear time, no allocation. The text is read in place; only around a start in UTF-16 a few code units
//! are copied, and zeroed again.
//!
//! *Limits.* [`CHUNK_BYTES`] of text are marked at a time.

mod apart;
mod backend;
mod marks;
mod portable;
mod proof;
mod queue;
mod sets;
mod short;
mod starts;
mod vector;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

pub use backend::Backend;
pub use proof::{Candidate, Layout};
pub use sets::{ByteSets, SETS, SetMarks, WORD_BYTES};

use core::ops::Range;

use marks::{BLOCK_BYTES, Marks};
use queue::Queue;
use short::SHORT_BYTES_MAX;
use vector::{LANE_STARTS, Lanes, Vector};

/// The shortest number.
const NUMBER_BYTES_MIN: usize = 10;

/// Starts that are looked at from one set of marks: whole blocks, and whole lanes of every backend.
const CHUNK_BYTES: usize = 1536;

/// Texts of up to this length are looked at in buffers that are cleared fast.
const MIDDLE_BYTES_MAX: usize = 17 * BLOCK_BYTES;

/// Which forms are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grammar {
    /// Six digits that name a day and a month, at most one separator, four digits; no digit on either side.
    Core,
    /// Core, and besides: tab, soft hyphen and minus sign as separators; digits before the number that an escape owns
    /// (`%22`, `\u0022`); dates with separators of one kind (`07.07.61-4285`); UTF-16 in either order.
    Full,
}

/// Reports every candidate in `text`, in rising order of `start`. Only days and months are looked at, not years: see
/// the calendar.
pub fn find(text: &[u8], grammar: Grammar, backend: Backend, found: &mut dyn FnMut(Candidate)) {
    match grammar {
        Grammar::Core => backend.search::<false>(text, found),
        Grammar::Full => backend.search::<true>(text, found),
    }
}

/// The search that every backend compiles for itself.
#[inline(always)]
fn search<V: Vector, const FULL: bool>(vector: V, text: &[u8], found: &mut dyn FnMut(Candidate)) {
    let length = text.len();
    if length > MIDDLE_BYTES_MAX {
        Search::<V, FULL, 264, 128>::new(vector, text).run(found);
    } else if length > SHORT_BYTES_MAX {
        Search::<V, FULL, 200, 40>::new(vector, text).run(found);
    } else if length >= NUMBER_BYTES_MIN {
        short::search::<V, FULL>(vector, text, found);
    }
}

/// One search: `MARKS` bytes of marks of each kind, and room for `QUEUE` lanes with starts.
struct Search<'t, V, const FULL: bool, const MARKS: usize, const QUEUE: usize> {
    vector: V,
    text: &'t [u8],
    marks: Marks<MARKS>,
    queue: Queue<QUEUE>,
}

impl<'t, V: Vector, const FULL: bool, const MARKS: usize, const QUEUE: usize>
    Search<'t, V, FULL, MARKS, QUEUE>
{
    /// Lanes that are looked at in one step, and the blocks that they are the starts of.
    const STEP_LANES: usize = if V::Lanes::COUNT > 4 { V::Lanes::COUNT } else { 4 };
    const STEP_BLOCKS: usize = Self::STEP_LANES * LANE_STARTS / BLOCK_BYTES;

    #[inline(always)]
    fn new(vector: V, text: &'t [u8]) -> Self {
        Self { vector, text, marks: Marks::new(), queue: Queue::new() }
    }

    #[inline(always)]
    fn run(mut self, found: &mut dyn FnMut(Candidate)) {
        let mut at = 0;
        while self.text.len() - at >= CHUNK_BYTES + BLOCK_BYTES {
            let blocks = self.text[at..at + CHUNK_BYTES + BLOCK_BYTES].as_chunks().0;
            self.chunk(blocks);
            if self.queue.is_nearly_full() {
                self.drain(found);
            }
            at += CHUNK_BYTES;
        }
        let left = self.text.len() - at;
        if left >= NUMBER_BYTES_MIN {
            self.marks.fill_last(self.vector, self.text, at);
            let lanes = (left - NUMBER_BYTES_MIN + 1).div_ceil(LANE_STARTS);
            let queued = self.starts(0..lanes, self.queue.len());
            self.queue.pass(lanes, queued);
        }
        self.drain(found);
    }

    /// Queues the starts of a whole chunk. Blocks are marked two steps ahead of the lanes that need them, so that the
    /// processor has both to do, and no lane waits for marks that are still on their way to memory.
    #[inline(always)]
    fn chunk(&mut self, blocks: &[[u8; BLOCK_BYTES]]) {
        let ahead = const { 2 * Self::STEP_BLOCKS + 1 };
        self.marks.fill(self.vector, &blocks[..ahead], 0);
        let mut at = ahead;
        let mut queued = self.queue.len();
        for step in 0..const { CHUNK_BYTES / LANE_STARTS / Self::STEP_LANES } {
            if let Some(next) = blocks.get(at..at + Self::STEP_BLOCKS) {
                self.marks.fill(self.vector, next, at);
                at += Self::STEP_BLOCKS;
            }
            queued = self.starts(step * Self::STEP_LANES..(step + 1) * Self::STEP_LANES, queued);
        }
        self.queue.pass(const { CHUNK_BYTES / LANE_STARTS }, queued);
    }

    /// Queues the starts of some lanes of the marks.
    #[inline(always)]
    fn starts(&mut self, lanes: Range<usize>, queued: usize) -> usize {
        let mut tail = self.queue.tail(queued);
        for lane in lanes.step_by(V::Lanes::COUNT) {
            let digits = self.vector.lanes(self.marks.digits(), lane);
            let low = if V::HAS_LOW { Some(self.vector.lanes(self.marks.low(), lane)) } else { None };
            starts::starts::<V::Lanes, FULL>(digits, low).enqueue(lane, &mut tail);
        }
        tail.len()
    }

    #[inline(always)]
    fn drain(&mut self, found: &mut dyn FnMut(Candidate)) {
        let (vector, text) = (self.vector, self.text);
        self.queue.drain(|at| proof::prove::<V, FULL>(vector, text, at, found));
    }
}
