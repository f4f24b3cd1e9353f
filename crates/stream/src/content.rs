//! A run of content (a raw stream, a message body) that fills a bounded buffer and comes out as windows.
//!
//! Three borders move through the buffer, all content offsets (bytes of this content since its start):
//! everything before `parsed` went through the parser, everything before `owned` was shown for good, and
//! everything before `counted` is in the ledger. What is behind `owned` stays, and a little context before
//! it. Without a parser, bytes are shown as they arrive, all but a trailing run that may be the beginning of a
//! number. With a parser they wait until the buffer is full or the content ends, so that specific windows
//! come first and the way the bytes arrived makes no difference.
//!
//! A settle (a pause in the stream) shows everything as if a border followed, but does not move `owned` over
//! what could continue: that is shown again with what follows, and the caller drops what it already knows.
//!
//! *Limits*: the buffer holds [`PIECE_BYTES_MAX`] and the context. A value is shown in pieces when it takes
//! more than half of the buffer, so that each byte is parsed a bounded number of times.

use std::collections::VecDeque;
use std::ops::Range;

use crate::form::Form;
use crate::json::Json;
use crate::plain::Plain;
use crate::text::is_text;
use crate::token::{CONTEXT_BYTES, Mode};
use crate::window::{Decoding, Part, Place, Sink, Window};

/// Bytes that a window owns at most, and length of a message of a raw stream.
pub(crate) const PIECE_BYTES_MAX: usize = 64 * 1024;

/// Longest trailing run held back as the possible beginning of a number.
const RUN_BYTES_MAX: usize = 32;

/// White space at the start of a body through which JSON is recognised without being announced.
const BLANK_BYTES_MAX: usize = 64;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Chunk borders kept; beyond, source offsets are approximate.
const BORDERS_MAX: usize = 256;

/// What the content is, and how its values are found.
pub(crate) enum Parser {
    /// Nothing to find.
    None,
    /// The first byte that is not white space decides.
    Undecided(Option<Syntax>),
    Form(Form),
    Json(Box<Json>),
}

/// What the sender says the content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    Form,
    Json,
}

/// See the module.
pub(crate) struct Content {
    part: Part,
    parser: Parser,
    outer: &'static [Decoding],
    /// Without a parser, too, bytes wait until the buffer is full.
    lazy: bool,
    buf: Plain,
    /// Content offset of the first byte of `buf`.
    base: u64,
    parsed: u64,
    owned: u64,
    counted: u64,
    /// Everything up to here was shown by a settle or at the end.
    settled: u64,
    borders: Borders,
}

impl Content {
    /// A stream of which nothing is known; every [`PIECE_BYTES_MAX`] of it are a message.
    pub(crate) const fn raw() -> Self {
        Self::new(Part::Raw, Parser::None, &[])
    }

    /// Content of a message.
    pub(crate) const fn new(part: Part, parser: Parser, outer: &'static [Decoding]) -> Self {
        let borders = Borders(VecDeque::new());
        let buf = Plain::new();
        Self {
            part,
            parser,
            outer,
            lazy: false,
            buf,
            base: 0,
            parsed: 0,
            owned: 0,
            counted: 0,
            settled: 0,
            borders,
        }
    }

    /// Content that comes in many small pieces which nobody waits for.
    pub(crate) fn lazy(part: Part) -> Self {
        let mut content = Self::new(part, Parser::None, &[]);
        content.lazy = true;
        content
    }

    /// Content that goes on behind a hole: its bytes are shown, its values not guessed.
    pub(crate) fn successor(&self) -> Self {
        Self::new(self.part, Parser::None, self.outer)
    }

