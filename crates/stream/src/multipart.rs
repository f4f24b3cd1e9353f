//! Parts of a multipart body (RFC 2046, section 5.1; RFC 7578), each a content of its own.
//!
//! *Limits*: a part's head of [`HEAD_BYTES_MAX`] and [`FIELDS_MAX`] fields; a longer one is content of the part.

use std::ops::Range;

use memchr::memmem;

use crate::borders::Source;
use crate::content::Content;
use crate::outlet::Outlet;
use crate::parser::{Frame, Parser, Scene};
use crate::plain::Plain;
use crate::said::{Said, parameter};
use crate::token::{self, Encoding, Mode, Value};
use crate::window::Part;

/// Longest head of a part.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// Header fields of a part that are read.
const FIELDS_MAX: usize = 32;

/// See the module.
pub(crate) struct Multipart {
    /// Two hyphens and the boundary.
    delimiter: Plain,
    /// How an unnamed part is shown.
    state: State,
}

enum State {
    /// Before the first delimiter, or behind the last.
    Outside,
    Head,
    Part(Box<Content>),
}

/// What a delimiter line is.
struct Line {
    /// Where the data before it ends.
    data_end: usize,
    /// Where what is behind it begins.
    behind: usize,
    is_last: bool,
}

impl Multipart {
    pub(crate) fn new(boundary: &Plain) -> Self {
        let mut delimiter = Plain::copy_of(b"--");
        delimiter.append(boundary.as_slice());
        Self { delimiter, state: State::Outside }
    }

    /// Reads on; returns where the first thing begins that is not handed on for good.
    pub(crate) fn run(&mut self, scene: &Scene<'_>, outlet: &mut Outlet<'_, '_>) -> usize {
        let mut at = scene.from;
        loop {
            match &mut self.state {
                State::Head => match self.head(scene, at, outlet) {
                    Some(end) => at = end,
                    None => return at,
                },
                State::Outside | State::Part(_) => {
                    let line = self.line(scene, at);
                    let data_end =
                        line.as_ref().map_or_else(|| self.data_end(scene, at), |line| line.data_end);
                    self.data(scene, at..data_end, outlet);
                    let Some(line) = line else {
                        self.follow(scene.mode, outlet);
                        return data_end;
                    };
                    self.follow(Mode::End, outlet);
                    self.state = if line.is_last { State::Outside } else { State::Head };
                    at = line.behind;
                }
            }
        }
    }

    /// The next whole delimiter line.
    fn line(&self, scene: &Scene<'_>, at: usize) -> Option<Line> {
        let (buf, delimiter) = (scene.buf, self.delimiter.as_slice());
        memmem::find_iter(&buf[at..], delimiter).find_map(|found| {
            let start = at + found;
            let is_first = start == 0 || buf[start - 1] == b'\n';
            let rest = &buf[start + delimiter.len()..];
            let is_last = rest.starts_with(b"--");
            let end = rest.iter().position(|byte| *byte == b'\n');
            let is_blank = |line: &[u8]| line.iter().all(u8::is_ascii_whitespace);
            let line = &rest
                [if is_last { 2 } else { 0 }..end.unwrap_or(rest.len()).max(if is_last { 2 } else { 0 })];
            let is_whole = end.is_some() || (scene.mode == Mode::End || is_last);
            if !is_first || !is_blank(line) || !is_whole {
                return None;
            }
            let before = &buf[at..start];
            let before =
                before.strip_suffix(b"\n").map_or(before, |text| text.strip_suffix(b"\r").unwrap_or(text));
            let behind = start + delimiter.len() + end.map_or(rest.len(), |end| end + 1);
            Some(Line { data_end: at + before.len(), behind, is_last })
        })
    }

