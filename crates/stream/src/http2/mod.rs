//! One direction of an HTTP/2 connection (RFC 9113), from its start or from any frame of it.
//!
//! Each stream's headers are shown value by value, its data as the content of its message; frames stand around both
//! as they came. A connection that is joined late says less at first: see [`table`].
//!
//! *Limits*: [`BLOCK_BYTES_MAX`] for a header block; what is longer is shown as it stands, and header compression
//! begins anew. Those of [`streams`], [`hpack`] and [`table`].

mod fields;
pub(crate) mod frame;
mod hpack;
mod streams;
mod table;

use std::mem;
use std::ops::Range;

use crate::body::Next;
use crate::plain::Plain;
use crate::session::{Session, Wire};
use crate::window::{Place, Protocol, Sink};

use frame::{Frame, HEADER_BYTES, Kind, PREFACE};
use hpack::{FieldList, Hpack};
use streams::{Message, Streams};

/// Longest header block that is read, all its frames together.
pub(crate) const BLOCK_BYTES_MAX: usize = 64 * 1024;

/// See the module.
pub(crate) struct Http2 {
    reading: Reading,
    hpack: Hpack,
    block: Block,
    streams: Streams,
    wire: Wire,
    /// Of the message that began last.
    place: Place,
    next_message: u64,
}

/// What the next bytes are.
enum Reading {
    /// The preface, of which this many bytes came.
    Preface(usize),
    /// A frame header, of which these bytes came.
    Header(Vec<u8>),
    Payload(Payload),
}

/// A payload in the making.
struct Payload {
    frame: Frame,
    /// Bytes to come, padding included.
    left: usize,
    /// Bytes to come before header block or data.
    lead: usize,
    padding: usize,
}

/// A header block in the making.
#[derive(Default)]
struct Block {
    bytes: Plain,
    is_too_long: bool,
    /// The stream of its first frame, and where in the connection that frame began.
    first: Option<(Frame, u64)>,
}

impl Http2 {
    /// `message` is the number of the first message.
    pub(crate) fn new(message: u64) -> Self {
        Self {
            reading: Reading::Preface(0),
            hpack: Hpack::default(),
            block: Block::default(),
            streams: Streams::default(),
            wire: Wire::default(),
            place: Place { protocol: Protocol::Http2, ..Place::raw(message) },
            next_message: message,
        }
    }

    /// The preface, or at once a frame.
    fn take_preface(&mut self, seen: usize, bytes: &[u8], at: u64, out: &mut Sink<'_>) -> (usize, Next) {
        let rest = &PREFACE[seen..];
        let count = bytes.iter().zip(rest).take_while(|(byte, expected)| byte == expected).count();
        self.wire.push(&bytes[..count], at, &self.place, out);
        let is_over = seen + count == PREFACE.len() || seen + count == 0;
        self.reading = if is_over { Reading::Header(Vec::new()) } else { Reading::Preface(seen + count) };
        let is_broken = !is_over && count < bytes.len();
        (count, if is_broken { Next::Over } else { Next::More })
    }

    fn take_header(&mut self, bytes: &[u8], at: u64, out: &mut Sink<'_>) -> (usize, Next) {
        let Reading::Header(header) = &mut self.reading else { return (0, Next::Over) };
        let before = header.len();
        let count = bytes.len().min(HEADER_BYTES - before);
        header.extend_from_slice(&bytes[..count]);
        let whole = <[u8; HEADER_BYTES]>::try_from(header.as_slice());
        let Ok(whole) = whole else {
            self.wire.push(&bytes[..count], at, &self.place, out);
            return (count, Next::More);
        };
        let Some(frame) = Frame::parse(whole).filter(|frame| self.block.may_be_followed_by(frame)) else {
            self.wire.push(&bytes[..count], at, &self.place, out);
            return (count, Next::Over);
        };
        if matches!(frame.kind, Kind::Headers | Kind::PushPromise) {
            self.block.first = Some((frame, at - before as u64));
        }
        self.wire.push(&bytes[..count], at, &self.place, out);
        let (left, lead) = (frame.payload_bytes, frame.lead_bytes());
        self.reading = Reading::Payload(Payload { frame, left, lead, padding: 0 });
        self.end_payload(at + count as u64, out);
        (count, Next::More)
    }

    fn take_payload(&mut self, bytes: &[u8], at: u64, out: &mut Sink<'_>) -> (usize, Next) {
        let Reading::Payload(payload) = &mut self.reading else { return (0, Next::Over) };
        let Some((count, is_content)) = payload.next(bytes) else { return (0, Next::Over) };
        let (frame, bytes) = (payload.frame, &bytes[..count]);
        match frame.kind {
            Kind::Data if is_content => {
                let is_new = self.streams.data(frame.stream, bytes, at, self.next_message, out);
                self.next_message += u64::from(is_new);
            }
            Kind::Headers | Kind::PushPromise | Kind::Continuation if is_content => {
                self.block.append(bytes);
                self.wire.push(bytes, at, &self.place, out);
            }
            _ => self.wire.push(bytes, at, &self.place, out),
        }
        self.end_payload(at + count as u64, out);
        (count, Next::More)
    }