    /// Takes the next bytes, which stand at `at` in the stream.
    pub(crate) fn push(&mut self, bytes: &[u8], at: u64, place: &Place, out: &mut Sink<'_>) {
        self.borders.add(self.end(), at);
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = (CONTEXT_BYTES + PIECE_BYTES_MAX).saturating_sub(self.buf.len());
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.buf.append(now);
            rest = later;
            self.decide(false);
            if now.len() == room {
                self.flush(Mode::Full, place, out);
            } else if matches!(self.parser, Parser::None) && !self.lazy {
                self.flush(Mode::More, place, out);
            }
        }
    }

    /// No bytes for a while.
    pub(crate) fn settle(&mut self, place: &Place, out: &mut Sink<'_>) {
        self.flush(Mode::Settle, place, out);
        self.buf.shrink();
    }

    /// No more bytes.
    pub(crate) fn end_here(&mut self, place: &Place, out: &mut Sink<'_>) {
        self.flush(Mode::End, place, out);
    }

    /// Messages that this content spans, if it is a raw stream.
    pub(crate) fn messages(&self) -> u64 {
        self.end().div_ceil(PIECE_BYTES_MAX as u64).max(1)
    }

    /// Content offset behind the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.buf.len() as u64
    }

    /// Bytes held now.
    pub(crate) fn held_bytes(&self) -> usize {
        self.buf.len()
    }

    fn flush(&mut self, mode: Mode, place: &Place, out: &mut Sink<'_>) {
        let is_last = matches!(mode, Mode::Settle | Mode::End);
        if is_last && self.settled == self.end() {
            return;
        }
        self.decide(matches!(mode, Mode::Full | Mode::End));
        self.parse(mode, place, out);
        let kept =
            if mode == Mode::End { self.end() } else { self.parsed.min(self.run_start()).max(self.owned) };
        let shown = if is_last { self.end() } else { kept };
        self.show(self.owned..shown, place, out);
        self.owned = kept;
        self.settled = shown;
        self.forget();
    }

    /// Chooses the parser by the first byte that is not white space, if that is near the start.
    fn decide(&mut self, now: bool) {
        let Parser::Undecided(said) = self.parser else { return };
        let start = &self.buf.as_slice()[..self.buf.len().min(BLANK_BYTES_MAX)];
        let waits = !now && start.len() < BLANK_BYTES_MAX;
        if waits && BYTE_ORDER_MARK.starts_with(start) {
            return;
        }
        let start = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(start);
        self.parser = match (start.trim_ascii_start().first(), said) {
            (None, _) if waits => return,
            (Some(b'{' | b'['), _) | (_, Some(Syntax::Json)) => Parser::Json(Box::default()),
            (_, Some(Syntax::Form)) => Parser::Form(Form::default()),
            (_, None) => Parser::None,
        };
    }

    /// Hands out the values that the parser finds.
    fn parse(&mut self, mode: Mode, place: &Place, out: &mut Sink<'_>) {
        let Self { parser, buf, base, parsed, borders, outer, .. } = self;
        let (buf, base) = (buf.as_slice(), *base);
        let from = (*parsed - base) as usize;
        let step = (mode, PIECE_BYTES_MAX / 2);
        let mut sink = |value: crate::token::Value<'_>| {
            let source = borders.source(base + value.at.start as u64..base + value.at.end as u64);
            value.show(place, outer, source, out);
        };
        let to = match parser {
            Parser::None => buf.len(),
            Parser::Undecided(_) => from,
            Parser::Form(form) => form.run(buf, from, step, &mut sink),
            Parser::Json(json) => json.run(buf, from, step, &mut sink),
        };
        *parsed = base + to as u64;
    }

    /// Shows bytes as such, in windows of bounded length.
    fn show(&mut self, range: Range<u64>, place: &Place, out: &mut Sink<'_>) {
        let mut from = range.start;
        while from < range.end {
            let border = (from / PIECE_BYTES_MAX as u64 + 1) * PIECE_BYTES_MAX as u64;
            let to = range.end.min(border);
            self.show_one(from..to, place, out);
            from = to;
        }
    }

    fn show_one(&mut self, range: Range<u64>, place: &Place, out: &mut Sink<'_>) {
        let (from, to) = ((range.start - self.base) as usize, (range.end - self.base) as usize);
        let start = from.saturating_sub(CONTEXT_BYTES);
        let end = self.buf.len().min(to + CONTEXT_BYTES);
        let bytes = &self.buf.as_slice()[start..end];
        let counted = range.end.saturating_sub(self.counted.max(range.start));
        self.counted = self.counted.max(range.end);
        let piece = if place.is_raw() { range.start / PIECE_BYTES_MAX as u64 } else { 0 };
        out(Window {
            owned: from - start..to - start,
            message: place.message + piece,
            decodings: self.outer,
            text: is_text(bytes),
            source: self.borders.source(range),
            counted,
            ..place.window(self.part, bytes)
        });
    }

    /// Drops what was shown for good, all but the context.
    fn forget(&mut self) {
        let kept = self.owned.min(self.parsed).saturating_sub(CONTEXT_BYTES as u64).max(self.base);
        self.buf.drop_front((kept - self.base) as usize);
        self.base = kept;
        self.borders.forget(kept);
    }

    /// Content offset where a trailing run begins that may be an incomplete number; the end if there is none.
    fn run_start(&self) -> u64 {
        self.base + run_start(self.buf.as_slice()) as u64
    }
}

