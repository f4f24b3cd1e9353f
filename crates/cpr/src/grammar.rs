//! The written form: six digits, an optional separator, four digits.
//!
//! *Limits.* Each byte is looked at a bounded number of times: runs of digits are found by looking at
//! every sixth byte, since a shorter run cannot hold a number.
//!
//! *Not here.* Whether the token stands alone (`gate`) and whether it means a date (`calendar`).

use core::ops::Range;

use crate::{Number, Shape};

/// The longest prefix of a digit run that an escape can own: `\u0020` and `%2520` own four.
const ESCAPE_DIGITS_MAX: usize = 4;

/// A ten-digit token as written, not yet judged.
pub(crate) struct Token {
    /// The digit run that the token starts in; it starts earlier than `start` if an escape owns the rest.
    pub run_start: usize,
    pub start: usize,
    pub end: usize,
    pub number: Number,
    pub shape: Shape,
}

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

/// The tokens that can end with this run's digits, the bare form first: a run that is longer than its form
/// is still returned if an escape might own the excess.
pub(crate) fn tokens(text: &[u8], run: Range<usize>) -> [Option<Token>; 2] {
    [bare(text, run.clone()), separated(text, run)]
}

/// The separator that starts at `at`, and its length in bytes.
pub(crate) fn separator(text: &[u8], at: usize) -> Option<(usize, Shape)> {
    Some(match text.get(at..)? {
        [b' ', b'-', b' ', ..] => (3, Shape::SpacedHyphen),
        [b'-', ..] => (1, Shape::Hyphen),
        [b' ' | b'\t', ..] => (1, Shape::Space),
        [b'.', ..] => (1, Shape::Dot),
        [b'/', ..] => (1, Shape::Slash),
        [b'_', ..] => (1, Shape::Underscore),
        [b'+', ..] => (1, Shape::Plus),
        [b'%', b'2', b'd' | b'D', ..] => (3, Shape::Hyphen),
        [b'%', b'2', b'0', ..] => (3, Shape::Space),
        [0xC2, 0xA0, ..] => (2, Shape::Space),
        [0xC2, 0xAD, ..] => (2, Shape::SoftHyphen),
        [0xE2, 0x80, 0x90 | 0x91, ..] => (3, Shape::Hyphen),
        [0xE2, 0x80, 0x92 | 0x93, ..] | [0xE2, 0x88, 0x92, ..] => (3, Shape::Dash),
        _ => return None,
    })
}

/// How many digits `text` starts with.
pub(crate) fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn digits_back(text: &[u8]) -> usize {
    text.iter().rev().take_while(|byte| byte.is_ascii_digit()).count()
}

fn bare(text: &[u8], run: Range<usize>) -> Option<Token> {
    let start = start_of(&run, 10)?;
    let number = Number::new(text[start..run.end].try_into().ok()?);
    Some(Token { run_start: run.start, start, end: run.end, number, shape: Shape::Bare })
}

fn separated(text: &[u8], run: Range<usize>) -> Option<Token> {
    let start = start_of(&run, 6)?;
    let (length, shape) = separator(text, run.end)?;
    let serial = run.end + length;
    if digits(text[serial..].get(..5).unwrap_or(&text[serial..])) != 4 {
        return None;
    }
    let mut ten = [0; 10];
    ten[..6].copy_from_slice(&text[start..run.end]);
    ten[6..].copy_from_slice(&text[serial..serial + 4]);
    Some(Token { run_start: run.start, start, end: serial + 4, number: Number::new(ten), shape })
}

fn start_of(run: &Range<usize>, digits: usize) -> Option<usize> {
    let excess = run.len().checked_sub(digits)?;
    (excess <= ESCAPE_DIGITS_MAX).then_some(run.start + excess)
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

    #[test]
    fn separators() {
        let check = |text: &str, expected: Option<(usize, Shape)>| {
            assert_eq!(separator(text.as_bytes(), 0), expected, "{text:?}");
        };
        check("-1", Some((1, Shape::Hyphen)));
        check(" - 1", Some((3, Shape::SpacedHyphen)));
        check(" 1", Some((1, Shape::Space)));
        check("\t1", Some((1, Shape::Space)));
        check("\u{a0}1", Some((2, Shape::Space)));
        check("%2d1", Some((3, Shape::Hyphen)));
        check("%2D1", Some((3, Shape::Hyphen)));
        check("%201", Some((3, Shape::Space)));
        check("\u{2010}", Some((3, Shape::Hyphen)));
        check("\u{2011}", Some((3, Shape::Hyphen)));
        check("\u{2012}", Some((3, Shape::Dash)));
        check("\u{2013}", Some((3, Shape::Dash)));
        check("\u{2212}", Some((3, Shape::Dash)));
        check("\u{ad}", Some((2, Shape::SoftHyphen)));
        check("\u{2014}", None);
        check("", None);
        check("\n1", None);
        check(":1", None);
        check("%211", None);
        check("%2", None);
        check("a", None);
    }
}
