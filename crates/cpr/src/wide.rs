//! UTF-16: code units around a number, as UTF-8.
//!
//! What stands before a number may be no UTF-16 at all, such as the length of a string in a database's protocol. Pairs
//! of such bytes mostly read as characters of far scripts; from [`FOREIGN`] on all are one that is no letter.
//!
//! *Limits.* 40 units before a number are read, as many as a field's text has bytes, and 12 behind it.

use core::ops::Range;

use zeroize::Zeroize;

use crate::context::FIELD_BYTES_MAX;
use crate::find::Candidate;
use crate::separator;

/// The first code unit that is not read: behind it are the scripts of East Asia, and surrogates.
const FOREIGN: u16 = 0x2E80;

/// Units of a number at most.
const NUMBER_UNITS_MAX: usize = 12 + separator::BYTES_MAX;

/// Units behind a number that the gate may read: an escape and a character.
const BEHIND_UNITS: usize = 12;

const UNITS_MAX: usize = FIELD_BYTES_MAX + NUMBER_UNITS_MAX + BEHIND_UNITS;

/// Which byte of a code unit comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// The low one.
    Little,
    /// The high one.
    Big,
}

/// Code units in a text. Unit 0 has its low byte at `first`.
#[derive(Clone, Copy)]
pub(crate) struct Units<'t> {
    pub text: &'t [u8],
    pub order: Order,
    pub first: usize,
}

impl Units<'_> {
    /// The character of a unit. Where the text begins or ends within the unit, its high byte counts as zero.
    fn character(&self, number: isize) -> Option<char> {
        let low = self.first.checked_add_signed(2 * number)?;
        let high = match self.order {
            Order::Little => Some(low + 1),
            Order::Big => low.checked_sub(1),
        };
        let high = high.and_then(|high| self.text.get(high)).copied().unwrap_or(0);
        let unit = u16::from_be_bytes([high, *self.text.get(low)?]);
        let known = Some(unit).filter(|unit| *unit < FOREIGN);
        Some(known.and_then(|unit| char::from_u32(unit.into())).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// As many units as the text has of `before` before unit 0 and of `from` from unit 0 on.
    pub(crate) fn narrow(&self, before: usize, from: usize) -> Narrow {
        let number = |count: usize| isize::try_from(count).expect("a narrow piece has few units");
        let mut narrow = Narrow { bytes: [0; _], len: 0, start: 0 };
        let earlier = (-number(before)..0).filter_map(|number| self.character(number));
        earlier.for_each(|character| narrow.push(character));
        narrow.start = narrow.len;
        let later = (0..number(from)).map_while(|number| self.character(number));
        later.for_each(|character| narrow.push(character));
        narrow
    }
}

/// A short piece of text in UTF-8, zeroed on drop.
pub(crate) struct Narrow {
    bytes: [u8; 3 * UNITS_MAX],
    len: usize,
    start: usize,
}

impl Narrow {
    /// What stands around a candidate in UTF-16, and the candidate in it. Nothing for one in UTF-8.
    pub(crate) fn around(text: &[u8], candidate: &Candidate) -> Option<(Self, Candidate)> {
        let order = candidate.layout.order()?;
        let units = Units { text, order, first: candidate.start };
        let digits = (candidate.end - candidate.start).div_ceil(2);
        let narrow = units.narrow(FIELD_BYTES_MAX, digits + BEHIND_UNITS);
        let (start, end) = (narrow.start, narrow.start + units.narrow(0, digits).len);
        Some((narrow, Candidate { start, end, shape: candidate.shape, layout: candidate.layout.narrow() }))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Where unit 0 begins.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// How many units a range of bytes is.
    pub(crate) fn units(&self, range: Range<usize>) -> usize {
        self.bytes[range].iter().filter(|&&byte| !(0x80..0xC0).contains(&byte)).count()
    }

    fn push(&mut self, character: char) {
        self.len += character.encode_utf8(&mut self.bytes[self.len..]).len();
    }
}

impl Drop for Narrow {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}
