//! A value that a parser found, and the windows made of it.

use std::ops::Range;

use crate::escape::{self, Undone};
use crate::plain::Plain;
use crate::window::{Decoding, Part, Place, Sink, Window};

/// Bytes shown around what a window owns, where there are any: longer than a number in any one encoding, and than the
/// text before a number in UTF-16 that may name it.
pub(crate) const CONTEXT_BYTES: usize = 96;

/// Bytes at the end of a piece that the next piece answers for: longer than a number with each digit escaped.
pub(crate) const SPLIT_OVERLAP_BYTES: usize = 128;

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
}

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
}

impl<'a> Value<'a> {
    /// A whole value that stands at `offset`.
    pub(crate) fn whole(part: Part, bytes: &'a [u8], offset: usize) -> Self {
        let at = offset..offset + bytes.len();
        Self { part, field: None, bytes, owned: 0..bytes.len(), encoding: Encoding::None, at }
    }

    pub(crate) fn named(self, field: Option<&'a str>) -> Self {
        Self { field, ..self }
    }

    pub(crate) fn encoded(self, encoding: Encoding) -> Self {
        Self { encoding, ..self }
    }

    /// Hands out the windows of this value: what it reads as, decoded where there is something to decode.
    pub(crate) fn show(&self, place: &Place, outer: &[Decoding], source: Range<u64>, out: &mut Sink<'_>) {
        if self.owned.is_empty() {
            return;
        }
        let decoded = self.decoded();
        if decoded.is_none() || self.encoding == Encoding::Url {
            let window = self.window(self.bytes, place, &source);
            out(Window { owned: self.owned.clone(), decodings: outer, ..window });
        }
        let Some((plain, owned, undone)) = decoded else { return };
        let mut trail = Trail::from(outer);
        trail.add(undone);
        out(Window { owned, decodings: trail.as_slice(), ..self.window(plain.as_slice(), place, &source) });
        if let Some((again, undone)) = self.decoded_again(&plain, undone) {
            trail.add(undone);
            out(Window { decodings: trail.as_slice(), ..self.window(again.as_slice(), place, &source) });
        }
    }

    fn window<'w>(&'w self, bytes: &'w [u8], place: &'w Place, source: &Range<u64>) -> Window<'w> {
        Window { field: self.field, source: source.clone(), ..place.window(self.part, bytes) }
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

    /// Percent-encoding under percent-encoding, of a value shown whole.
    fn decoded_again(&self, plain: &Plain, undone: Undone) -> Option<(Plain, Undone)> {
        let whole = self.owned.len() == self.bytes.len();
        if undone.percent && whole { escape::percent(plain.as_slice(), false) } else { None }
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

/// The decodings of a window, outermost first.
struct Trail {
    items: [Decoding; Self::LEN_MAX],
    len: usize,
}

impl Trail {
    const LEN_MAX: usize = 8;

    fn as_slice(&self) -> &[Decoding] {
        &self.items[..self.len]
    }

    fn add(&mut self, undone: Undone) {
        let steps = [
            (undone.plus, Decoding::FormPlus),
            (undone.percent, Decoding::Percent),
            (undone.json, Decoding::JsonEscape),
        ];
        for (_, decoding) in steps.into_iter().filter(|(done, _)| *done) {
            self.push(decoding);
        }
    }

    fn push(&mut self, decoding: Decoding) {
        if let Some(slot) = self.items.get_mut(self.len) {
            *slot = decoding;
            self.len += 1;
        }
    }
}

impl From<&[Decoding]> for Trail {
    fn from(outer: &[Decoding]) -> Self {
        let mut trail = Self { items: [Decoding::Chunked; Self::LEN_MAX], len: 0 };
        outer.iter().for_each(|decoding| trail.push(*decoding));
        trail
    }
}
