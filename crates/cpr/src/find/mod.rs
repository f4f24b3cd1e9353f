//! Finds every candidate of the written form in a text, near the speed of memory.
//!
//! ```text
//! text -> marks (which bytes are digits, which are 0 or 1) -> starts (shifts and ands, many positions at once)
//!      -> queue (what is left, without a branch) -> proof (date, separator, boundaries, one by one) -> Candidate
//! ```
//!
//! A word of 64 marks decides 48 starts alone: no number reaches further than 15 bytes behind its start, so nothing is
//! carried from word to word, and zeros behind the end of the text are no digits. What stands before the first of the
//! 48 is not known to the word; a start that it lets through for that reason is refused by the proof.
//!
//! Everything but the few operations of a [`vector::Vector`] is written once, for all kinds of processor.
//!
//! *Invariants.* Linear time, no allocation. The text is read in place: no byte of it is copied.
//!
//! *Limits.* [`CHUNK_BYTES`] of text are marked at a time.

mod backend;
mod marks;
mod portable;
mod proof;
mod queue;
mod starts;
mod vector;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

pub use backend::Backend;
pub use proof::Candidate;

use marks::{BLOCK_BYTES, Marks};
use queue::Queue;
use vector::{LANE_STARTS, Lanes, Vector};

/// The shortest number.
const NUMBER_BYTES_MIN: usize = 10;

/// Starts that are looked at from one set of marks: whole blocks, and whole lanes of every backend.
const CHUNK_BYTES: usize = 1536;

/// Texts of up to this length are looked at in small buffers, which are cleared faster.
const SHORT_BYTES_MAX: usize = 320;

/// Which forms are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grammar {
    /// Six digits that name a day and a month, at most one separator, four digits; no digit on either side.
    Core,
    /// Core; besides, tab, soft hyphen and minus sign as separators, and digits before the number that
    /// an escape owns (`%22`, `\u0022`).
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
    match text.len() {
        0..NUMBER_BYTES_MIN => {}
        NUMBER_BYTES_MIN..=SHORT_BYTES_MAX => Search::<V, FULL, 104, 16>::new(vector, text).run(found),
        _ => Search::<V, FULL, 264, 128>::new(vector, text).run(found),
    }
}

/// One search: `MARKS` bytes of marks of each kind, and room for `QUEUE` lanes with starts.
struct Search<'t, V, const FULL: bool, const MARKS: usize, const QUEUE: usize> {
    vector: V,
    text: &'t [u8],
    marks: Marks<MARKS>,
    queue: Queue<QUEUE>,
}

impl<'t, V: Vector, const FULL: bool, const MARKS: usize, const QUEUE: usize> Search<'t, V, FULL, MARKS, QUEUE> {
    #[inline(always)]
    fn new(vector: V, text: &'t [u8]) -> Self {
        Self { vector, text, marks: Marks::new(), queue: Queue::new() }
    }

    #[inline(always)]
    fn run(mut self, found: &mut dyn FnMut(Candidate)) {
        let mut at = 0;
        while self.text.len() - at >= CHUNK_BYTES + BLOCK_BYTES {
            self.marks.fill(self.vector, self.text, at..at + CHUNK_BYTES + BLOCK_BYTES);
            self.starts(const { CHUNK_BYTES / LANE_STARTS });
            if self.queue.is_nearly_full() {
                self.drain(found);
            }
            at += CHUNK_BYTES;
        }
        let left = self.text.len() - at;
        if left >= NUMBER_BYTES_MIN {
            self.marks.fill(self.vector, self.text, at..self.text.len());
            self.starts((left - NUMBER_BYTES_MIN + 1).div_ceil(LANE_STARTS));
        }
        self.drain(found);
    }

    /// Queues the starts of the first lanes of the marks.
    #[inline(always)]
    fn starts(&mut self, lanes: usize) {
        let mut at = 0;
        while at < lanes {
            let digits = self.vector.lanes(self.marks.digits(), at);
            let tens = self.vector.lanes(self.marks.tens(), at);
            starts::starts::<V::Lanes, FULL>(digits, tens).enqueue(at, &mut self.queue);
            at += V::Lanes::COUNT;
        }
        self.queue.pass(lanes);
    }

    #[inline(always)]
    fn drain(&mut self, found: &mut dyn FnMut(Candidate)) {
        let (vector, text) = (self.vector, self.text);
        self.queue.drain(|at| {
            if let Some(candidate) = proof::prove::<V, FULL>(vector, text, at) {
                found(candidate);
            }
        });
    }
}
