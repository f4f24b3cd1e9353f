//! Putting a TLS write together from its records.
//!
//! A thread is in one call at a time: what it begins ends what it had open, whose end was lost.

use std::collections::{BTreeMap, HashMap};

use cprvagt_abi::{Function, TlsData, TlsFile, TlsWrite, TlsWriteEnd, beyond_limit};
use cprvagt_stream::Plain;

use crate::process::FilePart;

/// Writes that are being assembled at most; with more, the oldest are taken as they are.
pub const WRITES_MAX: usize = 4096;
/// Bytes of them at most, likewise.
pub const WRITES_BYTES_MAX: u64 = 256 << 20;
/// What the length of a write is cut to: no process has more memory, and offsets in a session's plaintext
/// stay far from the end of 64 bits.
pub const WRITE_LEN_MAX: u64 = 1 << 40;

/// A write with all of its bytes that could be had.
///
/// The pieces are in order, do not overlap, and lie within the write.
pub struct Write {
    /// What the probe saw.
    pub call: TlsWrite,
    /// Its bytes, in order, each with its offset.
    pieces: Vec<(u64, Plain)>,
    /// Bytes that found no room in the ring.
    pub lost_bytes: u64,
    /// Bytes that were not resident or beyond the limit of one write.
    pub skipped_bytes: u64,
}

impl Write {
    fn new(mut call: TlsWrite, payload: &[u8]) -> Self {
        call.length = call.length.min(WRITE_LEN_MAX);
        let mut write = Self { call, pieces: Vec::new(), lost_bytes: 0, skipped_bytes: 0 };
        write.add(0, payload);
        write
    }

    /// Adds the bytes at `offset`, which continue the write, maybe behind a hole; others are left out.
    /// Returns how many were added.
    fn add(&mut self, offset: u64, payload: &[u8]) -> u64 {
        let len = payload.len() as u64;
        let fits = offset.checked_add(len).is_some_and(|end| end <= self.len());
        if len == 0 || offset < self.end() || !fits {
            return 0;
        }
        self.pieces.push((offset, Plain::from(payload.to_vec())));
        len
    }

    /// Offset behind the last byte that is there.
    fn end(&self) -> u64 {
        self.pieces.last().map_or(0, |(offset, piece)| offset + piece.len() as u64)
    }

    /// Bytes that are there.
    pub fn held_bytes(&self) -> u64 {
        self.pieces.iter().map(|(_, piece)| piece.len() as u64).sum()
    }

    /// No bytes will come: what is missing was skipped, as far as the probe said so, else lost.
    fn complete(mut self, skipped_bytes: u64) -> Self {
        let missing = self.len() - self.held_bytes();
        self.skipped_bytes = missing.min(skipped_bytes);
        self.lost_bytes = missing - self.skipped_bytes;
        self
    }

    /// Bytes that the program handed over.
    pub const fn len(&self) -> u64 {
        self.call.length
    }

