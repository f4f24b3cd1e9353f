//! What a Redis client sends: commands as arrays of strings (RESP).
//!
//! The first word is the command; where it is one that names a key, the next is the key and what follows are its values,
//! named after the key, or after the field before them.
//!
//! *Limits*: strings of [`STRING_BYTES_MAX`] and lines of [`LINE_BYTES_MAX`]; longer strings are shown as they stand.

use crate::body::Next;
use crate::detect::{Known, Verdict};
use crate::plain::Plain;
use crate::session::{self, Gather, Session, Wire};
use crate::token::{Encoding, name_of};
use crate::window::{Part, Place, Protocol, Sink};

/// Longest string that is read.
pub(crate) const STRING_BYTES_MAX: usize = 64 * 1024;

/// Longest line before a string: a sign, digits and the line's end.
const LINE_BYTES_MAX: usize = 16;

/// Longest name of a command.
const COMMAND_BYTES_MAX: usize = 32;

/// Commands whose values have names before them.
const PAIRED: &[&str] = &["HSET", "HMSET", "XADD"];

/// Commands that name keys only.
const KEYS_ONLY: &[&str] = &["GET", "MGET", "DEL", "EXISTS", "UNLINK", "TOUCH", "WATCH", "TTL", "TYPE"];

/// Commands about the connection or the server.
const WITHOUT_KEY: &[&str] =
    &["AUTH", "HELLO", "CLIENT", "CONFIG", "PING", "ECHO", "EVAL", "EVALSHA", "SCAN", "COMMAND"];

/// Whether a stream begins with a command: an array of strings.
pub(crate) fn verdict(bytes: &[u8]) -> Verdict {
    let after = |bytes: &[u8], sign: u8| -> Result<usize, Verdict> {
        let Some((first, rest)) = bytes.split_first() else { return Err(Verdict::Wait) };
        if *first != sign {
            return Err(Verdict::Other);
        }
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        match (digits, &rest[digits..]) {
            (0..=5, [] | [b'\r']) => Err(Verdict::Wait),
            (1..=5, [b'\r', b'\n', ..]) if rest[0] != b'0' => Ok(digits + 3),
            _ => Err(Verdict::Other),
        }
    };
    let read = || {
        let start = after(bytes, b'*')?;
        let end = start + after(&bytes[start..], b'$')?;
        let is_letter = bytes.get(end).ok_or(Verdict::Wait)?.is_ascii_alphabetic();
        if is_letter { Ok(()) } else { Err(Verdict::Other) }
    };
    match read() {
        Ok(()) => Verdict::Known(Known::Redis),
        Err(verdict) => verdict,
    }
}

/// See the module.
pub(crate) struct Redis {
    line: Gather,
    string: Option<Bulk>,
    command: Command,
    wire: Wire,
    place: Place,
}

/// A string in the making, with the line end behind it.
struct Bulk {
    bytes: Gather,
    left: usize,
    start: u64,
}

/// The command that is read.
#[derive(Default)]
struct Command {
    /// Strings to come.
    left: usize,
    /// How many came.
    at: usize,
    name: String,
    key: Plain,
    /// The name before a value.
    field: Plain,
}

impl Redis {
    /// `message` is the number of the first message.
    pub(crate) fn new(message: u64) -> Self {
        Self {
            line: Gather::default(),
            string: None,
            command: Command::default(),
            wire: Wire::default(),
            place: Place { protocol: Protocol::Redis, ..Place::raw(message) },
        }
    }

    fn take_line(&mut self, bytes: &[u8], at: u64, out: &mut Sink<'_>) -> (usize, Next) {
        if self.line.held_bytes() == 0 && bytes[0] != self.sign() {
            return (0, Next::Over);
        }
        let room = bytes.len().min(LINE_BYTES_MAX - self.line.held_bytes());
        let (count, is_whole) = self.line.line(LINE_BYTES_MAX, &bytes[..room]);
        self.wire.push(&bytes[..count], at, &self.place, out);
        if !is_whole && self.line.held_bytes() >= LINE_BYTES_MAX {
            return (count, Next::Over);
        }
        if is_whole {
            let Some(number) = number(self.line.take().as_slice()) else { return (count, Next::Over) };
            self.begin(number, at + count as u64, out);
        }
        (count, Next::More)
    }

