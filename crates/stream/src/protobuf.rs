//! Values of protocol buffers without their schema, and the field numbers that lead to them.
//!
//! What has a length is a message, text, or packed integers: it is the first of these that all of it can be. Integers
//! that may be a number that was sent as one, which loses a zero before it, are shown as ten digits. What an integer
//! means is not on the wire, and chance makes many of these: they are bare values of their field, and it is for the
//! field's other values to speak for them.
//!
//! A field is named by its number, `f1.f3`. The same bytes read as a signed integer are another field, `f1.z3`: only one
//! of the two is what was meant, and the values of one say nothing about the other.
//!
//! *Invariants*: a field of the outermost message is shown once complete, so that the way the bytes arrived makes no
//! difference. Messages in a row read as one.
//! *Limits*: [`DEPTH_MAX`] messages in each other; what is deeper is not taken apart. An outermost field that takes more
//! than half of the buffer is shown as it stands alone.

use std::fmt::Write;
use std::ops::Range;

use crate::token::{Mode, Value, Values};
use crate::window::{Decoding, Part};

/// Messages in each other that are followed.
const DEPTH_MAX: usize = 16;

/// What ten digits may be as an integer; a day has at most one zero before it.
const NUMBERS: Range<u64> = 100_000_000..10_000_000_000;

/// Longest name of a field.
const NAME_BYTES_MAX: usize = 128;

const TEXT: &[Decoding] = &[Decoding::Protobuf];
const INTEGER: &[Decoding] = &[Decoding::Protobuf, Decoding::Integer];

/// See the module.
#[derive(Default)]
pub(crate) struct Protobuf {
    /// Bytes to come of a field that is too long.
    passing: u64,
    /// What comes is not read.
    is_broken: bool,
}

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Varint(u64),
    /// Four or eight bytes.
    Fixed(usize),
    /// This many bytes.
    Sized(u64),
}

/// A field, as it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    number: u64,
    wire: Wire,
    /// Bytes of tag and length, or of all of a varint.
    head: usize,
}

/// Why no field can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    Cut,
    Broken,
}

impl Protobuf {
    /// Whether what comes is not what it was said to be.
    pub(crate) const fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Reads on from `from`; returns where the first field begins that is not shown for good. One that is at least
    /// `split_min` long is passed over if the buffer is full.
    pub(crate) fn run(
        &mut self,
        buf: &[u8],
        from: usize,
        (mode, split_min): (Mode, usize),
        sink: &mut Values<'_>,
    ) -> usize {
        let mut at = from;
        let mut name = String::new();
        while at < buf.len() && !self.is_broken {
            if self.passing > 0 {
                let count = (buf.len() - at).min(usize::try_from(self.passing).unwrap_or(usize::MAX));
                (at, self.passing) = (at + count, self.passing - count as u64);
                continue;
            }
            match field(&buf[at..]) {
                Ok(field) if field.end() <= (buf.len() - at) as u64 => {
                    show(&field, buf, at, &mut name, DEPTH_MAX, sink);
                    at += field.end() as usize;
                }
                Ok(field) if mode == Mode::Full && buf.len() - at >= split_min => self.passing = field.end(),
                Ok(_) | Err(Flaw::Cut) => return if mode == Mode::End { buf.len() } else { at },
                Err(Flaw::Broken) => self.is_broken = true,
            }
        }
        if self.is_broken { buf.len() } else { at }
    }
}

impl Field {
    /// Length of the whole field.
    fn end(&self) -> u64 {
        let more = match self.wire {
            Wire::Varint(_) => 0,
            Wire::Fixed(size) => size as u64,
            Wire::Sized(size) => size,
        };
        more.saturating_add(self.head as u64)
    }
}

/// The field that `bytes` begin with.
fn field(bytes: &[u8]) -> Result<Field, Flaw> {
    let (tag, tag_len) = varint(bytes)?;
    let number = tag >> 3;
    if !(1..1 << 29).contains(&number) {
        return Err(Flaw::Broken);
    }
    let (wire, head) = match tag & 7 {
        0 => varint(&bytes[tag_len..]).map(|(value, len)| (Wire::Varint(value), tag_len + len))?,
        1 => (Wire::Fixed(8), tag_len),
        2 => varint(&bytes[tag_len..]).map(|(size, len)| (Wire::Sized(size), tag_len + len))?,
        5 => (Wire::Fixed(4), tag_len),
        _ => return Err(Flaw::Broken),
    };
    Ok(Field { number, wire, head })
}

