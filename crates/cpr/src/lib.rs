//! Finds Danish CPR numbers in bytes, and says how sure it is and why.
//!
//! ```text
//! bytes -> find (ten digits, a separator) -> gate (stands alone?) -> calendar (a birth date?)
//!       -> checksum (evidence, never a gate) -> context (the field's name) -> score -> Hit
//! ```
//!
//! *Invariants.* No input panics; every byte string costs linear time and constant memory. Nothing is
//! read but the arguments: no clock, no I/O, no allocation, no logging. A number lives in [`Number`] alone, which
//! cannot be printed; it and the few bytes of text that are held (UTF-16 around a number, ends of chunks) are zeroed
//! on drop. Unsafe code is in the vector operations of `find` alone.
//!
//! *Units.* Offsets are bytes of `text`; time is Unix seconds; scores are decibans (10 log10 of a
//! likelihood ratio), kept in tenths.
//!
//! *Limits.* The field's text is read up to 40 bytes before the number; arithmetic neighbours are looked for
//! among the last 16 candidates.
//!
//! *Not here.* Decoding (gzip, base64, numbers percent-encoded digit by digit), field profiles
//! over many messages, health eCPR numbers (they contain letters), policy.

#![no_std]
#![deny(unsafe_code)]

mod calendar;
mod checksum;
#[cfg(any(test, feature = "generator"))]
pub mod citizens;
mod clue;
mod context;
mod escape;
mod find;
mod foreign;
mod gate;
mod hit;
mod key;
mod listed_dates;
mod neighbours;
mod number;
mod reader;
mod runs;
mod scan;
mod scanner;
mod score;
mod scrub;
mod separator;
mod wide;

pub use clue::{Clue, Reason};
pub use find::{Backend, Candidate, Grammar, Layout, find};
pub use hit::{Checksum, Class, Hit, Shape};
pub use number::Number;
pub use scan::{Place, Scene, scan};
pub use scanner::Scanner;
pub use score::{Confidence, Score, Why};
pub use scrub::scrub_ranges;
pub use wide::Order;

#[cfg(test)]
extern crate std;
