//! Values that are ten digits and nothing else: what the profile of a field counts, passing or not.

use core::ops::Range;

use crate::Place;

/// Values of one text at most: path segments, of which a URL has few.
const VALUES_MAX: usize = 16;

/// Where `text`, which stands in `place`, is ten digits and nothing else: a segment of a path, or all of any other
/// value, white space aside. In rising order, sixteen at most.
pub fn ten_digit_values(text: &[u8], place: Place) -> impl Iterator<Item = Range<usize>> {
    let pieces = text.split(move |&byte| byte == b'/' && place == Place::UrlPath);
    let ranges = pieces.scan(0, |next, piece| {
        let start = *next;
        *next += piece.len() + 1;
        Some((start, piece))
    });
    ranges
        .filter_map(|(start, piece)| ten_digits(piece).map(|at| start + at..start + at + 10))
        .take(VALUES_MAX)
}

/// Where the ten digits begin that are all of `piece`.
fn ten_digits(piece: &[u8]) -> Option<usize> {
    let from_digits = piece.trim_ascii_start();
    let digits = from_digits.trim_ascii_end();
    (digits.len() == 10 && digits.iter().all(u8::is_ascii_digit)).then_some(piece.len() - from_digits.len())
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn check(place: Place, text: &str, expected: &[usize]) {
        let found: Vec<Range<usize>> = ten_digit_values(text.as_bytes(), place).collect();
        let expected: Vec<Range<usize>> = expected.iter().map(|&start| start..start + 10).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn whole_values() {
        for place in [Place::Other, Place::UrlQuery] {
            check(place, "9999999999", &[0]);
            check(place, " 9999999999\t", &[1]);
            check(place, "", &[]);
            check(place, "999999999", &[]);
            check(place, "99999999999", &[]);
            check(place, "999999-9999", &[]);
            check(place, "9999999999 9999999999", &[]);
            check(place, "/9999999999", &[]);
            check(place, "x9999999999", &[]);
        }
    }

    #[test]
    fn segments_of_a_path() {
        let check = |text, expected| check(Place::UrlPath, text, expected);
        check("/9999999999", &[1]);
        check("/a/9999999999/b", &[3]);
        check("/9999999999/9999999999", &[1, 12]);
        check("9999999999", &[0]);
        check("/a9999999999/", &[]);
        check("//", &[]);
        check(&"/9999999999".repeat(20), &core::array::from_fn::<usize, 16, _>(|segment| 11 * segment + 1));
    }
}