    /// The name of the tapped function, as leaks have it.
    pub const fn tap(&self) -> &'static str {
        match Function::from_number(self.call.function) {
            Some(Function::SslWrite) => "openssl.SSL_write",
            Some(Function::SslWriteEx) => "openssl.SSL_write_ex",
            Some(Function::SslWriteEx2) => "openssl.SSL_write_ex2",
            Some(Function::SslWriteEarlyData) => "openssl.SSL_write_early_data",
            Some(Function::GnutlsSend) => "gnutls.gnutls_record_send",
            Some(Function::GnutlsSend2) => "gnutls.gnutls_record_send2",
            Some(Function::GnutlsSendRange) => "gnutls.gnutls_record_send_range",
            Some(Function::GnutlsSendEarlyData) => "gnutls.gnutls_record_send_early_data",
            Some(Function::NssSecureSend) => "nss.ssl_SecureSend",
            Some(Function::PrWrite) => "nss.PR_Write",
            Some(Function::PrSend) => "nss.PR_Send",
            Some(Function::PrWritev) => "nss.PR_Writev",
            Some(Function::GoWriteRecord) => "go.crypto/tls",
            Some(Function::SslSendfile) => "openssl.SSL_sendfile",
            Some(Function::SslRead) => "openssl.SSL_read",
            Some(Function::SslReadEx) => "openssl.SSL_read_ex",
            Some(Function::GnutlsRecv) => "gnutls.gnutls_record_recv",
            None => "tls",
        }
    }

    /// Whether it was read, by a server, and is a part of a request's head.
    pub const fn is_read(&self) -> bool {
        Function::reads(self.call.function)
    }

    /// Whether the library returns only when it has sent all of it: no call brings the same bytes again, and none is
    /// passed over. It may choose the length of its records, as Go does, which begins with short ones, and NSS, which
    /// makes them of one buffer after the other.
    pub const fn leaves_whole(&self) -> bool {
        Function::is_go(self.call.function) || Function::gathers(self.call.function)
    }

    /// Whether its library puts little into the first records of a connection.
    pub const fn grows(&self) -> bool {
        Function::is_go(self.call.function)
    }

    /// Those of the skipped bytes that lie beyond what is copied of one write.
    pub fn limit_bytes(&self) -> u64 {
        self.skipped_bytes.min(beyond_limit(self.len()))
    }

    /// Whether every byte is there.
    pub const fn is_whole(&self) -> bool {
        self.lost_bytes == 0 && self.skipped_bytes == 0
    }

    /// Hands the bytes over in order, and the length of each hole.
    pub fn for_each(&self, mut take: impl FnMut(Result<&[u8], u64>)) {
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

    /// The bytes from `from` on that are there, in slices that are not empty.
    pub fn slices(&self, from: u64) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().filter_map(move |(offset, piece)| {
            let skip = usize::try_from(from.saturating_sub(*offset)).unwrap_or(usize::MAX);
            piece.as_slice().get(skip..).filter(|rest| !rest.is_empty())
        })
    }

    /// Whether this write's bytes are those of `other` from `from` on.
    pub fn is_tail_of(&self, other: &Self, from: u64) -> bool {
        if !self.is_whole() || !other.is_whole() || self.len().checked_add(from) != Some(other.len()) {
            return false;
        }
        are_equal(self.slices(0), other.slices(from))
    }
}

/// Whether two rows of slices, none of them empty, spell the same bytes.
fn are_equal<'a>(mut one: impl Iterator<Item = &'a [u8]>, mut other: impl Iterator<Item = &'a [u8]>) -> bool {
    let (mut mine, mut theirs): (&[u8], &[u8]) = (&[], &[]);
    loop {
        if mine.is_empty() {
            mine = one.next().unwrap_or_default();
        }
        if theirs.is_empty() {
            theirs = other.next().unwrap_or_default();
        }
        let count = mine.len().min(theirs.len());
        if count == 0 {
            return mine.is_empty() && theirs.is_empty();
        }
        if mine[..count] != theirs[..count] {
            return false;
        }
        (mine, theirs) = (&mine[count..], &theirs[count..]);
    }
}

/// The writes that are not whole yet.
#[derive(Default)]
pub struct Writes {
    /// In the order they began.
    open: BTreeMap<u64, Write>,
    by_id: HashMap<u64, u64>,
    by_thread: HashMap<u32, u64>,
    begun: u64,
    held_bytes: u64,
}

