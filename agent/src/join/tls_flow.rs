//! One TLS flow: its writes in order, its records in order, and which carried which.
//!
//! *Invariants*: `sent <= len` of every pending write; pending writes leave in the order they came.

use std::collections::VecDeque;

use cprvagt_stream::tls::{PlainLen, TLS_1_3, plain_len};

use super::{records::RecordHeader, writes::Write};

/// Writes of one flow whose records have not all passed.
pub const PENDING_MAX: usize = 4096;
/// Longest write whose bytes are kept to tell a retry from a new write.
const KEPT_BYTES_MAX: u64 = 16 << 20;
/// Most plaintext of one record (RFC 8446, 5.1).
const FRAGMENT_MAX: u64 = 1 << 14;
/// Plaintext of one record where OpenSSL encrypts several side by side: CBC suites of TLS 1.1 and 1.2 without
/// encrypt-then-MAC, on writes of four fragments and more (`ssl3_write_bytes`, "multi-block").
const MULTI_BLOCK_FRAGMENT: u64 = FRAGMENT_MAX - 512;
/// Content type of application data.
const APPLICATION_DATA: u32 = 23;
/// Bytes of a record header.
const HEADER_LEN: u64 = 5;
/// Length of a client's Finished as a TLS 1.3 record: 4 bytes of header, a hash of 32 or 48 bytes, one
/// content type, 16 bytes of tag (RFC 8446, 4.4.4 and 5.2).
const FINISHED_LENGTHS: [u32; 2] = [53, 69];
/// Longest alert or KeyUpdate, in plaintext bytes (RFC 8446, 6 and 4.6.3).
const SIGNAL_LEN_MAX: u64 = 5;

/// The state of one flow.
pub struct TlsFlow {
    suite: Option<Suite>,
    early_data: bool,
    finished: bool,
    pending: VecDeque<Pending>,
    last: Option<Write>,
    repeats: u32,
    bound: bool,
    written: u64,
    sent: u64,
    doubtful: bool,
}

#[derive(Clone, Copy)]
struct Suite {
    version: u16,
    cipher: u16,
}

struct Pending {
    len: u64,
    sent: u64,
    lost_bytes: u64,
    skipped_bytes: u64,
}

/// What a call of a writing function was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// New content, at this offset of the session's plaintext.
    New,
    /// The same again, or the rest of the last: nothing new.
    Retry,
}

/// What a record turned out to carry, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried {
    /// Plaintext that was inspected.
    pub inspected: u64,
    /// Plaintext that found no room in the ring.
    pub lost: u64,
    /// Plaintext that could not be read where it lay.
    pub skipped: u64,
    /// Header, tag, padding, handshake, alerts.
    pub protocol: u64,
    /// Application data that no tap saw being written.
    pub unseen: u64,
    /// The last write was repeated in earnest: its content counts once more.
    pub repeated: bool,
}

impl TlsFlow {
    /// A flow whose ClientHello has just passed.
    pub const fn new(early_data: bool) -> Self {
        Self {
            suite: None,
            early_data,
            finished: false,
            pending: VecDeque::new(),
            last: None,
            repeats: 0,
            bound: false,
            written: 0,
            sent: 0,
            doubtful: false,
        }
    }

    /// The ServerHello told version and cipher.
    pub fn answered(&mut self, version: u16, cipher: u16) {
        self.suite = Some(Suite { version, cipher });
    }

    /// The negotiated version, once the ServerHello has passed.
    pub fn version(&self) -> Option<u16> {
        self.suite.map(|suite| suite.version)
    }

    /// Whether any write was ever bound to this flow.
    pub const fn is_bound(&self) -> bool {
        self.bound
    }

    /// Bytes of the session's plaintext whose records have passed.
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether records and writes have disagreed: what is told from then on is `likely`.
    pub const fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// A call on this flow's session. New content is to be inspected by the caller.
    pub fn write(&mut self, write: Write) -> (Call, Option<&Write>) {
        self.bound = true;
        if self.is_retry(&write) {
            return (Call::Retry, None);
        }
        if self.pending.len() >= PENDING_MAX {
            // Their records were lost or will never come: they count as passed over.
            self.pending.pop_front();
            self.doubtful = true;
        }
        self.pending.push_back(Pending {
            len: write.len(),
            sent: 0,
            lost_bytes: write.lost_bytes,
            skipped_bytes: write.skipped_bytes,
        });
        self.written += write.len();
        self.repeats = 0;
        self.last = Some(write);
        (Call::New, self.last.as_ref())
    }

    fn is_retry(&mut self, write: &Write) -> bool {
        let (Some(last), Some(pending)) = (&self.last, self.pending.back()) else {
            return false;
        };
        if write.len() == last.len() && write.is_tail_of(last, 0) {
            self.repeats += 1;
            return true;
        }
        // A continuation begins where records have taken the last write; the program may have been told
        // of fewer records than have passed since.
        let skipped = last.len().saturating_sub(write.len());
        skipped > 0
            && skipped <= pending.sent.max(FRAGMENT_MAX)
            && write.call.buffer == last.call.buffer + skipped
            && write.is_tail_of(last, skipped)
    }

