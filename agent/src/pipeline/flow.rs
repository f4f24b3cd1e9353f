//! One flow in user space: its bytes in order, its findings until they are proven, its account.
//!
//! *Limits*: [`HELD_MAX`] findings wait for their records; with more, the oldest are told as they stand.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use cprvagt_abi::{Flow, Kind, Role, Verdict, WireData};
use cprvagt_report::{Evidence, Outcome};
use cprvagt_stream::tls::{client_hello, server_hello};

use super::identity::{Identity, believable};
use super::plain::{Outlet, PlainFlow};
use super::proxy::{ProxyReader, Wanted};
use crate::{
    inspect::{Finding, Inspected, Inspector, Lens},
    join::{
        records::{Met, RecordHeader, RecordReader},
        tls_flow::{Carried, TlsFlow},
        writes::Write,
    },
    ledger::{Account, Reason},
    process::ProcessFacts,
    scrub::Scrubber,
};

/// Longest TLS record: header, 2^14 bytes, and 2048 of expansion (RFC 5246, 6.2.3).
const RECORD_BYTES_MAX: u64 = 5 + (1 << 14) + 2048;
/// Protocol number of TCP.
const TCP: u32 = 6;
/// Where name servers listen (RFC 1035, 4.2).
const DNS_PORT: u32 = 53;
/// Findings of one flow that wait for their records.
pub const HELD_MAX: usize = 4096;

/// A flow that is not allowed, or allowed but for the clear-text rule.
pub struct FlowState {
    /// Whose it is and where it goes.
    pub who: Identity,
    /// When the kernel told of it, in nanoseconds by its clock.
    pub opened_ns: u64,
    /// What became of its bytes.
    pub account: Account,
    /// When its socket closed, or the kernel had forgotten it.
    pub ended: Option<Instant>,
    /// Whether the kernel told that the socket closed.
    closed: bool,
    /// The decoder of the flow's content: of its bytes, or of the writes of its TLS session.
    inspector: Inspector,
    plain: Option<PlainFlow>,
    proxy: ProxyReader,
    tls: Option<TlsFlow>,
    /// The tap of the last write.
    tap: &'static str,
    /// The session that wrote last: its process and address.
    session: Option<(u32, u64)>,
    /// Up to which offset of the session's plaintext its writes were bound by fitting alone.
    guessed_until: u64,
    /// The session of the last such write: its process and address.
    guessed_session: Option<(u32, u64)>,
    /// Findings that wait for their records, in the order they were made.
    held: VecDeque<Held>,
    copied: Copied,
    /// Whether bytes of it are known that could not be read.
    is_blind: bool,
}

/// A TLS flow whose bytes are copied, so that its records are followed here.
#[derive(Default)]
struct Copied {
    records: RecordReader,
    /// Sequence number of the next byte.
    next_seq: Option<u32>,
    /// Lost bytes of records whose headers came: they are in the records' account.
    hole_bytes: u64,
    /// The decoder of bytes that are no records.
    bare: Option<Inspector>,
}

struct Held {
    finding: Finding,
    tap: &'static str,
}

/// A finding with what is proven of it.
pub struct Told {
    /// The finding.
    pub finding: Finding,
    /// Which tap saw it.
    pub tap: &'static str,
    /// Whether the bytes were encrypted on the wire.
    pub encrypted: bool,
    /// Whether its bytes were seen leaving.
    pub outcome: Outcome,
    /// Whether that, and where to, is certain.
    pub certain: bool,
    /// By what it can be found in a capture.
    pub evidence: Option<Evidence>,
}

impl Told {
    fn in_clear(finding: Finding) -> Self {
        Self { finding, tap: "wire", encrypted: false, outcome: Outcome::Sent, certain: true, evidence: None }
    }
}

impl FlowState {
    /// A flow that just began.
    pub fn new(kernel: Flow, process: Option<Arc<ProcessFacts>>, opened_ns: u64) -> Self {
        let is_tls = kernel.kind == Kind::Tls as u32 || kernel.kind == Kind::TlsCopied as u32;
        let may_ask = kernel.protocol == TCP && kernel.owner.role != Role::Server as u32;
        Self {
            who: Identity::new(kernel, process),
            opened_ns,
            account: Account::default(),
            ended: None,
            closed: false,
            inspector: if kernel.protocol == TCP { Inspector::stream() } else { Inspector::datagram() },
            plain: (!is_tls).then(PlainFlow::new),
            proxy: if may_ask { ProxyReader::default() } else { ProxyReader::none() },
            tls: is_tls.then(TlsFlow::default),
            tap: "wire",
            session: None,
            guessed_until: 0,
            guessed_session: None,
            held: VecDeque::new(),
            copied: Copied::default(),
            is_blind: false,
        }
    }

