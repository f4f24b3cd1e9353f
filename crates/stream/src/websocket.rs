//! One direction of a WebSocket connection (RFC 6455), from its upgrade on; with permessage-deflate (RFC 7692).
//!
//! Whether the server agreed to compression is not seen: the bit that marks a compressed message says so. The window of
//! the decompressor is kept from message to message; where the peers do not, nothing refers to it.
//!
//! *Limits*: those of content within a message. Control frames are shown as they stand.

use std::ops::Range;

use crate::body::Next;
use crate::borders::Source;
use crate::content::Content;
use crate::encoding::{Coding, Decoder, Stop};
use crate::outlet::{Meter, Outlet};
use crate::parser::Parser;
use crate::plain::Plain;
use crate::session::{Gather, Session, Wire};
use crate::token::Mode;
use crate::trail::Trail;
use crate::window::{Decoding, Part, Place, Protocol, Sink};

const FINAL: u8 = 0x80;
const COMPRESSED: u8 = 0x40;
const RESERVED: u8 = 0x30;
const MASKED: u8 = 0x80;

/// Opcodes from which on frames are about the connection (RFC 6455, section 5.2).
const CONTROL: u8 = 8;
const PONG: u8 = 10;

/// Longest payload of a control frame.
const CONTROL_BYTES_MAX: u64 = 125;

/// Bytes that the sender takes off the end of a compressed message (RFC 7692, section 7.2.1).
const TAIL: &[u8] = b"\0\0\xFF\xFF";

/// Bytes that the decompressor makes at a time.
const STEP_BYTES: usize = 16 << 10;

/// See the module.
pub(crate) struct WebSocket {
    header: Gather,
    frame: Option<Frame>,
    /// The message that is not over.
    message: Option<Message>,
    inflate: Option<Decoder>,
    wire: Wire,
    place: Place,
    /// Whether a first frame was read.
    began: bool,
}

/// A frame whose payload is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    opcode: u8,
    is_final: bool,
    is_compressed: bool,
    mask: Option<[u8; 4]>,
    /// Bytes of payload that came.
    at: u64,
    left: u64,
}

struct Message {
    content: Content,
    meter: Meter,
    is_compressed: bool,
}

impl WebSocket {
    /// `place` is that of the request, with the number of the first message.
    pub(crate) fn new(place: Place) -> Self {
        Self {
            header: Gather::default(),
            frame: None,
            message: None,
            inflate: None,
            wire: Wire::default(),
            place: Place { protocol: Protocol::WebSocket, ..place },
            began: false,
        }
    }

    fn take_header(&mut self, bytes: &[u8], at: u64, out: &mut Sink<'_>) -> (usize, Next) {
        let (count, is_whole) = self.header.fill(header_bytes(self.header.as_slice()), bytes);
        let header = self.header.as_slice();
        let is_possible = header.first().is_none_or(|first| is_opcode(*first, self.message.is_some()));
        if !is_possible {
            self.header.take();
            return (0, Next::Over);
        }
        self.wire.push(&bytes[..count], at, &self.place, out);
        if is_whole && header.len() >= header_bytes(header) {
            let Some(frame) = Frame::parse(header) else { return (count, Next::Over) };
            self.header.take();
            self.begin(frame);
            self.end_frame(out);
        }
        (count, Next::More)
    }

    fn begin(&mut self, frame: Frame) {
        self.began = true;
        self.frame = Some(frame);
        if frame.opcode < CONTROL && self.message.is_none() {
            self.message = Some(Message::new(&frame));
        }
    }

    fn take_payload(&mut self, bytes: &[u8], at: u64, out: &mut Sink<'_>) -> usize {
        let Some(frame) = &mut self.frame else { return 0 };
        let count = usize::try_from(frame.left).unwrap_or(usize::MAX).min(bytes.len());
        let (is_control, unmasked) = (frame.opcode >= CONTROL, frame.unmask(&bytes[..count]));
        self.wire.push(&bytes[..count], at, &self.place, out);
        if let Some(message) = self.message.as_mut().filter(|_| !is_control) {
            let source = Source::At(at);
            message.take(unmasked.as_slice(), source, &mut self.inflate, &self.place, out);
        }
        self.end_frame(out);
        count
    }

    /// Where the payload is complete, goes on to the next frame, and to the next message behind the last frame of one.
    fn end_frame(&mut self, out: &mut Sink<'_>) {
        let Some(frame) = self.frame.filter(|frame| frame.left == 0) else { return };
        self.frame = None;
        if frame.opcode < CONTROL
            && frame.is_final
            && let Some(mut message) = self.message.take()
        {
            if message.is_compressed {
                message.take(TAIL, Source::Of(0..0), &mut self.inflate, &self.place, out);
            }
            message.follow(Mode::End, &self.place, out);
            self.wire.end(&self.place, out);
            self.place.message += 1;
        }
    }
}

impl Session for WebSocket {
    fn take(&mut self, bytes: &[u8], at: u64, out: &mut Sink<'_>) -> (usize, Next) {
        match self.frame {
            Some(_) => (self.take_payload(bytes, at, out), Next::More),
            None => self.take_header(bytes, at, out),
        }
    }

    fn settle(&mut self, out: &mut Sink<'_>) {
        if let Some(message) = &mut self.message {
            message.follow(Mode::Settle, &self.place, out);
        }
        self.wire.settle(&self.place, out);
    }

