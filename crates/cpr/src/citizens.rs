//! A seeded source of fictitious citizens, for tests and the demo.
//!
//! *Invariants.* Every number is an adult's (18 to 90 years throughout the given year), passes modulus 11, has no
//! test serial and comes once. The same seed gives the same numbers for ever: they are made at run time, so that
//! none is written down anywhere. Some will be those of living people by chance: never publish them.

use core::ops::RangeInclusive;

use crate::Number;
use crate::calendar::{Date, birth_year};
use crate::checksum::{is_test_serial, remainder};

/// The year that ages relate to unless another is given.
const YEAR: i64 = 2026;

/// Birth years of people who are 18 to 90 years old throughout a year, as years before it.
const AGES: RangeInclusive<i64> = 19..=90;

/// The days of those birth years and, for each day, the first three digits of the serial: fewer than 2^26 pairs.
const HALF_BITS: u32 = 13;
const PAIRS: u32 = 1 << (2 * HALF_BITS);

/// Fictitious citizens, millions of them, in an order that the seed decides.
pub struct Citizens {
    seed: u64,
    first_day: i64,
    last_day: i64,
    next: u32,
}

impl Citizens {
    /// Citizens who are adults in 2026.
    pub fn new(seed: u64) -> Self {
        Self::in_year(seed, YEAR)
    }

    /// Citizens who are adults in `year`, which is between 1980 and 2060.
    pub fn in_year(seed: u64, year: i64) -> Self {
        let first = Date { year: year - AGES.end(), month: 1, day: 1 };
        let last = Date { year: year - AGES.start(), month: 12, day: 31 };
        Self { seed, first_day: first.day_number(), last_day: last.day_number(), next: 0 }
    }

    /// The citizen of one (day, serial prefix) pair, if there is one: about half of them have none.
    fn citizen(&self, pair: u32) -> Option<Number> {
        let day = self.first_day + i64::from(pair / 1000);
        let date = Some(Date::of_day(day)).filter(|_| day <= self.last_day)?;
        let two_digits = u8::try_from(date.year.rem_euclid(100)).expect("below a hundred");
        let prefix = pair % 1000;
        let mut digits = [0; 10];
        for (at, part) in [date.day, date.month, two_digits].into_iter().enumerate() {
            write_digits(&mut digits[2 * at..2 * at + 2], u32::from(part));
        }
        write_digits(&mut digits[6..9], prefix);
        digits[9] = check_digit(&digits)?;
        let is_of_that_year = birth_year(two_digits, digits[6] - b'0') == date.year;
        (is_of_that_year && prefix > 0 && !is_test_serial(&digits)).then(|| Number::new(digits))
    }

    /// A permutation of all pairs (a Feistel network), so that no pair comes twice.
    fn shuffled(&self, index: u32) -> u32 {
        let mask = (1 << HALF_BITS) - 1;
        let (mut left, mut right) = (index >> HALF_BITS, index & mask);
        for round in 0..4 {
            (left, right) = (right, left ^ (mixed(self.seed, round, right) & mask));
        }
        left << HALF_BITS | right
    }
}

impl Iterator for Citizens {
    type Item = Number;

    fn next(&mut self) -> Option<Number> {
        while self.next < PAIRS {
            let pair = self.shuffled(self.next);
            self.next += 1;
            if let Some(number) = self.citizen(pair) {
                return Some(number);
            }
        }
        None
    }
}

/// The last digit that makes modulus 11 hold; one prefix in eleven has none.
fn check_digit(nine_and_zero: &[u8; 10]) -> Option<u8> {
    let mut digits = *nine_and_zero;
    digits[9] = b'0';
    let digit = (11 - remainder(&digits)) % 11;
    (digit < 10).then(|| b'0' + u8::try_from(digit).expect("below ten"))
}

fn write_digits(into: &mut [u8], mut value: u32) {
    for digit in into.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).expect("below ten");
        value /= 10;
    }
}

/// Bits that depend on all inputs (the finisher of SplitMix64, S. Vigna).
fn mixed(seed: u64, round: u32, half: u32) -> u32 {
    let mut bits =
        seed.wrapping_add(u64::from(round) << 32 | u64::from(half)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    u32::try_from((bits ^ (bits >> 31)) >> 32).expect("the upper half")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::vec::Vec;

    use super::*;
    use crate::calendar::birth;

    #[test]
    fn citizens_are_adults_with_a_check_digit_and_come_once() {
        for year in [2026, 2027, 2058] {
            let mut seen = HashSet::new();
            for number in Citizens::in_year(7, year).take(100_000) {
                let birth = birth(&number).expect("a date");
                let ages =
                    [(1, 1), (12, 31)].map(|(month, day)| birth.date.age_years(Date { year, month, day }));
                assert!(ages[0] >= 18 && ages[1] <= 90, "{ages:?}");
                assert_eq!(remainder(number.digits()), 0);
                assert!(!is_test_serial(number.digits()) && !birth.is_replacement);
                assert!(seen.insert(number), "twice");
            }
            assert_eq!(seen.len(), 100_000);
        }
    }

    #[test]
    fn the_seed_decides() {
        let first = |seed: u64| Citizens::new(seed).take(100).collect::<Vec<_>>();
        assert!(first(1) == first(1));
        assert!(first(1) != first(2));
        let common = first(1).iter().filter(|number| first(2).contains(number)).count();
        assert!(common < 3, "{common}");
    }

    #[test]
    fn every_pair_fits() {
        let citizens = Citizens::in_year(0, 2060);
        assert!((citizens.last_day - citizens.first_day + 1) * 1000 <= i64::from(PAIRS));
        let few: HashSet<u32> = (0..PAIRS).step_by(997).map(|index| citizens.shuffled(index)).collect();
        assert_eq!(few.len(), (PAIRS as usize).div_ceil(997));
    }
}
