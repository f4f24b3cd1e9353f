//! What a PostgreSQL client sends (protocol 3): text of queries, and the parameters bound to them.
//!
//! A parameter is named after what it is compared with or inserted into, where its statement says so and was seen;
//! else by its number, `$1`. Integers that are bound in binary and may be a number that was sent as one, which loses a
//! zero before it, are shown as ten digits.
//!
//! *Limits*: messages of [`MESSAGE_BYTES_MAX`]; what is longer is shown as it stands. The names of parameters of
//! [`STATEMENTS_MAX`] statements are known, of each the first [`PARAMETERS_MAX`].

mod statement;

use std::collections::BTreeMap;
use std::ops::Range;

use crate::body::Next;
use crate::detect::{Known, Verdict};
use crate::plain::Plain;
use crate::session::{self, Gather, Session, Wire};
use crate::token::Value;
use crate::window::{Decoding, Part, Place, Protocol, Sink};

/// Longest message that is read.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Statements whose parameters have names.
pub(crate) const STATEMENTS_MAX: usize = 32;

/// Parameters of a statement that have names.
pub(crate) const PARAMETERS_MAX: usize = 32;

/// Longest name of a statement or parameter that is known.
pub(crate) const NAME_BYTES_MAX: usize = 64;

/// Longest message of a stream that is recognised without its start.
const FIRST_MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Most bytes of a message that are looked at to recognise it.
const LOOK_BYTES_MAX: usize = 64;

/// Longest message at the start of a connection, with names of user, database and settings.
const STARTUP_BYTES_MAX: u32 = 10_000;

/// What ten digits may be as an integer; a day has at most one zero before it.
const NUMBERS: Range<i64> = 100_000_000..10_000_000_000;

/// Words that statements begin with.
const WORDS: &[&str] = &[
    "SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "BEGIN", "COMMIT", "ROLLBACK", "SET ", "SHOW", "CREATE",
    "DROP", "ALTER", "COPY", "CALL", "EXPLAIN", "MERGE", "TRUNCATE", "DECLARE", "FETCH", "START", "DISCARD",
];

/// Types of messages that a client sends (PostgreSQL 17, section 53.7).
const TYPES: &[u8] = b"BCDEFHPQSXcdfp";

/// What a startup message says it is: protocol 3.0 and 3.2, and the requests for cancelling, TLS and GSSAPI.
const VERSIONS: &[u32] = &[0x3_0000, 0x3_0002];
const REQUESTS: &[u32] = &[80_877_102, 80_877_103, 80_877_104];

/// Whether a stream begins a connection, or with a statement in one.
pub(crate) fn verdict(bytes: &[u8]) -> Verdict {
    match bytes.first() {
        None => Verdict::Wait,
        Some(0) => startup(bytes),
        Some(b'Q' | b'P') => statement(bytes),
        Some(_) => Verdict::Other,
    }
}

fn startup(bytes: &[u8]) -> Verdict {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Verdict::Wait };
    let length = u32::from_be_bytes(*length);
    if !(8..=STARTUP_BYTES_MAX).contains(&length) {
        return Verdict::Other;
    }
    match rest.first_chunk::<4>().map(|version| u32::from_be_bytes(*version)) {
        None => Verdict::Wait,
        Some(version) if VERSIONS.contains(&version) && length > 8 => Verdict::Known(Known::Postgres),
        Some(request) if REQUESTS.contains(&request) && matches!(length, 8 | 16) => {
            Verdict::Known(Known::Postgres)
        }
        Some(_) => Verdict::Other,
    }
}

/// A message with a statement: its name if it has one, and a text that begins like one.
fn statement(bytes: &[u8]) -> Verdict {
    let Some((length, rest)) = bytes[1..].split_first_chunk::<4>() else {
        let is_high_zero = bytes.get(1).is_none_or(|byte| *byte == 0);
        return if is_high_zero { Verdict::Wait } else { Verdict::Other };
    };
    if !(6..FIRST_MESSAGE_BYTES_MAX).contains(&(u32::from_be_bytes(*length) as usize)) {
        return Verdict::Other;
    }
    let look = &rest[..rest.len().min(LOOK_BYTES_MAX)];
    let text = match bytes[0] {
        b'Q' => Some(look),
        _ => memchr::memchr(0, look).map(|end| &look[end + 1..]),
    };
    let (text, is_cut) = (text.unwrap_or_default().trim_ascii_start(), look.len() < LOOK_BYTES_MAX);
    let begins =
        |word: &&str| text.get(..word.len()).is_some_and(|it| it.eq_ignore_ascii_case(word.as_bytes()));
    let may_begin = |word: &&str| {
        let len = text.len().min(word.len());
        text[..len].eq_ignore_ascii_case(&word.as_bytes()[..len])
    };
    match () {
        () if WORDS.iter().any(begins) => Verdict::Known(Known::Postgres),
        () if is_cut && WORDS.iter().any(may_begin) => Verdict::Wait,
        () => Verdict::Other,
    }
}

