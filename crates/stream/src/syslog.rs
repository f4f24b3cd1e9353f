//! Syslog messages (RFC 5424, RFC 3164): datagrams; in streams a line each, or with their length before them (RFC 6587).
//!
//! *Limits*: [`LOG_BYTES_MAX`] of a message are read; what is longer is shown as it stands.

use std::ops::Range;

use crate::body::Next;
use crate::detect::{Known, Verdict};
use crate::session::{self, Gather, Session, Wire};
use crate::token::offset_in;
use crate::window::{Part, Place, Protocol, Sink};

/// Most bytes of a message that are read.
pub(crate) const LOG_BYTES_MAX: usize = 64 * 1024;

/// Most digits of a length in a stream.
const LENGTH_DIGITS_MAX: usize = 6;

/// Bytes within which a message is recognised: length, priority, and the start of a time.
const START_BYTES_MAX: usize = 32;

const MONTHS: &[&[u8]] =
    &[b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// Whether a stream begins with a message, or with its length and the message.
pub(crate) fn verdict(bytes: &[u8]) -> Verdict {
    let start = &bytes[..bytes.len().min(START_BYTES_MAX)];
    let digits = start.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let message = match (digits, start.get(digits)) {
        (0, _) => start,
        (1..=LENGTH_DIGITS_MAX, Some(b' ')) if start[0] != b'0' => &start[digits + 1..],
        (1..=LENGTH_DIGITS_MAX, None) if start[0] != b'0' => return Verdict::Wait,
        _ => return Verdict::Other,
    };
    let message_start = message_start(message);
    if message_start == Verdict::Wait && bytes.len() >= START_BYTES_MAX {
        Verdict::Other
    } else {
        message_start
    }
}

/// Whether a datagram is a message.
pub(crate) fn is_message(bytes: &[u8]) -> bool {
    message_start(bytes) == Verdict::Known(Known::Syslog)
}

/// Whether bytes begin with a priority, and the version or a date behind it.
fn message_start(bytes: &[u8]) -> Verdict {
    let Some((b'<', rest)) = bytes.split_first() else {
        return if bytes.is_empty() { Verdict::Wait } else { Verdict::Other };
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match (digits, rest.get(digits)) {
        (0..=3, None) => return Verdict::Wait,
        (1..=3, Some(b'>')) => {}
        _ => return Verdict::Other,
    }
    let behind = &rest[digits + 1..];
    let is_version = |byte: &u8| *byte == b'1';
    match behind {
        [] => Verdict::Wait,
        [version] if is_version(version) => Verdict::Wait,
        [version, b' '] if is_version(version) => Verdict::Wait,
        [version, b' ', time, ..] if is_version(version) => {
            let is_time = *time == b'-' || *time == b'2';
            if is_time { Verdict::Known(Known::Syslog) } else { Verdict::Other }
        }
        _ => month(behind),
    }
}

fn month(bytes: &[u8]) -> Verdict {
    let is_month = |month: &&&[u8]| bytes.starts_with(month) || month.starts_with(bytes);
    match (MONTHS.iter().find(is_month), bytes.get(3)) {
        (Some(_), None) => Verdict::Wait,
        (Some(_), Some(b' ')) => Verdict::Known(Known::Syslog),
        _ => Verdict::Other,
    }
}

/// Hands out the elements and the text of a message that stands at `at`.
pub(crate) fn show_message(message: &[u8], at: u64, place: &Place, out: &mut Sink<'_>) {
    let source = |piece: &[u8]| {
        let start = at + offset_in(message, piece) as u64;
        start..start + piece.len() as u64
    };
    let behind = message.iter().position(|byte| *byte == b'>').map_or(0, |at| at + 1);
    let text = match message[behind..].strip_prefix(b"1 ") {
        Some(rest) => {
            let data = (0..5).fold(rest, |rest, _| behind_word(rest));
            show_elements(data, &source, place, out)
        }
        None => text_of_old(&message[behind..]),
    };
    let text = text.trim_ascii_end();
    session::show((Part::Log, None), text, &source(text), place, out);
}

/// What follows the next space.
fn behind_word(bytes: &[u8]) -> &[u8] {
    let space = bytes.iter().position(|byte| *byte == b' ');
    space.map_or(&[], |at| &bytes[at + 1..])
}

/// The text behind date and host (RFC 3164, section 4.1): `Oct 11 22:14:15 host tag: text`.
fn text_of_old(bytes: &[u8]) -> &[u8] {
    let date = "Mmm dd hh:mm:ss ".len();
    bytes.get(date..).map_or(bytes, behind_word)
}

/// Hands out structured data (RFC 5424, section 6.3); returns what is behind it.
fn show_elements<'a>(
    bytes: &'a [u8],
    source: &dyn Fn(&[u8]) -> Range<u64>,
    place: &Place,
    out: &mut Sink<'_>,
) -> &'a [u8] {
    let mut rest = bytes;
    while let Some(element) = rest.strip_prefix(b"[") {
        rest = behind_word_or(element, b']');
        while let Some(equals) = memchr::memchr2(b'=', b']', rest).filter(|at| rest[*at] == b'=') {
            let (name, value) = (&rest[..equals], rest[equals + 1..].strip_prefix(b"\"").unwrap_or(&[]));
            let end = end_of_quoted(value);
            let name = std::str::from_utf8(name.trim_ascii()).ok();
            session::show((Part::Log, name), &value[..end], &source(&value[..end]), place, out);
            rest = value.get(end + 1..).unwrap_or(&[]);
        }
        rest = rest.strip_prefix(b"]").unwrap_or(rest);
    }
    rest.strip_prefix(b"-").unwrap_or(rest).trim_ascii_start()
}

