//! What a content is, and so how the values in it are found.
//!
//! What the first bytes say goes before what the sender says, since that is often wrong or missing.

use std::ops::Range;

use crate::content::{Content, PIECE_BYTES_MAX};
use crate::encoding::Coding;
use crate::form::Form;

use crate::grpc::Grpc;
use crate::items::Items;
use crate::json::Json;
use crate::judged::Verdict;
use crate::layer::Layer;
use crate::markup::Markup;
use crate::multipart::Multipart;
use crate::outlet::Outlet;
use crate::protobuf::Protobuf;
use crate::said::{Said, Syntax};
use crate::start::{self, Start};
use crate::survey::Signs;
use crate::token::{Mode, Value};
use crate::trail::Trail;
use crate::window::Part;
use crate::words;
use crate::zip::Zip;

/// Bytes from which on a value that fills the buffer is shown in pieces.
const SPLIT_BYTES_MIN: usize = PIECE_BYTES_MAX / 2;

/// Content from which on it is looked at as a whole first.
const LOOK_BYTES_MIN: usize = 512;

/// See the module.
pub(crate) enum Parser {
    /// Nothing to find.
    None,
    /// The first bytes decide.
    Undecided(Option<Syntax>),
    Form(Form),
    Json(Box<Json>),
    Markup(Box<Markup>),
    Items(Box<Items>),
    /// Words of a text.
    Text,
    Layer(Box<Layer>),
    Multipart(Box<Multipart>),
    Zip(Box<Zip>),
    Grpc(Box<Grpc>),
    Protobuf(Box<Protobuf>),
}

/// What is known of the content that is parsed.
#[derive(Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(crate) part: Part,
    /// The name of what it lies in.
    pub(crate) field: Option<&'a str>,
    pub(crate) trail: &'a Trail,
}

/// What a parser works on.
pub(crate) struct Scene<'a> {
    /// The buffer, and from where on it was not parsed.
    pub(crate) buf: &'a [u8],
    pub(crate) from: usize,
    pub(crate) mode: Mode,
    /// Whether the buffer begins with the content.
    pub(crate) is_first: bool,
    pub(crate) frame: Frame<'a>,
    /// Where in the stream a range of the buffer is from.
    pub(crate) source: &'a dyn Fn(Range<usize>) -> Range<u64>,
    /// Which message a place in the buffer belongs to.
    pub(crate) message: &'a dyn Fn(usize) -> u64,
}

impl<'a> Scene<'a> {
    /// The same, for a part of the buffer.
    pub(crate) fn part(&self, range: Range<usize>) -> Self {
        Self { buf: &self.buf[..range.end], from: range.start, ..*self }
    }
}

/// Takes what is known of the bytes up to an offset of the buffer.
pub(crate) type Judge<'a> = dyn FnMut(usize, Verdict) + 'a;

impl Parser {
    /// The first bytes decide, then what was said.
    pub(crate) const fn undecided(syntax: Option<Syntax>) -> Self {
        Self::Undecided(syntax)
    }

    /// By what the sender says.
    pub(crate) fn said(said: &Said<'_>, frame: &Frame<'_>) -> Self {
        Self::coded(&said.codings(), said.syntax(), frame)
    }

    /// Content under `codings`, the outermost first.
    fn coded(codings: &[Coding], syntax: Option<Syntax>, frame: &Frame<'_>) -> Self {
        let Some((outermost, inner)) = codings.split_first() else { return Self::undecided(syntax) };
        let Some(trail) = outermost.decoding().and_then(|decoding| frame.trail.with(decoding).deeper())
        else {
            return Self::None;
        };
        let parser = Self::coded(inner, syntax, &Frame { trail: &trail, ..*frame });
        Self::Layer(Box::new(Layer::new(*outermost, Content::within(frame.part, frame.field, parser, trail))))
    }

    /// Decides by the first bytes, `now` or when there are enough.
    pub(crate) fn decide(&mut self, start: &[u8], now: bool, frame: &Frame<'_>) {
        let Self::Undecided(said) = self else { return };
        let Some(found) = start::of(start, now, said.as_ref()) else { return };
        let said = said.take();
        *self = match found {
            // The matcher reads both orders of UTF-16, and says where in them a number stands.
            Start::Coded(Coding::Wide(_)) if frame.part == Part::Raw => Self::Text,
            Start::Coded(coding) => Self::coded(&[coding], said, frame),
            Start::Json => Self::Json(Box::default()),
            Start::Xml => Self::Markup(Box::new(Markup::xml())),
            Start::Html => Self::Markup(Box::new(Markup::html())),
            Start::Zip => Self::Zip(Box::default()),
            Start::AsSaid => Self::of(said, frame),
        };
    }

