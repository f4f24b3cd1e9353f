//! Telling a call that brings new content from one that brings the same again.
//!
//! A library that could not send returns, and the program calls again with the same bytes or the rest of
//! them, before or after the record's header has passed: a header passes when the first byte of its record
//! does, and the rest of the record may find no room. So the same bytes, called next after themselves, are
//! no new content yet. They are kept, and if a record leaves that the writes do not account for, the call
//! was a true repeat and its content counts once more.
//!
//! *Invariants*: of a write that has left, only keyed hashes are kept, until it is called again.
//! *Limits*: [`AGAIN_MAX`] writes that were called again, [`AGAIN_BYTES_MAX`] bytes of them, each for
//! [`AGAIN_WRITES_MAX`] further writes.

use std::{
    collections::VecDeque,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    rc::Rc,
};

use super::{tls_flow::FRAGMENT_MAX, writes::Write};

/// Writes that were called again and may have been meant.
pub const AGAIN_MAX: usize = 8;
/// Their bytes.
const AGAIN_BYTES_MAX: u64 = 1 << 20;
/// Writes that may leave before such a call can no longer have been meant.
const AGAIN_WRITES_MAX: u64 = 16;

/// The calls on one session, as far as they matter for the next.
#[derive(Default)]
pub struct Repeats {
    key: RandomState,
    last: Option<Last>,
    again: VecDeque<Again>,
}

/// The last call that brought new content.
struct Last {
    number: u64,
    len: u64,
    buffer: u64,
    content: Content,
}

enum Content {
    /// It has not left whole.
    Bytes(Rc<Write>),
    /// It has: hashes of all of it, and of what its last record carried.
    Hashes { whole: u64, tail: u64 },
    /// Bytes of it are missing: nothing can be compared.
    Unknown,
}

/// A write that was called again.
struct Again {
    number: u64,
    write: Rc<Write>,
    times: u32,
}

impl Repeats {
    /// Takes note of new content, the `number`th of its session.
    pub fn begin(&mut self, number: u64, write: Rc<Write>) {
        let (len, buffer) = (write.len(), write.call.buffer);
        let content = if write.is_whole() { Content::Bytes(write) } else { Content::Unknown };
        self.last = Some(Last { number, len, buffer, content });
    }

    /// Whether a call brings the last content again, or the rest of it; the first is kept in case that it
    /// was meant.
    pub fn is_retry(&mut self, write: &Rc<Write>) -> bool {
        let Some(last) = self.last.as_ref().filter(|_| write.is_whole()) else { return false };
        let (number, same) = (last.number, last.is_same(write, &self.key));
        match &last.content {
            Content::Bytes(bytes) if same => self.keep(number, Rc::clone(bytes)),
            _ if same && write.len() <= AGAIN_BYTES_MAX => self.keep(number, Rc::clone(write)),
            _ => {}
        }
        same || self.last.as_ref().is_some_and(|last| last.is_continued_by(write, &self.key))
    }

    fn keep(&mut self, number: u64, write: Rc<Write>) {
        if let Some(known) = self.again.back_mut().filter(|known| known.number == number) {
            known.times = known.times.saturating_add(1);
            return;
        }
        self.again.push_back(Again { number, write, times: 1 });
        if self.again.len() > AGAIN_MAX {
            self.again.pop_front();
        }
    }

    /// The write with this number has left whole. What was called before it was not meant, unless it is
    /// of the same length: then this record may have been that one's.
    pub fn left(&mut self, number: u64, len: u64) {
        if let Some(last) = self.last.as_mut().filter(|last| last.number == number) {
            last.forget_bytes(&self.key);
        }
        self.again.retain(|it| {
            it.number >= number || (it.write.len() == len && it.number + AGAIN_WRITES_MAX >= number)
        });
        while self.again.iter().map(|it| it.write.len()).sum::<u64>() > AGAIN_BYTES_MAX {
            self.again.pop_front();
        }
    }

    /// A record left that no write accounts for: the oldest call before write `before` that `fits` it was
    /// meant. Returns its number and content.
    pub fn take(&mut self, before: u64, fits: impl Fn(u64) -> bool) -> Option<(u64, Rc<Write>)> {
        let index = self.again.iter().position(|it| it.number < before && fits(it.write.len()))?;
        let again = self.again.get_mut(index)?;
        again.times -= 1;
        let taken = (again.number, Rc::clone(&again.write));
        if again.times == 0 {
            self.again.remove(index);
        }
        Some(taken)
    }
}

impl Last {
    fn is_same(&self, write: &Write, key: &RandomState) -> bool {
        write.len() == self.len
            && match &self.content {
                Content::Bytes(bytes) => write.is_tail_of(bytes, 0),
                Content::Hashes { whole, .. } => hash(write, 0, key) == *whole,
                Content::Unknown => false,
            }
    }

    /// The rest of the last write: from the place in the buffer where it was cut, or, as programs may move
    /// their buffer, from where a record ended.
    fn is_continued_by(&self, write: &Write, key: &RandomState) -> bool {
        let skipped = self.len.saturating_sub(write.len());
        let cut =
            skipped.is_multiple_of(FRAGMENT_MAX) || write.call.buffer == self.buffer.wrapping_add(skipped);
        if skipped == 0 || !cut {
            return false;
        }
        match &self.content {
            Content::Bytes(bytes) => write.is_tail_of(bytes, skipped),
            Content::Hashes { tail, .. } => skipped == tail_at(self.len) && hash(write, 0, key) == *tail,
            Content::Unknown => false,
        }
    }

    fn forget_bytes(&mut self, key: &RandomState) {
        if let Content::Bytes(bytes) = &self.content {
            let (whole, at) = (hash(bytes, 0, key), tail_at(self.len));
            let tail = if at == 0 { whole } else { hash(bytes, at, key) };
            self.content = Content::Hashes { whole, tail };
        }
    }
}

/// Where the last record of a write begins in it.
const fn tail_at(len: u64) -> u64 {
    len.saturating_sub(1) / FRAGMENT_MAX * FRAGMENT_MAX
}

/// A hash of a write from `from` on, under a key that never leaves this process.
fn hash(write: &Write, from: u64, key: &RandomState) -> u64 {
    let mut hasher = key.build_hasher();
    write.slices(from).for_each(|slice| hasher.write(slice));
    hasher.finish()
}

#[cfg(test)]
#[path = "repeats_tests.rs"]
mod tests;
