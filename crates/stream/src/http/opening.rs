//! The start of a message: bytes are collected until they are a head, or are seen not to be one.
//!
//! *Limits*: [`HEAD_BYTES_MAX`]. The end of the head is searched for once over each byte.

use memchr::memchr;

use crate::detect::{self, Kind, Known, Verdict};
use crate::plain::Plain;

/// Longest head that is read as one.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Bytes taken at a time: a push of many small messages is not copied once for each of them.
const STEP_BYTES: usize = 256;

/// See the module.
#[derive(Default)]
pub(crate) struct Opening {
    pub(crate) buf: Plain,
    /// Where the current line begins, and up to where its end was searched for.
    line: usize,
    searched: usize,
    kind: Option<Kind>,
    /// A first line of HTTP was seen: from here on this is a message of its own, readable or not.
    pub(crate) first_line_seen: bool,
    /// Bytes shown at a pause.
    pub(crate) shown: usize,
}

/// What the bytes so far are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Not yet a whole head.
    Wait,
    /// A head; the buffer holds exactly it.
    Head(Kind),
    /// The start of another protocol.
    Known(Known),
    /// No HTTP head, or one that is too long.
    Other,
}

impl Opening {
    /// Takes some of `bytes`; returns how many, and what all taken so far are. Where they turn out to be
    /// something else, none of `bytes` are taken, so that what is given up holds no whole message.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> (usize, Found) {
        let before = self.buf.len();
        if before >= HEAD_BYTES_MAX {
            return (0, Found::Other);
        }
        self.buf.append(&bytes[..bytes.len().min(STEP_BYTES).min(HEAD_BYTES_MAX - before)]);
        let found = self.look();
        if matches!(found, Found::Other | Found::Known(_)) {
            self.buf.truncate(before);
        }
        (self.buf.len() - before, found)
    }

    /// What was recognised so far.
    pub(crate) fn kind(&self) -> Option<Kind> {
        self.kind
    }

    fn look(&mut self) -> Found {
        if self.kind.is_none() {
            match detect::verdict(self.buf.as_slice()) {
                Verdict::Http(kind) => self.kind = Some(kind),
                Verdict::Known(known) => return Found::Known(known),
                Verdict::Wait => return Found::Wait,
                Verdict::Other => return Found::Other,
            }
            self.line = detect::lead(self.buf.as_slice());
            self.searched = self.line;
        }
        self.kind.map_or(Found::Wait, |kind| self.search(kind))
    }

    /// Looks for an empty line, and on the way whether the first line is one of HTTP.
    fn search(&mut self, kind: Kind) -> Found {
        while let Some(len) = memchr(b'\n', &self.buf.as_slice()[self.searched..]) {
            let end = self.searched + len;
            let line = &self.buf.as_slice()[self.line..end];
            let is_empty = matches!(line, b"" | b"\r");
            if !self.first_line_seen && !detect::is_first_line(kind, line) {
                return Found::Other;
            }
            self.first_line_seen = true;
            (self.line, self.searched) = (end + 1, end + 1);
            if is_empty {
                self.buf.truncate(end + 1);
                return Found::Head(kind);
            }
        }
        self.searched = self.buf.len();
        Found::Wait
    }
}
