//! Values of JSON texts and where they stood, from a buffer that fills (RFC 8259).
//!
//! Tolerant: it follows brackets, quotes, colons and commas, and takes what is between them for values, so
//! that broken or cut JSON, several texts in a row and JSON with comments still give their values.
//!
//! *Invariants*: a value is shown once complete, so that the way the bytes arrived makes no difference; only
//! a value too long for the buffer is shown in pieces.
//!
//! *Limits*: [`DEPTH_MAX`] levels have names; what is deeper is shown with the path so far.
//!
//! *Units*: positions are indices into the buffer of one call.

use std::ops::Range;

use memchr::memchr2;

use crate::path::Path;
use crate::token::{self, Encoding, Mode, Value, Values};
use crate::window::Part;

/// Levels of nesting that are followed.
pub(crate) const DEPTH_MAX: usize = 64;

/// Reads the values of JSON texts.
#[derive(Default)]
pub(crate) struct Json {
    levels: Vec<Level>,
    /// Levels open beyond those followed.
    deeper: usize,
    /// Keys down to here, e.g. `persons[].cpr`.
    path: Path,
    /// What kind of value is continued at the start of the next call.
    inside: Option<Kind>,
}

/// An open object or array.
struct Level {
    is_object: bool,
    /// In an object: the next string is a key.
    key_next: bool,
    /// Length of the path to this level.
    path_len: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    String,
    /// A number, a literal, or a bare word.
    Bare,
}

impl Json {
    /// Reads on from `from`; returns where the first value begins that is not shown for good. What begins
    /// there and is at least `split_min` long is shown in pieces if the buffer is full.
    pub(crate) fn run(
        &mut self,
        buf: &[u8],
        from: usize,
        (mode, split_min): (Mode, usize),
        sink: &mut Values<'_>,
    ) -> usize {
        let mut at = from;
        while let Some(kind) = self.next_value(buf, &mut at) {
            let content = at + usize::from(kind == Kind::String && self.inside.is_none());
            match end_of(kind, buf, content) {
                Some(end) => {
                    self.value(kind, buf, content..end, sink);
                    self.inside = None;
                    at = end + usize::from(kind == Kind::String);
                }
                None => return self.unfinished(kind, buf, (at, content), (mode, split_min), sink),
            }
        }
        at
    }

    /// Follows the structure up to the next value, which begins at `at` afterwards.
    fn next_value(&mut self, buf: &[u8], at: &mut usize) -> Option<Kind> {
        if self.inside.is_some() {
            return self.inside.filter(|_| *at < buf.len());
        }
        while let Some(byte) = buf.get(*at) {
            match byte {
                b'"' => return Some(Kind::String),
                b'{' => self.open(true),
                b'[' => self.open(false),
                b'}' | b']' => self.close(),
                b',' => self.expect_key(true),
                b':' => self.expect_key(false),
                byte if is_bare(*byte) => return Some(Kind::Bare),
                _ => {}
            }
            *at += 1;
        }
        None
    }

    /// A value whose end is not in the buffer.
    fn unfinished(
        &mut self,
        kind: Kind,
        buf: &[u8],
        (start, content): (usize, usize),
        (mode, split_min): (Mode, usize),
        sink: &mut Values<'_>,
    ) -> usize {
        match mode {
            Mode::End => {
                self.value(kind, buf, content..buf.len(), sink);
                self.inside = None;
                buf.len()
            }
            Mode::Settle => {
                self.show(buf, content..buf.len(), buf.len(), sink);
                start
            }
            Mode::Full if buf.len() - start >= split_min => {
                let cut = escape_start(buf, content, buf.len() - token::SPLIT_OVERLAP_BYTES);
                self.show(buf, content..cut, buf.len(), sink);
                self.inside = Some(kind);
                cut
            }
            Mode::Full | Mode::More => start,
        }
    }

