//! Finds Danish CPR numbers in bytes, and says how sure it is and why.
//!
//! ```text
//! bytes -> grammar (ten digits, a separator) -> gate (stands alone?) -> calendar (a birth date?)
//!       -> checksum (evidence, never a gate) -> context (the field's name) -> score -> Hit
//! ```
//!
//! *Invariants.* No input panics; every byte string costs linear time and constant memory. Nothing is
//! read but the arguments: no clock, no I/O, no allocation, no logging. Plaintext lives in [`Number`]
//! alone, which cannot be printed and is zeroed on drop.
//!
//! *Units.* Offsets are bytes of `text`; time is Unix seconds; scores are decibans (10 log10 of a
//! likelihood ratio), kept in tenths.
//!
//! *Limits.* The field's text is read up to 40 bytes before the number; arithmetic neighbours are looked for
//! among the last 16 candidates.
//!
//! *Not here.* Decoding (gzip, base64, UTF-16, numbers percent-encoded digit by digit), field profiles
//! over many messages, health eCPR numbers (they contain letters), policy.

#![no_std]
#![deny(unsafe_code)]

mod calendar;
mod checksum;
#[cfg(any(test, feature = "generator"))]
pub mod citizens;
mod context;
mod escape;
mod find;
mod foreign;
mod gate;
mod hit;
mod key;
mod listed_dates;
mod number;
mod runs;
mod scan;
mod score;
mod scrub;
mod separator;

pub use find::{Backend, Candidate, Grammar, find};
pub use hit::{Checksum, Class, Hit, Shape};
pub use number::Number;
pub use scan::{Place, Scene, scan};
pub use score::{Confidence, Score};
pub use scrub::scrub_ranges;

#[cfg(test)]
extern crate std;
