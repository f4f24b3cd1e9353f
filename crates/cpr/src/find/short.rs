//! Short texts, such as one value of a form: all marks stay in registers, since what is written to memory in words and
//! read in lanes waits for the memory.

use super::marks::{BLOCK_BYTES, last_marks};
use super::vector::{LANE_STARTS, STARTS, Vector};
use super::{Candidate, NUMBER_BYTES_MIN, proof, starts};

/// Lanes of a short text, one for each word of marks.
const LANES: usize = 4;

/// The longest text whose starts are in so many lanes.
pub(super) const SHORT_BYTES_MAX: usize = LANES * LANE_STARTS + NUMBER_BYTES_MIN - 1;

/// What [`super::search`] does, for texts of [`NUMBER_BYTES_MIN`] to [`SHORT_BYTES_MAX`] bytes.
#[inline(always)]
pub(super) fn search<V: Vector, const FULL: bool>(vector: V, text: &[u8], found: &mut dyn FnMut(Candidate)) {
    let (digits, tens) = words(vector, text);
    let mut starts = [0; LANES];
    for (number, starts) in starts.iter_mut().enumerate() {
        let digits = lane(&digits, number);
        let tens = if V::HAS_TENS { lane(&tens, number) } else { digits };
        *starts = starts::starts::<u64, FULL>(digits, tens) & STARTS;
    }
    if starts == [0; LANES] {
        return;
    }
    for (number, mut starts) in starts.into_iter().enumerate() {
        while starts != 0 {
            let at = number * LANE_STARTS + starts.trailing_zeros() as usize;
            proof::prove::<V, FULL>(vector, text, at, found);
            starts &= starts - 1;
        }
    }
}

/// The marks of digits, and those of `0` and `1`; zeros behind the end.
#[inline(always)]
fn words<V: Vector>(vector: V, text: &[u8]) -> ([u64; LANES + 1], [u64; LANES + 1]) {
    let (mut digits, mut tens) = ([0; LANES + 1], [0; LANES + 1]);
    for number in 0..LANES {
        let rest = text.get(number * BLOCK_BYTES..).unwrap_or_default();
        (digits[number], tens[number]) = match rest.first_chunk() {
            Some(block) => vector.marks(block),
            None if rest.is_empty() => (0, 0),
            None => last_marks(vector, text, rest.len()),
        };
    }
    (digits, tens)
}

/// The lane of that number.
#[inline(always)]
fn lane(words: &[u64; LANES + 1], number: usize) -> u64 {
    let (word, shift) = (number * LANE_STARTS / BLOCK_BYTES, number * LANE_STARTS % BLOCK_BYTES);
    let both = u128::from(words[word]) | u128::from(words[word + 1]) << BLOCK_BYTES;
    (both >> shift) as u64
}
