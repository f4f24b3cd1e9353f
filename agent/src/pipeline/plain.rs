//! Plaintext as it passes on the wire, put in order: a TCP stream, or datagrams.
//!
//! *Limits*: [`DATAGRAM_BYTES_MAX`] bytes of a datagram.

use cprvagt_abi::WireData;
use cprvagt_stream::{Piece, Reassembly, reassembly::Limits};
use zeroize::Zeroizing;

use super::proxy::{Passed, ProxyReader};
use crate::inspect::{Counted, Inspected, Inspector, Lens};

/// Bytes of a datagram that are put together: with jumbo payloads (RFC 2675), what one packet may have.
const DATAGRAM_BYTES_MAX: usize = 512 << 10;

/// The bytes of one flow that are not decoded yet.
pub struct PlainFlow {
    reassembly: Reassembly,
    datagram: Datagram,
    lost_seen: u64,
}

/// A datagram, or many of one size that were handed over as one, in the making.
#[derive(Default)]
struct Datagram {
    bytes: Zeroizing<Vec<u8>>,
    /// Offset of the first byte that is there; more than 0 where the beginning was lost.
    start: usize,
    segment: usize,
}

/// Where content goes.
pub struct Outlet<'a, 'l> {
    /// Takes what is for a proxy.
    pub proxy: &'a mut ProxyReader,
    /// Decodes it.
    pub inspector: &'a mut Inspector,
    /// What it is looked at with.
    pub lens: &'a Lens<'l>,
    /// What came out.
    pub into: &'a mut Inspected,
}

impl Outlet<'_, '_> {
    fn take(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Bytes(bytes) => self.pass(bytes),
            Piece::Gap { bytes } => {
                self.let_out_held();
                self.inspector.gap(bytes, self.lens, self.into);
            }
        }
    }

    fn pass(&mut self, bytes: &[u8]) {
        match self.proxy.take(bytes) {
            Passed::Content => self.content(bytes),
            Passed::Held => {}
            Passed::Released(held) => {
                self.content(&held);
                self.content(bytes);
            }
            Passed::Asked(asked, count) => {
                self.asked(&asked);
                self.content(&bytes[count..]);
            }
        }
    }

    fn content(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.inspector.push(bytes, self.lens, self.into);
        }
    }

    /// A message of its own, in a protocol that is known.
    fn asked(&mut self, message: &[u8]) {
        let before = self.into.counted;
        Inspector::datagram().push(message, self.lens, self.into);
        self.into.counted = Counted { text_bytes: before.text_bytes + message.len() as u64, ..before };
    }

    fn let_out_held(&mut self) {
        if let Some(held) = self.proxy.give_up() {
            self.content(&held);
        }
    }
}

impl PlainFlow {
    /// Nothing has come yet.
    pub fn new() -> Self {
        Self { reassembly: Reassembly::new(Limits::default()), datagram: Datagram::default(), lost_seen: 0 }
    }

    /// Takes TCP payload.
    pub fn segment(&mut self, record: &WireData, bytes: &[u8], outlet: &mut Outlet<'_, '_>) {
        if record.lost_bytes > self.lost_seen {
            self.lost_seen = record.lost_bytes;
            self.reassembly.skip_to(record.seq, &mut |piece| outlet.take(piece));
        }
        self.reassembly.push(record.seq, bytes, &mut |piece| outlet.take(piece));
    }

    /// Takes a datagram or a part of one. What stands before a hole is a message of its own.
    pub fn datagram(&mut self, record: &WireData, bytes: &[u8], outlet: &mut Outlet<'_, '_>) {
        let (offset, left) = (record.offset as usize, record.left as usize);
        if offset == 0
            || offset != self.datagram.end()
            || self.datagram.bytes.len() + bytes.len() > DATAGRAM_BYTES_MAX
        {
            self.datagram.let_out(outlet);
            let room = bytes.len().saturating_add(left).min(DATAGRAM_BYTES_MAX);
            // As much as will be needed: a buffer that grows leaves its content behind.
            let bytes = Zeroizing::new(Vec::with_capacity(room));
            self.datagram = Datagram { bytes, start: offset, segment: record.segment as usize };
        }
        self.datagram.bytes.extend_from_slice(bytes);
        if left == 0 {
            self.datagram.let_out(outlet);
        }
    }

    /// The flow ended, or goes on as something else.
    pub fn finish(&mut self, outlet: &mut Outlet<'_, '_>) {
        self.datagram.let_out(outlet);
        self.reassembly.finish(&mut |piece| outlet.take(piece));
        outlet.let_out_held();
        outlet.inspector.finish(outlet.lens, outlet.into);
    }
}

impl Datagram {
    fn end(&self) -> usize {
        self.start + self.bytes.len()
    }

    /// What was handed over as one leaves as many, each a message of its own.
    fn let_out(&mut self, outlet: &mut Outlet<'_, '_>) {
        let whole = std::mem::take(self);
        let segment = if whole.segment == 0 { usize::MAX } else { whole.segment };
        let first = (segment - whole.start % segment).min(whole.bytes.len());
        let (first, rest) = whole.bytes.split_at(first);
        for datagram in std::iter::once(first).chain(rest.chunks(segment)).filter(|it| !it.is_empty()) {
            outlet.take(Piece::Bytes(datagram));
        }
    }
}
