//! A value that a parser found, and the windows made of it.

use std::ops::Range;

use cprvagt_cpr::{BEFORE_BYTES_MAX, REACH_BYTES_MAX};

use crate::escape::{self, Undone};
use crate::outlet::Outlet;
use crate::parser::Frame;
use crate::plain::Plain;
use crate::trail::Trail;
use crate::window::{Decoding, Part, Place, Sink, Window};
use crate::within;

/// The most bytes that one byte of content takes: a JSON escape.
const ESCAPE_BYTES_MAX: usize = 6;

/// Bytes shown before a piece of a value, where there are any: what the judgement of a number may depend on, each byte
/// of it escaped, and an escape that is cut.
pub(crate) const CONTEXT_BYTES: usize = ESCAPE_BYTES_MAX * (BEFORE_BYTES_MAX + 1);

/// Bytes at the end of a piece that the next piece answers for, likewise.
pub(crate) const SPLIT_OVERLAP_BYTES: usize = ESCAPE_BYTES_MAX * REACH_BYTES_MAX;

/// A name needs this many digits to be shown as content of its own: a CPR number has ten, and one that went
/// through an integer may have lost its leading zero.
const NAME_DIGITS_MIN: usize = 9;

/// Longest name kept; the rest is cut off.
const NAME_BYTES_MAX: usize = 256;

/// Why a parser is called now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Bytes arrived.
    More,
    /// Bytes arrived and the buffer is full: what is too long for it must be shown in pieces.
    Full,
    /// No bytes arrived for a while: show what is there, and forget nothing that could continue.
    Settle,
    /// No bytes will follow.
    End,
}

/// How a value may be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As it stands.
    None,
    /// Percent-encoding; shown as it stands too.
    Url,
    /// Percent-encoding and plus signs.
    Form,
    /// JSON escapes.
    Json,
    /// Character references.
    Markup,
}

/// Takes values as they are found.
pub(crate) type Values<'a> = dyn FnMut(Value<'_>) + 'a;

/// A value in a buffer.
pub(crate) struct Value<'a> {
    pub(crate) part: Part,
    pub(crate) field: Option<&'a str>,
    pub(crate) bytes: &'a [u8],
    /// The part of `bytes` that the window answers for; neither border cuts an escape.
    pub(crate) owned: Range<usize>,
    pub(crate) encoding: Encoding,
    /// Where the owned part stands in the buffer.
    pub(crate) at: Range<usize>,
    /// What was undone to come to `bytes`.
    pub(crate) made_by: &'static [Decoding],
}

/// What the windows of one value have in common.
pub(crate) struct Spot<'a> {
    pub(crate) part: Part,
    pub(crate) field: Option<&'a str>,
    /// Where in the stream the value stands.
    pub(crate) source: Range<u64>,
}

impl Spot<'_> {
    /// The same place, behind values that have places of their own.
    pub(crate) fn as_such(&self, place: &Place) -> Self {
        Self { part: self.part.as_such(place), source: self.source.clone(), ..*self }
    }

    /// Hands out a window.
    pub(crate) fn show(&self, bytes: &[u8], owned: Range<usize>, trail: &Trail, outlet: &mut Outlet<'_, '_>) {
        let window = outlet.place.window(self.part, bytes);
        (outlet.out)(Window {
            owned,
            field: self.field,
            message: outlet.message,
            decodings: trail.as_slice(),
            source: self.source.clone(),
            ..window
        });
    }
}

impl<'a> Value<'a> {
    /// A whole value that stands at `offset`.
    pub(crate) fn whole(part: Part, bytes: &'a [u8], offset: usize) -> Self {
        let at = offset..offset + bytes.len();
        Self { part, field: None, bytes, owned: 0..bytes.len(), encoding: Encoding::None, at, made_by: &[] }
    }

    /// Whether it is no piece of a longer one.
    pub(crate) fn is_whole(&self) -> bool {
        self.owned.len() == self.bytes.len()
    }

    pub(crate) fn named(self, field: Option<&'a str>) -> Self {
        Self { field, ..self }
    }

    pub(crate) fn encoded(self, encoding: Encoding) -> Self {
        Self { encoding, ..self }
    }

    pub(crate) fn made_by(self, made_by: &'static [Decoding]) -> Self {
        Self { made_by, ..self }
    }

    /// Hands out the windows of a value that stands outside of any content.
    pub(crate) fn show(&self, place: &Place, outer: &[Decoding], source: Range<u64>, out: &mut Sink<'_>) {
        let mut outlet = Outlet::new(place, out);
        outlet.meter.take(self.bytes.len());
        self.show_at(&Trail::from(outer), source, &mut outlet);
    }

    /// The same for a value of content that may have a name of its own.
    pub(crate) fn show_in(&self, frame: &Frame<'_>, source: Range<u64>, outlet: &mut Outlet<'_, '_>) {
        let field = join(frame.field, self.field);
        let field = field.as_ref().and_then(Plain::as_str).or(self.field);
        Value { owned: self.owned.clone(), at: self.at.clone(), field, ..*self }.show_at(
            frame.trail,
            source,
            outlet,
        );
    }