    fn end_here(&mut self, out: &mut Sink<'_>) {
        if let Some(message) = &mut self.message {
            message.follow(Mode::End, &self.place, out);
        }
        self.wire.end(&self.place, out);
    }

    fn held_bytes(&self) -> usize {
        let message = self.message.as_ref().map_or(0, |message| message.content.held_bytes());
        let inflate = self.inflate.as_ref().map_or(0, Decoder::held_bytes);
        self.wire.held_bytes() + self.header.held_bytes() + message + inflate
    }

    fn next_message(&self) -> u64 {
        self.place.message + u64::from(self.began)
    }
}

impl Message {
    fn new(frame: &Frame) -> Self {
        let mut trail = Trail::START;
        if frame.mask.is_some() {
            trail.push(Decoding::Mask);
        }
        if frame.is_compressed {
            trail.push(Decoding::Deflate);
        }
        let content = Content::within(Part::Body, None, Parser::undecided(None), trail);
        Self { content, meter: Meter::default(), is_compressed: frame.is_compressed }
    }

    /// Takes unmasked bytes.
    fn take(
        &mut self,
        bytes: &[u8],
        source: Source,
        inflate: &mut Option<Decoder>,
        place: &Place,
        out: &mut Sink<'_>,
    ) {
        self.meter.take(bytes.len());
        let mut outlet = Outlet { meter: self.meter, ..Outlet::new(place, out) };
        if self.is_compressed {
            let source = match source {
                Source::At(at) => at..at + bytes.len() as u64,
                Source::Of(range) => range,
            };
            self.inflate(bytes, &source, inflate, &mut outlet);
        } else {
            self.content.feed(bytes, source, &mut outlet);
        }
        self.meter = outlet.meter;
    }

    /// Decompresses as far as that goes; what is damaged or too much ends it for the connection, or for the message.
    fn inflate(
        &mut self,
        bytes: &[u8],
        source: &Range<u64>,
        inflate: &mut Option<Decoder>,
        outlet: &mut Outlet<'_, '_>,
    ) {
        let mut made = Plain::from(vec![0; STEP_BYTES.min(bytes.len() * 4 + 64)]);
        let mut rest = bytes;
        loop {
            if inflate.is_none() {
                *inflate = Coding::Inflate.decoder();
            }
            let Some(decoder) = inflate else { return };
            let step = decoder.step(rest, made.as_mut_slice());
            rest = &rest[step.read..];
            if step.made > 0 {
                self.content.feed(&made.as_slice()[..step.made], Source::Of(source.clone()), outlet);
                if !outlet.meter.make(step.made) {
                    return;
                }
            }
            match step.stop {
                // A final block: the next bytes begin anew.
                Some(Stop::End) => {
                    *inflate = None;
                    if rest.is_empty() {
                        return;
                    }
                }
                Some(_) => return,
                None if step.read == 0 && step.made == 0 => return,
                None => {}
            }
        }
    }

    fn follow(&mut self, mode: Mode, place: &Place, out: &mut Sink<'_>) {
        let mut outlet = Outlet { meter: self.meter, ..Outlet::new(place, out) };
        self.content.follow(mode, &mut outlet);
        self.meter = outlet.meter;
    }
}

impl Frame {
    /// Reads a whole header.
    fn parse(header: &[u8]) -> Option<Self> {
        let (&[first, second], rest) = header.split_first_chunk::<2>()?;
        let (left, rest) = match second & !MASKED {
            126 => rest
                .split_first_chunk::<2>()
                .map(|(len, rest)| (u64::from(u16::from_be_bytes(*len)), rest))?,
            127 => rest.split_first_chunk::<8>().map(|(len, rest)| (u64::from_be_bytes(*len), rest))?,
            short => (u64::from(short), rest),
        };
        let mask = (second & MASKED != 0).then(|| rest.first_chunk::<4>().copied()).flatten();
        let (opcode, is_final) = (first & 0x0F, first & FINAL != 0);
        let is_control = opcode >= CONTROL;
        let fits = if is_control { is_final && left <= CONTROL_BYTES_MAX } else { left < 1 << 63 };
        fits.then_some(Self { opcode, is_final, is_compressed: first & COMPRESSED != 0, mask, at: 0, left })
    }

    /// The payload's next bytes without their mask.
    fn unmask(&mut self, bytes: &[u8]) -> Plain {
        let mut plain = Plain::copy_of(bytes);
        if let Some(mask) = self.mask {
            let start = (self.at % 4) as usize;
            for (byte, key) in plain.as_mut_slice().iter_mut().zip(mask.iter().cycle().skip(start)) {
                *byte ^= key;
            }
        }
        self.at += bytes.len() as u64;
        self.left -= bytes.len() as u64;
        plain
    }
}

/// Whether a frame may begin so, where a message is open or not.
fn is_opcode(first: u8, is_inside: bool) -> bool {
    let opcode = first & 0x0F;
    let is_known = match opcode {
        0 => is_inside && first & COMPRESSED == 0,
        1 | 2 => !is_inside,
        CONTROL..=PONG => first & COMPRESSED == 0,
        _ => false,
    };
    is_known && first & RESERVED == 0
}

/// Length of a header that begins so.
fn header_bytes(start: &[u8]) -> usize {
    let Some(second) = start.get(1) else { return 2 };
    let length = match second & !MASKED {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + length + if second & MASKED != 0 { 4 } else { 0 }
}
