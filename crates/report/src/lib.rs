//! The objects that leave a host: leaks and ledgers.
//!
//! *Invariants*: no field can hold plaintext. A name is a [`Scrubbed`], a fixed word is a [`Label`], the
//! shape of a number is a [`Mask`], and a person is a [`Pseudonym`]; there is no way from a plain `String`
//! into any of them that skips the scrubber.
//! *Not here*: finding numbers, judging them, sending anything.
#![forbid(unsafe_code)]

mod confidential;
mod leak;
mod ledger;
mod line;
mod moment;
mod vocabulary;

pub use confidential::{BadPseudonym, HostId, Label, Mask, Pseudonym, Score, Scrub, Scrubbed};
pub use leak::{
    Destination, Host, LEAK_SCHEMA, Leak, LeakId, LeakSchema, Location, Process, Source, System, Transport,
};
pub use ledger::{Endpoint, Gap, LEDGER_SCHEMA, Ledger, LedgerSchema, Unread};
pub use moment::Moment;
pub use vocabulary::{
    Checksum, Class, Confidence, Direction, Level, Outcome, Part, Proof, Protocol, Rule, Severity,
};
