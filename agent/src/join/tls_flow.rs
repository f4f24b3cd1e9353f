//! One TLS flow: its writes in order, its records in order, and which carried which.
//!
//! *Invariants*: `sent < len` of every pending write; pending writes leave in the order they came; the
//! parts of all records' accounts, with what is unsettled, add up to their lengths with the headers.

use std::{collections::VecDeque, ops::Range, rc::Rc};

use cprvagt_report::Evidence;
use cprvagt_stream::tls::{PlainLen, TLS_1_3, plain_len};

use super::{
    growing, padding::Padding, placement::Placement, records::RecordHeader, repeats::Repeats, writes::Write,
};

/// Writes of one flow whose records have not all passed.
pub const PENDING_MAX: usize = 4096;
/// Most plaintext of one record (RFC 8446, 5.1).
pub const FRAGMENT_MAX: u64 = 1 << 14;
/// Plaintext of one record where OpenSSL encrypts several side by side: CBC suites of TLS 1.1 and 1.2 without
/// encrypt-then-MAC, on writes of four fragments and more (`ssl3_write_bytes`, "multi-block").
const MULTI_BLOCK_FRAGMENT: u64 = FRAGMENT_MAX - 512;
/// Least of it that a program can ask for (SSL_CTX_set_max_send_fragment(3)).
const FRAGMENT_MIN: u64 = 512;
/// Content type of application data.
const APPLICATION_DATA: u32 = 23;
/// Bytes of a record header.
const HEADER_LEN: u64 = 5;
/// Length of a client's Finished as a TLS 1.3 record: 4 bytes of header, a hash of 32 or 48 bytes, one
/// content type, 16 bytes of tag (RFC 8446, 4.4.4 and 5.2). Java adds 16 bytes of padding to every record.
const FINISHED_LENGTHS: [u32; 3] = [53, 69, 85];
/// Length of an EndOfEarlyData as a record (RFC 8446, 4.5).
const END_OF_EARLY_DATA_LENGTH: u32 = 21;
/// Records of a handshake between its first and its Finished: a client's certificate may take two more.
const UNSETTLED_MAX: u8 = 3;
/// Longest alert or KeyUpdate, in plaintext bytes (RFC 8446, 6 and 4.6.3).
const SIGNAL_LEN_MAX: u64 = 5;
/// What a record of an unknown cipher adds to the plaintext: from a short tag without nonce (RFC 6655) to
/// a vector, a SHA-384 MAC and a block of padding (RFC 5246, 6.2.3.2).
const OVERHEAD: Range<usize> = 8..81;
/// Early data goes out before the answer; it is always TLS 1.3, and most of its suites add the same.
const EARLY_SUITE: Suite = Suite { version: TLS_1_3, cipher: 0x1301 };

/// The state of one flow.
#[derive(Default)]
pub struct TlsFlow {
    suite: Option<Suite>,
    early_data: bool,
    /// The first record of the client's encrypted handshake has passed.
    flight_begun: bool,
    finished: bool,
    /// Bytes of records that are handshake if the Finished follows, else data that no tap saw; and how many records.
    unsettled: (u64, u8),
    pending: VecDeque<Pending>,
    repeats: Repeats,
    calls: u64,
    written: u64,
    passed: Range<u64>,
    /// Records of data that have passed.
    data_records: u64,
    doubtful: bool,
    placement: Placement,
    padding: Padding,
}

#[derive(Clone, Copy)]
struct Suite {
    version: u16,
    cipher: u16,
}

struct Pending {
    number: u64,
    /// Where it begins in the session's plaintext.
    start: u64,
    len: u64,
    sent: u64,
    lost_bytes: u64,
    skipped_bytes: u64,
    limit_bytes: u64,
    /// Its library returns when it has sent all, in records of a length of its own choice.
    whole: bool,
    /// Its library puts little into the first records.
    grows: bool,
}

impl Pending {
    /// What has not left, in the session's plaintext.
    const fn unsent(&self) -> Range<u64> {
        self.start + self.sent..self.start + self.len
    }

    /// Plaintext of its next record.
    fn fragment(&self) -> u64 {
        (self.len - self.sent).min(FRAGMENT_MAX)
    }
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
    /// Plaintext beyond the limit of one write.
    pub limited: u64,
    /// Header, tag, padding, handshake, alerts.
    pub protocol: u64,
    /// Application data that no tap saw being written.
    pub unseen: u64,
}

