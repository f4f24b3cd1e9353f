//! Dates: what the first seven digits mean, and how old that makes a person now.
//!
//! *Units.* Unix seconds in, Gregorian dates out. All arithmetic holds for every `i64`.

use crate::Number;

const DAY_S: i64 = 86_400;

/// Denmark is at most this far ahead of UTC: a child born just after midnight there is not of the future.
const DANISH_OFFSET_S: i64 = 7_200;

/// What a replacement number (erstatningspersonnummer) adds to the day.
const REPLACEMENT_DAY_OFFSET: u8 = 60;

/// A day of the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Date {
    pub year: i64,
    pub month: u8,
    pub day: u8,
}

/// The date that a number's digits name.
pub(crate) struct Birth {
    pub date: Date,
    pub is_replacement: bool,
}

impl Date {
    /// The date, if the calendar has it.
    pub(crate) fn new(year: i64, month: u8, day: u8) -> Option<Self> {
        ((1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day)).then_some(Self {
            year,
            month,
            day,
        })
    }

    /// Today in Denmark, by its most advanced clock.
    pub(crate) fn today(now_unix: i64) -> Self {
        Self::of_day(now_unix.saturating_add(DANISH_OFFSET_S).div_euclid(DAY_S))
    }

    /// Whole years from this date to `today`; negative before it.
    pub(crate) fn age_years(self, today: Self) -> i64 {
        let birthday_to_come = (today.month, today.day) < (self.month, self.day);
        today.year - self.year - i64::from(birthday_to_come)
    }

    /// Days since 1970-01-01 (the inverse of `of_day`; H. Hinnant, "chrono-compatible low-level
    /// date algorithms", `days_from_civil`).
    pub(crate) fn day_number(self) -> i64 {
        let year = if self.month <= 2 { self.year - 1 } else { self.year };
        let month_from_march = (i64::from(self.month) + 9) % 12;
        let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(self.day) - 1;
        year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
    }

    /// The date of a day counted from 1970-01-01 (same source, `civil_from_days`).
    pub(crate) fn of_day(day: i64) -> Self {
        let shifted = day + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = (month_from_march + 2) % 12 + 1;
        Self {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month: u8::try_from(month).expect("a month is at most 12"),
            day: u8::try_from(day_of_year - (153 * month_from_march + 2) / 5 + 1)
                .expect("a day is at most 31"),
        }
    }
}

/// The birth date, or nothing where the calendar has no such day or the serial is 0000.
///
/// Serial 0000 is disputed: the published table starts at 0001, some libraries accept it. It is invalid here.
pub(crate) fn birth(number: &Number) -> Option<Birth> {
    let digits = number.digits();
    if digits[6..] == *b"0000" {
        return None;
    }
    let written_day = pair(digits, 0);
    let is_replacement = written_day > REPLACEMENT_DAY_OFFSET;
    let day = if is_replacement { written_day - REPLACEMENT_DAY_OFFSET } else { written_day };
    let year = birth_year(pair(digits, 4), digits[6] - b'0');
    Some(Birth { date: Date::new(year, pair(digits, 2), day)?, is_replacement })
}

/// The year that two digits and the seventh digit name, 1858 to 2057 (cpr.dk, "Opbygning af CPR-nummeret").
pub(crate) fn birth_year(two_digits: u8, seventh: u8) -> i64 {
    let century = match (seventh, two_digits) {
        (0..=3, _) => 1900,
        (4 | 9, 0..=36) => 2000,
        (4 | 9, _) => 1900,
        (_, 0..=57) => 2000,
        _ => 1800,
    };
    century + i64::from(two_digits)
}

/// The number that the two digits at `at` write.
pub(crate) fn pair(digits: &[u8; 10], at: usize) -> u8 {
    (digits[at] - b'0') * 10 + (digits[at + 1] - b'0')
}

fn days_in_month(year: i64, month: u8) -> u8 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seventh_digit_names_the_century() {
        let check = |two_digits, seventh, expected| {
            assert_eq!(birth_year(two_digits, seventh), expected, "{two_digits} {seventh}");
        };
        for seventh in 0..=3 {
            check(0, seventh, 1900);
            check(99, seventh, 1999);
        }
        for seventh in [4, 9] {
            check(0, seventh, 2000);
            check(36, seventh, 2036);
            check(37, seventh, 1937);
            check(99, seventh, 1999);
        }
        for seventh in 5..=8 {
            check(0, seventh, 2000);
            check(57, seventh, 2057);
            check(58, seventh, 1858);
            check(99, seventh, 1899);
        }
    }

    #[test]
    fn the_calendar_is_gregorian() {
        let check = |year, month, day, expected: bool| {
            assert_eq!(Date::new(year, month, day).is_some(), expected, "{year}-{month}-{day}");
        };
        check(2000, 2, 29, true);
        check(1900, 2, 29, false);
        check(1904, 2, 29, true);
        check(1901, 2, 29, false);
        check(1901, 2, 28, true);
        check(1990, 4, 31, false);
        check(1990, 4, 30, true);
        check(1990, 12, 31, true);
        check(1990, 12, 32, false);
        check(1990, 13, 1, false);
        check(1990, 0, 1, false);
        check(1990, 1, 0, false);
    }

    #[test]
    fn a_birth_needs_a_day_and_a_serial() {
        let check = |digits: &[u8; 10], expected: Option<(i64, u8, bool)>| {
            let birth = birth(&Number::new(*digits));
            let found = birth.map(|birth| (birth.date.year, birth.date.day, birth.is_replacement));
            assert_eq!(found, expected, "{digits:?}");
        };
        check(b"0101900000", None);
        check(b"0101900001", Some((1990, 1, false)));
        check(b"6101900001", Some((1990, 1, true)));
        check(b"9101900001", Some((1990, 31, true)));
        check(b"9201900001", None);
        check(b"9102900001", None);
        check(b"6001900001", None);
        check(b"3201900001", None);
        check(b"2902000001", None);
        check(b"2902004001", Some((2000, 29, false)));
        check(b"2902005001", Some((2000, 29, false)));
    }

    #[test]
    fn days_and_dates() {
        let check = |now, year, month, day| {
            assert_eq!(Date::today(now), Date { year, month, day }, "{now}");
        };
        check(0, 1970, 1, 1);
        check(-DAY_S, 1969, 12, 31);
        check(951_782_400, 2000, 2, 29);
        check(1_795_305_600, 2026, 11, 22);
        check(1_795_305_600 + DAY_S - DANISH_OFFSET_S - 1, 2026, 11, 22);
        check(1_795_305_600 + DAY_S - DANISH_OFFSET_S, 2026, 11, 23);
        for day in (-800_000..800_000).step_by(7) {
            let date = Date::of_day(day);
            assert_eq!(date.day_number(), day);
            assert!(Date::new(date.year, date.month, date.day).is_some());
        }
        Date::today(i64::MAX);
        Date::today(i64::MIN);
    }

    #[test]
    fn ages() {
        let born = Date { year: 1990, month: 6, day: 15 };
        let check = |year, month, day, expected| {
            assert_eq!(born.age_years(Date { year, month, day }), expected, "{year}-{month}-{day}");
        };
        check(1990, 6, 15, 0);
        check(1990, 6, 14, -1);
        check(2026, 6, 14, 35);
        check(2026, 6, 15, 36);
    }
}
