//! gRPC messages in a content: five bytes before each say how long it is, and whether it is compressed.
//!
//! *Invariants*: the messages of a call follow each other in one content within; what cannot be decompressed is passed
//! over.

use crate::borders::Source;
use crate::content::Content;
use crate::encoding::Coding;
use crate::judged::Verdict;
use crate::layer::Layer;
use crate::outlet::Outlet;
use crate::parser::{Judge, Parser, Scene};
use crate::token::Mode;
use crate::trail::Trail;
use crate::window::{Decoding, Part};

/// Length of what stands before a message.
const PREFIX_BYTES: usize = 5;

/// Flag of what stands before a message: it is compressed.
const COMPRESSED: u8 = 1;

/// Flag of what stands before the trailers of gRPC-Web: they are no message.
const TRAILERS: u8 = 0x80;

/// See the module.
pub(crate) struct Grpc {
    /// What compressed messages are compressed with.
    coding: Option<Coding>,
    trail: Trail,
    /// The messages that are not compressed.
    plain: Content,
    /// The message that is read, if it is compressed: each is so by itself.
    packed: Option<Layer>,
    /// Bytes of the message to come.
    left: usize,
    is_passed_over: bool,
}

impl Grpc {
    pub(crate) fn new(coding: Option<Coding>, trail: Trail) -> Self {
        let trail = trail.with(Decoding::Grpc);
        Self { coding, trail, plain: values(trail), packed: None, left: 0, is_passed_over: false }
    }

    /// Reads the rest of the buffer, all but a prefix that is cut; returns where that is.
    pub(crate) fn run(
        &mut self,
        scene: &Scene<'_>,
        judge: &mut Judge<'_>,
        outlet: &mut Outlet<'_, '_>,
    ) -> usize {
        let mut at = scene.from;
        while at < scene.buf.len() {
            let end = if self.left > 0 { scene.buf.len().min(at + self.left) } else { scene.buf.len() };
            let piece = scene.part(at..end);
            let count =
                if self.left > 0 { self.take(&piece, judge, outlet) } else { self.prefix(&piece, outlet) };
            if count == 0 {
                break;
            }
            at += count;
        }
        self.follow(scene.mode, outlet);
        judge(at, Verdict::Read);
        if scene.mode == Mode::End { scene.buf.len() } else { at }
    }

    /// Reads what stands before a message; returns its length, or 0 if it is cut.
    fn prefix(&mut self, scene: &Scene<'_>, outlet: &mut Outlet<'_, '_>) -> usize {
        let bytes = &scene.buf[scene.from..];
        let Some(&[flags, length @ ..]) = bytes.first_chunk::<PREFIX_BYTES>() else { return 0 };
        self.left = u32::from_be_bytes(length) as usize;
        self.end_packed(outlet);
        let is_packed = flags & COMPRESSED != 0;
        let trail = self.coding.and_then(Coding::decoding).map(|decoding| self.trail.with(decoding));
        if let (true, Some(coding), Some(trail)) = (is_packed, self.coding, trail) {
            self.packed = Some(Layer::new(coding, values(trail)));
        }
        self.is_passed_over = is_packed && self.packed.is_none() || flags & TRAILERS != 0;
        PREFIX_BYTES
    }

    /// Reads a piece of a message; returns its length.
    fn take(&mut self, scene: &Scene<'_>, judge: &mut Judge<'_>, outlet: &mut Outlet<'_, '_>) -> usize {
        let (from, end) = (scene.from, scene.buf.len());
        judge(from, Verdict::Read);
        if let Some(layer) = &mut self.packed {
            let read = layer.decode(scene, outlet);
            judge(from + read, Verdict::Read);
            judge(end, layer.verdict().unwrap_or(Verdict::Unsaid));
        } else if self.is_passed_over {
            judge(end, Verdict::Unsaid);
        } else {
            let source = Source::of((scene.source)(from..end), end - from);
            self.plain.feed(&scene.buf[from..], source, outlet);
        }
        self.left -= end - from;
        end - from
    }

    /// Does what the content around it does.
    fn follow(&mut self, mode: Mode, outlet: &mut Outlet<'_, '_>) {
        if self.left == 0 || mode == Mode::End {
            self.end_packed(outlet);
        } else if let Some(layer) = &mut self.packed {
            layer.follow(mode, outlet);
        }
        self.plain.follow(mode, outlet);
    }

    fn end_packed(&mut self, outlet: &mut Outlet<'_, '_>) {
        if let Some(mut layer) = self.packed.take() {
            layer.follow(Mode::End, outlet);
        }
    }

    /// Bytes held now.
    pub(crate) fn held_bytes(&self) -> usize {
        self.plain.held_bytes() + self.packed.as_ref().map_or(0, Layer::held_bytes)
    }
}

/// What takes the fields of messages.
fn values(trail: Trail) -> Content {
    Content::within(Part::Body, None, Parser::Protobuf(Box::default()), trail)
}
