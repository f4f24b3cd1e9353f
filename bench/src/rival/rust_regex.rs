//! Rust's `regex`, with the neighbours in the pattern.

use anyhow::Result;
use regex::bytes::{Regex, RegexBuilder};

use super::Tally;

/// A compiled pattern.
pub struct RustRegex(Regex);

impl RustRegex {
    pub fn new() -> Result<Self> {
        let pattern = super::between_neighbours();
        Ok(Self(RegexBuilder::new(&pattern).unicode(false).dot_matches_new_line(true).build()?))
    }

    /// The match is enough: its group is the match without the neighbours.
    pub fn tally(&mut self, text: &[u8]) -> Tally {
        let (mut tally, mut from) = (Tally::default(), 0);
        while let Some(found) = self.0.find_at(text, from) {
            let start = found.start() + usize::from(!text[found.start()].is_ascii_digit());
            let end = found.end() - usize::from(!text[found.end() - 1].is_ascii_digit());
            tally.add(start, end);
            from = end;
        }
        tally
    }
}
