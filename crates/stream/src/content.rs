//! A run of content (a raw stream, a message body, what a decoder made of it) that fills a bounded buffer and comes out
//! as windows.
//!
//! Three borders move through the buffer, all content offsets (bytes of this content since its start):
//! everything before `parsed` went through the parser, everything before `owned` was shown for good, and
//! everything before `counted` is in the ledger. What is behind `owned` stays, and a little context before
//! it. Without a parser, bytes are shown as they arrive, all but the last: a number that starts among them may go on,
//! or what decides on it is still to come. With a parser they wait until the buffer is full or the content ends,
//! so that specific windows come first and the way the bytes arrived makes no difference. Of a text the last word waits.
//!
//! A settle (a pause in the stream) shows everything as if a border followed, but does not move `owned` over
//! what could continue: that is shown again with what follows, and the caller drops what it already knows.
//!
//! Some parsers find content within: a layer of compression, the parts of a multipart body, the members of an archive.
//! That is content again, with a buffer of its own, and follows what happens to the content around it.
//!
//! *Limits*: the buffer holds [`PIECE_BYTES_MAX`] and the context ([`CONTEXT_BYTES`]). A value is shown in pieces
//! when it takes more than half of the buffer, so that each byte is parsed a bounded number of times.

use std::ops::Range;

use cprvagt_cpr::{BEFORE_BYTES_MAX, REACH_BYTES_MAX};

use crate::borders::{Borders, Source};
use crate::judged::{Judged, Verdict};
use crate::outlet::{Meter, Outlet};
use crate::parser::{Frame, Parser, Scene};
use crate::plain::Plain;
use crate::said::Said;
use crate::text::is_text;
use crate::token::{CONTEXT_BYTES, Mode};
use crate::trail::Trail;
use crate::window::{Bound, Decoding, Part, Place, Sink, Window};

/// Bytes that a window owns at most, and length of a message of a raw stream.
pub(crate) const PIECE_BYTES_MAX: usize = 64 * 1024;

/// Up to so many bytes the buffer is as long as they are.
const SHORT_BYTES_MAX: usize = PIECE_BYTES_MAX / 16;

/// Bytes held back: a start before them has behind it all that its judgement depends on.
const HELD_BACK_BYTES: usize = REACH_BYTES_MAX - 1;

/// See the module.
pub(crate) struct Content {
    pub(crate) part: Part,
    /// The name of what it lies in.
    pub(crate) field: Option<Plain>,
    pub(crate) parser: Parser,
    pub(crate) trail: Trail,
    stance: Stance,
    buf: Plain,
    /// Content offset of the first byte of `buf`.
    base: u64,
    parsed: u64,
    owned: u64,
    counted: u64,
    /// Everything up to here was shown by a settle or at the end.
    settled: u64,
    borders: Borders,
    judged: Judged,
    meter: Meter,
}

/// Where content comes from, and what that means for its windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stance {
    /// Bytes of the stream, shown as they arrive where nothing is to be found in them.
    Wire,
    /// Bytes of the stream in many small pieces which nobody waits for.
    Lazy,
    /// Made by a decoder: the bytes that it was made of are accounted for elsewhere.
    Within,
}

impl Content {
    /// A stream of which nothing is known; every [`PIECE_BYTES_MAX`] of it are a message.
    pub(crate) fn raw() -> Self {
        Self::new(Part::Raw, Parser::undecided(None), Trail::START, Stance::Wire)
    }

    /// Content of a message, of which its sender says so much; `outer` was undone before.
    pub(crate) fn of(part: Part, said: &Said<'_>, outer: &[Decoding]) -> Self {
        let trail = Trail::from(outer);
        let parser = Parser::said(said, &Frame { part, field: None, trail: &trail });
        Self::new(part, parser, trail, Stance::Wire)
    }

    /// Content that comes in many small pieces which nobody waits for.
    pub(crate) fn lazy(part: Part) -> Self {
        Self::new(part, Parser::None, Trail::START, Stance::Lazy)
    }

    /// Content that lies in other content.
    pub(crate) fn within(part: Part, field: Option<&str>, parser: Parser, trail: Trail) -> Self {
        let field = field.map(|field| Plain::copy_of(field.as_bytes()));
        Self { field, ..Self::new(part, parser, trail, Stance::Within) }
    }

    /// Content that goes on behind a hole: its bytes are shown, its values not guessed.
    pub(crate) fn successor(&self) -> Self {
        Self::new(self.part, Parser::None, self.trail, self.stance)
    }

