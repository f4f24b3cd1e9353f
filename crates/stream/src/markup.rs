//! Text and attributes of XML and HTML, and where they stood, from a buffer that fills.
//!
//! Tolerant: it follows tags and quotes and takes what is between them for values, so that broken or cut documents and
//! several in a row still give theirs. Of XML the path of elements is followed; HTML has none that can be relied on.
//!
//! *Invariants*: a value is shown once complete, so that the way the bytes arrived makes no difference; only
//! a value too long for the buffer is shown in pieces.
//!
//! *Limits*: [`DEPTH_MAX`] elements in each other have names; what is deeper is shown with the path so far.

use std::ops::Range;

use memchr::{memchr, memmem};

use crate::path::Path;
use crate::plain::Plain;
use crate::token::{self, Encoding, Mode, Value, Values};
use crate::window::Part;

/// Elements in each other that are followed.
const DEPTH_MAX: usize = 64;

/// Bytes before a cut in which a character reference that it would fall into is searched for.
const REFERENCE_BYTES_MAX: usize = 12;

/// Reads the values of documents.
pub(crate) struct Markup {
    part: Part,
    path: Path,
    /// Lengths of the paths to the elements around.
    levels: Vec<usize>,
    /// Elements open beyond those followed.
    deeper: usize,
    /// What a text is closed by, where it is not the next tag.
    until: Option<&'static [u8]>,
    /// A first piece of the text was shown.
    inside: bool,
}

/// What begins at a `<`.
enum Tag {
    /// Too few bytes to tell, or its end is missing.
    Cut,
    /// No tag.
    Text,
    /// A tag to pass over, this long.
    Other(usize),
    /// An element begins: its length.
    Open(usize),
    Close(usize),
    /// Text that goes on to a mark begins behind so many bytes.
    Until(usize, &'static [u8]),
}

impl Markup {
    pub(crate) fn xml() -> Self {
        Self::new(Part::Xml)
    }

    pub(crate) fn html() -> Self {
        Self::new(Part::Html)
    }

    fn new(part: Part) -> Self {
        Self { part, path: Path::default(), levels: Vec::new(), deeper: 0, until: None, inside: false }
    }

    /// Reads on from `from`; returns where the first thing begins that is not shown for good. What begins
    /// there and is at least `split_min` long is shown in pieces if the buffer is full.
    pub(crate) fn run(
        &mut self,
        buf: &[u8],
        from: usize,
        (mode, split_min): (Mode, usize),
        sink: &mut Values<'_>,
    ) -> usize {
        let mut at = from;
        loop {
            let Some(end) = self.end_of_text(buf, at) else {
                return self.unfinished(buf, at, (mode, split_min), sink);
            };
            let tag = tag(&buf[end..], self.part);
            if self.until.is_none() && matches!(tag, Tag::Cut) && mode != Mode::End {
                return self.before_cut(buf, (at, end), (mode, split_min), sink);
            }
            self.text(buf, at..end, sink);
            at = end + self.pass(buf, end, tag, sink);
        }
    }

    /// A text, and what may be a tag behind it, which is cut.
    fn before_cut(
        &mut self,
        buf: &[u8],
        (at, end): (usize, usize),
        (mode, split_min): (Mode, usize),
        sink: &mut Values<'_>,
    ) -> usize {
        match mode {
            Mode::Full if buf.len() - end >= split_min => self.unfinished(buf, at, (mode, 0), sink),
            Mode::Full if buf.len() - at >= split_min => {
                self.text(buf, at..end, sink);
                end
            }
            Mode::Settle => {
                self.show(buf, at..end, sink);
                at
            }
            Mode::Full | Mode::More | Mode::End => at,
        }
    }

    /// Where the text that begins at `at` ends: at its mark, or at a `<`.
    fn end_of_text(&self, buf: &[u8], at: usize) -> Option<usize> {
        let rest = &buf[at..];
        match self.until {
            Some(mark) => find_mark(rest, mark).map(|len| at + len),
            None => next_tag(rest, self.part).map(|len| at + len),
        }
    }