/// The integer that `bytes` begin with, and its length.
fn varint(bytes: &[u8]) -> Result<(u64, usize), Flaw> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * at);
        if *byte < 0x80 {
            return if at < 9 || *byte < 2 { Ok((value, at + 1)) } else { Err(Flaw::Broken) };
        }
    }
    Err(if bytes.len() < 10 { Flaw::Cut } else { Flaw::Broken })
}

/// Hands out a field that lies whole at `at`. `name` is that of the message, and is so again afterwards.
fn show(field: &Field, buf: &[u8], at: usize, name: &mut String, depth: usize, sink: &mut Values<'_>) {
    let value = at + field.head..at + field.end() as usize;
    let integer = |number: u64| Integer { number, at: at..value.end };
    match field.wire {
        Wire::Varint(number) => integer(number).show_varint(field.number, name, sink),
        Wire::Fixed(_) => integer(fixed(&buf[value.clone()])).show('f', field.number, name, sink),
        Wire::Sized(_) => show_sized(field.number, buf, value, name, depth, sink),
    }
}

/// An integer and where it stands.
struct Integer {
    number: u64,
    at: Range<usize>,
}

impl Integer {
    /// As it stands, and as a signed integer (`sint64`), which is twice as large where it is positive.
    fn show_varint(&self, number: u64, name: &mut String, sink: &mut Values<'_>) {
        self.show('f', number, name, sink);
        if self.number.is_multiple_of(2) {
            Integer { number: self.number / 2, at: self.at.clone() }.show('z', number, name, sink);
        }
    }

    /// Shows what may be a number.
    fn show(&self, kind: char, number: u64, name: &mut String, sink: &mut Values<'_>) {
        if NUMBERS.contains(&self.number) {
            let digits = zeroize::Zeroizing::new(format!("{:010}", self.number));
            let len = enter(name, kind, number);
            let value = Value { at: self.at.clone(), ..Value::whole(Part::Value, digits.as_bytes(), 0) };
            sink(value.made_by(INTEGER).named(Some(name)));
            name.truncate(len);
        }
    }
}

/// Four or eight bytes as an integer: as they stand, or as the floating-point number that they are.
fn fixed(bytes: &[u8]) -> u64 {
    match (<[u8; 8]>::try_from(bytes), <[u8; 4]>::try_from(bytes)) {
        (Ok(bytes), _) => {
            let (number, float) = (u64::from_le_bytes(bytes), f64::from_le_bytes(bytes));
            let is_float =
                float.fract() == 0.0 && (NUMBERS.start as f64..NUMBERS.end as f64).contains(&float);
            if is_float { float as u64 } else { number }
        }
        (_, Ok(bytes)) => u64::from(u32::from_le_bytes(bytes)),
        _ => 0,
    }
}

fn show_sized(
    number: u64,
    buf: &[u8],
    range: Range<usize>,
    name: &mut String,
    depth: usize,
    sink: &mut Values<'_>,
) {
    let bytes = &buf[range.clone()];
    let is_text = is_text(bytes);
    // A message that is text by chance has lengths that are control characters.
    let is_clearly_text = is_text && bytes.first().is_none_or(|byte| *byte >= b' ');
    let len = enter(name, 'f', number);
    if depth > 0 && !is_clearly_text && is_message(bytes) {
        let mut at = range.start;
        while let Ok(field) = field(&buf[at..range.end]) {
            show(&field, buf, at, name, depth - 1, sink);
            at += field.end() as usize;
        }
    } else if is_text {
        sink(Value::whole(Part::Value, bytes, range.start).made_by(TEXT).named(Some(name)));
    } else {
        name.truncate(len);
        show_packed(number, buf, range, name, sink);
    }
    name.truncate(len);
}

/// Integers in a row: all varints, or all of eight bytes.
fn show_packed(number: u64, buf: &[u8], range: Range<usize>, name: &mut String, sink: &mut Values<'_>) {
    let bytes = &buf[range.clone()];
    let ends_whole = bytes.last().is_some_and(|byte| *byte < 0x80);
    if ends_whole && !bytes.windows(10).any(|run| run.iter().all(|byte| *byte >= 0x80)) {
        let mut at = range.start;
        while let Ok((value, len)) = varint(&buf[at..range.end]) {
            Integer { number: value, at: at..at + len }.show_varint(number, name, sink);
            at += len;
        }
    }
    if bytes.len().is_multiple_of(8) {
        for (index, eight) in bytes.chunks(8).enumerate() {
            let at = range.start + index * 8;
            Integer { number: fixed(eight), at: at..at + 8 }.show('f', number, name, sink);
        }
    }
}

/// Whether all of `bytes` are fields.
fn is_message(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Ok(field) = field(rest) {
        match usize::try_from(field.end()).ok().and_then(|end| rest.get(end..)) {
            Some(behind) => rest = behind,
            None => return false,
        }
    }
    rest.is_empty() && !bytes.is_empty()
}

