//! A mail as its bytes come (RFC 5322, RFC 2045): header fields, and the content that these announce.
//!
//! The parts of a mail, their encodings and the names of attached files are for the readers of content, as those of an
//! HTTP body are. A library for mail reads a whole mail; here it comes in pieces, and is shown before it ends.
//!
//! *Limits*: [`HEAD_BYTES_MAX`] of header fields; what is longer is content.

use crate::borders::Source;
use crate::content::Content;
use crate::mail::words;
use crate::outlet::{Meter, Outlet};
use crate::parser::{Frame, Parser};
use crate::plain::Plain;
use crate::said::Said;
use crate::session;
use crate::token::{Mode, Value};
use crate::trail::Trail;
use crate::window::{Part, Place, Sink};

/// Longest head that is read as one.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;

/// See the module.
#[derive(Default)]
pub(crate) struct Mail {
    head: Plain,
    /// Where the head begins, and how much of it was searched for its end.
    start: Option<u64>,
    searched: usize,
    content: Option<Content>,
    meter: Meter,
}

impl Mail {
    /// Takes the next bytes, which stand at `at`.
    pub(crate) fn take(&mut self, bytes: &[u8], at: u64, place: &Place, out: &mut Sink<'_>) {
        self.meter.take(bytes.len());
        if self.content.is_some() {
            return self.feed(bytes, at, place, out);
        }
        self.start.get_or_insert(at);
        let before = self.head.len();
        self.head.append(bytes);
        if let Some(end) = self.end_of_head() {
            self.end_head(end, place, out);
            self.feed(&bytes[end - before.min(end)..], at + (end - before.min(end)) as u64, place, out);
        }
    }

    /// Does what happens to the stream.
    pub(crate) fn follow(&mut self, mode: Mode, place: &Place, out: &mut Sink<'_>) {
        if mode == Mode::End && self.content.is_none() && self.start.is_some() {
            self.end_head(self.head.len(), place, out);
        }
        if let Some(content) = &mut self.content {
            let mut outlet = Outlet { meter: self.meter, ..Outlet::new(place, out) };
            content.follow(mode, &mut outlet);
            self.meter = outlet.meter;
        }
    }

    /// Captured bytes held.
    pub(crate) fn held_bytes(&self) -> usize {
        self.head.len() + self.content.as_ref().map_or(0, Content::held_bytes)
    }

    fn feed(&mut self, bytes: &[u8], at: u64, place: &Place, out: &mut Sink<'_>) {
        if let Some(content) = self.content.as_mut().filter(|_| !bytes.is_empty()) {
            let mut outlet = Outlet { meter: self.meter, ..Outlet::new(place, out) };
            content.feed(bytes, Source::At(at), &mut outlet);
            self.meter = outlet.meter;
        }
    }

    /// Where the empty line behind the fields ends, or where there are too many of them.
    fn end_of_head(&mut self) -> Option<usize> {
        let head = self.head.as_slice();
        while let Some(len) = memchr::memchr(b'\n', &head[self.searched..]) {
            let line = &head[self.searched..self.searched + len];
            self.searched += len + 1;
            if matches!(line, b"" | b"\r") {
                return Some(self.searched);
            }
        }
        (head.len() >= HEAD_BYTES_MAX).then_some(head.len())
    }

    fn end_head(&mut self, end: usize, place: &Place, out: &mut Sink<'_>) {
        let head = std::mem::take(&mut self.head);
        let fields: Vec<Field> = fields(&head.as_slice()[..end]).collect();
        let start = self.start.unwrap_or_default();
        fields.iter().for_each(|field| field.show(start, place, out));
        let value = |name: &str| {
            let field = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
            field.map_or(&b""[..], |field| field.value.as_slice())
        };
        let said = Said {
            content_type: value("content-type"),
            transfer_encoding: value("content-transfer-encoding"),
            ..Said::default()
        };
        let frame = Frame { part: Part::MailBody, field: None, trail: &Trail::START };
        let parser = Parser::said(&said, &frame);
        self.content = Some(Content::within(Part::MailBody, None, parser, Trail::START));
    }
}

/// A field, its value without the line ends in it.
struct Field<'a> {
    name: &'a str,
    value: Plain,
    /// Where in the head it stands.
    at: std::ops::Range<usize>,
}

impl Field<'_> {
    /// Hands out the value, and what its encoded words read as.
    fn show(&self, start: u64, place: &Place, out: &mut Sink<'_>) {
        let source = start + self.at.start as u64..start + self.at.end as u64;
        let name = Some(self.name);
        session::show((Part::MailHeader, name), self.value.as_slice(), &source, place, out);
        if let Some((decoded, made_by)) = words::decoded(self.value.as_slice()) {
            let value = Value::whole(Part::MailHeader, decoded.as_slice(), 0).named(name).made_by(made_by);
            value.show(place, &[], source, out);
        }
    }
}

/// The fields of a head; a line that begins with white space goes on with the one before (RFC 5322, section 2.2.3).
fn fields(head: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        loop {
            let line = memchr::memchr(b'\n', head.get(at..)?).map_or(head.len(), |len| at + len + 1);
            at = line;
            let goes_on = matches!(head.get(at), Some(b' ' | b'\t'));
            if !goes_on {
                break;
            }
        }
        (at > start).then_some(start..at)
    })
    .filter_map(move |range| {
        let field = &head[range.clone()];
        let colon = memchr::memchr(b':', field)?;
        let name = std::str::from_utf8(field[..colon].trim_ascii()).ok()?;
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        let lines = field[colon + 1..].split(|byte| matches!(byte, b'\r' | b'\n'));
        let mut value = Plain::new();
        lines.for_each(|line| value.append(line));
        let value = Plain::copy_of(value.as_slice().trim_ascii());
        is_name.then_some(Field { name, value, at: range })
    })
}