    /// A complete value, or the last piece of one; or a key.
    fn value(&mut self, kind: Kind, buf: &[u8], range: Range<usize>, sink: &mut Values<'_>) {
        if kind == Kind::String && self.levels.last().is_some_and(|level| level.is_object && level.key_next) {
            self.key(buf, range, sink);
        } else if kind == Kind::String || buf[range.clone()].iter().any(u8::is_ascii_digit) {
            let end = range.end;
            self.show(buf, range, end, sink);
        }
    }

    fn key(&mut self, buf: &[u8], range: Range<usize>, sink: &mut Values<'_>) {
        let bytes = &buf[range.clone()];
        self.path.truncate(self.levels.last().map_or(0, |level| level.path_len));
        if token::may_hold_number(bytes) {
            self.show(buf, range.clone(), range.end, sink);
        }
        if self.deeper == 0 {
            self.path.enter(&token::name_of(bytes, Encoding::Json));
        }
    }

    /// Hands out what is in `range`. A value continued from an earlier piece is shown with context.
    fn show(&self, buf: &[u8], range: Range<usize>, end: usize, sink: &mut Values<'_>) {
        let value = match self.inside {
            None if range.end == end => Value::whole(Part::Json, &buf[range.clone()], range.start),
            _ => token::piece(Part::Json, buf, range, end),
        };
        sink(value.named(self.path.as_str()).encoded(Encoding::Json));
    }

    fn open(&mut self, is_object: bool) {
        if self.levels.len() == DEPTH_MAX {
            self.deeper += 1;
            return;
        }
        if !is_object {
            self.path.append(b"[]");
        }
        self.levels.push(Level { is_object, key_next: is_object, path_len: self.path.len() });
    }

    fn close(&mut self) {
        if self.deeper > 0 {
            self.deeper -= 1;
        } else {
            self.levels.pop();
            self.path.truncate(self.levels.last().map_or(0, |level| level.path_len));
        }
    }

    fn expect_key(&mut self, key_next: bool) {
        if let Some(level) = self.levels.last_mut().filter(|_| self.deeper == 0) {
            level.key_next = key_next && level.is_object;
        }
    }
}

/// Where a value ends, if that is in the buffer: at the closing quote, or behind the last bare byte.
fn end_of(kind: Kind, buf: &[u8], content: usize) -> Option<usize> {
    let rest = buf.get(content..)?;
    if kind == Kind::Bare {
        return rest.iter().position(|byte| !is_bare(*byte)).map(|len| content + len);
    }
    let mut at = content;
    loop {
        at += memchr2(b'"', b'\\', buf.get(at..)?)?;
        match buf[at] {
            b'"' => return Some(at),
            _ => at += 2,
        }
    }
}

/// Bytes that are not structure, white space or quotes.
fn is_bare(byte: u8) -> bool {
    byte > b' ' && !matches!(byte, b'{' | b'}' | b'[' | b']' | b',' | b':' | b'"')
}

/// The start of the escape that `cut` would fall into, or `cut`.
fn escape_start(buf: &[u8], content: usize, cut: usize) -> usize {
    // The longest escape is a surrogate pair of 12 bytes; a run of backslashes before it decides its start.
    let near = (cut.saturating_sub(11).max(content)..cut).find(|at| buf[*at] == b'\\');
    let Some(near) = near else { return cut };
    let run = buf[content..near].iter().rev().take_while(|byte| **byte == b'\\').count();
    let mut at = near + run % 2;
    while at < cut {
        let len = if buf[at] == b'\\' { escape_len(&buf[at..]) } else { 1 };
        if at + len > cut {
            return at;
        }
        at += len;
    }
    at
}

