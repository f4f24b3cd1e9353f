//! Records that were appended and are not durable yet, as they will be written.
//!
//! *Limits*: [`PENDING_BYTES_MAX`].

use crate::format::{HEAD_BYTES, Head, put};
use crate::scan::Entry;

/// Most bytes that wait for a commit; hence also how far a segment may exceed its bound.
pub const PENDING_BYTES_MAX: usize = 8 << 20;

/// Appended, not durable.
#[derive(Default)]
pub struct Pending {
    bytes: Vec<u8>,
    /// Offsets count from the start of `bytes`.
    entries: Vec<Entry>,
}

impl Pending {
    /// Takes a record, or says no where the bound would be passed.
    pub fn push(&mut self, head: Head, payload: &[u8]) -> bool {
        if self.bytes.len() + head.record_bytes() > PENDING_BYTES_MAX {
            return false;
        }
        self.entries.push(Entry { offset: self.bytes.len() as u64, head });
        self.bytes.extend_from_slice(&[0; HEAD_BYTES]);
        self.bytes.extend_from_slice(payload);
        true
    }

    /// The bytes to write to a segment. Which one is known only now, and its number is in each head.
    pub fn bytes_for(&mut self, segment: u64) -> &[u8] {
        for entry in &self.entries {
            let offset = usize::try_from(entry.offset).expect("within the bound of pending bytes");
            put(&mut self.bytes, offset, &entry.head.encode(segment));
        }
        &self.bytes
    }

    /// They are durable, from this offset of a segment on: gives them away.
    pub fn written_at(&mut self, offset: u64) -> Vec<Entry> {
        self.bytes.clear();
        let mut entries = core::mem::take(&mut self.entries);
        entries.iter_mut().for_each(|entry| entry.offset += offset);
        entries
    }

    pub fn first(&self) -> Option<&Head> {
        self.entries.first().map(|entry| &entry.head)
    }

    pub fn records(&self) -> usize {
        self.entries.len()
    }

    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }
}
