//! Where a number may start, by the marks alone: many positions at once.

use super::vector::Lanes;

/// The starts in a few lanes: six digits, then four digits that end their run, either directly or behind one to three bytes of which the first is no digit.
///
/// More than the grammar allows, never less: separators, days and months are left to the proof, as is what stands
/// before the first start of a lane.
#[inline(always)]
pub(super) fn starts<L: Lanes, const FULL: bool>(digits: L) -> L {
    let two = digits.and(digits.ahead::<1>());
    let four = two.and(two.ahead::<2>());
    let six = four.and(two.ahead::<4>());
    let last_four = four.without(digits.ahead::<4>());
    let separated = last_four.ahead::<7>().or(last_four.ahead::<8>()).or(last_four.ahead::<9>());
    let serial = last_four.ahead::<6>().or(separated.without(digits.ahead::<6>()));
    let number = six.and(serial);
    if FULL {
        // An escape owns at most four of the digits before a number.
        number.without(four.behind::<4>().and(digits.behind::<5>()))
    } else {
        number.without(digits.behind::<1>())
    }
}