impl Writes {
    /// A write began; returns what is as whole as it will be: this one when it came in one record, before
    /// it what the same thread had open, or what must make room.
    pub fn begin(&mut self, call: TlsWrite, payload: &[u8]) -> Vec<Write> {
        let cut = [self.by_thread.get(&call.tid).copied(), self.by_id.get(&call.write).copied()];
        let cut = cut.into_iter().flatten();
        let mut done: Vec<Write> = cut.filter_map(|place| self.take_cut(place)).collect();
        let write = Write::new(call, payload);
        if payload.len() as u64 == call.length {
            done.push(write);
            return done;
        }
        self.begun += 1;
        self.held_bytes += write.held_bytes();
        self.by_thread.insert(call.tid, self.begun);
        self.by_id.insert(call.write, self.begun);
        self.open.insert(self.begun, write);
        while self.open.len() > WRITES_MAX {
            done.extend(self.take_oldest());
        }
        done
    }

    /// More bytes of a write; returns writes that must make room for them.
    pub fn data(&mut self, data: &TlsData, payload: &[u8]) -> Vec<Write> {
        let Some(write) = self.by_id.get(&data.write).and_then(|place| self.open.get_mut(place)) else {
            return Vec::new();
        };
        self.held_bytes += write.add(data.offset, payload);
        let mut done = Vec::new();
        while self.held_bytes > WRITES_BYTES_MAX
            && let Some(oldest) = self.take_oldest()
        {
            done.push(oldest);
        }
        done
    }

    /// A write ended.
    pub fn end(&mut self, end: &TlsWriteEnd) -> Option<Write> {
        let place = self.by_id.get(&end.write).copied()?;
        let write = self.remove(place)?;
        Some(self.let_go(write, end.skipped_bytes))
    }

    /// A write of a part of a file ended, with the bytes that could be had; returns also what must make room for them.
    pub fn file(&mut self, file: &TlsFile, part: Option<FilePart>) -> Vec<Write> {
        let place = self.by_id.get(&file.write).copied();
        let Some((place, write)) = place.and_then(|place| Some((place, self.open.get_mut(&place)?))) else {
            return Vec::new();
        };
        let part = part.unwrap_or(FilePart { bytes: Vec::new(), len: write.call.length });
        // A program may ask for more than the file has.
        write.call.length = write.call.length.min(part.len);
        if write.call.length == 0 {
            self.remove(place);
            return Vec::new();
        }
        let mut done = self.data(&TlsData { head: file.head, write: file.write, offset: 0 }, &part.bytes);
        let skipped_bytes = file.length;
        done.extend(self.end(&TlsWriteEnd {
            head: file.head,
            write: file.write,
            lost_bytes: 0,
            skipped_bytes,
        }));
        done
    }

    /// The writes of a process that ended in the middle of them, in order.
    pub fn take_of_process(&mut self, tgid: u32) -> Vec<Write> {
        let of_process = |(place, write): (&u64, &Write)| (write.call.tgid == tgid).then_some(*place);
        let places: Vec<u64> = self.open.iter().filter_map(of_process).collect();
        places.into_iter().filter_map(|place| self.take_cut(place)).collect()
    }

    /// Every write, in order: the run is over.
    pub fn take_all(&mut self) -> Vec<Write> {
        std::iter::from_fn(|| self.take_oldest()).collect()
    }

    fn take_oldest(&mut self) -> Option<Write> {
        let place = *self.open.first_key_value()?.0;
        self.take_cut(place)
    }

    /// A write that will not be finished: what is missing counts as lost.
    fn take_cut(&mut self, place: u64) -> Option<Write> {
        let write = self.remove(place)?;
        Some(self.let_go(write, 0))
    }

    fn remove(&mut self, place: u64) -> Option<Write> {
        let write = self.open.remove(&place)?;
        self.by_id.remove(&write.call.write);
        if self.by_thread.get(&write.call.tid) == Some(&place) {
            self.by_thread.remove(&write.call.tid);
        }
        Some(write)
    }

    fn let_go(&mut self, write: Write, skipped_bytes: u64) -> Write {
        self.held_bytes -= write.held_bytes();
        write.complete(skipped_bytes)
    }
}

#[cfg(test)]
#[path = "writes_tests.rs"]
mod tests;
