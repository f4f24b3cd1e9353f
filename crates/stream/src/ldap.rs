//! What an LDAP client sends (RFC 4511): strings, each named after the attribute that it is a value of.
//!
//! A message is a tree of elements, each with a tag and a length (BER, X.690); of it nothing is kept but where the message
//! ends. An attribute's name is the string that a tree begins with, of a filter as of an attribute with its values.
//! As they stand, values are not to be read: the tag of what follows, 0x30, is the digit zero.
//!
//! *Limits*: strings of [`STRING_BYTES_MAX`]; longer ones are shown as they stand.

use crate::body::Next;
use crate::detect::{Known, Verdict};
use crate::plain::Plain;
use crate::session::{self, Gather, Session, Wire};
use crate::token::{Encoding, name_of};
use crate::window::{Part, Place, Protocol, Sink};

/// Longest string that is read.
pub(crate) const STRING_BYTES_MAX: usize = 64 * 1024;

/// Head of an element: a tag, and a length in one byte or in four more.
const HEAD_BYTES_MIN: usize = 2;
const HEAD_BYTES_MAX: usize = 6;
/// Bytes that may tell a length that does not fit the first.
const LENGTH_BYTES_MAX: usize = 4;

/// Tags (X.690, 8.1.2).
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
/// A tree of elements, and not a value.
const CONSTRUCTED: u8 = 0x20;
/// Of a protocol's own, its meaning told by where it stands. The one of an LDAP string is an octet string.
const CONTEXT: u8 = 0x80;
const CLASS: u8 = 0xc0;
/// The tag goes on in the next byte: nothing in LDAP.
const LONG_TAG: u8 = 0x1f;

/// What a message may hold (RFC 4511, 4.2 to 4.14): requests and answers.
const OPERATIONS: &[u8] = &[
    0x60, 0x61, 0x42, 0x63, 0x64, 0x65, 0x73, 0x66, 0x67, 0x68, 0x69, 0x4a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f,
    0x50, 0x77, 0x78, 0x79,
];

/// Whether a stream begins with a message: its number, and what LDAP has behind it.
pub(crate) fn verdict(bytes: &[u8]) -> Verdict {
    let read = || {
        let (tag, _, start) = head(bytes)?;
        let (number, count, end) = head(&bytes[start..])?;
        if tag != SEQUENCE || number != INTEGER || !(1..=LENGTH_BYTES_MAX).contains(&count) {
            return Err(Verdict::Other);
        }
        let operation = bytes.get(start + end + count).ok_or(Verdict::Wait)?;
        if OPERATIONS.contains(operation) { Ok(()) } else { Err(Verdict::Other) }
    };
    match read() {
        Ok(()) => Verdict::Known(Known::Ldap),
        // What cannot become one is none, however little there is.
        Err(Verdict::Wait) if bytes.first().is_some_and(|tag| *tag != SEQUENCE) => Verdict::Other,
        Err(verdict) => verdict,
    }
}

/// Tag and length of an element, and the bytes that tell them.
fn head(bytes: &[u8]) -> Result<(u8, usize, usize), Verdict> {
    let [tag, first, rest @ ..] = bytes else { return Err(Verdict::Wait) };
    if tag & LONG_TAG == LONG_TAG {
        return Err(Verdict::Other);
    }
    let count = usize::from(first & 0x7f);
    match (first & 0x80 == 0, count) {
        (true, length) => Ok((*tag, length, 2)),
        (false, 1..=LENGTH_BYTES_MAX) => {
            let told = rest.get(..count).ok_or(Verdict::Wait)?;
            let length = told.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            Ok((*tag, length, 2 + count))
        }
        (false, _) => Err(Verdict::Other),
    }
}

/// See the module.
pub(crate) struct Ldap {
    head: Gather,
    /// The value that is read, if it is not a head.
    value: Option<Value>,
    /// Bytes of the message that are to come.
    left: usize,
    /// Whether the next string is a name.
    begins: bool,
    name: Plain,
    wire: Wire,
    place: Place,
}

/// A value in the making.
struct Value {
    bytes: Gather,
    left: usize,
    start: u64,
    is_string: bool,
}