/// A record's plaintext length, and whether that is known or guessed.
#[derive(Clone, Copy)]
struct Length {
    plain: PlainLen,
    guessed: bool,
}

/// What an encrypted record of a TLS 1.3 client is.
enum Stage {
    Handshake,
    /// Handshake if the Finished follows.
    Unsettled,
    Data,
}

impl Length {
    fn admits(self, fragment: u64) -> bool {
        self.plain.admits(usize::try_from(fragment).unwrap_or(usize::MAX))
    }
}

impl TlsFlow {
    /// The flow's ClientHello, from its record header on.
    pub fn hello(&mut self, random: [u8; 32], bytes: &[u8]) {
        self.placement.hello(random, bytes);
    }

    /// By what this part of the session's plaintext can be found in a capture.
    pub fn evidence(&self, plain: &Range<u64>) -> Option<Evidence> {
        self.placement.evidence(plain)
    }

    /// The ClientHello announced early data.
    pub const fn expect_early_data(&mut self) {
        self.early_data = true;
    }

    /// The ServerHello told version and cipher.
    pub const fn answered(&mut self, version: u16, cipher: u16) {
        self.suite = Some(Suite { version, cipher });
    }

    /// The negotiated version, once the ServerHello has passed; before it that of early data, which no other has.
    pub fn version(&self) -> Option<u16> {
        let suite = self.suite.or(self.early_data.then_some(EARLY_SUITE));
        suite.map(|suite| suite.version)
    }

    /// Bytes of the session's plaintext so far, whether they have left or not.
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Whether the records of all plaintext up to offset `needs` have passed.
    pub fn is_sent(&self, needs: u64) -> bool {
        self.pending.iter().map(Pending::unsent).all(|unsent| needs <= unsent.start || needs > unsent.end)
    }

    /// Whether the write of the byte before offset `needs` was passed over: its records were lost or never
    /// came. Known of the latest such writes only.
    pub fn was_passed_over(&self, needs: u64) -> bool {
        needs > self.passed.start && needs <= self.passed.end
    }

    /// Whether records and writes have disagreed: what is told from then on is `likely`.
    pub const fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// A call on this flow's session; returns the write if it brings new content, which the caller is to
    /// inspect.
    pub fn write(&mut self, write: Write) -> Option<Rc<Write>> {
        let write = Rc::new(write);
        if !write.leaves_whole() && self.repeats.is_retry(&write) {
            return None;
        }
        if self.pending.len() >= PENDING_MAX {
            self.pass_over(1);
        }
        self.calls += 1;
        let pending = self.begin(self.calls, &write);
        self.pending.push_back(Pending {
            lost_bytes: write.lost_bytes,
            skipped_bytes: write.skipped_bytes - write.limit_bytes(),
            limit_bytes: write.limit_bytes(),
            ..pending
        });
        self.repeats.begin(self.calls, Rc::clone(&write));
        Some(write)
    }

    fn begin(&mut self, number: u64, write: &Write) -> Pending {
        let (start, len) = (self.written, write.len());
        let (whole, grows) = (write.leaves_whole(), write.grows());
        self.written = self.written.saturating_add(len);
        Pending { number, start, len, sent: 0, lost_bytes: 0, skipped_bytes: 0, limit_bytes: 0, whole, grows }
    }

    /// The oldest writes have not left, or their records were lost.
    fn pass_over(&mut self, count: usize) {
        self.doubtful = true;
        for passed in self.pending.drain(..count) {
            let unsent = passed.unsent();
            let follows = self.passed.end == passed.start;
            self.passed = if follows { self.passed.start..unsent.end } else { unsent };
        }
    }

