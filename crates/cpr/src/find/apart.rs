//! Numbers whose date is not six digits in a row: with separators inside the date, and in UTF-16.

use super::proof::{Candidate, Layout, is_date, is_left_open, plain};
use crate::wide::{Order, Units};
use crate::{Shape, separator};

/// What may stand between day, month and year, twice the same.
const DATE_SEPARATORS: &[u8] = b".-/ ";

/// Bytes of a date with separators.
const DATED_BYTES: usize = 8;

/// Code units of a number in UTF-16 at most, and one behind it.
const UNITS_MAX: usize = DATED_BYTES + separator::BYTES_MAX + 4 + 1;

/// Code units before a number that matter: an escape that ends with a digit, such as `\u0022`, or a row.
const BEFORE_UNITS: usize = 6;

/// Whether the first four bytes, the first one lowest, can be those of such a number: told before anything is called,
/// since times of day and lists of small numbers come here too.
#[inline(always)]
pub(super) fn may_start(bytes: u32) -> bool {
    let [_, second, third, _] = bytes.to_le_bytes();
    second == 0 || DATE_SEPARATORS.contains(&third)
}

/// Reports the candidate that starts at `start`, if there is one.
#[cold]
#[inline(never)]
pub(super) fn prove(text: &[u8], start: usize, found: &mut dyn FnMut(Candidate)) {
    let candidate = match text.get(start + 1) {
        // The high byte of this digit, or of the next.
        Some(0) => wide(text, start, Order::Little).or_else(|| wide(text, start, Order::Big)),
        _ => dated(text, start),
    };
    candidate.into_iter().for_each(found);
}

/// `07.07.61-4285`: day, month and year apart, then a separator of any kind, then four digits that end their run.
///
/// A row that has begun before is no date: `45 07 07 61 4285`.
fn dated(text: &[u8], start: usize) -> Option<Candidate> {
    let &[d, a, first, m, o, second, y, e] = text[start..].first_chunk::<DATED_BYTES>()?;
    let digits = [d, a, m, o, y, e];
    let is_date = digits.iter().all(u8::is_ascii_digit) && is_date(u32::from_le_bytes([d, a, m, o]));
    let is_row = matches!(text[..start], [.., digit, last] if last == first && digit.is_ascii_digit());
    if !is_date
        || first != second
        || !DATE_SEPARATORS.contains(&first)
        || is_row
        || !is_left_open::<true>(text, start)
    {
        return None;
    }
    let (length, _) = separator::at(text, start + DATED_BYTES)?;
    let serial = start + DATED_BYTES + length;
    let is_serial = text.get(serial..serial + 4)?.iter().all(u8::is_ascii_digit);
    let goes_on = text.get(serial + 4).is_some_and(u8::is_ascii_digit);
    (is_serial && !goes_on).then_some(Candidate {
        start,
        end: serial + 4,
        shape: Shape::Dated,
        layout: Layout::Dated,
    })
}

/// A number in UTF-16, whose first digit has its value in the byte at `start`.
fn wide(text: &[u8], start: usize, order: Order) -> Option<Candidate> {
    let units = Units { text, order, first: start };
    let narrow = units.narrow(BEFORE_UNITS, UNITS_MAX);
    let (text, first) = (narrow.bytes(), narrow.start());
    let found = plain(text, first).or_else(|| dated(text, first))?;
    let layout = match found.layout {
        Layout::Dated => Layout::WideDated(order),
        _ => Layout::Wide(order),
    };
    let end = start + 2 * narrow.units(first..found.end) - 1;
    Some(Candidate { start, end, shape: found.shape, layout })
}
