//! What the kernel programs write and the agent reads: records, map keys and counters.
//!
//! *Invariants*: fixed-width integers and byte arrays only, explicit padding, no `bool`, `Option` or
//! enum with data; a compile-time check of every size. A tag that a reader does not know is counted,
//! never trusted.
//! *Units*: addresses are 16 bytes in network order, IPv4 as `::ffff:a.b.c.d`; ports, lengths and
//! sequence numbers are in host order; times are nanoseconds of `CLOCK_MONOTONIC`.
#![no_std]
#![forbid(unsafe_code)]

mod counter;
mod file;
mod flow;
mod policy;
mod record;
mod site;

pub use counter::Counter;
pub use file::{FileOffsets, MappedFile};
pub use flow::{Flow, FlowKey, Kind, Owner, Role, Verdict};
pub use policy::{
    AllowKey, AllowRules, OWN_MAX, PORT_RULES_MAX, PortRule, RELAY_PORTS_MAX, WAIVES_CLEARTEXT,
    WAIVES_NOT_ALLOWED,
};
pub use record::*;
pub use site::{Function, RoleWord, SITES_MAX, Site};
