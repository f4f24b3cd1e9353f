//! Fields of a urlencoded form, from a buffer that fills (WHATWG URL, section 5.1).
//!
//! *Invariants*: a field is shown once complete, so that the way the bytes arrived makes no difference; only
//! a field too long for the buffer is shown in pieces.

use crate::plain::Plain;
use crate::token::{self, Encoding, Mode, Values};
use crate::window::Part;

/// How far into a field that fills the buffer its name is searched for.
const NAME_SEARCH_BYTES_MAX: usize = 1024;

/// Reads `name=value` fields with `&` between them.
#[derive(Default)]
pub(crate) struct Form {
    /// The name, while inside a value of which a first piece was shown.
    inside: Option<Plain>,
}

impl Form {
    /// Reads on from `from`; returns where the first field begins that is not shown for good. What begins
    /// there and is at least `split_min` long is shown in pieces if the buffer is full.
    pub(crate) fn run(
        &mut self,
        buf: &[u8],
        from: usize,
        (mode, split_min): (Mode, usize),
        sink: &mut Values<'_>,
    ) -> usize {
        let mut at = from;
        while let Some(len) = buf[at..].iter().position(|byte| *byte == b'&') {
            self.field(buf, at, at + len, sink);
            self.inside = None;
            at += len + 1;
        }
        match mode {
            Mode::End => {
                self.field(buf, at, buf.len(), sink);
                buf.len()
            }
            Mode::Settle => {
                self.field(buf, at, buf.len(), sink);
                at
            }
            Mode::Full if buf.len() - at >= split_min => self.split(buf, at, sink),
            Mode::Full | Mode::More => at,
        }
    }

    fn field(&self, buf: &[u8], from: usize, to: usize, sink: &mut Values<'_>) {
        match &self.inside {
            Some(name) => {
                let name = name.as_str().filter(|name| !name.is_empty());
                sink(token::piece(Part::Form, buf, from..to, to).named(name).encoded(Encoding::Form));
            }
            None => token::pair(Part::Form, &buf[from..to], from, Encoding::Form, sink),
        }
    }

    /// Shows a first or further piece of a long field, all but the last bytes; returns where those begin.
    fn split(&mut self, buf: &[u8], from: usize, sink: &mut Values<'_>) -> usize {
        let value = if self.inside.is_some() { from } else { self.enter(buf, from) };
        let last = buf.len() - token::SPLIT_OVERLAP_BYTES;
        // A percent escape that begins just before the border stays whole behind it.
        let cut = (last - 2..last).find(|at| buf[*at] == b'%').unwrap_or(last);
        let name = self.inside.as_ref().and_then(Plain::as_str).filter(|name| !name.is_empty());
        let piece = token::piece(Part::Form, buf, value..cut, buf.len());
        sink(piece.named(name).encoded(Encoding::Form));
        cut
    }

    /// Keeps the name of the long field at `from`; returns where its value begins.
    fn enter(&mut self, buf: &[u8], from: usize) -> usize {
        let start = &buf[from..];
        let equals = start.iter().take(NAME_SEARCH_BYTES_MAX).position(|byte| *byte == b'=');
        self.inside = Some(token::name_of(&start[..equals.unwrap_or(0)], Encoding::Form));
        equals.map_or(from, |equals| from + equals + 1)
    }
}