    /// Where the payload is complete, does what the frame says; `at` is behind it.
    fn end_payload(&mut self, at: u64, out: &mut Sink<'_>) {
        let Reading::Payload(Payload { frame, left: 0, .. }) = &self.reading else { return };
        let frame = *frame;
        self.reading = Reading::Header(Vec::new());
        match frame.kind {
            Kind::Headers | Kind::PushPromise | Kind::Continuation if frame.ends_block() => {
                self.end_block(at, out);
            }
            Kind::Data if frame.ends_stream() => self.streams.end(frame.stream, out),
            Kind::Reset => self.streams.end(frame.stream, out),
            _ => {}
        }
    }

    /// A header block is complete.
    fn end_block(&mut self, at: u64, out: &mut Sink<'_>) {
        let block = mem::take(&mut self.block);
        let Some((first, start)) = block.first else { return };
        let mut list = FieldList::default();
        let is_whole = !block.is_too_long && self.hpack.read(block.bytes.as_slice(), &mut list).is_ok();
        if !is_whole {
            // The peer's table has what this block added, or not: all of it is missing now.
            self.hpack = Hpack::default();
        }
        self.show(first, &list, &(start..at), out);
        if first.ends_stream() {
            self.streams.end(first.stream, out);
        }
    }

    /// Hands out the fields of a block: of a new message, or trailers of one.
    fn show(&mut self, first: Frame, list: &FieldList, source: &Range<u64>, out: &mut Sink<'_>) {
        match self.streams.get(first.stream) {
            Some(message) if !fields::begins_message(list) => {
                fields::show(list, source, &message.place, out);
                self.wire.end(&message.place, out);
            }
            _ => {
                let place = fields::place(list, self.next_message);
                self.next_message += 1;
                fields::show(list, source, &place, out);
                self.wire.end(&place, out);
                self.place = Place { protocol: Protocol::Http2, ..Place::raw(place.message) };
                self.streams.begin(first.stream, Message::new(place, &fields::said(list)), out);
            }
        }
    }
}

impl Session for Http2 {
    fn take(&mut self, bytes: &[u8], at: u64, out: &mut Sink<'_>) -> (usize, Next) {
        match &self.reading {
            Reading::Preface(seen) => self.take_preface(*seen, bytes, at, out),
            Reading::Header(_) => self.take_header(bytes, at, out),
            Reading::Payload(_) => self.take_payload(bytes, at, out),
        }
    }

    fn skip(&mut self, count: u64, out: &mut Sink<'_>) -> Next {
        let Reading::Payload(payload) = &mut self.reading else { return Next::Over };
        let content = (payload.left - payload.padding) as u64;
        if payload.frame.kind != Kind::Data || payload.lead > 0 || count >= content {
            return Next::Over;
        }
        payload.left -= count as usize;
        self.streams.skip(payload.frame.stream, out);
        Next::More
    }

    fn settle(&mut self, out: &mut Sink<'_>) {
        self.wire.settle(&self.place, out);
        self.streams.settle(out);
    }

    fn end_here(&mut self, out: &mut Sink<'_>) {
        self.wire.end(&self.place, out);
        self.streams.end_all(out);
    }

    fn held_bytes(&self) -> usize {
        self.wire.held_bytes() + self.block.bytes.len() + self.hpack.held_bytes() + self.streams.held_bytes()
    }

    fn next_message(&self) -> u64 {
        self.next_message.max(self.place.message + 1)
    }
}

impl Payload {
    /// How many of `bytes` are one thing, and whether they are header block or data; `None` if padding is longer
    /// than the payload.
    fn next(&mut self, bytes: &[u8]) -> Option<(usize, bool)> {
        if self.lead > 0 {
            if self.frame.is_padded() && self.lead == self.frame.lead_bytes() {
                self.padding = usize::from(*bytes.first()?);
            }
            (self.lead, self.left) = (self.lead - 1, self.left.checked_sub(1)?);
            return (self.left >= self.lead + self.padding).then_some((1, false));
        }
        let content = self.left - self.padding;
        let count = bytes.len().min(if content > 0 { content } else { self.left });
        self.left -= count;
        self.padding = self.padding.min(self.left);
        Some((count, content > 0))
    }
}

impl Block {
    /// A block's frames follow each other (RFC 9113, section 6.10).
    fn may_be_followed_by(&self, frame: &Frame) -> bool {
        match &self.first {
            Some((first, _)) => frame.kind == Kind::Continuation && frame.stream == first.stream,
            None => frame.kind != Kind::Continuation,
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        self.is_too_long |= self.bytes.len() + bytes.len() > BLOCK_BYTES_MAX;
        if !self.is_too_long {
            self.bytes.append(bytes);
        }
    }
}
