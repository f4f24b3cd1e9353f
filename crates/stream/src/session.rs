//! What a recognised protocol is to the decoder: takes the bytes of one direction and hands out windows.

use std::ops::Range;

use crate::body::Next;
use crate::content::Content;
use crate::plain::Plain;
use crate::token::Value;
use crate::window::{Part, Place, Sink, Window};

/// A stream whose protocol is known.
///
/// Every byte taken is counted by a window of the session: what frames the content as it stands ([`Wire`]), the
/// content as such.
pub(crate) trait Session {
    /// Takes some of `bytes` (not empty), which stand at `at`; returns how many. Behind `Over` the stream is raw.
    fn take(&mut self, bytes: &[u8], at: u64, out: &mut Sink<'_>) -> (usize, Next);

    /// Goes over missing bytes; `Over` if it is then unknown where in the protocol the stream is.
    fn skip(&mut self, _count: u64, _out: &mut Sink<'_>) -> Next {
        Next::Over
    }

    /// No bytes for a while.
    fn settle(&mut self, out: &mut Sink<'_>);

    /// The stream ends here, or goes on as something else.
    fn end_here(&mut self, out: &mut Sink<'_>);

    /// Captured bytes held now.
    fn held_bytes(&self) -> usize;

    /// Number of the next message to begin, once this one ended.
    fn next_message(&self) -> u64;
}

/// The bytes that a protocol puts around its content. They are shown as they stand, once the values in them were,
/// and are no longer opaque, whatever they are: the protocol was recognised.
pub(crate) struct Wire(Content);

impl Default for Wire {
    fn default() -> Self {
        Self(Content::lazy(Part::Raw))
    }
}

impl Wire {
    /// Takes the next bytes, which stand at `at`.
    pub(crate) fn push(&mut self, bytes: &[u8], at: u64, place: &Place, out: &mut Sink<'_>) {
        self.0.push(bytes, at, place, &mut |window| out(Window { text: true, ..window }));
    }

    /// No bytes for a while.
    pub(crate) fn settle(&mut self, place: &Place, out: &mut Sink<'_>) {
        self.0.settle(place, &mut |window| out(Window { text: true, ..window }));
    }

    /// What follows belongs to another message.
    pub(crate) fn end(&mut self, place: &Place, out: &mut Sink<'_>) {
        if self.0.end() > 0 {
            self.0.end_here(place, &mut |window| out(Window { text: true, ..window }));
            *self = Self::default();
        }
    }

    /// Captured bytes held now.
    pub(crate) fn held_bytes(&self) -> usize {
        self.0.held_bytes()
    }
}

/// A header, a line or a message that comes in pieces.
#[derive(Default)]
pub(crate) struct Gather(Plain);

impl Gather {
    /// Takes bytes up to `len` in all; returns how many, and whether that is all.
    pub(crate) fn fill(&mut self, len: usize, bytes: &[u8]) -> (usize, bool) {
        let count = bytes.len().min(len.saturating_sub(self.0.len()));
        self.0.append(&bytes[..count]);
        (count, self.0.len() >= len)
    }

    /// Takes bytes up to a line feed, that included; returns how many, and whether it is there. Of a line of more than
    /// `len_max` bytes the rest is not kept.
    pub(crate) fn line(&mut self, len_max: usize, bytes: &[u8]) -> (usize, bool) {
        let end = memchr::memchr(b'\n', bytes).map(|at| at + 1);
        let count = end.unwrap_or(bytes.len());
        self.0.append(&bytes[..count.min(len_max.saturating_sub(self.0.len()))]);
        (count, end.is_some())
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// What was gathered; the next thing begins.
    pub(crate) fn take(&mut self) -> Plain {
        std::mem::take(&mut self.0)
    }

    /// Captured bytes held.
    pub(crate) fn held_bytes(&self) -> usize {
        self.0.len()
    }
}

/// Hands out a value that was found in the `source` of the stream.
pub(crate) fn show(
    (part, field): (Part, Option<&str>),
    bytes: &[u8],
    source: &Range<u64>,
    place: &Place,
    out: &mut Sink<'_>,
) {
    Value::whole(part, bytes, 0).named(field).show(place, &[], source.clone(), out);
}