/// See the module.
pub(crate) struct Postgres {
    /// Head and body of the message so far.
    message: Gather,
    /// Bytes of a message to come that is too long to be read.
    passing: usize,
    /// The connection has begun: messages have a type.
    began: bool,
    /// Names of parameters by the name of their statement.
    statements: BTreeMap<Vec<u8>, Vec<Option<Plain>>>,
    /// Where the message begins.
    start: u64,
    wire: Wire,
    place: Place,
}

impl Postgres {
    /// `message` is the number of the first message.
    pub(crate) fn new(message: u64) -> Self {
        Self {
            message: Gather::default(),
            passing: 0,
            began: false,
            statements: BTreeMap::new(),
            start: 0,
            wire: Wire::default(),
            place: Place { protocol: Protocol::Postgres, ..Place::raw(message) },
        }
    }

    /// Length of the message so far, as far as its head is known; `None` if it can be none.
    fn wanted(&self) -> Option<usize> {
        let message = self.message.as_slice();
        let is_typed = self.began || message.first().is_some_and(|first| *first != 0);
        let head = usize::from(is_typed);
        let Some(length) = message.get(head..).and_then(|rest| rest.first_chunk::<4>()) else {
            return Some(head + 4);
        };
        let length = u32::from_be_bytes(*length) as usize;
        (4..1 << 30).contains(&length).then_some(head + length)
    }

    fn pass(&mut self, bytes: &[u8], at: u64, out: &mut Sink<'_>) -> usize {
        let count = bytes.len().min(self.passing);
        self.passing -= count;
        self.wire.push(&bytes[..count], at, &self.place, out);
        if self.passing == 0 {
            self.end_message(out);
        }
        count
    }

    /// A message is complete.
    fn read(&mut self, out: &mut Sink<'_>) {
        let message = self.message.take();
        let bytes = message.as_slice();
        let is_typed = self.began || bytes.first().is_some_and(|first| *first != 0);
        let at = self.start;
        if is_typed && bytes.len() >= 5 {
            self.began = true;
            match bytes[0] {
                b'Q' => self.sql(&bytes[5..], at + 5, out),
                b'P' => self.parse(bytes, at, out),
                b'B' => {
                    self.bind(bytes, at, out);
                }
                _ => {}
            }
        } else if let Some(version) = bytes.get(4..).and_then(|rest| rest.first_chunk::<4>()) {
            self.began = VERSIONS.contains(&u32::from_be_bytes(*version));
        }
        self.end_message(out);
    }

    fn end_message(&mut self, out: &mut Sink<'_>) {
        self.wire.end(&self.place, out);
        self.place.message += 1;
    }

    fn sql(&self, text: &[u8], at: u64, out: &mut Sink<'_>) {
        let text = &text[..memchr::memchr(0, text).unwrap_or(text.len())];
        session::show((Part::Sql, None), text, &(at..at + text.len() as u64), &self.place, out);
    }

    /// A statement with a name, and text: its parameters get their names.
    fn parse(&mut self, bytes: &[u8], at: u64, out: &mut Sink<'_>) {
        let Some((name, text)) = string(&bytes[5..]) else { return };
        self.sql(text, at + 5 + name.len() as u64 + 1, out);
        let text = string(text).map_or(text, |(text, _)| text);
        if name.len() > NAME_BYTES_MAX {
            return;
        }
        if self.statements.len() >= STATEMENTS_MAX && !self.statements.contains_key(name) {
            self.statements.pop_first();
        }
        self.statements.insert(name.to_vec(), statement::parameters(text));
    }