    /// A record passed.
    pub fn record(&mut self, record: RecordHeader) -> Carried {
        let whole = HEADER_LEN + u64::from(record.length);
        let protocol = Carried { protocol: whole, ..Carried::default() };
        if record.content != APPLICATION_DATA || self.is_handshake(record.length) {
            return protocol;
        }
        let plain = self.plain_len(record.length);
        if let Some(taken) = self.take_plain(plain) {
            return self.settle(taken, whole);
        }
        if self.repeats > 0 && let Some(len) = self.last.as_ref().map(Write::len)
            && plain.admits(fragment(len))
        {
            return self.repeat(len, plain, whole);
        }
        if matches!(plain, PlainLen::Exact(len) if len as u64 <= SIGNAL_LEN_MAX) {
            return protocol;
        }
        Carried { unseen: whole, ..Carried::default() }
    }

    /// In TLS 1.3 the client's handshake ends under the cloak of application data.
    fn is_handshake(&mut self, length: u32) -> bool {
        let is_1_3 = self.suite.is_some_and(|suite| suite.version == TLS_1_3);
        let early = self.suite.is_none() && self.early_data;
        if !is_1_3 || self.finished || early {
            return false;
        }
        self.finished = FINISHED_LENGTHS.contains(&length);
        true
    }

    fn plain_len(&self, length: u32) -> PlainLen {
        // Early data goes out before the answer; it is always TLS 1.3.
        let suite = self.suite.unwrap_or(Suite { version: TLS_1_3, cipher: 0x1301 });
        plain_len(suite.version, suite.cipher, length as usize)
    }

    /// Takes a record's plaintext from the pending writes; `None` when no write fits.
    fn take_plain(&mut self, plain: PlainLen) -> Option<u64> {
        let fits = |pending: &Pending| plain.admits(fragment(pending.len - pending.sent));
        let front = self.pending.front()?;
        let rest = front.len - front.sent;
        if fits(front) {
            return Some(rest.min(FRAGMENT_MAX));
        }
        if matches!(plain, PlainLen::Range { .. })
            && rest > MULTI_BLOCK_FRAGMENT
            && plain.admits(MULTI_BLOCK_FRAGMENT as usize)
        {
            return Some(MULTI_BLOCK_FRAGMENT);
        }
        if let Some(later) = self.pending.iter().position(fits) {
            // Writes that never left, or whose records were lost.
            self.doubtful = true;
            for passed in self.pending.drain(..later) {
                self.sent += passed.len - passed.sent;
            }
            let front = self.pending.front()?;
            return Some((front.len - front.sent).min(FRAGMENT_MAX));
        }
        // Programs may ask for shorter fragments (SSL_CTX_set_max_send_fragment); a signal is shorter still.
        match plain {
            PlainLen::Exact(len) if (len as u64) < rest && len as u64 >= 512 => Some(len as u64),
            PlainLen::Unknown => Some(rest.min(FRAGMENT_MAX)),
            _ => None,
        }
    }

    fn settle(&mut self, taken: u64, whole: u64) -> Carried {
        let Some(front) = self.pending.front_mut() else {
            return Carried { unseen: whole, ..Carried::default() };
        };
        front.sent += taken;
        self.sent += taken;
        let lost = taken.min(front.lost_bytes);
        front.lost_bytes -= lost;
        let skipped = (taken - lost).min(front.skipped_bytes);
        front.skipped_bytes -= skipped;
        if front.sent >= front.len {
            self.pending.pop_front();
            self.forget_last();
        }
        let protocol = whole.saturating_sub(taken);
        Carried { inspected: taken - lost - skipped, lost, skipped, protocol, ..Carried::default() }
    }

    /// The last write's bytes are only needed while it may be called again.
    fn forget_last(&mut self) {
        let too_long = self.last.as_ref().is_some_and(|last| last.len() > KEPT_BYTES_MAX);
        if self.pending.is_empty() && (self.repeats == 0 || too_long) {
            self.last = None;
        }
    }

    fn repeat(&mut self, len: u64, plain: PlainLen, whole: u64) -> Carried {
        self.repeats -= 1;
        let pending = Pending { len, sent: 0, lost_bytes: 0, skipped_bytes: 0 };
        self.pending.push_back(pending);
        self.written += len;
        let taken = self.take_plain(plain).unwrap_or(0);
        // Settled after the caller has inspected the content again: it is at the end of the plaintext.
        let mut carried = self.settle(taken, whole);
        carried.repeated = true;
        carried
    }

    /// The content of the last write, for a repeat.
    pub fn last(&self) -> Option<&Write> {
        self.last.as_ref()
    }

    /// Whether every byte written has left.
    pub fn is_all_sent(&self) -> bool {
        self.sent >= self.written
    }
}

/// Plaintext of the next record of a write with `rest` bytes left.
fn fragment(rest: u64) -> usize {
    rest.min(FRAGMENT_MAX) as usize
}
