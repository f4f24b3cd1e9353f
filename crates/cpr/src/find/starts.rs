//! Where a number may start, by the marks alone: many positions at once.

use super::vector::Lanes;

/// The starts in a few lanes. More than the grammar allows, never less: separators, days and months are left to the
/// proof, as is what stands before the first start of a lane. `tens` are the marks of `0` and `1`, or those of all
/// digits, which are more.
#[inline(always)]
pub(super) fn starts<L: Lanes, const FULL: bool>(digits: L, tens: L) -> L {
    let two = digits.and(digits.ahead::<1>());
    let four = two.and(two.ahead::<2>());
    let six = four.and(two.ahead::<4>());
    // Four digits that end their run: directly behind the six, or one to three bytes on, the first of them no digit.
    let last_four = four.without(digits.ahead::<4>());
    let separated = last_four.ahead::<7>().or(last_four.ahead::<8>()).or(last_four.ahead::<9>());
    let serial = last_four.ahead::<6>().or(separated.without(digits.ahead::<6>()));
    let number = six.and(serial).and(tens.ahead::<2>());
    if !FULL {
        return number.without(digits.behind::<1>());
    }
    // An escape owns at most four of the digits before a number.
    let number = number.without(four.behind::<4>().and(digits.behind::<5>()));
    number.or(dated(digits, two, separated, tens)).or(wide(digits, tens))
}

/// Pairs of digits, two of them ending their run, and the same serial two bytes further on.
#[inline(always)]
fn dated<L: Lanes>(digits: L, two: L, separated: L, tens: L) -> L {
    let pair = two.without(digits.ahead::<2>());
    let date = pair.and(pair.ahead::<3>()).and(two.ahead::<6>());
    date.and(separated.ahead::<2>()).and(tens.ahead::<3>())
}

/// Every second byte a digit: four times, or three pairs with something between that is as wide.
#[inline(always)]
fn wide<L: Lanes>(digits: L, tens: L) -> L {
    let alone = digits.without(digits.ahead::<1>());
    let two = alone.and(alone.ahead::<2>());
    let four = two.ahead::<4>().and(tens.ahead::<4>());
    let dated = two.ahead::<6>().and(two.ahead::<12>()).and(tens.ahead::<6>());
    two.and(four.or(dated))
}