/// What follows the name of an element: its first parameter, or its end.
fn behind_word_or(bytes: &[u8], end: u8) -> &[u8] {
    let at = memchr::memchr2(b' ', end, bytes).unwrap_or(bytes.len());
    &bytes[at..]
}

/// Where a quoted value ends; a backslash keeps what is behind it from ending it.
fn end_of_quoted(value: &[u8]) -> usize {
    let mut escaped = false;
    let end = value.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    end.unwrap_or(value.len())
}

/// What is common to the windows of a message.
pub(crate) fn place(message: u64) -> Place {
    Place { protocol: Protocol::Syslog, ..Place::raw(message) }
}

/// Messages in a stream.
pub(crate) struct Syslog {
    message: Gather,
    /// The length that was said, and what is still to come of it; without, a line feed ends the message.
    said: Option<(usize, usize)>,
    length: Vec<u8>,
    /// Where the message begins.
    start: u64,
    wire: Wire,
    place: Place,
}

impl Syslog {
    /// `message` is the number of the first message.
    pub(crate) fn new(message: u64) -> Self {
        let (message, place) = (Gather::default(), place(message));
        Self { message, said: None, length: Vec::new(), start: 0, wire: Wire::default(), place }
    }

    /// A digit of a length, or the space behind it, if the message has not begun.
    fn take_length(&mut self, byte: u8) -> Option<Next> {
        let begins = self.message.held_bytes() == 0 && self.said.is_none();
        match byte {
            b'0'..=b'9' if begins => {
                self.length.push(byte);
                Some(if self.length.len() > LENGTH_DIGITS_MAX { Next::Over } else { Next::More })
            }
            b' ' if begins && !self.length.is_empty() => {
                let digits = std::str::from_utf8(&std::mem::take(&mut self.length)).ok()?.parse().ok()?;
                self.said = Some((digits, digits));
                Some(if digits == 0 { Next::Over } else { Next::More })
            }
            _ if !self.length.is_empty() => Some(Next::Over),
            _ => None,
        }
    }

    fn end_message(&mut self, out: &mut Sink<'_>) {
        let message = self.message.take();
        self.said = None;
        if is_message(message.as_slice()) {
            show_message(message.as_slice(), self.start, &self.place, out);
        }
        self.wire.end(&self.place, out);
        self.place.message += 1;
    }
}

impl Session for Syslog {
    fn take(&mut self, bytes: &[u8], at: u64, out: &mut Sink<'_>) -> (usize, Next) {
        if self.message.held_bytes() == 0 {
            self.start = at;
        }
        let (count, is_whole) = match (self.take_length(bytes[0]), &mut self.said) {
            (Some(next), _) => {
                self.wire.push(&bytes[..1], at, &self.place, out);
                return (1, next);
            }
            (None, Some((_, left))) => {
                let count = bytes.len().min(*left);
                *left -= count;
                let is_whole = *left == 0;
                self.message.fill(LOG_BYTES_MAX, &bytes[..count]);
                (count, is_whole)
            }
            (None, None) => self.message.line(LOG_BYTES_MAX, bytes),
        };
        self.wire.push(&bytes[..count], at, &self.place, out);
        if is_whole {
            self.end_message(out);
        }
        (count, Next::More)
    }

    fn settle(&mut self, out: &mut Sink<'_>) {
        self.wire.settle(&self.place, out);
    }

    fn end_here(&mut self, out: &mut Sink<'_>) {
        let is_open = self.message.held_bytes() > 0;
        self.end_message(out);
        self.place.message -= u64::from(!is_open);
    }

    fn held_bytes(&self) -> usize {
        self.message.held_bytes() + self.wire.held_bytes()
    }

    fn next_message(&self) -> u64 {
        self.place.message + 1
    }
}
