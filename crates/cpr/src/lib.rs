//! Finds Danish CPR numbers in bytes, and says how sure it is and why.
//!
//! ```text
//! bytes -> find (ten digits, a separator) -> gate (stands alone?) -> calendar (a birth date?)
//!       -> checksum (evidence, never a gate) -> context (the field's name) -> score -> Hit
//! ```
//!
//! *Invariants.* No input panics; every byte string costs linear time and constant memory. Nothing is
//! read but the arguments: no clock, no I/O, no logging; a scan allocates nothing. A number lives in [`Number`]
//! alone, which cannot be printed; it and the few bytes of text that are held (UTF-16 around a number, ends of chunks) are zeroed
//! on drop. Unsafe code is in the vector operations of `find` alone.
//!
//! *Units.* Offsets are bytes of `text`; time is Unix seconds; scores are decibans (10 log10 of a
//! likelihood ratio), kept in tenths.
//!
//! *Limits.* The field's text is read up to 40 bytes before the number; arithmetic neighbours are looked for
//! among the last 16 candidates.
//!
//! [`Profiles`] goes beyond one message: what the values of a field have shown so far. It allocates, in bounds, and
//! knows numbers by hashes under the caller's key alone.
//!
//! *Not here.* Decoding (gzip, base64, numbers percent-encoded digit by digit), health eCPR numbers (they contain
//! letters), policy.

#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

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
mod profile;
mod profiles;
mod reader;
mod runs;
mod scan;
mod scanner;
mod score;
mod scrub;
mod separator;
mod values;
mod wide;

pub use clue::{Clue, Reason};
pub use find::{Backend, ByteSets, Candidate, Grammar, Layout, SETS, SetMarks, WORD_BYTES, find};
pub use hit::{Checksum, Class, Hit, Shape};
pub use number::Number;
pub use profile::{Sighting, Standing, Trial};
pub use profiles::{FIELD_KEPT_S, FIELDS_MAX, FieldId, Profiles};
pub use reader::{BEFORE_BYTES_MAX, REACH_BYTES_MAX};
pub use scan::{Place, Scene, scan};
pub use scanner::Scanner;
pub use score::{Confidence, Score, Why};
pub use scrub::scrub_ranges;
pub use values::ten_digit_values;
pub use wide::Order;

#[cfg(test)]
extern crate std;