    const fn sign(&self) -> u8 {
        if self.command.left == 0 { b'*' } else { b'$' }
    }

    fn begin(&mut self, number: usize, at: u64, out: &mut Sink<'_>) {
        if self.command.left > 0 {
            self.string = Some(Bulk { bytes: Gather::default(), left: number + 2, start: at });
        } else {
            self.command = Command { left: number, ..Command::default() };
            self.end_command(out);
        }
    }

    fn take_string(&mut self, bytes: &[u8], at: u64, out: &mut Sink<'_>) -> usize {
        let Some(string) = &mut self.string else { return 0 };
        let count = bytes.len().min(string.left);
        string.left -= count;
        string.bytes.fill(STRING_BYTES_MAX, &bytes[..count]);
        self.wire.push(&bytes[..count], at, &self.place, out);
        if string.left == 0
            && let Some(mut string) = self.string.take()
        {
            let mut content = string.bytes.take();
            content.truncate(content.len().saturating_sub(2));
            let source = string.start..string.start + content.len() as u64;
            self.command.show(&content, &source, &self.place, out);
            self.command.left -= 1;
            self.end_command(out);
        }
        count
    }

    fn end_command(&mut self, out: &mut Sink<'_>) {
        if self.command.left == 0 {
            self.wire.end(&self.place, out);
            self.place.message += 1;
        }
    }
}

impl Command {
    /// Hands out the next string.
    fn show(&mut self, content: &Plain, source: &std::ops::Range<u64>, place: &Place, out: &mut Sink<'_>) {
        let at = self.at;
        self.at += 1;
        if at == 0 {
            let name = content.as_str().filter(|name| name.len() <= COMMAND_BYTES_MAX);
            self.name = name.unwrap_or_default().to_ascii_uppercase();
            return;
        }
        let is = |names: &[&str]| names.contains(&self.name.as_str());
        if !is(WITHOUT_KEY) && (at == 1 || is(KEYS_ONLY)) {
            self.key = name_of(content.as_slice(), Encoding::None);
            return session::show((Part::Key, None), content.as_slice(), source, place, out);
        }
        let is_name = is(PAIRED) && at.is_multiple_of(2);
        let name = if self.field.is_empty() || is_name { &self.key } else { &self.field };
        let name = name.as_str().filter(|name| !name.is_empty());
        session::show((Part::Value, name), content.as_slice(), source, place, out);
        if is_name {
            self.field = name_of(content.as_slice(), Encoding::None);
        }
    }
}

impl Session for Redis {
    fn take(&mut self, bytes: &[u8], at: u64, out: &mut Sink<'_>) -> (usize, Next) {
        match self.string {
            Some(_) => (self.take_string(bytes, at, out), Next::More),
            None => self.take_line(bytes, at, out),
        }
    }

    fn settle(&mut self, out: &mut Sink<'_>) {
        self.wire.settle(&self.place, out);
    }

    fn end_here(&mut self, out: &mut Sink<'_>) {
        self.wire.end(&self.place, out);
    }

    fn held_bytes(&self) -> usize {
        let string = self.string.as_ref().map_or(0, |string| string.bytes.held_bytes());
        self.line.held_bytes()
            + string
            + self.wire.held_bytes()
            + self.command.key.len()
            + self.command.field.len()
    }

    fn next_message(&self) -> u64 {
        self.place.message + 1
    }
}

/// The number in a line, behind its sign.
fn number(line: &[u8]) -> Option<usize> {
    let digits = line.get(1..)?.strip_suffix(b"\r\n")?;
    std::str::from_utf8(digits)
        .ok()
        .filter(|digits| !digits.starts_with('+'))?
        .parse()
        .ok()
        .filter(|number| *number < 1 << 30)
}
