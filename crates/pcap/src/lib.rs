//! From capture files to TCP segments: what tcpdump and its kin have written, read without believing any of it.
//!
//! *Invariants*: nothing here panics, whatever the file says; what cannot be read is counted and passed over. Only a file
//! that is no capture, or that breaks off its own framing, is an error.
//! *Limits*: [`file::BLOCK_BYTES_MAX`] bytes of one packet with its framing.
//! *Not here*: putting segments in order, TLS, what a capture is compared with. Datagrams and fragments of IP.

#![forbid(unsafe_code)]

pub mod file;
mod link;
mod segment;

pub use file::{CaptureError, Packet, read};
pub use segment::{Segment, Unread};
