//! The chunked transfer coding (RFC 9112, section 7.1): tells framing from data.
//!
//! *Limits*: [`LINE_BYTES_MAX`] for a size or trailer line.

use crate::plain::Plain;

/// Longest size line (with extensions) or trailer line.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// See the module.
#[derive(Default)]
pub(crate) struct Chunked {
    state: State,
    /// The line being read.
    line: Plain,
    /// Bytes of the line shown at a pause.
    pub(crate) shown: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailer,
}

/// What the next bytes are.
pub(crate) enum Event {
    /// Part of a line.
    Wait,
    /// The end of a line that is framing; the line as a whole.
    Framing(Plain),
    /// The end of a line with a trailer field; the line as a whole.
    Trailer(Plain),
    /// Data of a chunk.
    Data,
    /// The end of the empty line that ends the message; that line.
    End(Plain),
    /// Not this coding; the line so far.
    Broken(Plain),
}

impl Chunked {
    /// How many of `bytes` (not empty) are one thing, and what.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> (usize, Event) {
        if let State::Data(left) = self.state {
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            self.skip_data(count as u64);
            return (count, Event::Data);
        }
        let end = bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let count = end.unwrap_or(bytes.len()).min(LINE_BYTES_MAX);
        self.line.append(&bytes[..count]);
        let event = match end {
            Some(end) if end == count => self.line_end(),
            _ if self.line.len() >= LINE_BYTES_MAX => Event::Broken(self.take_line()),
            _ => Event::Wait,
        };
        (count, event)
    }

    /// Goes over data that is missing; false if it is not all data.
    pub(crate) fn skip_data(&mut self, count: u64) -> bool {
        match self.state {
            State::Data(left) if count <= left => {
                self.state = if count == left { State::DataEnd } else { State::Data(left - count) };
                true
            }
            _ => false,
        }
    }

    /// The line so far.
    pub(crate) fn line(&self) -> &[u8] {
        self.line.as_slice()
    }

    pub(crate) fn take_line(&mut self) -> Plain {
        self.shown = 0;
        std::mem::replace(&mut self.line, Plain::new())
    }

    fn line_end(&mut self) -> Event {
        let line = self.take_line();
        let content = line.as_slice().trim_ascii();
        match (self.state, content.is_empty()) {
            (State::Trailer, true) => Event::End(line),
            (State::Trailer, false) => Event::Trailer(line),
            (State::DataEnd, true) => self.goes_on(State::Size, line),
            (State::Size, _) => match size(content) {
                Some(0) => self.goes_on(State::Trailer, line),
                Some(size) => self.goes_on(State::Data(size), line),
                None => Event::Broken(line),
            },
            (State::DataEnd | State::Data(_), _) => Event::Broken(line),
        }
    }

    fn goes_on(&mut self, state: State, line: Plain) -> Event {
        self.state = state;
        Event::Framing(line)
    }
}

/// The size at the start of a line, before any extension.
fn size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii();
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let cases: &[(&str, Option<u64>)] = &[
            ("0", Some(0)),
            ("1a", Some(26)),
            ("1A ; name=value", Some(26)),
            ("", None),
            ("+5", None),
            ("-5", None),
            ("0x5", None),
            ("fffffffffffffffff", None),
        ];
        for (line, expected) in cases {
            assert_eq!(size(line.as_bytes()), *expected, "{line}");
        }
    }
}