/// Whether all of `bytes` is text, without control characters but white space.
fn is_text(bytes: &[u8]) -> bool {
    let is_plain = |byte: &u8| *byte >= b' ' && *byte != 0x7F || matches!(byte, b'\t' | b'\n' | b'\r');
    !bytes.is_empty() && bytes.iter().all(is_plain) && std::str::from_utf8(bytes).is_ok()
}

/// Adds a step to a name; returns how long it was before.
fn enter(name: &mut String, kind: char, number: u64) -> usize {
    let len = name.len();
    if len < NAME_BYTES_MAX {
        let dot = if len > 0 { "." } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(name, "{dot}{kind}{number}");
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name and content of each value.
    fn values(bytes: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        let mut sink = |value: Value<'_>| {
            let content = String::from_utf8_lossy(value.bytes);
            found.push(format!("{}={content}", value.field.unwrap_or("-")));
        };
        let mut protobuf = Protobuf::default();
        let end = protobuf.run(bytes, 0, (Mode::End, usize::MAX), &mut sink);
        assert_eq!(end, bytes.len());
        found
    }

    fn tagged(number: u8, wire: u8, rest: &[u8]) -> Vec<u8> {
        [&[number << 3 | wire], rest].concat()
    }

    fn sized(number: u8, bytes: &[u8]) -> Vec<u8> {
        tagged(number, 2, &[&[bytes.len() as u8], bytes].concat())
    }

    fn encoded(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }

    #[test]
    fn integers() {
        const NUMBER: u64 = 2_512_489_996;
        let varint = |value| tagged(3, 0, &encoded(value));
        let cases: &[(Vec<u8>, &[&str])] = &[
            (varint(NUMBER), &["f3=2512489996", "z3=1256244998"]),
            (varint(NUMBER * 2), &["f3=5024979992", "z3=2512489996"]),
            (varint(101_701_234), &["f3=0101701234"]),
            (varint(17), &[]),
            (varint(u64::MAX), &[]),
            (tagged(3, 1, &NUMBER.to_le_bytes()), &["f3=2512489996"]),
            (tagged(3, 1, &(NUMBER as f64).to_le_bytes()), &["f3=2512489996"]),
            (tagged(3, 5, &(NUMBER as u32).to_le_bytes()), &["f3=2512489996"]),
            (
                sized(4, &[encoded(NUMBER + 1), encoded(9), encoded(NUMBER)].concat()),
                &["f4=2512489997", "f4=2512489996", "z4=1256244998"],
            ),
            (sized(4, &[NUMBER.to_le_bytes(), 5_u64.to_le_bytes()].concat()), &["f4=2512489996"]),
        ];
        for (bytes, expected) in cases {
            assert_eq!(values(bytes), *expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn texts_and_messages() {
        let person = [sized(1, b"Nancy"), sized(2, b"251248-9996")].concat();
        let cases: &[(Vec<u8>, &[&str])] = &[
            (sized(1, b"251248-9996"), &["f1=251248-9996"]),
            (sized(5, &person), &["f5.f1=Nancy", "f5.f2=251248-9996"]),
            (sized(1, &sized(1, b"2512489996")), &["f1.f1=2512489996"]),
            (sized(1, b""), &[]),
            (sized(1, &[0xFF, 0xD8, 0xFF, 0xE0]), &[]),
            ([sized(1, b"first"), tagged(3, 4, &[1])].concat(), &["f1=first"]),
            ([sized(1, b"first"), sized(2, b"cut")[..4].to_vec()].concat(), &["f1=first"]),
        ];
        for (bytes, expected) in cases {
            assert_eq!(values(bytes), *expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn depth_and_names_are_bounded() {
        let deep = (0..40).fold(sized(1, b"251248-9996"), |inner, _| sized(1, &inner));
        let found = values(&deep);
        assert!(found.iter().all(|value| value.len() <= NAME_BYTES_MAX + 300), "{found:?}");
    }

    #[test]
    fn fields_that_are_too_long_are_passed_over() {
        let long = [&tagged(1, 2, &encoded(1000)), &[1; 1000][..], &sized(2, b"251248-9996")].concat();
        let mut found = Vec::new();
        let mut protobuf = Protobuf::default();
        let mut sink = |value: Value<'_>| found.push(value.field.unwrap_or("-").to_owned());
        assert_eq!(protobuf.run(&long[..600], 0, (Mode::Full, 500), &mut sink), 600);
        assert_eq!(protobuf.run(&long[600..], 0, (Mode::End, 500), &mut sink), long.len() - 600);
        assert_eq!(found, ["f2"]);
    }
}
