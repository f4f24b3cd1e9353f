//! One position: is there a number of the grammar, and how is it written?

use super::apart;
use super::portable::Portable;
use super::vector::Vector;
use crate::escape::escape_before;
use crate::wide::Order;
use crate::{Number, Shape, gate, separator};

/// Bytes that a number reaches at most: six digits, a separator, four digits, and what must not be a digit behind.
const REACH_BYTES: usize = 16;

/// Bits of the digits of a date.
const DATE: u32 = 0b11_1111;

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
    /// Where its digits are.
    pub layout: Layout,
}

/// Where the digits of a number are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// The first six bytes and the last four.
    Plain,
    /// Two pairs with a separator behind each, a pair, and the last four bytes.
    Dated,
    /// Every second byte, in UTF-16; the separator is one code unit or three.
    Wide(Order),
    /// Every second byte, in UTF-16, of two pairs with a code unit behind each, a pair, a separator, and four.
    WideDated(Order),
}

impl Layout {
    /// That of UTF-16; none in UTF-8.
    pub(crate) fn order(self) -> Option<Order> {
        match self {
            Self::Plain | Self::Dated => None,
            Self::Wide(order) | Self::WideDated(order) => Some(order),
        }
    }

    /// Where the digits are in UTF-8 that says the same.
    pub(crate) fn narrow(self) -> Self {
        match self {
            Self::Plain | Self::Wide(_) => Self::Plain,
            Self::Dated | Self::WideDated(_) => Self::Dated,
        }
    }
}

impl Candidate {
    /// Whether it may be a number of its own, or is in every reading a piece of something longer, such as an identifier.
    /// `text` is what it was found in, as it stands: a decoder may take any byte that is no letter or digit for the
    /// border of a value.
    pub fn may_stand_alone(&self, text: &[u8]) -> bool {
        self.layout != Layout::Plain || gate::may_stand_alone(text, self)
    }

    /// The digits in `text`, in which the candidate was found.
    pub(crate) fn number(&self, text: &[u8]) -> Number {
        let written = &text[self.start..self.end];
        let date = match self.layout {
            Layout::Plain => [0, 1, 2, 3, 4, 5],
            Layout::Dated => [0, 1, 3, 4, 6, 7],
            Layout::Wide(_) => [0, 2, 4, 6, 8, 10],
            Layout::WideDated(_) => [0, 2, 6, 8, 12, 14],
        };
        let step = if self.layout.order().is_some() { 2 } else { 1 };
        let mut digits = [0; 10];
        for (digit, at) in digits.iter_mut().zip(date) {
            *digit = written[at];
        }
        for (digit, byte) in digits[6..].iter_mut().rev().zip(written.iter().rev().step_by(step)) {
            *digit = *byte;
        }
        Number::new(digits)
    }
}

/// Reports the candidate that starts at `start`, where a digit stands, if there is one.
#[inline(always)]
pub(super) fn prove<V: Vector, const FULL: bool>(
    vector: V,
    text: &[u8],
    start: usize,
    found: &mut dyn FnMut(Candidate),
) {
    let bytes = reach(&text[start..]);
    let digits = vector.digits(bytes);
    if digits & DATE == DATE {
        if let Some(candidate) = behind_date::<FULL>(text, start, bytes, digits) {
            found(candidate);
        }
    } else if FULL && apart::may_start(bytes as u32) {
        apart::prove(text, start, found);
    }
}

/// The candidate of the plain form that starts at `start` in a short text.
pub(super) fn plain(text: &[u8], start: usize) -> Option<Candidate> {
    let bytes = reach(&text[start..]);
    let digits = Portable.digits(bytes);
    (digits & DATE == DATE).then(|| behind_date::<true>(text, start, bytes, digits))?
}

/// The candidate whose six first digits stand at `start`.
#[inline(always)]
fn behind_date<const FULL: bool>(text: &[u8], start: usize, bytes: u128, digits: u32) -> Option<Candidate> {
    if !is_left_open::<FULL>(text, start) || !is_date(bytes as u32) {
        return None;
    }
    let length = separator_length(digits)?;
    let shape = separator::of_length::<FULL>((bytes >> 48) as u32, length)?;
    Some(Candidate { start, end: start + 10 + length, shape, layout: Layout::Plain })
}

/// The first bytes of `rest`, the first lowest; zeros where it is shorter.
#[inline(always)]
fn reach(rest: &[u8]) -> u128 {
    match rest.first_chunk::<REACH_BYTES>() {
        Some(bytes) => u128::from_le_bytes(*bytes),
        None => rest.iter().rev().fold(0, |word, &byte| word << 8 | u128::from(byte)),
    }
}

/// Whether four digits, the first one lowest, are a day, or a replacement number's day, and a month.
#[inline(always)]
pub(super) fn is_date(digits: u32) -> bool {
    let values = digits & 0x0F0F_0F0F;
    let pairs = values * 10 + (values >> 8);
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
pub(super) fn is_left_open<const FULL: bool>(text: &[u8], start: usize) -> bool {
    match text[..start].last() {
        Some(byte) if byte.is_ascii_digit() => {
            FULL && may_be_escaped(&text[..start]) && is_escaped(text, start)
        }
        _ => true,
    }
}

/// Whether an escape ends at `start`.
#[cold]
#[inline(never)]
fn is_escaped(text: &[u8], start: usize) -> bool {
    escape_before(text, start).is_some()
}

/// Whether an escape can end here that ends with a digit, as `%HH`, `%25HH`, `\xHH` and `\uHHHH` do: reading it in full
/// costs more.
#[inline(always)]
fn may_be_escaped(before: &[u8]) -> bool {
    const OPENINGS: u64 = u64::from_le_bytes([0, 0, b'\\', b'%', b'\\', b'%', 0, 0]);
    const ELSEWHERE: u64 = u64::from_le_bytes([1, 1, 0, 0, 0, 0, 1, 1]);
    const LOWEST: u64 = u64::from_le_bytes([1; 8]);
    let Some(before) = before.last_chunk() else { return true };
    let others = (u64::from_le_bytes(*before) ^ OPENINGS) | ELSEWHERE;
    // The highest bit of each byte that is zero, and of some above such a one.
    others.wrapping_sub(LOWEST) & !others & LOWEST << 7 != 0
}