    fn new(part: Part, parser: Parser, trail: Trail, stance: Stance) -> Self {
        Self {
            part,
            field: None,
            parser,
            trail,
            stance,
            buf: Plain::new(),
            base: 0,
            parsed: 0,
            owned: 0,
            counted: 0,
            settled: 0,
            borders: Borders::new(),
            judged: Judged::default(),
            meter: Meter::default(),
        }
    }

    /// Takes the next bytes, which stand at `at` in the stream.
    pub(crate) fn push(&mut self, bytes: &[u8], at: u64, place: &Place, out: &mut Sink<'_>) {
        self.meter.take(bytes.len());
        self.outlet(place, out, |content, outlet| content.feed(bytes, Source::At(at), outlet));
    }

    /// No bytes for a while.
    pub(crate) fn settle(&mut self, place: &Place, out: &mut Sink<'_>) {
        self.outlet(place, out, |content, outlet| content.follow(Mode::Settle, outlet));
    }

    /// No more bytes.
    pub(crate) fn end_here(&mut self, place: &Place, out: &mut Sink<'_>) {
        self.outlet(place, out, |content, outlet| content.follow(Mode::End, outlet));
    }

    fn outlet(
        &mut self,
        place: &Place,
        out: &mut Sink<'_>,
        act: impl FnOnce(&mut Self, &mut Outlet<'_, '_>),
    ) {
        let mut outlet = Outlet { meter: self.meter, ..Outlet::new(place, out) };
        act(self, &mut outlet);
        self.meter = outlet.meter;
    }