/// Where the trailing run of digits and separators begins, at its first digit.
fn run_start(buf: &[u8]) -> usize {
    let from = buf.len().saturating_sub(RUN_BYTES_MAX);
    let belongs = |at: &usize| may_be_in_number(buf[*at]) || is_in_percent_escape(buf, *at);
    let run = (from..buf.len()).rev().take_while(belongs).count();
    let start = buf.len() - run;
    start + buf[start..].iter().position(u8::is_ascii_digit).unwrap_or(run)
}

/// Whether the byte at `at` is a letter such as that of `%2D`.
fn is_in_percent_escape(buf: &[u8], at: usize) -> bool {
    buf[at].is_ascii_hexdigit() && buf[at.saturating_sub(2)..at].contains(&b'%')
}

/// Digits, what may stand between or right behind them, bytes of dashes and spaces in UTF-8, and the zeros of UTF-16.
fn may_be_in_number(byte: u8) -> bool {
    matches!(byte, 0 | b'0'..=b'9' | b' ' | b'\t' | b'.' | b',' | b'-' | b'/' | b':' | b'_' | b'+' | b'%' | 0x80..)
}

/// Where in the stream content stood: a border is a content offset and its stream offset.
struct Borders(VecDeque<(u64, u64)>);

impl Borders {
    fn add(&mut self, content: u64, stream: u64) {
        let continues = self.0.back().is_some_and(|(from, at)| at + (content - from) == stream);
        if !continues && self.0.len() < BORDERS_MAX {
            self.0.push_back((content, stream));
        }
    }

    fn source(&self, range: Range<u64>) -> Range<u64> {
        let start = self.stream(range.start);
        let last = range.end.saturating_sub(1).max(range.start);
        start..(self.stream(last) + range.end.min(last + 1) - last).max(start)
    }

    fn stream(&self, content: u64) -> u64 {
        let behind = self.0.partition_point(|(from, _)| *from <= content);
        let border = behind.checked_sub(1).and_then(|index| self.0.get(index));
        border.map_or(0, |(from, at)| at + (content - from))
    }

    /// Keeps the last border before `content` and those behind it.
    fn forget(&mut self, content: u64) {
        while self.0.get(1).is_some_and(|(from, _)| *from <= content) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_runs() {
        let cases: &[(&str, &str)] = &[
            ("", ""),
            ("no digits, here ", ""),
            ("cpr 251248", "251248"),
            ("cpr: 251248-", "251248-"),
            ("cpr: 251248-9996\n", ""),
            ("cpr: 251248\u{2013}99", "251248\u{2013}99"),
            ("v1.2 x", ""),
            ("12345678901234567890123456789012345678901234567890", "90123456789012345678901234567890"),
            ("%20251248%2", "20251248%2"),
            ("cpr 251248%2D", "251248%2D"),
            ("cpr 251248%2D99", "251248%2D99"),
            ("cpr 251248D", ""),
            ("r\0 \x002\x005\x001\0", "2\x005\x001\0"),
            ("\0r\0 \x002\x005\x001", "2\x005\x001"),
        ];
        for (text, expected) in cases {
            let run = &text.as_bytes()[run_start(text.as_bytes())..];
            assert_eq!(run, expected.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn sources_follow_chunk_borders() {
        let mut borders = Borders(VecDeque::new());
        borders.add(0, 100);
        borders.add(10, 110);
        borders.add(20, 125);
        assert_eq!(borders.0.len(), 2);
        assert_eq!(borders.source(5..15), 105..115);
        assert_eq!(borders.source(15..25), 115..130);
        assert_eq!(borders.source(15..20), 115..120);
        assert_eq!(borders.source(7..7), 107..107);
        borders.forget(22);
        assert_eq!(borders.source(22..23), 127..128);
    }
}