fn escape_len(bytes: &[u8]) -> usize {
    let is_unit = |bytes: &[u8]| bytes.starts_with(b"\\u");
    match bytes {
        _ if !is_unit(bytes) => 2,
        [_, _, b'd' | b'D', b'8'..=b'b' | b'A' | b'B', ..] if bytes.get(6..).is_some_and(is_unit) => 12,
        _ => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Field and content of each value, as it stands.
    fn values(text: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut sink = |value: Value<'_>| {
            let content = String::from_utf8_lossy(&value.bytes[value.owned.clone()]).into_owned();
            found.push((value.field.unwrap_or("").to_owned(), content));
        };
        let end = Json::default().run(text.as_bytes(), 0, (Mode::End, usize::MAX), &mut sink);
        assert_eq!(end, text.len());
        found
    }

    fn check(text: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> =
            expected.iter().map(|(field, value)| ((*field).into(), (*value).into())).collect();
        assert_eq!(values(text), expected, "{text}");
    }

    #[test]
    fn paths() {
        check(
            r#"{"user":{"cpr":"a","name":"b"},"x":1}"#,
            &[("user.cpr", "a"), ("user.name", "b"), ("x", "1")],
        );
        check(
            r#"{"p":[{"cpr":"a"},{"cpr":"b"}],"q":"c"}"#,
            &[("p[].cpr", "a"), ("p[].cpr", "b"), ("q", "c")],
        );
        check(r#"["a",["b"],{"k":2}]"#, &[("[]", "a"), ("[][]", "b"), ("[].k", "2")]);
        check(r#""alone""#, &[("", "alone")]);
        check("42", &[("", "42")]);
        check(r#"{"a":true,"b":null,"c":-1.5e3}"#, &[("c", "-1.5e3")]);
        check("{\"a\":1}\n{\"a\":2}\n", &[("a", "1"), ("a", "2")]);
        check(r#"{"a":{},"b":[],"c":"d"}"#, &[("c", "d")]);
    }

    #[test]
    fn keys_that_may_hold_a_number_are_content() {
        check(r#"{"p":{"2512489996":{"n":"x"}}}"#, &[("p", "2512489996"), ("p.2512489996.n", "x")]);
    }

    #[test]
    fn escapes_do_not_end_strings() {
        check(r#"{"a\"b":"c\\","d":"\"e"}"#, &[("a\"b", r"c\\"), ("d", r#"\"e"#)]);
    }

    #[test]
    fn tolerates_what_is_broken() {
        check(r#"{"a":"b","c":"cut of"#, &[("a", "b"), ("c", "cut of")]);
        check(r#"}]{"a":"b"}"#, &[("a", "b")]);
        check(r#"{a:'1'}"#, &[("", "'1'")]);
        check(r#"{"a""b":"c"}"#, &[("b", "c")]);
        check("{\"a\":12", &[("a", "12")]);
    }

    #[test]
    fn depth_is_bounded() {
        let (depth, end) = ("{\"k\":".repeat(200), "}".repeat(200));
        let found = values(&format!("{{\"o\":{depth}\"deep\"{end},\"k\":\"after\"}}"));
        let deep = found.iter().find(|(_, value)| value == "deep").expect("the deepest value");
        assert_eq!(deep.0.matches('k').count(), DEPTH_MAX - 1);
        assert_eq!(
            found.last(),
            Some(&("k".to_owned(), "after".to_owned())),
            "levels are counted to the end"
        );
    }

    #[test]
    fn cuts_stand_before_escapes() {
        let cases: &[(&str, usize, usize)] = &[
            (r"abcdef", 3, 3),
            (r"ab\ncd", 3, 2),
            (r"ab\ncd", 4, 4),
            (r"a\\\\n", 4, 3),
            (r"a\\\\n", 3, 3),
            (r"a\u0041b", 6, 1),
            (r"a\u0041b", 7, 7),
            (r"\ud83e\udd80x", 6, 0),
            (r"\ud83e\udd80x", 12, 12),
            (r"\\\\\\\\\\\\\\\\\\\\x", 13, 12),
        ];
        for (text, cut, expected) in cases {
            assert_eq!(escape_start(text.as_bytes(), 0, *cut), *expected, "{text} at {cut}");
        }
    }
}