    /// Hands out the windows of this value: what it reads as, decoded where there is something to decode, and what
    /// lies within.
    fn show_at(&self, outer: &Trail, source: Range<u64>, outlet: &mut Outlet<'_, '_>) {
        if self.owned.is_empty() {
            return;
        }
        let spot = Spot { part: self.part, field: self.field, source };
        let mut trail = *outer;
        self.made_by.iter().for_each(|decoding| trail.push(*decoding));
        let show = |bytes: &[u8], owned: Range<usize>, trail: &Trail, outlet: &mut Outlet<'_, '_>| match owned
            .len()
            == bytes.len()
        {
            true => within::show(bytes, &spot, trail, outlet),
            false => within::show_piece(bytes, owned, &spot, trail, outlet),
        };
        let Some((plain, owned, undone)) = self.decoded() else {
            return show(self.bytes, self.owned.clone(), &trail, outlet);
        };
        if self.encoding == Encoding::Url {
            spot.show(self.bytes, self.owned.clone(), &trail, outlet);
        }
        undone.enter(&mut trail);
        show(plain.as_slice(), owned, &trail, outlet);
    }

    /// The content after decoding and the owned part of it, if there is something to decode.
    fn decoded(&self) -> Option<(Plain, Range<usize>, Undone)> {
        if !self.encoding.may_be_in(self.bytes) {
            return None;
        }
        let (before, rest) = self.bytes.split_at_checked(self.owned.start)?;
        let (owned, after) = rest.split_at_checked(self.owned.len())?;
        let mut undone = Undone::default();
        let mut content = Plain::with_capacity(self.bytes.len());
        let mut borders = [0; 3];
        for (piece, border) in [before, owned, after].into_iter().zip(&mut borders) {
            match self.encoding.undo(piece) {
                Some((plain, what)) => {
                    undone = undone.or(what);
                    content.append(plain.as_slice());
                }
                None => content.append(piece),
            }
            *border = content.len();
        }
        (undone != Undone::default()).then_some((content, borders[0]..borders[1], undone))
    }
}

impl Encoding {
    /// Whether there is a byte that escapes begin with.
    fn may_be_in(self, bytes: &[u8]) -> bool {
        match self {
            Self::None => false,
            Self::Url => bytes.contains(&b'%'),
            Self::Form => bytes.iter().any(|byte| matches!(byte, b'%' | b'+')),
            Self::Json => bytes.contains(&b'\\'),
            Self::Markup => bytes.contains(&b'&'),
        }
    }

    fn undo(self, bytes: &[u8]) -> Option<(Plain, Undone)> {
        match self {
            Self::None => None,
            Self::Url => escape::percent(bytes, false),
            Self::Form => escape::percent(bytes, true),
            Self::Json => {
                escape::json(bytes).map(|plain| (plain, Undone { json: true, ..Undone::default() }))
            }
            Self::Markup => {
                escape::entities(bytes).map(|plain| (plain, Undone { entity: true, ..Undone::default() }))
            }
        }
    }
}

/// A piece of a value too long for the buffer: `owned` of `buf`, shown from a little before it up to `end`.
pub(crate) fn piece(part: Part, buf: &[u8], owned: Range<usize>, end: usize) -> Value<'_> {
    let start = owned.start.saturating_sub(CONTEXT_BYTES);
    Value {
        part,
        field: None,
        bytes: &buf[start..end],
        owned: owned.start - start..owned.end - start,
        encoding: Encoding::None,
        at: owned,
        made_by: &[],
    }
}

/// Hands out a `name=value` pair that stands at `offset`; a name that may hold a number is content too.
pub(crate) fn pair(
    part: Part,
    bytes: &[u8],
    offset: usize,
    encoding: Encoding,
    sink: &mut dyn FnMut(Value<'_>),
) {
    let Some(equals) = bytes.iter().position(|byte| *byte == b'=') else {
        return sink(Value::whole(part, bytes, offset).encoded(encoding));
    };
    let (name, value) = (&bytes[..equals], &bytes[equals + 1..]);
    if may_hold_number(name) {
        sink(Value::whole(part, name, offset).encoded(encoding));
    }
    let field = name_of(name, encoding);
    sink(Value::whole(part, value, offset + equals + 1).named(field.as_str()).encoded(encoding));
}

/// The name of something in something that has a name too; `None` where the outer one has none.
pub(crate) fn join(outer: Option<&str>, inner: Option<&str>) -> Option<Plain> {
    let mut name = Plain::copy_of(outer?.as_bytes());
    if let Some(inner) = inner {
        name.append(b".");
        name.append(inner.as_bytes());
    }
    Some(name)
}

/// Whether a name has so many digits that it may hold a number.
pub(crate) fn may_hold_number(name: &[u8]) -> bool {
    name.iter().filter(|byte| byte.is_ascii_digit()).count() >= NAME_DIGITS_MIN
}

/// The name as it reads, cut to a bounded length.
pub(crate) fn name_of(bytes: &[u8], encoding: Encoding) -> Plain {
    let bytes = &bytes[..bytes.len().min(NAME_BYTES_MAX)];
    let mut name = encoding.undo(bytes).map_or_else(|| Plain::copy_of(bytes), |(plain, _)| plain);
    // The cut may have fallen into a character.
    if let Err(error) = std::str::from_utf8(name.as_slice())
        && error.error_len().is_none()
    {
        name.truncate(error.valid_up_to());
    }
    name
}

/// Where `piece`, a subslice, begins in `bytes`.
pub(crate) fn offset_in(bytes: &[u8], piece: &[u8]) -> usize {
    (piece.as_ptr() as usize).saturating_sub(bytes.as_ptr() as usize).min(bytes.len())
}
