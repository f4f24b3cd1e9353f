//! The birth dates officially named as ones whose numbers may lack the modulus 11 check digit.
//!
//! Source: cpr.dk, "Personnumre uden kontrolciffer (modulus 11 kontrol)", as of 10-05-2023. That page says the
//! list is not exhaustive, and it has grown (13 dates in 2017): never use it to reject a number.

use crate::calendar::Date;

/// Every listed date is the first of January of one of these years.
const JANUARY_FIRST_OF: [i64; 26] = [
    1960, 1962, 1964, 1965, 1966, 1967, 1969, 1970, 1974, 1975, 1978, 1980, 1981, 1982, 1983, 1984, 1985,
    1986, 1987, 1988, 1989, 1990, 1991, 1992, 1994, 1995,
];

/// Whether numbers without a check digit have officially been issued for this birth date.
pub(crate) fn contains(birth: Date) -> bool {
    (birth.month, birth.day) == (1, 1) && JANUARY_FIRST_OF.contains(&birth.year)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_of_january_of_listed_years() {
        let check = |year, month, day, expected| {
            assert_eq!(contains(Date { year, month, day }), expected, "{year}-{month}-{day}");
        };
        for year in [1960, 1962, 1967, 1969, 1975, 1978, 1983, 1992, 1995] {
            check(year, 1, 1, true);
            check(year, 1, 2, false);
            check(year, 2, 1, false);
        }
        for year in [1959, 1961, 1963, 1968, 1971, 1979, 1993, 1996, 2000, 1860] {
            check(year, 1, 1, false);
        }
    }
}
