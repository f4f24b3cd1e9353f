//! The ten digits of a candidate: the one type that holds plaintext.
//!
//! *Invariants.* Neither Debug, Display, Clone nor Serialize; zeroed on drop. A move may leave bytes
//! behind on the stack: whoever holds a number keeps it briefly and in one place.

use zeroize::Zeroize;

/// Ten ASCII digits that may be somebody's personnummer.
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number {
    digits: [u8; 10],
}

impl Number {
    /// Wraps ten bytes that the grammar has shown to be ASCII digits.
    pub(crate) fn new(digits: [u8; 10]) -> Self {
        debug_assert!(digits.iter().all(u8::is_ascii_digit));
        Self { digits }
    }

    /// The digits, without separator, as ASCII: **plaintext**, which may only feed the keyed pseudonym
    /// and the sealed value, and never a log, a message, a file or an unkeyed hash.
    pub fn digits(&self) -> &[u8; 10] {
        &self.digits
    }

    /// The digits read as one integer, 0 to 9,999,999,999.
    pub(crate) fn value(&self) -> i64 {
        self.digits.iter().fold(0, |value, &digit| value * 10 + i64::from(digit - b'0'))
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        self.digits.zeroize();
    }
}