    /// Up to where there is data, whatever comes: what may begin a delimiter line waits.
    fn data_end(&self, scene: &Scene<'_>, at: usize) -> usize {
        let len = scene.buf.len();
        if scene.mode == Mode::End {
            return len;
        }
        // A line end, the delimiter, two hyphens, a line end.
        let held = self.delimiter.len() + 5;
        let start = len.saturating_sub(held).max(at);
        let line = scene.buf[start..].iter().position(|byte| matches!(byte, b'\r' | b'\n' | b'-'));
        line.map_or(len, |line| start + line)
    }

    fn data(&mut self, scene: &Scene<'_>, range: Range<usize>, outlet: &mut Outlet<'_, '_>) {
        let State::Part(content) = &mut self.state else { return };
        if !range.is_empty() {
            let source = Source::of((scene.source)(range.clone()), range.len());
            content.feed(&scene.buf[range], source, outlet);
        }
    }

    fn follow(&mut self, mode: Mode, outlet: &mut Outlet<'_, '_>) {
        if let State::Part(content) = &mut self.state {
            content.follow(mode, outlet);
        }
    }

    /// Reads the head of a part; returns where it ends, if that is known.
    fn head(&mut self, scene: &Scene<'_>, at: usize, outlet: &mut Outlet<'_, '_>) -> Option<usize> {
        let bytes = &scene.buf[at..];
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        match httparse::parse_headers(bytes, &mut fields) {
            Ok(httparse::Status::Complete((len, fields))) => {
                self.state = State::Part(Box::new(part(fields, &scene.frame)));
                show_name(fields, scene, outlet);
                Some(at + len)
            }
            Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX && scene.mode != Mode::End => None,
            _ => {
                self.state = State::Part(Box::new(part(&[], &scene.frame)));
                Some(at)
            }
        }
    }

    /// Bytes held within.
    pub(crate) fn held_bytes(&self) -> usize {
        match &self.state {
            State::Part(content) => content.held_bytes(),
            State::Outside | State::Head => 0,
        }
    }
}

fn field<'a>(fields: &[httparse::Header<'a>], name: &str) -> &'a [u8] {
    fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map_or(b"", |field| field.value)
}

/// The content that a part's head announces.
fn part(fields: &[httparse::Header<'_>], frame: &Frame<'_>) -> Content {
    let said = Said {
        content_type: field(fields, "content-type"),
        content_encoding: field(fields, "content-encoding"),
        transfer_encoding: field(fields, "content-transfer-encoding"),
        ..Said::default()
    };
    let name = name(fields);
    let name = token::join(frame.field, name.as_ref().and_then(Plain::as_str)).or(name);
    let name = name.as_ref().and_then(Plain::as_str);
    // A body's parts are parts of a form; those of a mail stay what the mail is.
    let part = if frame.part == Part::Body { Part::Multipart } else { frame.part };
    let Some(trail) = frame.trail.deeper() else {
        return Content::within(part, name, Parser::None, *frame.trail);
    };
    let parser = Parser::said(&said, &Frame { part, field: name, trail: &trail });
    Content::within(part, name, parser, trail)
}

fn name(fields: &[httparse::Header<'_>]) -> Option<Plain> {
    let name = parameter(field(fields, "content-disposition"), "name")?;
    Some(token::name_of(name, Encoding::Url))
}

/// Shows the names of a part's file.
fn show_name(fields: &[httparse::Header<'_>], scene: &Scene<'_>, outlet: &mut Outlet<'_, '_>) {
    let disposition = field(fields, "content-disposition");
    let names = [
        parameter(disposition, "filename"),
        parameter(disposition, "filename*"),
        parameter(field(fields, "content-type"), "name"),
    ];
    let part = name(fields);
    for file in names.into_iter().flatten() {
        let offset = token::offset_in(scene.buf, file);
        let value = Value::whole(Part::Filename, file, offset).encoded(Encoding::Url);
        let source = (scene.source)(value.at.clone());
        value.named(part.as_ref().and_then(Plain::as_str)).show_in(&scene.frame, source, outlet);
    }
}
