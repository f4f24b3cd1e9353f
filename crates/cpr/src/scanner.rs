//! The same hits from a text that comes in chunks.
//!
//! A start is decided as soon as all is there that its judgement may depend on, see [`crate::reader`]. A long chunk is
//! read where it lies; copied are its first and its last bytes alone, to be read together with what came before and
//! what comes next.
//!
//! *Limits.* [`HELD_BYTES_MAX`] bytes of the text are held, zeroed on drop, and the sixteen candidates that wait for
//! their neighbours.

use zeroize::Zeroize;

use crate::reader::{BEFORE_BYTES_MAX, REACH_BYTES_MAX, Reader};
use crate::{Hit, Scene};

/// Bytes around a border between chunks: what the first undecided start depends on, and it itself.
const SEAM_BYTES: usize = BEFORE_BYTES_MAX + REACH_BYTES_MAX;

/// Bytes held at most.
const HELD_BYTES_MAX: usize = 2 * SEAM_BYTES;

/// Scans a text that comes in chunks: what is found, and its scores, do not depend on where the chunks end.
pub struct Scanner<'a> {
    reader: Reader<'a>,
    held: Held,
    /// Where in the whole text `held` begins.
    base: usize,
    /// Starts before this offset of the whole text are decided.
    decided: usize,
}

impl<'a> Scanner<'a> {
    /// For a text of which nothing has come yet.
    pub fn new(scene: Scene<'a>) -> Self {
        let held = Held { bytes: [0; HELD_BYTES_MAX], len: 0 };
        Self { reader: Reader::new(scene), held, base: 0, decided: 0 }
    }

    /// Takes the next bytes. `found` is called for what is sure by now, in the order of offsets, which are those of the
    /// whole text.
    pub fn push(&mut self, chunk: &[u8], found: &mut dyn FnMut(Hit)) {
        if chunk.len() <= HELD_BYTES_MAX {
            return chunk.chunks(SEAM_BYTES).for_each(|piece| self.push_seam(piece, found));
        }
        let chunk_base = self.base + self.held.len;
        self.push_seam(&chunk[..SEAM_BYTES], found);
        let end = chunk.len() - REACH_BYTES_MAX;
        self.reader.read(chunk, chunk_base, self.decided - chunk_base..end, found);
        self.decided = chunk_base + end;
        self.held.forget(self.held.len);
        self.held.extend(&chunk[chunk.len() - SEAM_BYTES..]);
        self.base = chunk_base + chunk.len() - SEAM_BYTES;
    }

    /// No more bytes will come: tells the rest.
    pub fn finish(mut self, found: &mut dyn FnMut(Hit)) {
        self.decide(self.base + self.held.len, found);
        self.reader.finish(found);
    }

    /// Takes bytes that are held for a while, [`SEAM_BYTES`] at most.
    fn push_seam(&mut self, piece: &[u8], found: &mut dyn FnMut(Hit)) {
        self.held.extend(piece);
        self.decide((self.base + self.held.len).saturating_sub(REACH_BYTES_MAX), found);
        let done = self.held.len.saturating_sub(SEAM_BYTES);
        self.held.forget(done);
        self.base += done;
    }

    /// Decides the starts before `end`, an offset of the whole text.
    fn decide(&mut self, end: usize, found: &mut dyn FnMut(Hit)) {
        if end > self.decided {
            let owned = self.decided - self.base..end - self.base;
            self.reader.read(self.held.as_slice(), self.base, owned, found);
            self.decided = end;
        }
    }
}

/// Bytes around a border between chunks, zeroed when they are no longer needed.
struct Held {
    bytes: [u8; HELD_BYTES_MAX],
    len: usize,
}

impl Held {
    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn extend(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Forgets the first `count` bytes.
    fn forget(&mut self, count: usize) {
        self.bytes.copy_within(count..self.len, 0);
        self.bytes[self.len - count..self.len].zeroize();
        self.len -= count;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}
