//! Putting a TLS write together from its records.

use std::collections::HashMap;

use cprvagt_abi::{Function, INLINE_MAX, TlsData, TlsWrite, TlsWriteEnd};
use cprvagt_stream::Plain;

/// Writes that are being assembled at most; with more, the oldest are taken as they are.
pub const WRITES_MAX: usize = 4096;

/// A write with all of its bytes that could be had.
pub struct Write {
    /// What the probe saw.
    pub call: TlsWrite,
    /// Its bytes, in order, each with its offset.
    pub pieces: Vec<(u64, Plain)>,
    /// Bytes that found no room in the ring.
    pub lost_bytes: u64,
    /// Bytes that were not resident or beyond the limit of one write.
    pub skipped_bytes: u64,
}

impl Write {
    /// Bytes that the program handed over.
    pub const fn len(&self) -> u64 {
        self.call.length
    }

    /// The name of the tapped function, as leaks have it.
    pub const fn tap(&self) -> &'static str {
        match Function::from_number(self.call.function) {
            Some(Function::SslWrite) => "openssl.SSL_write",
            Some(Function::SslWriteEx) => "openssl.SSL_write_ex",
            None => "openssl",
        }
    }

    /// Whether every byte is there.
    pub const fn is_whole(&self) -> bool {
        self.lost_bytes == 0 && self.skipped_bytes == 0
    }

    /// Hands the bytes over in order, and the length of each hole.
    pub fn for_each(&self, take: &mut dyn FnMut(Result<&[u8], u64>)) {
        let mut at = 0;
        for (offset, piece) in &self.pieces {
            if *offset > at {
                take(Err(offset - at));
            }
            take(Ok(piece.as_slice()));
            at = offset + piece.len() as u64;
        }
        if at < self.len() {
            take(Err(self.len() - at));
        }
    }

    /// Whether this write's bytes are those of `other` from `from` on.
    pub fn is_tail_of(&self, other: &Self, from: u64) -> bool {
        if !self.is_whole() || !other.is_whole() || from + self.len() != other.len() {
            return false;
        }
        let mut mine = self.pieces.iter().flat_map(|(_, piece)| piece.as_slice());
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let mut theirs = other.pieces.iter().flat_map(|(_, piece)| piece.as_slice()).skip(from);
        mine.all(|byte| Some(byte) == theirs.next())
    }
}

/// The writes that are not whole yet.
#[derive(Default)]
pub struct Writes {
    open: HashMap<u64, Write>,
}

impl Writes {
    /// A write began; returns it when it came whole.
    pub fn begin(&mut self, call: TlsWrite, payload: &[u8]) -> Option<Write> {
        let mut write = Write { call, pieces: Vec::new(), lost_bytes: 0, skipped_bytes: 0 };
        if !payload.is_empty() {
            write.pieces.push((0, Plain::from(payload.to_vec())));
        }
        if call.length <= INLINE_MAX && payload.len() as u64 == call.length {
            return Some(write);
        }
        let oldest = (self.open.len() >= WRITES_MAX).then(|| self.open.values().map(|write| write.call.head.at_ns).min());
        self.open.insert(call.write, write);
        let oldest = oldest.flatten()?;
        self.take_cut(|write| write.call.head.at_ns == oldest)
    }

    /// More bytes of a write.
    pub fn data(&mut self, data: &TlsData, payload: &[u8]) {
        if let Some(write) = self.open.get_mut(&data.write) {
            write.pieces.push((data.offset, Plain::from(payload.to_vec())));
        }
    }

    /// A write ended.
    pub fn end(&mut self, end: &TlsWriteEnd) -> Option<Write> {
        let mut write = self.open.remove(&end.write)?;
        write.lost_bytes = end.lost_bytes;
        write.skipped_bytes = end.skipped_bytes;
        Some(write)
    }

    /// A write of a process that ended in the middle of it, or whose end was lost.
    pub fn take_of_process(&mut self, tgid: u32) -> Option<Write> {
        self.take_cut(|write| write.call.tgid == tgid)
    }

    /// Any write: the run is over.
    pub fn take_any(&mut self) -> Option<Write> {
        self.take_cut(|_| true)
    }

    fn take_cut(&mut self, wanted: impl Fn(&Write) -> bool) -> Option<Write> {
        let id = self.open.iter().find(|(_, write)| wanted(write)).map(|(id, _)| *id)?;
        let mut write = self.open.remove(&id)?;
        let there: u64 = write.pieces.iter().map(|(_, piece)| piece.len() as u64).sum();
        write.lost_bytes = write.len().saturating_sub(there);
        Some(write)
    }
}