    /// Takes the next bytes, which are from `source`.
    pub(crate) fn feed(&mut self, bytes: &[u8], source: Source, outlet: &mut Outlet<'_, '_>) {
        self.borders.add(self.end(), source);
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = (self.shown_bytes() + PIECE_BYTES_MAX).saturating_sub(self.buf.len());
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.take_up(now);
            rest = later;
            self.decide(false);
            if now.len() == room {
                self.flush(Mode::Full, outlet);
            } else if self.parser.is_hasty() && self.stance == Stance::Wire {
                self.flush(Mode::More, outlet);
            }
        }
    }

    /// Appends to the buffer. What is no longer short mostly becomes long: there is room for it then, and no byte is
    /// moved and wiped again and again.
    fn take_up(&mut self, bytes: &[u8]) {
        if self.buf.len() + bytes.len() > SHORT_BYTES_MAX {
            self.buf.reserve(self.shown_bytes() + PIECE_BYTES_MAX);
        }
        self.buf.append(bytes);
    }

    /// Does what the content around it does.
    pub(crate) fn follow(&mut self, mode: Mode, outlet: &mut Outlet<'_, '_>) {
        self.flush(mode, outlet);
        if mode == Mode::Settle {
            self.buf.shrink();
        }
    }

    /// Messages that this content spans, if it is a raw stream.
    pub(crate) fn messages(&self) -> u64 {
        if self.parser.is_whole() { 1 } else { self.end().div_ceil(PIECE_BYTES_MAX as u64).max(1) }
    }

    /// Content offset behind the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.buf.len() as u64
    }

    /// Bytes held now.
    pub(crate) fn held_bytes(&self) -> usize {
        self.buf.len() + self.parser.held_bytes()
    }

    fn flush(&mut self, mode: Mode, outlet: &mut Outlet<'_, '_>) {
        let is_last = matches!(mode, Mode::Settle | Mode::End);
        if is_last && self.settled == self.end() && !self.buf.is_empty() {
            // All of it was shown; what lies within ends with it.
            if self.parser.is_whole() {
                self.parse(mode, outlet);
            }
            return;
        }
        self.decide(matches!(mode, Mode::Full | Mode::End));
        if self.stance != Stance::Within {
            outlet.message = outlet.place.message + self.piece(self.owned, outlet.place);
        }
        self.parse(mode, outlet);
        let kept = match mode {
            Mode::End => self.end(),
            _ => self.parsed.min(self.held_back()).max(self.owned),
        };
        let shown = if is_last { self.end() } else { kept };
        self.show(self.owned..shown, outlet);
        self.owned = kept;
        self.settled = shown;
        self.forget();
    }

    /// Hands out what the parser finds.
    fn parse(&mut self, mode: Mode, outlet: &mut Outlet<'_, '_>) {
        let (here, is_many) = (outlet.message, self.is_many(outlet.place));
        let first = outlet.place.message;
        let Self { parser, buf, base, parsed, borders, judged, trail, field, part, .. } = self;
        let (buf, base) = (buf.as_slice(), *base);
        let scene = Scene {
            buf,
            from: (*parsed - base) as usize,
            mode,
            is_first: base == 0,
            frame: Frame { part: *part, field: field.as_ref().and_then(Plain::as_str), trail },
            source: &|range| borders.source(base + range.start as u64..base + range.end as u64),
            message: &|at| if is_many { first + (base + at as u64) / PIECE_BYTES_MAX as u64 } else { here },
        };
        let mut judge = |to: usize, verdict| judged.up_to(base + to as u64, verdict);
        *parsed = base + parser.run(&scene, &mut judge, outlet) as u64;
    }

    /// Chooses the parser by the first bytes.
    fn decide(&mut self, now: bool) {
        let Self { parser, buf, part, field, trail, .. } = self;
        let frame = Frame { part: *part, field: field.as_ref().and_then(Plain::as_str), trail };
        parser.decide(buf.as_slice(), now, &frame);
    }

    /// Shows bytes as such, in windows of bounded length.
    fn show(&mut self, range: Range<u64>, outlet: &mut Outlet<'_, '_>) {
        let mut from = range.start;
        while from < range.end {
            let border = (from / PIECE_BYTES_MAX as u64 + 1) * PIECE_BYTES_MAX as u64;
            let (run, verdict) = self.judged.at(from);
            let to = range.end.min(border).min(run);
            self.show_one(from..to, verdict, outlet);
            from = to;
        }
    }

    fn show_one(&mut self, range: Range<u64>, verdict: Verdict, outlet: &mut Outlet<'_, '_>) {
        let (from, to) = ((range.start - self.base) as usize, (range.end - self.base) as usize);
        let start = from.saturating_sub(BEFORE_BYTES_MAX);
        let end = self.buf.len().min(to + HELD_BACK_BYTES);
        let bytes = &self.buf.as_slice()[start..end];
        let counted = match self.stance {
            Stance::Within => 0,
            Stance::Wire | Stance::Lazy => range.end.saturating_sub(self.counted.max(range.start)),
        };
        let message = match self.stance {
            Stance::Wire | Stance::Lazy if self.parser.is_hasty() => {
                outlet.place.message + self.piece(range.start, outlet.place)
            }
            _ => outlet.message,
        };
        self.counted = self.counted.max(range.end);
        let is_plain = self.parser.is_hasty();
        let part = if is_plain { self.part } else { self.part.as_such(outlet.place) };
        let (text, beyond) = self.judge(verdict, bytes);
        (outlet.out)(Window {
            owned: from - start..to - start,
            field: self.field.as_ref().and_then(Plain::as_str),
            message,
            decodings: self.trail.as_slice(),
            text,
            beyond,
            source: self.borders.source(range),
            counted,
            ..outlet.place.window(part, bytes)
        });
    }

    /// Which message of a raw stream an offset lies in.
    fn piece(&self, offset: u64, place: &Place) -> u64 {
        if self.is_many(place) { offset / PIECE_BYTES_MAX as u64 } else { 0 }
    }

    /// Whether each piece of it is a message of its own.
    fn is_many(&self, place: &Place) -> bool {
        place.is_raw() && self.stance != Stance::Within && !self.parser.is_whole()
    }

    /// Whether bytes are text, or were decoded; else the bound that was in the way. Within, nobody asks.
    fn judge(&self, verdict: Verdict, bytes: &[u8]) -> (bool, Option<Bound>) {
        match verdict {
            _ if self.stance == Stance::Within => (true, None),
            Verdict::Read => (true, None),
            Verdict::Beyond(bound) => (false, Some(bound)),
            Verdict::Unsaid => (is_text(bytes), None),
        }
    }

    /// Drops what was shown for good, all but the context.
    fn forget(&mut self) {
        let context = if self.parser.is_hasty() { BEFORE_BYTES_MAX } else { CONTEXT_BYTES };
        let kept = self.base + self.shown_bytes().saturating_sub(context) as u64;
        self.buf.drop_front((kept - self.base) as usize);
        self.base = kept;
        self.borders.forget(kept);
        self.judged.forget(kept);
    }

    /// Bytes of the buffer that are there as context alone.
    fn shown_bytes(&self) -> usize {
        (self.owned.min(self.parsed) - self.base) as usize
    }

    /// Content offset from which on bytes are held back.
    fn held_back(&self) -> u64 {
        self.end().saturating_sub(HELD_BACK_BYTES as u64)
    }
}