    /// Whom the program asked the far end to pass its bytes on to.
    pub fn wanted(&self) -> Option<&Wanted> {
        self.proxy.wanted()
    }

    /// Whether it goes to a relay on this host.
    pub fn is_handover(&self) -> bool {
        self.who.kernel.verdict == Verdict::Relay as u32
    }

    /// What its content is looked at with.
    pub fn lens<'a>(&self, lens: &Lens<'a>) -> Lens<'a> {
        if self.is_handover() { lens.on_host() } else { *lens }
    }

    /// Whether a name server on this host answers on it.
    pub fn is_name_server(&self) -> bool {
        self.who.kernel.protocol != TCP
            && self.who.kernel.local_port == DNS_PORT
            && self.who.role() == Role::Server
    }

    /// The session whose writes have left on it: process and address.
    pub fn session(&self) -> Option<(u32, u64)> {
        self.session.filter(|_| self.account.inspected_bytes > 0)
    }

    /// The negotiated TLS version.
    pub fn tls_version(&self) -> Option<u16> {
        self.tls.as_ref().and_then(TlsFlow::version)
    }

    /// Bytes of a plaintext flow, or of a TLS flow whose records are followed here.
    pub fn wire_data(&mut self, record: &WireData, bytes: &[u8], lens: &Lens<'_>) -> Vec<Told> {
        self.who.count_at_least(record.wire_bytes, record.lost_bytes);
        if self.tls.is_some() {
            return self.copied_records(record.seq, bytes, lens);
        }
        let Some(plain) = &mut self.plain else { return Vec::new() };
        let mut inspected = Inspected::default();
        let lens = &lens.of(self.who.origin());
        let Self { proxy, inspector, .. } = self;
        let mut outlet = Outlet { proxy, inspector, lens, into: &mut inspected };
        match self.who.kernel.protocol {
            TCP => plain.segment(record, bytes, &mut outlet),
            _ => plain.datagram(record, bytes, &mut outlet),
        }
        self.settle_plain(inspected)
    }

    fn copied_records(&mut self, seq: u32, bytes: &[u8], lens: &Lens<'_>) -> Vec<Told> {
        let here = lens.of(self.who.origin());
        let Copied { records, next_seq, hole_bytes, bare } = &mut self.copied;
        let (mut headers, mut inspected) = (Vec::new(), Inspected::default());
        let mut take = |met: Met<'_>| match met {
            Met::Record(header) => headers.push(header),
            Met::NoRecord(bytes) => {
                bare.get_or_insert_with(Inspector::stream).push(bytes, &here, &mut inspected)
            }
        };
        let hole = next_seq.map_or(0, |next| seq.wrapping_sub(next)) as i32;
        if let Ok(hole @ 1..) = u64::try_from(hole) {
            *hole_bytes += records.skip(hole, &mut take);
        }
        records.push(seq, bytes, &mut take);
        *next_seq = Some(seq.wrapping_add(bytes.len() as u32));
        let mut told: Vec<Told> =
            headers.into_iter().flat_map(|header| self.tls_record(header, lens)).collect();
        told.extend(self.settle_plain(inspected));
        told
    }

    /// What was found in plaintext has left: the wire tap stands behind every send path.
    fn settle_plain(&mut self, inspected: Inspected) -> Vec<Told> {
        self.account.inspected_bytes += inspected.counted.text_bytes;
        self.account.miss(Reason::Opaque, inspected.counted.opaque_bytes);
        self.account.miss(Reason::Window, inspected.counted.window_bytes);
        self.account.miss(Reason::Limit, inspected.counted.limit_bytes);
        inspected.findings.into_iter().map(Told::in_clear).collect()
    }

    /// A ClientHello: from here on the flow is TLS.
    pub fn hello(&mut self, random: [u8; 32], bytes: &[u8], lens: &Lens<'_>) -> Vec<Told> {
        let told = self.turn_to_tls(lens);
        if let Some(tls) = &mut self.tls {
            tls.hello(random, bytes);
        }
        let Some(hello) = client_hello(bytes) else { return told };
        if let Some(tls) = &mut self.tls
            && hello.has_early_data
        {
            tls.expect_early_data();
        }
        let scrubber = Scrubber::at(lens.now_unix);
        self.who.server_name = hello.sni.map(|name| scrubber.name(name)).or(self.who.server_name.take());
        self.who.may_hide_its_name = hello.has_inner;
        told
    }

    /// From here on the flow is TLS, if it was not: what was plain ends. Its hello may have been lost.
    fn turn_to_tls(&mut self, lens: &Lens<'_>) -> Vec<Told> {
        if self.tls.is_some() {
            return Vec::new();
        }
        let told = self.finish_plain(lens);
        self.inspector = Inspector::stream();
        self.tls = Some(TlsFlow::default());
        told
    }

    /// The peer's ServerHello.
    pub fn answer(&mut self, bytes: &[u8]) {
        if let (Some(tls), Some(answer)) = (&mut self.tls, server_hello(bytes))
            && !answer.is_hello_retry
        {
            tls.answered(answer.version, answer.cipher_suite);
        }
    }

    /// A write on this flow's session, which was bound by its random or, if `guessed`, by fitting alone.
    pub fn write(&mut self, write: Write, guessed: bool, lens: &Lens<'_>) -> Vec<Told> {
        let mut told = self.turn_to_tls(lens);
        let Some(tls) = &mut self.tls else { return told };
        let session = (write.call.tgid, write.call.session);
        self.session = Some(session);
        match tls.write(write) {
            Some(write) => {
                if guessed {
                    (self.guessed_until, self.guessed_session) = (tls.written(), Some(session));
                }
                self.inspect_write(&write, lens);
            }
            // Programs that write before the handshake call again with the same: now the session has its random.
            None if !guessed && self.guessed_session == Some(session) => self.guessed_until = 0,
            None => {}
        }
        told.extend(self.release());
        told
    }

    fn inspect_write(&mut self, write: &Write, lens: &Lens<'_>) {
        let mut inspected = Inspected::default();
        let lens = &lens.of(self.who.origin());
        self.inspector.push_write(write, lens, &mut inspected);
        self.tap = write.tap();
        self.hold(inspected);
    }

    /// What was called before may already be inspected, and what comes after it too: it has no neighbours here. So
    /// nothing is held back because of what seems to follow, on either side.
    fn inspect_late(&mut self, write: &Write, lens: &Lens<'_>) -> Vec<Told> {
        let mut told = self.quiet(lens);
        self.inspect_write(write, lens);
        told.extend(self.quiet(lens));
        told
    }

    /// The header of a TLS record; returns what it proves.
    pub fn tls_record(&mut self, header: RecordHeader, lens: &Lens<'_>) -> Vec<Told> {
        let mut told = self.turn_to_tls(lens);
        let Some(tls) = &mut self.tls else { return told };
        let (carried, repeated) = tls.record(header);
        self.enter(carried);
        if let Some(write) = repeated {
            told.extend(self.inspect_late(&write, lens));
        }
        told.extend(self.release());
        told
    }

    fn enter(&mut self, carried: Carried) {
        self.account.inspected_bytes += carried.inspected;
        self.account.protocol_bytes += carried.protocol;
        self.account.miss(Reason::RingFull, carried.lost);
        self.account.miss(Reason::NotResident, carried.skipped);
        self.account.miss(Reason::Limit, carried.limited);
        self.account.miss(Reason::NoTap, carried.unseen);
    }

    /// Bytes of TLS writes are counted when their records pass, so what is counted here is left out.
    fn hold(&mut self, inspected: Inspected) {
        let tap = self.tap;
        self.held.extend(inspected.findings.into_iter().map(|finding| Held { finding, tap }));
    }

    /// The findings whose bytes have left, and those that find no room to wait.
    fn release(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        while let Some(front) = self.held.front()
            && (self.held.len() > HELD_MAX || self.outcome(front) != Outcome::NotSent)
        {
            let outcome = if self.outcome(front) == Outcome::Sent { Outcome::Sent } else { Outcome::Unknown };
            told.extend(self.held.pop_front().map(|held| self.told(held, outcome)));
        }
        told
    }

    /// What the records say of a finding's bytes: `NotSent` is as yet.
    fn outcome(&self, held: &Held) -> Outcome {
        let needs = held.finding.needs;
        match &self.tls {
            Some(tls) if tls.was_passed_over(needs) => Outcome::Unknown,
            Some(tls) if tls.is_sent(needs) => Outcome::Sent,
            _ => Outcome::NotSent,
        }
    }

    fn told(&self, held: Held, outcome: Outcome) -> Told {
        let guessed = held.finding.needs <= self.guessed_until;
        let doubtful = guessed || self.tls.as_ref().is_none_or(TlsFlow::is_doubtful);
        let certain = outcome == Outcome::Sent && !doubtful;
        let plain = held.finding.offset.min(held.finding.needs.saturating_sub(1))..held.finding.needs;
        let evidence = self.tls.as_ref().filter(|_| !guessed).and_then(|tls| tls.evidence(&plain));
        Told { finding: held.finding, tap: held.tap, encrypted: true, outcome, certain, evidence }
    }

    /// No bytes came for a while.
    pub fn quiet(&mut self, lens: &Lens<'_>) -> Vec<Told> {
        let mut bare = Inspected::default();
        let here = lens.of(self.who.origin());
        if let Some(inspector) = &mut self.copied.bare {
            inspector.quiet(&here, &mut bare);
        }
        let mut inspected = Inspected::default();
        self.inspector.quiet(&here, &mut inspected);
        let mut told = self.settle_plain(bare);
        if self.tls.is_none() {
            told.extend(self.settle_plain(inspected));
            return told;
        }
        self.hold(inspected);
        told.extend(self.release());
        told
    }

    /// The socket closed, with these totals.
    pub fn close(&mut self, kernel: Flow, now: Instant, lens: &Lens<'_>) -> Vec<Told> {
        self.count(kernel);
        self.closed = true;
        self.ended.get_or_insert(now);
        self.finish(lens)
    }

    /// The kernel's totals, as they are now.
    pub fn count(&mut self, kernel: Flow) {
        self.who.kernel = believable(kernel);
    }

    /// The kernel has forgotten a flow that had not ended: its last totals are not known, only what was counted here.
    pub fn forget(&mut self, now: Instant, lens: &Lens<'_>) -> Vec<Told> {
        self.ended = Some(now);
        let told = self.finish(lens);
        let counted = self.account.sum() + self.who.kernel.lost_bytes + self.who.kernel.blind_bytes;
        self.who.kernel.wire_bytes = self.who.kernel.wire_bytes.max(counted);
        told
    }

    /// Nothing more is expected: everything that is still held is told as it stands. May be called again.
    pub fn finish(&mut self, lens: &Lens<'_>) -> Vec<Told> {
        let mut told = self.finish_plain(lens);
        let (mut bare, mut inspected) = (Inspected::default(), Inspected::default());
        let here = lens.of(self.who.origin());
        if let Some(inspector) = &mut self.copied.bare {
            inspector.finish(&here, &mut bare);
        }
        if self.tls.is_some() {
            self.inspector.finish(&here, &mut inspected);
        }
        told.extend(self.settle_plain(bare));
        self.hold(inspected);
        while let Some(held) = self.held.pop_front() {
            let outcome = match self.outcome(&held) {
                Outcome::NotSent if !self.closed => Outcome::Unknown,
                outcome => outcome,
            };
            told.push(self.told(held, outcome));
        }
        told
    }

    fn finish_plain(&mut self, lens: &Lens<'_>) -> Vec<Told> {
        let Some(mut plain) = self.plain.take() else { return Vec::new() };
        let mut inspected = Inspected::default();
        let lens = &lens.of(self.who.origin());
        let Self { proxy, inspector, .. } = self;
        plain.finish(&mut Outlet { proxy, inspector, lens, into: &mut inspected });
        self.settle_plain(inspected)
    }

    /// What was counted so far, also by the kernel.
    pub fn account_so_far(&self) -> Account {
        let mut account = self.account.clone();
        account.miss(Reason::Quic, self.who.kernel.blind_bytes);
        account.miss(Reason::NoTap, self.unsettled_bytes());
        account
    }

    fn unsettled_bytes(&self) -> u64 {
        self.tls.as_ref().map_or(0, TlsFlow::unsettled_bytes)
    }

    /// Whether bytes of it could not be read, for the first time.
    pub fn becomes_blind(&mut self) -> bool {
        let becomes = !self.is_blind
            && self.who.kernel.verdict == Verdict::Inspect as u32
            && self.account_so_far().blind().next().is_some();
        self.is_blind |= becomes;
        becomes
    }

    /// Completes the account with what the kernel counted. Call it once, last.
    pub fn settle_account(&mut self) {
        self.account = self.completed(&self.who.kernel);
    }

    /// The account of a flow that goes on, with the kernel's totals as they are now; `None` while bytes are under
    /// way between the kernel and here.
    pub fn balanced_account(&self, kernel: &Flow) -> Option<Account> {
        let account = self.completed(&believable(*kernel));
        (account.sum() == kernel.wire_bytes).then_some(account)
    }

    fn completed(&self, kernel: &Flow) -> Account {
        let mut account = self.account.clone();
        account.miss(Reason::RingFull, kernel.lost_bytes.saturating_sub(self.copied.hole_bytes));
        account.miss(Reason::Quic, kernel.blind_bytes);
        account.miss(Reason::NoTap, self.unsettled_bytes());
        if self.tls.is_none() {
            return account;
        }
        // The connection ended within a record: within its header, or behind it.
        let header = kernel.header_len as usize + self.copied.records.header_len();
        account.protocol_bytes += header as u64;
        let over = account.sum().saturating_sub(kernel.wire_bytes);
        // Only the last record can be cut; what is over beyond it is a mistake, and must show.
        if over <= RECORD_BYTES_MAX {
            account.take_back(over);
        }
        account
    }
}
