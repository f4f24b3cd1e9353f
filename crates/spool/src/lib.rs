//! A segment log on disk: opaque payloads in, durable after a commit, out again until acknowledged.
//!
//! One process writes; any number may look on ([`list`], [`check`], [`export`]). What a payload holds is its
//! owner's matter.
//!
//! **Epochs.** Each [`Spool::open`] begins a fresh epoch, a random UUID, and numbers its records from 1. A receiver
//! tells duplicates by (epoch, sequence). Were numbers continued, then after a lost tail or a disk rolled back
//! to an older state new data would get numbers that were given before, and would be taken for duplicates.
//!
//! **Failed writes.** After a failed write or fdatasync neither the file nor the page cache is believed:
//! the segment is abandoned behind its last durable byte, and everything not yet durable, kept in memory till
//! then, is written to a new segment at the next commit. The new segment's header names the first sequence in
//! it; a reader takes no record from that sequence on out of an earlier segment of the epoch. So what the
//! abandoned tail may still hold is never read twice.
//!
//! **Acknowledging.** The cursor is written lazily. A lost cursor only means sending again, which receivers
//! tolerate; a segment is unlinked when the cursor has passed it, and an unlink that a crash undoes
//! brings back records already acknowledged at worst.
//!
//! **Age** is not the difference of two wall clocks, see [`clock`].
//!
//! *Invariants*: what a commit returned comes out of every later open until acknowledged or dropped, in
//! order, once per open, intact. What is lost is told by a [`Notice`].
//!
//! *Limits*: [`PAYLOAD_BYTES_MAX`] a payload, [`PENDING_BYTES_MAX`] waiting for a commit, [`Limits`].
//!
//! *Not here*: sealing, HTTP, gap records; the owner makes those out of notices.

#![forbid(unsafe_code)]

pub mod clock;
pub mod files;
pub mod format;
pub mod fsck;

mod error;
#[cfg(test)]
#[path = "model_files_tests.rs"]
mod model_files;
mod notice;
mod pending;
mod scan;
mod segment;
mod settling;
mod spool;
mod state;
mod survey;

pub use error::SpoolError;
pub use files::{Disk, Files};
pub use format::{Kind, PAYLOAD_BYTES_MAX};
pub use fsck::{check, export, list, repair};
pub use notice::{Notice, Reason};
pub use pending::PENDING_BYTES_MAX;
pub use spool::{Limits, Position, Spool, Stats, Stored};
