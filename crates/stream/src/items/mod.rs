//! Values of MessagePack and CBOR items, and the keys that lead to them, from a buffer that fills.
//!
//! Strings are shown as they stand; of integers those that may be a number that was sent as one, which loses a zero
//! before it, are shown as ten digits.
//!
//! *Invariants*: a value is shown once complete, so that the way the bytes arrived makes no difference; only
//! a string too long for the buffer is shown in pieces.
//!
//! *Limits*: [`DEPTH_MAX`] maps and arrays in each other; what is deeper ends the reading.

mod cbor;
mod msgpack;

use std::ops::Range;

use crate::path::Path;
use crate::plain::Plain;
use crate::token::{self, Encoding, Mode, Value, Values};
use crate::window::{Decoding, Part};

/// Maps and arrays in each other that are followed.
const DEPTH_MAX: usize = 64;

/// What ten digits may be as an integer; a day has at most one zero before it.
const NUMBERS: Range<u64> = 100_000_000..10_000_000_000;

/// What one item begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    /// Text or bytes of a length.
    String(u64),
    Integer(u64),
    /// Something without text, this long.
    Other(u64),
    /// Items of a number, or up to a break.
    Array(Option<u64>),
    Map(Option<u64>),
    /// What comes is one item with this.
    Tag,
    Break,
}

/// Reads the head of the item that `bytes` begin with, and its length; `None` if it is cut, or no item.
type ReadHead = fn(&[u8]) -> Option<(Item, usize)>;

/// See the module.
pub(crate) struct Items {
    head: ReadHead,
    text: &'static [Decoding],
    integer: &'static [Decoding],
    levels: Vec<Level>,
    path: Path,
    /// Bytes of a string to come, of which a first piece was shown.
    inside: u64,
    /// What comes is not read.
    given_up: bool,
}

/// An open map or array.
struct Level {
    is_map: bool,
    /// Items to come; `None`: up to a break.
    left: Option<u64>,
    /// In a map: the next item is a key.
    key_next: bool,
    /// Length of the path to this level.
    path_len: usize,
}

impl Items {
    pub(crate) fn msgpack() -> Self {
        Self::new(msgpack::head, &[Decoding::MessagePack], &[Decoding::MessagePack, Decoding::Integer])
    }

    pub(crate) fn cbor() -> Self {
        Self::new(cbor::head, &[Decoding::Cbor], &[Decoding::Cbor, Decoding::Integer])
    }

    fn new(head: ReadHead, text: &'static [Decoding], integer: &'static [Decoding]) -> Self {
        let (levels, path) = (Vec::new(), Path::default());
        Self { head, text, integer, levels, path, inside: 0, given_up: false }
    }

    /// Whether what comes is not what it was said to be.
    pub(crate) fn is_broken(&self) -> bool {
        self.given_up
    }

    /// Reads on from `from`; returns where the first item begins that is not shown for good. A string that begins
    /// there and is at least `split_min` long is shown in pieces if the buffer is full.
    pub(crate) fn run(
        &mut self,
        buf: &[u8],
        from: usize,
        (mode, split_min): (Mode, usize),
        sink: &mut Values<'_>,
    ) -> usize {
        let mut at = from;
        while at < buf.len() && !self.given_up {
            let (item, len) = match self.inside {
                0 => match (self.head)(&buf[at..]) {
                    Some(found) => found,
                    None => return self.no_head(buf, at, mode),
                },
                left => (Item::String(left), 0),
            };
            match item {
                Item::String(size) | Item::Other(size) if size > (buf.len() - at - len) as u64 => {
                    return self.unfinished(item, buf, (at, at + len), (mode, split_min), sink);
                }
                Item::String(size) => {
                    let end = at + len + size as usize;
                    self.string(buf, at + len..end, sink);
                    self.inside = 0;
                    at = end;
                }
                Item::Other(size) => {
                    self.other();
                    at += len + size as usize;
                }
                item => {
                    self.take(item, at..at + len, sink);
                    at += len;
                }
            }
        }
        if self.given_up { buf.len() } else { at }
    }

    /// No head can be read: it is cut, or this is something else.
    fn no_head(&mut self, buf: &[u8], at: usize, mode: Mode) -> usize {
        /// Longest head of an item.
        const HEAD_BYTES_MAX: usize = 9;
        let is_cut = buf.len() - at < HEAD_BYTES_MAX && mode != Mode::End;
        self.given_up |= !is_cut;
        if is_cut { at } else { buf.len() }
    }

