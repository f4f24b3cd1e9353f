//! The check digit, and which serials are MedCom's test persons.

use crate::calendar::Birth;
use crate::{Checksum, Class, Number, listed_dates};

/// Weights of the ten digits (cpr.dk, "Opbygning af CPR-nummeret").
const WEIGHTS: [u32; 10] = [4, 3, 2, 7, 6, 5, 4, 3, 2, 1];

/// Serials of MedCom's national test numbers (medcom.dk, 13-02-2023). Their check digits fail on purpose.
const TEST_SERIALS: [&[u8; 4]; 4] = [b"9989", b"9990", b"9995", b"9996"];

/// What the check digit of a number says, given the birth date it names.
pub(crate) fn checksum(number: &Number, birth: &Birth) -> Checksum {
    if remainder(number.digits()) == 0 {
        Checksum::Mod11
    } else if !birth.is_replacement && listed_dates::contains(birth.date) {
        Checksum::ListedDate
    } else {
        Checksum::None
    }
}

/// The kind of number; a test serial says more than a replacement day.
pub(crate) fn class(number: &Number, birth: &Birth) -> Class {
    if is_test_serial(number.digits()) {
        Class::Test
    } else if birth.is_replacement {
        Class::Replacement
    } else {
        Class::Cpr
    }
}

/// Whether the last four digits are a MedCom test serial.
pub(crate) fn is_test_serial(digits: &[u8; 10]) -> bool {
    TEST_SERIALS.iter().any(|serial| digits[6..] == serial[..])
}

/// The weighted sum modulo 11: zero where the control holds.
pub(crate) fn remainder(digits: &[u8; 10]) -> u32 {
    digits.iter().zip(WEIGHTS).map(|(&digit, weight)| u32::from(digit - b'0') * weight).sum::<u32>() % 11
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::birth;

    fn check(digits: &[u8; 10], expected: (Checksum, Class)) {
        let number = Number::new(*digits);
        let birth = birth(&number).expect("a date");
        assert_eq!((checksum(&number, &birth), class(&number, &birth)), expected, "{digits:?}");
    }

    /// The first nine digits with whatever last digit makes the control hold.
    fn completed(nine: &[u8; 9]) -> [u8; 10] {
        let mut digits = [b'0'; 10];
        digits[..9].copy_from_slice(nine);
        digits[9] += u8::try_from((11 - remainder(&digits)) % 11).expect("below eleven");
        assert!(digits[9] <= b'9', "these nine digits have no check digit");
        digits
    }

    #[test]
    fn modulus_eleven_by_hand() {
        // No date: 4*3 + 3*9 + 2*0 + 7*2 + 6*6 + 5*1 + 4*4 + 3*2 + 2*7 = 130 = 11 * 11 + 9.
        assert_eq!(remainder(b"3902614270"), 9);
        assert_eq!(remainder(b"3902614271"), 10);
        assert_eq!(remainder(b"3902614272"), 0);
    }

    #[test]
    fn passing_listed_and_failing() {
        check(&completed(b"020290123"), (Checksum::Mod11, Class::Cpr));
        let mut broken = completed(b"020290123");
        broken[9] = (broken[9] - b'0' + 1) % 10 + b'0';
        check(&broken, (Checksum::None, Class::Cpr));
        broken[..4].copy_from_slice(b"0101");
        broken[9] = if remainder(&broken) == 0 { broken[9] ^ 1 } else { broken[9] };
        check(&broken, (Checksum::ListedDate, Class::Cpr));
        broken[..2].copy_from_slice(b"61");
        broken[9] = if remainder(&broken) == 0 { broken[9] ^ 1 } else { broken[9] };
        check(&broken, (Checksum::None, Class::Replacement));
    }

    #[test]
    fn test_serials() {
        check(b"2512489996", (Checksum::None, Class::Test));
        check(b"2512489989", (Checksum::None, Class::Test));
        assert!(!is_test_serial(b"2512489991"));
        assert!(!is_test_serial(b"9996489991"));
    }
}