    /// Goes over what stands at the end of a text; returns its length.
    fn pass(&mut self, buf: &[u8], at: usize, tag: Tag, sink: &mut Values<'_>) -> usize {
        if let Some(mark) = self.until.take() {
            // A script's end is a tag of its own.
            return if mark.starts_with(b"</") { 0 } else { mark.len() };
        }
        match tag {
            Tag::Open(len) => self.open(buf, at..at + len, sink),
            Tag::Cut => {
                let len = buf.len() - at;
                self.open(buf, at..at + len, sink);
                return len;
            }
            Tag::Close(_) => self.close(),
            Tag::Until(_, mark) => self.until = Some(mark),
            Tag::Other(_) | Tag::Text => {}
        }
        match tag {
            Tag::Open(len) | Tag::Close(len) | Tag::Other(len) | Tag::Until(len, _) => len,
            Tag::Text | Tag::Cut => 1,
        }
    }

    /// A text whose end is not in the buffer.
    fn unfinished(
        &mut self,
        buf: &[u8],
        at: usize,
        (mode, split_min): (Mode, usize),
        sink: &mut Values<'_>,
    ) -> usize {
        match mode {
            Mode::End => {
                self.text(buf, at..buf.len(), sink);
                buf.len()
            }
            Mode::Settle => {
                self.show(buf, at..buf.len(), sink);
                at
            }
            Mode::Full if buf.len() - at >= split_min => {
                let last = buf.len().saturating_sub(token::SPLIT_OVERLAP_BYTES).max(at);
                let near = last.saturating_sub(REFERENCE_BYTES_MAX).max(at);
                let cut = (near..last).find(|at| buf[*at] == b'&').unwrap_or(last);
                sink(self.named(token::piece(self.part, buf, at..cut, buf.len())));
                self.inside = true;
                cut
            }
            Mode::Full | Mode::More => at,
        }
    }

    /// A whole text, or the last piece of one.
    fn text(&mut self, buf: &[u8], range: Range<usize>, sink: &mut Values<'_>) {
        self.show(buf, range, sink);
        self.inside = false;
    }

    fn show(&self, buf: &[u8], range: Range<usize>, sink: &mut Values<'_>) {
        if self.inside {
            let end = range.end;
            return sink(self.named(token::piece(self.part, buf, range, end)));
        }
        let text = &buf[range.clone()];
        let start = range.start + text.len() - text.trim_ascii_start().len();
        sink(self.named(Value::whole(self.part, text.trim_ascii(), start)));
    }

    fn named<'a>(&'a self, value: Value<'a>) -> Value<'a> {
        // What goes on to a mark has no character references.
        let encoding = if self.until.is_some() { Encoding::None } else { Encoding::Markup };
        value.named(self.path.as_str()).encoded(encoding)
    }

    /// An element begins: hands out its attributes, and enters it.
    fn open(&mut self, buf: &[u8], range: Range<usize>, sink: &mut Values<'_>) {
        let tag = &buf[range.clone()];
        let name_len = tag[1..].iter().take_while(|byte| is_name(**byte)).count();
        let name = &tag[1..1 + name_len];
        if self.part == Part::Xml {
            self.enter(name);
        }
        self.attributes(buf, range.start + 1 + name_len..range.end, sink);
        if self.part == Part::Html {
            self.until = raw_text_end(name);
        } else if tag.ends_with(b"/>") {
            self.close();
        }
    }

    fn attributes(&self, buf: &[u8], range: Range<usize>, sink: &mut Values<'_>) {
        let tag = &buf[range.clone()];
        let attributes = || Attributes { tag, at: 0 };
        let called = attributes().find(|(name, _)| is_called(&tag[name.clone()], b"name"));
        let called = called.map(|(_, value)| &tag[value]);
        for (name, value) in attributes() {
            let (name, offset) = (&tag[name], range.start + value.start);
            // The value of an input field is that of its name.
            let name = called.filter(|_| is_called(name, b"value")).unwrap_or(name);
            let name = token::name_of(name, Encoding::Markup);
            let field = token::join(self.path.as_str(), name.as_str());
            let field = field.as_ref().and_then(Plain::as_str).or(name.as_str());
            sink(Value::whole(self.part, &tag[value], offset).named(field).encoded(Encoding::Markup));
        }
    }

    fn enter(&mut self, name: &[u8]) {
        if self.levels.len() == DEPTH_MAX {
            self.deeper += 1;
            return;
        }
        self.levels.push(self.path.len());
        self.path.enter(&token::name_of(name, Encoding::None));
    }