    /// An item whose end is not in the buffer.
    fn unfinished(
        &mut self,
        item: Item,
        buf: &[u8],
        (start, content): (usize, usize),
        (mode, split_min): (Mode, usize),
        sink: &mut Values<'_>,
    ) -> usize {
        let is_string = matches!(item, Item::String(_));
        match mode {
            Mode::End | Mode::Settle => {
                if is_string {
                    self.show(token::piece(Part::Value, buf, content..buf.len(), buf.len()), sink);
                }
                if mode == Mode::End { buf.len() } else { start }
            }
            Mode::Full if buf.len() - start >= split_min => {
                let cut = (buf.len() - token::SPLIT_OVERLAP_BYTES).max(content);
                let (Item::String(size) | Item::Other(size)) = item else { return start };
                if is_string {
                    self.show(token::piece(Part::Value, buf, content..cut, buf.len()), sink);
                }
                self.inside = size - (cut - content) as u64;
                cut
            }
            Mode::Full | Mode::More => start,
        }
    }

    /// A whole string, or the last piece of one; or a key.
    fn string(&mut self, buf: &[u8], range: Range<usize>, sink: &mut Values<'_>) {
        if self.is_key_next() && self.inside == 0 {
            let bytes = &buf[range.clone()];
            self.leave_key();
            if token::may_hold_number(bytes) {
                self.show(Value::whole(Part::Key, bytes, range.start), sink);
            }
            return self.enter(&token::name_of(bytes, Encoding::None));
        }
        let end = range.end;
        match self.inside {
            0 => self.show(Value::whole(Part::Value, &buf[range.clone()], range.start), sink),
            _ => self.show(token::piece(Part::Value, buf, range, end), sink),
        }
        self.passed();
    }

    fn other(&mut self) {
        if self.is_key_next() {
            self.leave_key();
            self.enter(&Plain::new());
        } else {
            self.passed();
        }
    }

    fn take(&mut self, item: Item, at: Range<usize>, sink: &mut Values<'_>) {
        match item {
            Item::Integer(value) => self.integer(value, at, sink),
            Item::Array(left) => self.open(false, left),
            Item::Map(left) => self.open(true, left.map(|pairs| pairs.saturating_mul(2))),
            Item::Break => self.close_at_break(),
            Item::Tag | Item::String(_) | Item::Other(_) => {}
        }
    }

    fn integer(&mut self, value: u64, at: Range<usize>, sink: &mut Values<'_>) {
        let digits = Plain::from(format!("{value:010}").into_bytes());
        let is_key = self.is_key_next();
        let part = if is_key { Part::Key } else { Part::Value };
        if is_key {
            self.leave_key();
        }
        if NUMBERS.contains(&value) {
            let bytes = digits.as_slice();
            let value = Value { at, ..Value::whole(part, bytes, 0) };
            sink(value.named(self.path.as_str()).made_by(self.integer));
        }
        if is_key {
            return self.enter(&Plain::from(value.to_string().into_bytes()));
        }
        self.passed();
    }

    fn show(&self, value: Value<'_>, sink: &mut Values<'_>) {
        sink(value.named(self.path.as_str()).made_by(self.text));
    }

    fn is_key_next(&self) -> bool {
        self.levels.last().is_some_and(|level| level.is_map && level.key_next)
    }

    fn leave_key(&mut self) {
        self.path.truncate(self.levels.last().map_or(0, |level| level.path_len));
    }

    fn enter(&mut self, key: &Plain) {
        self.path.enter(key);
        if let Some(level) = self.levels.last_mut() {
            level.key_next = false;
            level.left = level.left.map(|left| left.saturating_sub(1));
        }
    }

    fn open(&mut self, is_map: bool, left: Option<u64>) {
        if self.levels.len() == DEPTH_MAX {
            self.given_up = true;
            return;
        }
        if !is_map {
            self.path.append(b"[]");
        }
        self.levels.push(Level { is_map, left, key_next: is_map, path_len: self.path.len() });
        self.close_full();
    }

    /// An item is complete, and with it perhaps those around.
    fn passed(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            level.key_next = level.is_map;
            level.left = level.left.map(|left| left.saturating_sub(1));
        }
        self.close_full();
    }

    fn close_full(&mut self) {
        while self.levels.last().is_some_and(|level| level.left == Some(0)) {
            self.close();
        }
    }

    fn close_at_break(&mut self) {
        if self.levels.last().is_some_and(|level| level.left.is_none()) {
            self.close();
            self.close_full();
        }
    }

    /// Goes back to the level around, of which this was an item.
    fn close(&mut self) {
        self.levels.pop();
        if let Some(level) = self.levels.last_mut() {
            level.key_next = level.is_map;
            level.left = level.left.map(|left| left.saturating_sub(1));
        }
        self.path.truncate(self.levels.last().map_or(0, |level| level.path_len));
    }
}

#[cfg(test)]
#[path = "items_tests.rs"]
mod tests;