    /// Parameters of a statement (PostgreSQL 17, section 53.7, Bind).
    fn bind(&self, bytes: &[u8], at: u64, out: &mut Sink<'_>) -> Option<()> {
        let (_, rest) = string(bytes.get(5..)?)?;
        let (name, rest) = string(rest)?;
        let (formats, mut rest) = words(rest)?;
        let count = word(&mut rest)?;
        let names = self.statements.get(name);
        for number in 0..usize::from(count) {
            let length = i32::from_be_bytes(*rest.first_chunk()?);
            rest = &rest[4..];
            let Ok(length) = usize::try_from(length) else { continue };
            let value = rest.get(..length)?;
            rest = &rest[length..];
            let is_binary =
                formats.get(number).or(formats.first().filter(|_| formats.len() == 1)) == Some(&1);
            let start = at + (value.as_ptr() as u64).saturating_sub(bytes.as_ptr() as u64);
            let known = names.and_then(|names| names.get(number)).and_then(Option::as_ref);
            let numbered = format!("${}", number + 1);
            let name = known.and_then(Plain::as_str).unwrap_or(&numbered);
            self.parameter(name, value, is_binary, start, out);
        }
        Some(())
    }

    fn parameter(&self, name: &str, value: &[u8], is_binary: bool, at: u64, out: &mut Sink<'_>) {
        let source = at..at + value.len() as u64;
        let integer = match value.len() {
            4 => value.first_chunk().map(|bytes| i64::from(i32::from_be_bytes(*bytes))),
            8 => value.first_chunk().map(|bytes| i64::from_be_bytes(*bytes)),
            _ => None,
        };
        if let Some(number) = integer.filter(|number| is_binary && NUMBERS.contains(number)) {
            let digits = zeroize::Zeroizing::new(format!("{number:010}"));
            let value = Value::whole(Part::Value, digits.as_bytes(), 0).made_by(&[Decoding::Integer]);
            value.named(Some(name)).show(&self.place, &[], source, out);
        } else {
            session::show((Part::Value, Some(name)), value, &source, &self.place, out);
        }
    }
}

impl Session for Postgres {
    fn take(&mut self, bytes: &[u8], at: u64, out: &mut Sink<'_>) -> (usize, Next) {
        if self.passing > 0 {
            return (self.pass(bytes, at, out), Next::More);
        }
        if self.message.held_bytes() == 0 {
            self.start = at;
        }
        let Some(wanted) = self.wanted() else { return (0, Next::Over) };
        let is_typed = self.began || bytes[0] != 0;
        let is_no_message = self.message.held_bytes() == 0 && is_typed && !TYPES.contains(&bytes[0]);
        if is_no_message {
            return (0, Next::Over);
        }
        let (count, is_whole) = self.message.fill(wanted.min(MESSAGE_BYTES_MAX), bytes);
        self.wire.push(&bytes[..count], at, &self.place, out);
        match self.wanted() {
            None => return (count, Next::Over),
            Some(wanted) if wanted > MESSAGE_BYTES_MAX && is_whole => {
                self.passing = wanted - self.message.take().len();
                self.began = true;
            }
            Some(wanted) if is_whole && wanted <= self.message.held_bytes() => self.read(out),
            Some(_) => {}
        }
        (count, Next::More)
    }

    fn settle(&mut self, out: &mut Sink<'_>) {
        self.wire.settle(&self.place, out);
    }

    fn end_here(&mut self, out: &mut Sink<'_>) {
        self.wire.end(&self.place, out);
    }

    fn held_bytes(&self) -> usize {
        let names = self.statements.values().flatten().flatten().map(Plain::len).sum::<usize>();
        self.message.held_bytes() + self.wire.held_bytes() + names
    }

    fn next_message(&self) -> u64 {
        self.place.message + 1
    }
}

/// A string that ends with a zero, and what is behind it.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(0, bytes)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

fn word(rest: &mut &[u8]) -> Option<u16> {
    let (word, behind) = rest.split_first_chunk::<2>()?;
    *rest = behind;
    Some(u16::from_be_bytes(*word))
}

/// Words whose number stands before them.
fn words(bytes: &[u8]) -> Option<(Vec<u16>, &[u8])> {
    let mut rest = bytes;
    let count = usize::from(word(&mut rest)?);
    let (words, rest) = rest.split_at_checked(count * 2)?;
    Some((words.chunks(2).map(|word| u16::from_be_bytes([word[0], word[1]])).collect(), rest))
}
