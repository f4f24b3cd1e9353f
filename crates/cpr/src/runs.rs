//! Runs of digits, for the scrubber.
//!
//! *Limits.* Each byte is looked at a bounded number of times: runs are found by looking at every sixth byte, since a
//! shorter run cannot hold a number.

use core::ops::Range;

/// All digit runs of at least six digits, each to its full length, in order.
pub(crate) struct Runs<'a> {
    text: &'a [u8],
    position: usize,
}

impl<'a> Runs<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, position: 0 }
    }
}

impl Iterator for Runs<'_> {
    type Item = Range<usize>;

    /// `position` is always the start of the text or beside a byte that is no digit, so that no run is cut.
    fn next(&mut self) -> Option<Range<usize>> {
        loop {
            let probe = self.position + 5;
            if !self.text.get(probe)?.is_ascii_digit() {
                self.position += 6;
                continue;
            }
            let before = digits_back(&self.text[self.position..probe]);
            let run = probe - before..probe + digits(&self.text[probe..]);
            self.position = run.end;
            if run.len() >= 6 {
                return Some(run);
            }
        }
    }
}

/// How many digits `text` starts with.
pub(crate) fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn digits_back(text: &[u8]) -> usize {
    text.iter().rev().take_while(|byte| byte.is_ascii_digit()).count()
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn runs_are_whole_and_at_least_six() {
        let check = |text: &str, expected: &[(usize, usize)]| {
            let found: Vec<_> = Runs::new(text.as_bytes()).map(|run| (run.start, run.end)).collect();
            assert_eq!(found, expected, "{text}");
        };
        check("", &[]);
        check("12345", &[]);
        check("123456", &[(0, 6)]);
        check("a123456", &[(1, 7)]);
        check("12345 123456", &[(6, 12)]);
        check("1234a123456b1234567890", &[(5, 11), (12, 22)]);
        check("xxxxx1xxxxx", &[]);
        check("xxxxx1234567890123xxxxx", &[(5, 18)]);
    }
}