impl Ldap {
    /// `message` is the number of the first message.
    pub(crate) fn new(message: u64) -> Self {
        Self {
            head: Gather::default(),
            value: None,
            left: 0,
            begins: false,
            name: Plain::default(),
            wire: Wire::default(),
            place: Place { protocol: Protocol::Ldap, ..Place::raw(message) },
        }
    }

    /// What makes a head none is decided at the same byte however the stream comes in, and that byte is taken.
    fn take_head(&mut self, bytes: &[u8], at: u64, out: &mut Sink<'_>) -> (usize, Next) {
        let before = self.head.held_bytes();
        self.head.fill(HEAD_BYTES_MAX, bytes);
        let read = head(self.head.as_slice());
        let count = match read {
            Ok((.., end)) => end - before,
            Err(Verdict::Wait) => bytes.len(),
            Err(_) => HEAD_BYTES_MIN - before,
        };
        self.wire.push(&bytes[..count], at, &self.place, out);
        match read {
            Ok(read) => (count, self.begin(read, at + count as u64, out)),
            Err(Verdict::Wait) => (count, Next::More),
            Err(_) => (count, Next::Over),
        }
    }

    /// An element begins, whose content stands at `at`.
    fn begin(&mut self, (tag, length, end): (u8, usize, usize), at: u64, out: &mut Sink<'_>) -> Next {
        self.head.take();
        if self.left == 0 && tag == SEQUENCE {
            self.left = length + end;
            self.name = Plain::default();
        }
        let is_tree = tag & CONSTRUCTED != 0;
        // An element that is longer than what it is a part of, or is part of nothing.
        if self.left < end || (!is_tree && self.left - end < length) {
            return Next::Over;
        }
        self.left -= end;
        if is_tree {
            // The values of an attribute are a set, and the first is none the less one.
            self.begins = tag != SET;
            self.end_message(out);
        } else {
            let is_string = tag == OCTETS || tag & CLASS == CONTEXT;
            self.value = Some(Value { bytes: Gather::default(), left: length, start: at, is_string });
            self.end_value(out);
        }
        Next::More
    }

    fn take_value(&mut self, bytes: &[u8], at: u64, out: &mut Sink<'_>) -> usize {
        let Some(value) = &mut self.value else { return 0 };
        let count = bytes.len().min(value.left);
        value.left -= count;
        self.left -= count;
        value.bytes.fill(STRING_BYTES_MAX, &bytes[..count]);
        self.wire.push(&bytes[..count], at, &self.place, out);
        self.end_value(out);
        count
    }

    fn end_value(&mut self, out: &mut Sink<'_>) {
        if self.value.as_ref().is_some_and(|value| value.left > 0) {
            return;
        }
        if let Some(mut value) = self.value.take().filter(|value| value.is_string) {
            let content = value.bytes.take();
            let source = value.start..value.start + content.len() as u64;
            if std::mem::take(&mut self.begins) && is_name(content.as_slice()) {
                self.name = name_of(content.as_slice(), Encoding::None);
            }
            let name = self.name.as_str().filter(|name| !name.is_empty());
            session::show((Part::Value, name), content.as_slice(), &source, &self.place, out);
        }
        self.end_message(out);
    }

    fn end_message(&mut self, out: &mut Sink<'_>) {
        if self.left == 0 {
            self.wire.end(&self.place, out);
            self.place.message += 1;
        }
    }
}

/// Whether a string may name an attribute (RFC 4512, 2.5).
fn is_name(string: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.;".contains(byte);
    string.first().is_some_and(u8::is_ascii_alphabetic) && string.iter().all(is_part)
}

impl Session for Ldap {
    fn take(&mut self, bytes: &[u8], at: u64, out: &mut Sink<'_>) -> (usize, Next) {
        match self.value {
            Some(_) => (self.take_value(bytes, at, out), Next::More),
            None => self.take_head(bytes, at, out),
        }
    }

    fn settle(&mut self, out: &mut Sink<'_>) {
        self.wire.settle(&self.place, out);
    }

    fn end_here(&mut self, out: &mut Sink<'_>) {
        self.wire.end(&self.place, out);
    }

    fn held_bytes(&self) -> usize {
        let value = self.value.as_ref().map_or(0, |value| value.bytes.held_bytes());
        self.head.held_bytes() + value + self.wire.held_bytes() + self.name.len()
    }

    fn next_message(&self) -> u64 {
        self.place.message + 1
    }
}
