//! Finds everything that might be a number in a captured name, so that it can be blotted out.
//!
//! *Invariants.* Conservative: neither boundaries nor the calendar matter; whatever `scan` finds lies in a
//! range. Ranges rise, do not touch and do not overlap.

use core::ops::Range;

use crate::find::{Backend, Grammar, find};
use crate::runs::{Runs, digits};
use crate::separator;

/// Reports the ranges of `text` that hold a ten-digit run or six digits, a separator and four digits, also inside
/// longer runs or beside letters, and every candidate of the full grammar. Runs are blotted out to their full length.
/// `_now_unix` is the clock of the rules, of which this function needs none today.
pub fn scrub_ranges(text: &[u8], _now_unix: i64, found: &mut dyn FnMut(Range<usize>)) {
    let mut runs =
        Runs::new(text).filter_map(|run| blot_end(text, &run).map(|end| run.start..end)).peekable();
    let mut blot = Blot { open: None, found };
    find(text, Grammar::Full, Backend::best(), &mut |candidate| {
        while let Some(earlier) = runs.next_if(|run| run.start <= candidate.start) {
            blot.extend(earlier);
        }
        blot.extend(candidate.start..candidate.end);
    });
    runs.for_each(|run| blot.extend(run));
    let last = blot.open;
    last.into_iter().for_each(found);
}

/// Joins ranges that overlap or touch; they come in the order of their starts.
struct Blot<'f> {
    open: Option<Range<usize>>,
    found: &'f mut dyn FnMut(Range<usize>),
}

impl Blot<'_> {
    fn extend(&mut self, next: Range<usize>) {
        match &mut self.open {
            Some(range) if next.start <= range.end => range.end = next.end.max(range.end),
            _ => self.open.replace(next).into_iter().for_each(&mut *self.found),
        }
    }
}

/// Where the number that starts in this run ends at most.
fn blot_end(text: &[u8], run: &Range<usize>) -> Option<usize> {
    let serial = separator::at(text, run.end).map(|(length, _)| run.end + length);
    let separated = serial.map(|serial| (serial, digits(&text[serial..]))).filter(|&(_, count)| count >= 4);
    match separated {
        Some((serial, count)) => Some(serial + count),
        None => (run.len() >= 10).then_some(run.end),
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn ranges() {
        let check = |text: &str, expected: &[&str]| {
            let mut found = Vec::new();
            scrub_ranges(text.as_bytes(), 0, &mut |range| found.push(&text[range]));
            assert_eq!(found, expected, "{text}");
        };
        check("", &[]);
        check("no number", &[]);
        check("123456789", &[]);
        check("192.168.100.100:54321", &[]);
        check("2026-11-22T10:30:00", &[]);
        check("1234567890", &["1234567890"]);
        check("ab1234567890cd", &["1234567890"]);
        check("x12345678901234y", &["12345678901234"]);
        check("999999-9999", &["999999-9999"]);
        check("a123456-7890b", &["123456-7890"]);
        check("00123456-789012", &["00123456-789012"]);
        check("123456%2D7890", &["123456%2D7890"]);
        check("123456 - 7890", &["123456 - 7890"]);
        check("123456\u{2011}7890", &["123456\u{2011}7890"]);
        check("123456-789", &[]);
        check("12345-6789", &[]);
        check("123456:7890", &[]);
        check("123456-123456-7890", &["123456-123456-7890"]);
        check("1234567890-x-1234567890", &["1234567890", "1234567890"]);
        check("/u/123456-7890/f/1234567890.pdf", &["123456-7890", "1234567890"]);
    }
}
