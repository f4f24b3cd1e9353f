//! Short texts, such as one value of a form: all marks stay in registers, since what is written to memory in words and
//! read in lanes waits for the memory.

use super::marks::BLOCK_BYTES;
use super::portable;
use super::vector::{LANE_STARTS, SHORT_LANES, Vector};
use super::{Candidate, NUMBER_BYTES_MIN, proof};

/// The longest text whose starts are in so many lanes.
pub(super) const SHORT_BYTES_MAX: usize = SHORT_LANES * LANE_STARTS + NUMBER_BYTES_MIN - 1;

/// What [`super::search`] does, for texts of [`NUMBER_BYTES_MIN`] to [`SHORT_BYTES_MAX`] bytes.
#[inline(always)]
pub(super) fn search<V: Vector, const FULL: bool>(vector: V, text: &[u8], found: &mut dyn FnMut(Candidate)) {
    let (digits, low) = lanes(vector, text);
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

/// The marks of digits and those of low bytes in each lane. Behind the end of the text are no digits.
#[inline(always)]
fn lanes<V: Vector>(vector: V, text: &[u8]) -> ([u64; SHORT_LANES], [u64; SHORT_LANES]) {
    let (mut digits, mut low) = ([0; SHORT_LANES], [0; SHORT_LANES]);
    let Some(last) = text.len().checked_sub(BLOCK_BYTES) else {
        (digits[0], low[0]) = portable::short_marks(text);
        (digits[1], low[1]) = (digits[0] >> LANE_STARTS, low[0] >> LANE_STARTS);
        return (digits, low);
    };
    for number in 0..SHORT_LANES {
        let lane = number * LANE_STARTS;
        if lane + NUMBER_BYTES_MIN > text.len() {
            break;
        }
        // The last lanes are the end of the block that ends with the text.
        let at = lane.min(last);
        let marks = vector.marks(text[at..].first_chunk().expect("a block before the end"));
        (digits[number], low[number]) = (marks.0 >> (lane - at), marks.1 >> (lane - at));
    }
    (digits, low)
}
