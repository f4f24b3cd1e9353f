//! National numbers of other countries that are written like a CPR number.

use crate::calendar::{Date, pair};
use crate::{Number, Shape};

/// Check characters of the Finnish henkilötunnus (dvv.fi, "Henkilötunnus"), by remainder modulo 31.
const FINNISH: &[u8; 31] = b"0123456789ABCDEFHJKLMNPRSTUVWXY";

/// Whether the digits carry the check digit of an Icelandic, Finnish or Swedish number in this shape.
pub(crate) fn check_passes(number: &Number, shape: Shape) -> bool {
    let digits = number.digits();
    icelandic(digits) || finnish(digits, shape) || swedish(digits)
}

/// Kennitala: DDMMYY, two digits, a check digit by weights, the century (skra.is).
fn icelandic(digits: &[u8; 10]) -> bool {
    const WEIGHTS: [u32; 9] = [3, 2, 7, 6, 5, 4, 3, 2, 1];
    let sum: u32 = digits.iter().zip(WEIGHTS).map(|(&digit, weight)| value(digit) * weight).sum();
    sum.is_multiple_of(11) && matches!(digits[9], b'8' | b'9' | b'0')
}

/// Henkilötunnus: DDMMYY, the century as a sign, an individual number of 002 to 899, a check character,
/// which is a digit for 10 of 31.
fn finnish(digits: &[u8; 10], shape: Shape) -> bool {
    let number = digits[..9].iter().fold(0, |number, &digit| number * 10 + value(digit));
    matches!(shape, Shape::Hyphen | Shape::Plus)
        && (2..900).contains(&(number % 1000))
        && FINNISH[(number % 31) as usize] == digits[9]
}

/// Personnummer: YYMMDD (day + 60 for a samordningsnummer), three digits, a Luhn digit (skatteverket.se).
fn swedish(digits: &[u8; 10]) -> bool {
    let day = pair(digits, 4);
    let day = if day > 60 { day - 60 } else { day };
    // A leap year stands for the unknown century: at most a 29 February too many.
    Date::new(2000 + i64::from(pair(digits, 0)) / 4 * 4, pair(digits, 2), day).is_some() && luhn(digits)
}

fn luhn(digits: &[u8; 10]) -> bool {
    let doubled = |digit| 2 * digit / 10 + 2 * digit % 10;
    let sum: u32 = digits
        .iter()
        .enumerate()
        .map(|(at, &digit)| if at % 2 == 0 { doubled(value(digit)) } else { value(digit) })
        .sum();
    sum.is_multiple_of(10)
}

fn value(digit: u8) -> u32 {
    u32::from(digit - b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of the ten last digits pass.
    fn passing(nine: &[u8; 9], check: impl Fn(&[u8; 10]) -> bool) -> std::vec::Vec<u8> {
        let completed = |last| {
            let mut digits = [last; 10];
            digits[..9].copy_from_slice(nine);
            digits
        };
        (b'0'..=b'9').filter(|&last| check(&completed(last))).collect()
    }

    #[test]
    fn swedish_luhn() {
        // The tax agency's own example: 811218-987, check digit 6.
        assert_eq!(passing(b"811218987", swedish), b"6");
        assert_eq!(passing(b"811278987", swedish).len(), 1, "samordningsnummer");
        assert!(passing(b"811233987", swedish).is_empty(), "no day 33");
        assert!(passing(b"811318987", swedish).is_empty(), "no month 13");
        assert_eq!(passing(b"810229987", swedish).len(), 1, "some year has it");
        assert!(passing(b"810230987", swedish).is_empty(), "no year has it");
    }

    #[test]
    fn finnish_only_with_its_sign() {
        let with = |shape| move |digits: &[u8; 10]| finnish(digits, shape);
        // 131052308 modulo 31 is 25, the letter T: no digit can pass.
        assert!(passing(b"131052308", with(Shape::Hyphen)).is_empty());
        // 131052314 modulo 31 is 0: the digit 0.
        assert_eq!(passing(b"131052314", with(Shape::Hyphen)), b"0");
        assert_eq!(passing(b"131052314", with(Shape::Plus)), b"0");
        assert!(passing(b"131052314", with(Shape::Bare)).is_empty());
        // 131052903 modulo 31 is 0, but the individual number ends at 899.
        assert!(passing(b"131052903", with(Shape::Hyphen)).is_empty());
    }

    #[test]
    fn icelandic_needs_check_digit_and_century() {
        // 1*3 2*2 0*7 1*6 7*5 4*4 3*3 3*2 = 79; 79 + 9 = 88 = 8 * 11.
        assert_eq!(passing(b"120174339", icelandic), b"089");
        assert!(passing(b"120174338", icelandic).is_empty());
    }
}
