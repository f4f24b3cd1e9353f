//! Made-up citizens and payload around their numbers, of any size.
//!
//! *Invariants*: the filler is text without a digit, so that a number in it stands alone and nothing else
//! looks like one.

use cprvagt_cpr::citizens::Citizens;

/// A line of filler.
pub const FILLER: &[u8] = b"Borgeren har skrevet et brev, og vi svarer snart.\n";

/// Ten digits each, all different; the same for the same seed.
#[must_use]
pub fn citizens(seed: u64, count: usize) -> Vec<String> {
    let digits = |number: cprvagt_cpr::Number| number.digits().iter().copied().map(char::from).collect();
    Citizens::new(seed).take(count).map(digits).collect()
}

/// A number as a person writes it, named: 16 bytes.
#[must_use]
pub fn named(digits: &str) -> String {
    format!("cpr: {}-{}", &digits[..6], &digits[6..])
}

/// `size` bytes of filler.
#[must_use]
pub fn filler(size: usize) -> Vec<u8> {
    FILLER.iter().copied().cycle().take(size).collect()
}

/// `size` bytes of text that end with the number's last digit.
///
/// # Panics
/// When `size` has no room for the named number and a space.
#[must_use]
pub fn ending_with(size: usize, digits: &str) -> Vec<u8> {
    let tail = format!(" {}", named(digits));
    let room = size.checked_sub(tail.len()).expect("room for the number");
    let mut text = filler(room);
    text.extend(tail.as_bytes());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_as_long_as_asked_for_and_ends_with_the_number() {
        let citizen = &citizens(1, 1)[0];
        for size in [17, 18, 1448, 70_000] {
            let text = ending_with(size, citizen);
            assert_eq!(text.len(), size);
            assert!(text.ends_with(&citizen.as_bytes()[6..]));
            assert_eq!(text.iter().filter(|byte| byte.is_ascii_digit()).count(), 10);
        }
    }
}
