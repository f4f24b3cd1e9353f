//! One position: is there a number of the grammar, and how is it written?

use super::vector::Vector;
use crate::escape::escape_before;
use crate::{Number, Shape, separator};

/// Bytes that a number reaches at most: six digits, a separator, four digits, and what must not be a digit behind.
const REACH_BYTES: usize = 16;

/// What a replacement number adds to the day.
const REPLACEMENT_DAY_OFFSET: u8 = 60;

/// Where a number of the grammar stands, and how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Byte offset of the first digit.
    pub start: usize,
    /// Byte offset after the last digit.
    pub end: usize,
    /// How it is written.
    pub shape: Shape,
}

impl Candidate {
    /// The digits in `text`, in which the candidate was found.
    pub(crate) fn number(&self, text: &[u8]) -> Number {
        let mut digits = [0; 10];
        digits[..6].copy_from_slice(&text[self.start..self.start + 6]);
        digits[6..].copy_from_slice(&text[self.end - 4..self.end]);
        Number::new(digits)
    }
}

/// The candidate that starts at `start`, where six digits stand that end no later than the text.
#[inline(always)]
pub(super) fn prove<V: Vector, const FULL: bool>(vector: V, text: &[u8], start: usize) -> Option<Candidate> {
    let bytes = reach(&text[start..]);
    let digits = vector.digits(bytes);
    if !is_date(bytes as u64) || !is_left_open::<FULL>(text, start) {
        return None;
    }
    let length = separator_length(digits)?;
    let shape = separator::of_length::<FULL>((bytes >> 48) as u32, length)?;
    Some(Candidate { start, end: start + 10 + length, shape })
}

/// The first bytes of `rest`, the first lowest; zeros where it is shorter.
#[inline(always)]
fn reach(rest: &[u8]) -> u128 {
    match rest.first_chunk::<REACH_BYTES>() {
        Some(bytes) => u128::from_le_bytes(*bytes),
        None => rest.iter().rev().fold(0, |word, &byte| word << 8 | u128::from(byte)),
    }
}

/// Whether the first four of six digits are a day, or a replacement number's day, and a month.
#[inline(always)]
fn is_date(digits: u64) -> bool {
    let values = digits & 0x0F0F_0F0F;
    let pairs = values.wrapping_mul(10) + (values >> 8);
    let (day, month) = (pairs as u8, (pairs >> 16) as u8);
    let is_day = day.wrapping_sub(1) < 31 || day.wrapping_sub(REPLACEMENT_DAY_OFFSET + 1) < 31;
    is_day & (month.wrapping_sub(1) < 12)
}

/// How many bytes stand between the six digits and four more that end their run.
#[inline(always)]
fn separator_length(digits: u32) -> Option<usize> {
    let rest = digits >> 6;
    let four = rest & rest >> 1 & rest >> 2 & rest >> 3 & !(rest >> 4);
    let length = four.trailing_zeros() as usize;
    (length <= separator::BYTES_MAX).then_some(length)
}

/// Whether no digit stands before `start` that could belong to the number.
#[inline(always)]
fn is_left_open<const FULL: bool>(text: &[u8], start: usize) -> bool {
    match text[..start].last() {
        Some(byte) if byte.is_ascii_digit() => FULL && escape_before(text, start).is_some(),
        _ => true,
    }
}