    /// A record passed. Returns what it carried and, if the last write was repeated in earnest, its
    /// content, which counts once more: the caller is to inspect it again.
    pub fn record(&mut self, record: RecordHeader) -> (Carried, Option<Rc<Write>>) {
        self.placement.pass(record);
        let whole = HEADER_LEN + u64::from(record.length);
        let protocol = Carried { protocol: whole, ..Carried::default() };
        if record.content != APPLICATION_DATA {
            return (protocol, None);
        }
        self.data_records += 1;
        if self.is_1_3() {
            self.padding.pass(record.length);
        }
        let length = self.plain_len(record.length);
        match self.stage(record.length, length) {
            Stage::Handshake => {
                let settled = self.settle_flight();
                return (Carried { protocol: whole + settled.protocol, ..settled }, None);
            }
            Stage::Unsettled => {
                self.unsettled = (self.unsettled.0 + whole, self.unsettled.1 + 1);
                return (Carried::default(), None);
            }
            Stage::Data => {}
        }
        let Carried { protocol: flight, unseen: untapped, .. } = self.settle_flight();
        let (carried, repeated) = self.carried(record.length, length, whole);
        let (protocol, unseen) = (carried.protocol + flight, carried.unseen + untapped);
        (Carried { protocol, unseen, ..carried }, repeated)
    }

    /// What a record of data carried.
    fn carried(&mut self, record_len: u32, length: Length, whole: u64) -> (Carried, Option<Rc<Write>>) {
        let (taken, repeated) = self.take_plain(record_len, length);
        if let Some(taken) = taken {
            self.doubtful |= length.guessed;
            return (self.settle(taken, whole), repeated);
        }
        let is_signal = matches!(length.plain, PlainLen::Exact(len) if len as u64 <= SIGNAL_LEN_MAX);
        let (protocol, unseen) = if is_signal { (whole, 0) } else { (0, whole) };
        (Carried { protocol, unseen, ..Carried::default() }, None)
    }

    /// In TLS 1.3 the client's handshake ends under the cloak of application data: its first record is handshake in
    /// any case, and what follows is up to the Finished. What fits a write is early data that was under way, or the
    /// Finished was lost.
    fn stage(&mut self, record_len: u32, length: Length) -> Stage {
        if !self.is_1_3() || self.finished {
            return Stage::Data;
        }
        if !self.flight_begun && self.padding.is_finished(record_len) {
            self.finished = true;
            return Stage::Handshake;
        }
        if FINISHED_LENGTHS.contains(&record_len) {
            self.finished = true;
            return Stage::Handshake;
        }
        if self.pending.front().is_some_and(|front| length.admits(front.fragment())) {
            self.finished |= !self.early_data;
            self.doubtful |= !self.early_data;
            return Stage::Data;
        }
        if self.early_data {
            let is_end = record_len == END_OF_EARLY_DATA_LENGTH;
            return if is_end { Stage::Handshake } else { Stage::Data };
        }
        if !std::mem::replace(&mut self.flight_begun, true) {
            return Stage::Handshake;
        }
        if self.unsettled.1 < UNSETTLED_MAX { Stage::Unsettled } else { Stage::Data }
    }

    fn is_1_3(&self) -> bool {
        self.suite.is_some_and(|suite| suite.version == TLS_1_3)
    }

    /// What unsettled records turn out to be: handshake when it has ended, data when none of them was its end.
    fn settle_flight(&mut self) -> Carried {
        let (bytes, _) = std::mem::take(&mut self.unsettled);
        let (protocol, unseen) = if self.finished { (bytes, 0) } else { (0, bytes) };
        self.finished |= unseen > 0;
        Carried { protocol, unseen, ..Carried::default() }
    }

    /// Bytes of records that are in no account yet: nobody saw them being written, unless the end of the handshake
    /// follows.
    pub const fn unsettled_bytes(&self) -> u64 {
        self.unsettled.0
    }

    fn plain_len(&self, record_len: u32) -> Length {
        let early = self.early_data.then_some(EARLY_SUITE);
        let len = record_len as usize;
        let plain = self.suite.or(early).map(|suite| plain_len(suite.version, suite.cipher, len));
        match plain.unwrap_or(PlainLen::Unknown) {
            PlainLen::Unknown => {
                let (min, max) = (len.saturating_sub(OVERHEAD.end - 1), len.saturating_sub(OVERHEAD.start));
                Length { plain: PlainLen::Range { min, max }, guessed: true }
            }
            plain => Length { plain, guessed: false },
        }
    }

