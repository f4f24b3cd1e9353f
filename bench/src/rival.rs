//! The engines that the matcher is compared with, and the core grammar as they are told it.
//!
//! Each is used in the way that was found to be its fastest: Hyperscan and Vectorscan without boundaries in their
//! pattern, which are proven at each match; PCRE2 with looking around; RE2 and Rust's engine with the neighbours in the
//! pattern, looking on from the last byte of a match, so that a neighbour can serve two numbers.

mod hyperscan;
mod pcre2;
mod re2;
mod rust_regex;

pub use hyperscan::{Hyperscan, INSTALLED};
pub use pcre2::Pcre2;
pub use re2::Re2;
pub use rust_regex::RustRegex;

/// Six digits that begin with a day, or with a replacement number's, and a month.
const DATE: &str = "(?:0[1-9]|[12][0-9]|3[01]|6[1-9]|[78][0-9]|9[01])(?:0[1-9]|1[0-2])[0-9][0-9]";

/// What may stand between date and serial.
const SEPARATOR: &str = r"(?: - |[-./_+ ]|%2[dD0]|\xC2\xA0|\xE2\x80[\x90-\x93])?";

/// The grammar without its boundaries.
fn core() -> String {
    format!("{DATE}{SEPARATOR}[0-9]{{4}}")
}

/// The grammar as the first group, between neighbours that are no digits.
fn between_neighbours() -> String {
    format!("(?:^|[^0-9])({})(?:[^0-9]|$)", core())
}

/// What was found: how many, and a sum over where, which differs where the places differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub count: u64,
    pub places: u64,
}

impl Tally {
    pub fn add(&mut self, start: usize, end: usize) {
        self.count += 1;
        self.places = self.places.wrapping_add((start as u64).wrapping_mul(31).wrapping_add(end as u64));
    }
}