    fn of(syntax: Option<Syntax>, frame: &Frame<'_>) -> Self {
        match syntax {
            Some(Syntax::Grpc(coding)) => Self::Grpc(Box::new(Grpc::new(coding, *frame.trail))),
            Some(Syntax::Protobuf) => Self::Protobuf(Box::default()),
            Some(Syntax::Form) => Self::Form(Form::default()),
            Some(Syntax::Json) => Self::Json(Box::default()),
            Some(Syntax::Xml) => Self::Markup(Box::new(Markup::xml())),
            Some(Syntax::Html) => Self::Markup(Box::new(Markup::html())),
            Some(Syntax::MessagePack) => Self::Items(Box::new(Items::msgpack())),
            Some(Syntax::Cbor) => Self::Items(Box::new(Items::cbor())),
            Some(Syntax::Multipart(boundary)) => Self::Multipart(Box::new(Multipart::new(&boundary))),
            None => Self::Text,
        }
    }

    /// Reads on; returns where the first thing begins that is not shown for good.
    pub(crate) fn run(
        &mut self,
        scene: &Scene<'_>,
        judge: &mut Judge<'_>,
        outlet: &mut Outlet<'_, '_>,
    ) -> usize {
        let Scene { buf, from, mode, .. } = *scene;
        let step = (mode, SPLIT_BYTES_MIN);
        let signs = (self.is_of_values() && is_long(scene)).then(|| Signs::of(buf, from));
        if is_whole(scene) && signs.as_ref().is_some_and(Signs::is_empty) {
            return buf.len();
        }
        let mut show = |value: Value<'_>| {
            if value.is_whole() && signs.as_ref().is_some_and(|signs| !signs.touch(&value.at)) {
                return;
            }
            let source = (scene.source)(value.at.clone());
            value.show_in(&scene.frame, source, outlet);
        };
        match self {
            Self::None => buf.len(),
            Self::Undecided(_) => from,
            Self::Form(form) => form.run(buf, from, step, &mut show),
            Self::Json(json) => json.run(buf, from, step, &mut show),
            Self::Markup(markup) => markup.run(buf, from, step, &mut show),
            Self::Items(items) => {
                let to = items.run(buf, from, step, &mut show);
                judge(to, if items.is_broken() { Verdict::Unsaid } else { Verdict::Read });
                to
            }
            Self::Text => words::run(scene, outlet),
            Self::Layer(layer) => layer.run(scene, judge, outlet),
            Self::Grpc(grpc) => grpc.run(scene, judge, outlet),
            Self::Protobuf(protobuf) => {
                let to = protobuf.run(buf, from, step, &mut show);
                judge(to, if protobuf.is_broken() { Verdict::Unsaid } else { Verdict::Read });
                to
            }
            Self::Multipart(multipart) => multipart.run(scene, outlet),
            Self::Zip(zip) => zip.run(scene, judge, outlet),
        }
    }

    /// Whether what is found are values of this content alone.
    const fn is_of_values(&self) -> bool {
        matches!(self, Self::Form(_) | Self::Json(_) | Self::Markup(_))
    }

    /// Whether bytes are shown as they arrive, but for the last word of a text.
    pub(crate) const fn is_hasty(&self) -> bool {
        matches!(self, Self::None | Self::Text)
    }

    /// Whether there is content within, and all of this one is a message, however long.
    pub(crate) const fn is_whole(&self) -> bool {
        matches!(self, Self::Layer(_) | Self::Grpc(_) | Self::Multipart(_) | Self::Zip(_))
    }

    /// Bytes held within.
    pub(crate) fn held_bytes(&self) -> usize {
        match self {
            Self::Layer(layer) => layer.held_bytes(),
            Self::Grpc(grpc) => grpc.held_bytes(),
            Self::Multipart(multipart) => multipart.held_bytes(),
            Self::Zip(zip) => zip.held_bytes(),
            _ => 0,
        }
    }
}

/// Whether a scene is all of a content.
fn is_whole(scene: &Scene<'_>) -> bool {
    scene.mode == Mode::End && scene.from == 0 && scene.is_first
}

/// Whether a scene is of a content so long that a look at it before reading its values is worth the time. However the
/// bytes came: a pause shows more.
fn is_long(scene: &Scene<'_>) -> bool {
    match scene.mode {
        Mode::Full => true,
        Mode::End => !scene.is_first || scene.buf.len() >= LOOK_BYTES_MIN,
        Mode::More | Mode::Settle => false,
    }
}
