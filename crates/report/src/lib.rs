//! The objects that leave a host, how they are sealed, and what agent and collector say to each other.
//!
//! *Invariants*: no field can hold plaintext. A name is a [`Scrubbed`], a fixed word is a [`Label`], the
//! shape of a number is a [`Mask`], and a person is a [`Pseudonym`]; there is no way from a plain `String`
//! into any of them that skips the scrubber.
//! *Not here*: finding numbers, judging them, keeping or sending anything.
#![forbid(unsafe_code)]

mod confidential;
mod delivery;
mod evidence;
mod explained;
mod leak;
mod ledger;
mod line;
mod moment;
mod report;
#[cfg(any(test, feature = "sample"))]
pub mod sample;
pub mod seal;
mod token;
mod vocabulary;

pub use confidential::{BadPseudonym, HostId, Label, Mask, Pseudonym, Score, Scrub, Scrubbed};
pub use delivery::{
    AgentId, BadDelivery, DELIVERY_BYTES_MAX, DELIVERY_REPORTS_MAX, DELIVERY_TYPE, Delivery, ENROL_PATH,
    EnrolAnswer, EnrolRequest, Envelope, Outcome as ReceiptOutcome, RENEW_PATH, REPORTS_PATH, Receipt,
    Receipts, Refusal, RenewAnswer, RenewRequest,
};
pub use evidence::{EVIDENCE_RECORDS_MAX, Evidence, HelloRandom, WireRecord};
pub use explained::{Explained, Step};
pub use leak::{
    Destination, DestinationName, Host, LEAK_SCHEMA, Leak, LeakId, LeakSchema, Location, NameSource, Process,
    Relayed, Source, System, Transport,
};
pub use ledger::{Covered, Endpoint, Gap, LEDGER_SCHEMA, Ledger, LedgerSchema, Unread};
pub use moment::Moment;
pub use report::{
    BadReport, Entry, GapRecord, LEDGER_LINES_MAX, PLAIN_BYTES_MAX, REPORT_ENTRIES_MAX, Report, ReportSchema,
    SEALED_BYTES_MAX,
};
pub use seal::SealedNumber;
pub use token::{BadToken, Token};
pub use vocabulary::{
    Checksum, Class, Confidence, Direction, Handover, Level, Outcome, Part, Proof, Protocol, Rule, Severity,
};
