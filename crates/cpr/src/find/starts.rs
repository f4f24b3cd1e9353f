//! Where a number may start, by the marks alone: many positions at once.
//!
//! Shifts are what this costs: a processor that has 512 bits shifts them in one place alone, and does everything else in
//! two. Hence each form is told by as few of them as refuse nearly everything, and forms share what they can.

use super::vector::Lanes;

/// The starts in a few lanes. More than the grammar allows, never less: most separators, days and months are left to the
/// proof, as is what stands before the first start of a lane. `low` are the marks of low bytes, where there are any.
#[inline(always)]
pub(super) fn starts<L: Lanes, const FULL: bool>(digits: L, low: Option<L>) -> L {
    let next = digits.ahead::<1>();
    let two = digits.and(next);
    let second_two = two.ahead::<2>();
    let four = two.and(second_two);
    let fifth = digits.ahead::<4>();
    // Four digits that end their run: at once, or one to three bytes on, the first of them no digit.
    let last_four = four.without(fifth);
    let separated = last_four.ahead::<1>().or(last_four.ahead::<2>()).or(last_four.ahead::<3>());
    let separated = separated.without(digits);
    let serial = last_four.or(separated);
    let number = two.and(is_low(two, low).and(two.and(serial.ahead::<2>()).ahead::<2>()).ahead::<2>());
    if !FULL {
        return number.without(digits.behind::<1>());
    }
    let number = number.without(owned_by_none(digits, next, two, second_two.and(fifth), low));
    let last = last(digits, next, low);
    number.or(dated(digits, low, last, separated)).or(wide(low, next, last))
}

/// Digits that end their run, before a low byte where these are marked.
#[inline(always)]
fn last<L: Lanes>(digits: L, next: L, low: Option<L>) -> L {
    let last = digits.without(next);
    match low {
        Some(low) => last.and(low.ahead::<1>()),
        None => last,
    }
}

/// Before which starts there are digits that no escape owns: it owns four at most. Punctuation, which is low, tells more: it
/// is no hexadecimal digit, so no escape owns a single digit behind it; and three digits are owned only in `\uHHHH`, where it
/// does not stand five bytes before the start, as it does in `"ms":1234...`.
///
/// `later` are two digits two bytes on, and one behind them.
#[inline(always)]
fn owned_by_none<L: Lanes>(digits: L, next: L, two: L, later: L, low: Option<L>) -> L {
    let Some(low) = low else { return two.and(later).behind::<5>() };
    let punctuation = low.without(digits);
    let many = later.and(two.or(punctuation.without(next)));
    many.behind::<3>().or(punctuation.and(next)).behind::<2>()
}

/// Of some digits those that a month may begin with.
#[inline(always)]
fn is_low<L: Lanes>(digits: L, low: Option<L>) -> L {
    match low {
        Some(low) => digits.and(low),
        None => digits,
    }
}

/// Two pairs of digits, each ending its run, and the serial behind a third.
#[inline(always)]
fn dated<L: Lanes>(digits: L, low: Option<L>, last: L, separated: L) -> L {
    let pair = digits.and(last.ahead::<1>());
    pair.and(is_low(pair, low).and(separated.ahead::<5>()).ahead::<3>())
}

/// Every second byte a digit: four times, or in pairs with something between that is as wide. Where low bytes are marked, one
/// look tells both: in the place of the third digit is what a month begins with, or what stands in a date. `next` are the
/// places before a digit.
#[inline(always)]
fn wide<L: Lanes>(low: Option<L>, next: L, last: L) -> L {
    let later = last.ahead::<2>();
    let two = last.and(later);
    match low {
        Some(low) => two.and(later.and(low).without(next).ahead::<4>()),
        None => two.and(two.ahead::<4>().or(two.ahead::<6>())),
    }
}