    /// Finds the write whose record this is and puts it in front; returns how much of it the record takes,
    /// and the write if it was a repeat. A write that goes on, a repeat, a later write, and a piece of a
    /// write are tried in this order.
    fn take_plain(&mut self, record_len: u32, length: Length) -> (Option<u64>, Option<Rc<Write>>) {
        if let Some(grown) = self.take_grown(record_len, length) {
            return (Some(grown), None);
        }
        let front = self.pending.front().map(|front| (front.number, front.sent, front.fragment()));
        if let Some((_, _, fragment)) = front
            && length.admits(fragment)
        {
            return (Some(fragment), None);
        }
        if let Some(padded) = self.take_padded(record_len) {
            return (Some(padded), None);
        }
        let is_block = matches!(length.plain, PlainLen::Range { .. }) && length.admits(MULTI_BLOCK_FRAGMENT);
        if is_block && front.is_some_and(|(.., fragment)| fragment > MULTI_BLOCK_FRAGMENT) {
            return (Some(MULTI_BLOCK_FRAGMENT), None);
        }
        if self.pending.front().is_some_and(|front| front.whole)
            && let Some(piece) = self.take_piece(length)
        {
            return (Some(piece), None);
        }
        let begun = front.is_some_and(|(_, sent, _)| sent > 0);
        if !begun && !length.guessed {
            let before = front.map_or(u64::MAX, |(number, ..)| number);
            let fits = |len: u64| length.admits(len.min(FRAGMENT_MAX));
            if let Some((number, write)) = self.repeats.take(before, fits) {
                let pending = self.begin(number, &write);
                let fragment = pending.fragment();
                self.pending.push_front(pending);
                return (Some(fragment), Some(write));
            }
        }
        (self.take_later(length).or_else(|| self.take_piece(length)), None)
    }

    /// As much as a library whose records grow put in, where the record itself does not tell.
    fn take_grown(&self, record_len: u32, length: Length) -> Option<u64> {
        let front = self.pending.front().filter(|front| front.grows)?;
        let most = growing::most_of(self.data_records, record_len, length.plain)?;
        Some(front.fragment().min(most)).filter(|taken| length.admits(*taken))
    }

    /// The write whose turn it is fits, if the record is padded.
    fn take_padded(&self, record_len: u32) -> Option<u64> {
        let fragment = self.pending.front()?.fragment();
        self.padding.admits(record_len, fragment).then_some(fragment)
    }

    /// A later write fits: those before it never left, or their records were lost.
    fn take_later(&mut self, length: Length) -> Option<u64> {
        let fits = |pending: &Pending| length.admits(pending.fragment());
        let later = self.pending.iter().position(fits).filter(|_| !length.guessed)?;
        self.pass_over(later);
        self.pending.front().map(Pending::fragment)
    }

    /// Programs may ask for short fragments, and a library that chooses may have little left of one of several buffers; a
    /// signal is shorter still, and does not come amid the records of such a call.
    fn take_piece(&self, length: Length) -> Option<u64> {
        let front = self.pending.front()?;
        let least = match (front.whole, front.sent) {
            (true, 1..) => 1,
            (true, 0) => SIGNAL_LEN_MAX + 1,
            (false, _) => FRAGMENT_MIN,
        };
        match length.plain {
            PlainLen::Exact(len) => Some(len as u64).filter(|len| (least..front.fragment()).contains(len)),
            _ => None,
        }
    }

    fn settle(&mut self, taken: u64, whole: u64) -> Carried {
        let Some(front) = self.pending.front_mut() else {
            return Carried { unseen: whole, ..Carried::default() };
        };
        let begins = front.start + front.sent;
        self.placement.carry(begins..begins + taken);
        front.sent += taken;
        let mut inspected = taken;
        let mut give = |missing: &mut u64| {
            let given = inspected.min(*missing);
            *missing -= given;
            inspected -= given;
            given
        };
        let (lost, skipped) = (give(&mut front.lost_bytes), give(&mut front.skipped_bytes));
        let limited = give(&mut front.limit_bytes);
        if front.sent >= front.len {
            let (number, len) = (front.number, front.len);
            self.pending.pop_front();
            self.repeats.left(number, len);
        }
        Carried { inspected, lost, skipped, limited, protocol: whole - taken, unseen: 0 }
    }
}

#[cfg(test)]
#[path = "tls_flow_tests.rs"]
mod tests;
