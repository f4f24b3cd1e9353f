//! Short texts, such as one value of a form: all marks stay in registers, since what is written to memory in words and
//! read in lanes waits for the memory.

use super::marks::last_marks;
use super::vector::{LANE_STARTS, SHORT_LANES, Vector};
use super::{Candidate, NUMBER_BYTES_MIN, proof};

/// The longest text whose starts are in so many lanes.
pub(super) const SHORT_BYTES_MAX: usize = SHORT_LANES * LANE_STARTS + NUMBER_BYTES_MIN - 1;

/// What [`super::search`] does, for texts of [`NUMBER_BYTES_MIN`] to [`SHORT_BYTES_MAX`] bytes.
#[inline(always)]
pub(super) fn search<V: Vector, const FULL: bool>(vector: V, text: &[u8], found: &mut dyn FnMut(Candidate)) {
    let (mut digits, mut low) = ([0; SHORT_LANES], [0; SHORT_LANES]);
    for number in 0..SHORT_LANES {
        let rest = text.get(number * LANE_STARTS..).unwrap_or_default();
        (digits[number], low[number]) = lane(vector, rest, text);
    }
    let starts = vector.starts::<FULL>(digits, low);
    if starts == [0; SHORT_LANES] {
        return;
    }
    // Mostly one lane has starts: what has to be guessed is whether there is one more, and not which it is.
    let mut used = 0_u32;
    for (number, starts) in starts.iter().enumerate() {
        used |= u32::from(*starts != 0) << number;
    }
    while used != 0 {
        let number = used.trailing_zeros() as usize;
        let mut starts = starts[number % SHORT_LANES];
        while starts != 0 {
            let at = number * LANE_STARTS + starts.trailing_zeros() as usize;
            proof::prove::<V, FULL>(vector, text, at, found);
            starts &= starts - 1;
        }
        used &= used - 1;
    }
}

/// The marks of the lane that begins where `rest` does, the last bytes of `text`: zeros behind the end.
#[inline(always)]
fn lane<V: Vector>(vector: V, rest: &[u8], text: &[u8]) -> (u64, u64) {
    match rest.first_chunk() {
        Some(block) => vector.marks(block),
        None if rest.len() < NUMBER_BYTES_MIN => (0, 0),
        None => last_marks(vector, text, rest.len()),
    }
}