    fn close(&mut self) {
        if self.deeper > 0 {
            self.deeper -= 1;
        } else if let Some(len) = self.levels.pop() {
            self.path.truncate(len);
        }
    }
}

/// Finds a mark; one that ends a script in whatever case.
fn find_mark(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    if !mark.starts_with(b"</") {
        return memmem::find(bytes, mark);
    }
    memchr::memchr_iter(b'<', bytes)
        .find(|at| bytes[*at..].get(..mark.len()).is_some_and(|tag| tag.eq_ignore_ascii_case(mark)))
}

/// The next `<` that begins a tag, or may.
fn next_tag(bytes: &[u8], part: Part) -> Option<usize> {
    memchr::memchr_iter(b'<', bytes).find(|at| !matches!(tag(&bytes[*at..], part), Tag::Text))
}

/// What begins at a `<`.
fn tag(bytes: &[u8], part: Part) -> Tag {
    const COMMENT: &[u8] = b"<!--";
    const CDATA: &[u8] = b"<![CDATA[";
    if bytes.starts_with(COMMENT) {
        return Tag::Until(COMMENT.len(), b"-->");
    }
    if bytes.starts_with(CDATA) && part == Part::Xml {
        return Tag::Until(CDATA.len(), b"]]>");
    }
    if COMMENT.starts_with(bytes) || CDATA.starts_with(bytes) {
        return Tag::Cut;
    }
    match bytes.get(1) {
        Some(b'!' | b'?') => memchr(b'>', bytes).map_or(Tag::Cut, |end| Tag::Other(end + 1)),
        Some(b'/') => memchr(b'>', bytes).map_or(Tag::Cut, |end| Tag::Close(end + 1)),
        Some(byte) if byte.is_ascii_alphabetic() || *byte == b'_' || *byte >= 0x80 => {
            tag_end(bytes).map_or(Tag::Cut, Tag::Open)
        }
        _ => Tag::Text,
    }
}

/// The length of a tag, up to its `>` that is not in quotes.
fn tag_end(bytes: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in bytes.iter().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at + 1),
            (None, b'"' | b'\'') if follows_equals(&bytes[..at]) => quote = Some(*byte),
            (Some(open), byte) if open == *byte => quote = None,
            _ => {}
        }
    }
    None
}

/// Whether a quote behind these bytes opens a value.
fn follows_equals(before: &[u8]) -> bool {
    before.trim_ascii_end().last() == Some(&b'=')
}

/// What ends the text of an element that has no tags in it (WHATWG HTML, section 13.1.2).
fn raw_text_end(name: &[u8]) -> Option<&'static [u8]> {
    let elements: [(&[u8], &'static [u8]); 2] = [(b"script", b"</script"), (b"style", b"</style")];
    elements.into_iter().find(|(element, _)| is_called(name, element)).map(|(_, end)| end)
}

fn is_called(name: &[u8], other: &[u8]) -> bool {
    name.eq_ignore_ascii_case(other)
}

fn is_name(byte: u8) -> bool {
    !byte.is_ascii_whitespace() && !matches!(byte, b'=' | b'>' | b'/' | b'"' | b'\'')
}

/// Names and values of attributes, as ranges of the tag.
struct Attributes<'a> {
    tag: &'a [u8],
    at: usize,
}

impl Attributes<'_> {
    fn skip(&mut self, is_skipped: impl Fn(u8) -> bool) {
        self.at += self.tag[self.at..].iter().take_while(|byte| is_skipped(**byte)).count();
    }

    fn value(&mut self) -> Range<usize> {
        let Some(quote @ (b'"' | b'\'')) = self.tag.get(self.at).copied() else {
            let start = self.at;
            self.skip(|byte| !byte.is_ascii_whitespace() && byte != b'>');
            return start..self.at;
        };
        let start = self.at + 1;
        let len = memchr(quote, &self.tag[start..]).unwrap_or(self.tag.len() - start);
        self.at = (start + len + 1).min(self.tag.len());
        start..start + len
    }
}

impl Iterator for Attributes<'_> {
    type Item = (Range<usize>, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.skip(|byte| !is_name(byte) && byte != b'>');
            let start = self.at;
            self.skip(is_name);
            let name = start..self.at;
            if name.is_empty() {
                return None;
            }
            self.skip(|byte| byte.is_ascii_whitespace());
            if self.tag.get(self.at) == Some(&b'=') {
                self.at += 1;
                self.skip(|byte| byte.is_ascii_whitespace());
                return Some((name, self.value()));
            }
        }
    }
}

#[cfg(test)]
#[path = "markup_tests.rs"]
mod tests;
