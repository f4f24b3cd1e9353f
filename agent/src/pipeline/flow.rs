//! One flow in user space: its bytes in order, its findings until they are proven, its account.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use cprvagt_abi::{Flow, Kind, Role, WireData};
use cprvagt_report::Scrubbed;
use cprvagt_stream::{
    Piece, Plain, Reassembly,
    reassembly::Limits,
    tls::{client_hello, server_hello},
};

use crate::{
    inspect::{Finding, Inspected, Inspector, Lens},
    join::{
        records::{Met, RecordHeader, RecordReader},
        tls_flow::{Call, Carried, TlsFlow},
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

/// A flow that is not allowed, or allowed but for the clear-text rule.
pub struct FlowState {
    /// As the kernel told it last.
    pub kernel: Flow,
    /// Who opened it, as far as known.
    pub process: Option<Arc<ProcessFacts>>,
    /// The name that a ClientHello asked for.
    pub server_name: Option<Scrubbed>,
    /// What became of its bytes.
    pub account: Account,
    /// When its socket closed.
    pub ended: Option<Instant>,
    /// Findings that wait for their records.
    held: Vec<Held>,
    content: Content,
    plain: Option<PlainFlow>,
    tls: Option<TlsFlow>,
    records: RecordReader,
    lost_seen: u64,
    /// Whether a session was bound by fitting alone, or records have disagreed.
    fits_only: bool,
}

/// Plaintext of a flow that is not TLS, or not yet.
struct PlainFlow {
    reassembly: Reassembly,
    datagram: Vec<u8>,
}

/// The decoder of the flow's content: of its bytes, or of the writes of its TLS session.
struct Content {
    inspector: Inspector,
    tap: &'static str,
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
    /// Whether its bytes were seen leaving.
    pub sent: bool,
    /// Whether that is certain.
    pub certain: bool,
}

impl FlowState {
    /// A flow that just began.
    pub fn new(kernel: Flow, process: Option<Arc<ProcessFacts>>) -> Self {
        let datagram = kernel.protocol != TCP;
        let inspector = if datagram { Inspector::datagram() } else { Inspector::stream() };
        let tls = (kernel.kind == Kind::Tls as u32).then(|| TlsFlow::new(false));
        let plain = tls.is_none().then(|| PlainFlow::new(kernel.high_seq));
        Self {
            kernel,
            process,
            server_name: None,
            account: Account::default(),
            ended: None,
            held: Vec::new(),
            content: Content { inspector, tap: "wire" },
            plain,
            tls,
            records: RecordReader::default(),
            lost_seen: 0,
            fits_only: false,
        }
    }

    /// The far end.
    pub fn remote(&self) -> SocketAddr {
        let ip = IpAddr::V6(Ipv6Addr::from(self.kernel.remote)).to_canonical();
        SocketAddr::new(ip, u16::try_from(self.kernel.remote_port).unwrap_or(0))
    }

    /// Which end this host is.
    pub const fn role(&self) -> Role {
        match self.kernel.owner.role {
            role if role == Role::Server as u32 => Role::Server,
            role if role == Role::Client as u32 => Role::Client,
            _ => Role::Unknown,
        }
    }

    /// Whether the flow is encrypted now.
    pub const fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// The negotiated TLS version.
    pub fn tls_version(&self) -> Option<u16> {
        self.tls.as_ref().and_then(TlsFlow::version)
    }

    /// Bytes of a plaintext flow, or of a TLS flow whose records are followed here.
    pub fn wire_data(&mut self, record: &WireData, bytes: &[u8], lens: &Lens<'_>) -> Vec<Told> {
        self.kernel.wire_bytes = self.kernel.wire_bytes.max(record.wire_bytes);
        if self.tls.is_some() {
            return self.copied_records(bytes, lens);
        }
        let Some(mut plain) = self.plain.take() else { return Vec::new() };
        let mut inspected = Inspected::default();
        if self.kernel.protocol == TCP {
            let lost = record.lost_bytes > self.lost_seen;
            self.lost_seen = record.lost_bytes;
            plain.segment(record.seq, bytes, lost, &mut self.content.inspector, lens, &mut inspected);
        } else {
            plain.datagram(record, bytes, &mut self.content.inspector, lens, &mut inspected);
        }
        self.plain = Some(plain);
        self.settle_plain(inspected)
    }

    fn copied_records(&mut self, bytes: &[u8], lens: &Lens<'_>) -> Vec<Told> {
        let mut met = Vec::new();
        self.records.push(bytes, &mut |it| met.push(it));
        let mut told = Vec::new();
        for it in met {
            match it {
                Met::Record(header) => told.extend(self.tls_record(header, lens)),
                Met::NoRecord { bytes } => self.account.miss(Reason::Opaque, bytes),
            }
        }
        told
    }

    /// What was found in plaintext has left: the wire tap stands behind every send path.
    fn settle_plain(&mut self, inspected: Inspected) -> Vec<Told> {
        self.account.inspected_bytes += inspected.counted.text_bytes;
        self.account.miss(Reason::Opaque, inspected.counted.opaque_bytes);
        let told = |finding| Told { finding, tap: "wire", sent: true, certain: true };
        inspected.findings.into_iter().map(told).collect()
    }

    /// A ClientHello: from here on the flow is TLS.
    pub fn hello(&mut self, bytes: &[u8], lens: &Lens<'_>) -> Vec<Told> {
        let told = self.finish_plain(lens);
        let hello = client_hello(bytes);
        if self.tls.is_none() || self.server_name.is_none() {
            self.content.inspector = Inspector::stream();
            self.tls = Some(TlsFlow::new(hello.as_ref().is_some_and(|hello| hello.has_early_data)));
        }
        let scrubber = Scrubber::at(lens.now_unix);
        self.server_name = hello.and_then(|hello| hello.sni).map(|name| scrubber.name(name));
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

    /// A write on this flow's session.
    pub fn write(&mut self, write: Write, fits_only: bool, lens: &Lens<'_>) {
        self.fits_only |= fits_only;
        let Some(tls) = &mut self.tls else { return };
        self.content.tap = write.tap();
        let mut inspected = Inspected::default();
        if let (Call::New, Some(write)) = tls.write(write) {
            inspect_write(&mut self.content.inspector, write, lens, &mut inspected);
        }
        self.hold(inspected);
    }

    /// The header of a TLS record; returns what it proves.
    pub fn tls_record(&mut self, header: RecordHeader, lens: &Lens<'_>) -> Vec<Told> {
        let Some(tls) = &mut self.tls else { return Vec::new() };
        let carried = tls.record(header);
        if carried.repeated
            && let Some(write) = tls.last()
        {
            let mut inspected = Inspected::default();
            inspect_write(&mut self.content.inspector, write, lens, &mut inspected);
            self.hold(inspected);
        }
        self.enter(carried);
        self.release()
    }

    fn enter(&mut self, carried: Carried) {
        self.account.inspected_bytes += carried.inspected;
        self.account.protocol_bytes += carried.protocol;
        self.account.miss(Reason::RingFull, carried.lost);
        self.account.miss(Reason::NotResident, carried.skipped);
        self.account.miss(Reason::NoTap, carried.unseen);
    }

    /// Bytes of TLS writes are counted when their records pass, so what is counted here is left out.
    fn hold(&mut self, inspected: Inspected) {
        let tap = self.content.tap;
        self.held.extend(inspected.findings.into_iter().map(|finding| Held { finding, tap }));
    }

    /// The findings whose bytes have left.
    fn release(&mut self) -> Vec<Told> {
        let Some(tls) = &self.tls else { return Vec::new() };
        if self.held.is_empty() {
            return Vec::new();
        }
        let (sent, certain) = (tls.sent(), !tls.is_doubtful() && !self.fits_only);
        let (left, held) = std::mem::take(&mut self.held).into_iter().partition(|held: &Held| held.finding.needs <= sent);
        self.held = held;
        let told = |held: Held| Told { finding: held.finding, tap: held.tap, sent: true, certain };
        left.into_iter().map(told).collect()
    }

    /// No bytes came for a while.
    pub fn quiet(&mut self, lens: &Lens<'_>) -> Vec<Told> {
        let mut inspected = Inspected::default();
        self.content.inspector.quiet(lens, &mut inspected);
        if self.tls.is_none() {
            return self.settle_plain(inspected);
        }
        self.hold(inspected);
        self.release()
    }

    fn finish_plain(&mut self, lens: &Lens<'_>) -> Vec<Told> {
        let Some(mut plain) = self.plain.take() else { return Vec::new() };
        let mut inspected = Inspected::default();
        plain.finish(&mut self.content.inspector, lens, &mut inspected);
        self.settle_plain(inspected)
    }

    /// The flow's end: everything that is still held is told as it stands.
    pub fn finish(&mut self, lens: &Lens<'_>) -> Vec<Told> {
        let mut told = self.finish_plain(lens);
        if self.tls.is_some() {
            let mut inspected = Inspected::default();
            self.content.inspector.finish(lens, &mut inspected);
            self.hold(inspected);
            told.extend(self.release());
        }
        let unsent = std::mem::take(&mut self.held).into_iter();
        told.extend(unsent.map(|held| Told { finding: held.finding, tap: held.tap, sent: false, certain: false }));
        told
    }

    /// Completes the account with what the kernel counted.
    pub fn settle_account(&mut self) {
        self.account.miss(Reason::RingFull, self.kernel.lost_bytes);
        self.account.miss(Reason::Quic, self.kernel.blind_bytes);
        let over = self.account.sum().saturating_sub(self.kernel.wire_bytes);
        // Only the last record can be cut; what is over beyond it is a mistake, and must show.
        if self.tls.is_some() && over <= RECORD_BYTES_MAX {
            self.account.take_back(over);
        }
    }
}

impl PlainFlow {
    fn new(_seq: u32) -> Self {
        Self { reassembly: Reassembly::new(Limits::default()), datagram: Vec::new() }
    }

    fn segment(&mut self, seq: u32, bytes: &[u8], lost: bool, inspector: &mut Inspector, lens: &Lens<'_>, into: &mut Inspected) {
        let mut take = |piece: Piece<'_>| match piece {
            Piece::Bytes(bytes) => inspector.push(bytes, lens, into),
            Piece::Gap { bytes } => inspector.gap(bytes, lens, into),
        };
        if lost {
            self.reassembly.skip_to(seq, &mut take);
        }
        self.reassembly.push(seq, bytes, &mut take);
    }

    fn datagram(&mut self, record: &WireData, bytes: &[u8], inspector: &mut Inspector, lens: &Lens<'_>, into: &mut Inspected) {
        if record.offset == 0 && !self.datagram.is_empty() {
            // The rest of the last one was lost.
            inspector.push(&std::mem::take(&mut self.datagram), lens, into);
        }
        self.datagram.extend_from_slice(bytes);
        if record.left == 0 {
            let whole = Plain::from(std::mem::take(&mut self.datagram));
            // What was handed over as one leaves as many, each a message of its own.
            let segment = if record.segment == 0 { whole.len().max(1) } else { record.segment as usize };
            for datagram in whole.as_slice().chunks(segment) {
                inspector.push(datagram, lens, into);
            }
        }
    }

    fn finish(&mut self, inspector: &mut Inspector, lens: &Lens<'_>, into: &mut Inspected) {
        if !self.datagram.is_empty() {
            inspector.push(&std::mem::take(&mut self.datagram), lens, into);
        }
        self.reassembly.finish(&mut |piece| match piece {
            Piece::Bytes(bytes) => inspector.push(bytes, lens, into),
            Piece::Gap { bytes } => inspector.gap(bytes, lens, into),
        });
        inspector.finish(lens, into);
    }
}

fn inspect_write(inspector: &mut Inspector, write: &Write, lens: &Lens<'_>, into: &mut Inspected) {
    write.for_each(&mut |piece| match piece {
        Ok(bytes) => inspector.push(bytes, lens, into),
        Err(missing) => inspector.gap(missing, lens, into),
    });
}
