//! The windows of a head: request target, header fields, cookies; and of a trailer field.

use crate::http::head::{Head, Start};
use crate::plain::Plain;
use crate::survey;
use crate::token::{self, Encoding, Value, Values};
use crate::window::{Part, Place, Protocol, Sink};

/// A head from which on it is looked at as a whole first; the values of a shorter one are read as fast.
const LOOK_BYTES_MIN: usize = 96;

/// The target of a request, taken apart (RFC 9112, section 3.2). Each piece is as sent, and may be empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    authority: &'a str,
    pub(crate) path: &'a str,
    query: &'a str,
}

impl<'a> Target<'a> {
    fn of(head: &Head<'a>) -> Self {
        match head.start {
            Start::Request { method: "CONNECT", target } => Self { authority: target, ..Self::default() },
            Start::Request { target, .. } => Self::split(target),
            Start::Response { .. } => Self::default(),
        }
    }

    pub(crate) fn split(target: &'a str) -> Self {
        let (authority, rest) = match target.split_once("://").filter(|_| !target.starts_with('/')) {
            Some((_, rest)) => rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())),
            None => ("", target),
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        Self { authority, path, query }
    }

    /// Hands out the pieces, which stand in `bytes`.
    pub(crate) fn show(&self, bytes: &[u8], sink: &mut Values<'_>) {
        for (part, piece) in [(Part::UrlHost, self.authority), (Part::UrlPath, self.path)] {
            let piece = piece.as_bytes();
            sink(Value::whole(part, piece, token::offset_in(bytes, piece)).encoded(Encoding::Url));
        }
        for parameter in self.query.split('&').map(str::as_bytes) {
            token::pair(Part::UrlQuery, parameter, token::offset_in(bytes, parameter), Encoding::Form, sink);
        }
    }
}

/// What the windows of a message have in common.
pub(crate) fn place(head: &Head<'_>, message: u64) -> Place {
    let target = Target::of(head);
    let host =
        Some(target.authority.as_bytes()).filter(|host| !host.is_empty()).or_else(|| head.field("host"));
    Place {
        protocol: Protocol::Http11,
        message,
        path: Some(target.path).filter(|path| !path.is_empty()).map(|path| Plain::copy_of(path.as_bytes())),
        host: host.map(Plain::copy_of),
    }
}

/// Hands out the values of a head, if there may be a number in one. `bytes` are what it was read from; they stand at `at` in the stream.
pub(crate) fn show(head: &Head<'_>, bytes: &[u8], at: u64, place: &Place, out: &mut Sink<'_>) {
    if !may_hold_number(bytes) {
        return;
    }
    let mut sink = |value: Value<'_>| {
        let source = at + value.at.start as u64..at + value.at.end as u64;
        value.show(place, &[], source, out);
    };
    let offset = |piece: &[u8]| token::offset_in(bytes, piece);
    Target::of(head).show(bytes, &mut sink);
    for field in &head.fields {
        show_field(field.name, field.value, offset(field.value), &mut sink);
    }
}

/// Whether it is worth the time to read the values of a head, which are `bytes`.
pub(crate) fn may_hold_number(bytes: &[u8]) -> bool {
    bytes.len() < LOOK_BYTES_MIN || survey::may_hold_number(bytes)
}

/// Hands out a trailer field; `line` stands at `at` in the stream.
pub(crate) fn show_trailer(line: &[u8], at: u64, place: &Place, out: &mut Sink<'_>) {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return };
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    let mut sink = |value: Value<'_>| {
        let source = at + value.at.start as u64..at + value.at.end as u64;
        value.show(place, &[], source, out);
    };
    if let Ok(name) = std::str::from_utf8(name.trim_ascii()) {
        show_field(name, value, token::offset_in(line, value), &mut sink);
    }
}

/// Hands out a field by its name; its value stands at `offset`.
pub(crate) fn show_field(name: &str, value: &[u8], offset: usize, sink: &mut Values<'_>) {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    if is("cookie") {
        show_cookies(value, offset, sink);
    } else if is("set-cookie") {
        let first = value.split(|byte| *byte == b';').next().unwrap_or_default();
        token::pair(Part::Cookie, first, offset, Encoding::Url, sink);
    } else {
        let part = match () {
            () if is("host") => Part::UrlHost,
            () if is("referer") => Part::Referer,
            () => Part::Header,
        };
        sink(Value::whole(part, value, offset).named(Some(name)).encoded(Encoding::Url));
    }
}

/// Cookies of a request (RFC 6265, section 4.2.1).
fn show_cookies(value: &[u8], offset: usize, sink: &mut Values<'_>) {
    for cookie in value.split(|byte| *byte == b';') {
        let trimmed = cookie.trim_ascii();
        token::pair(Part::Cookie, trimmed, offset + token::offset_in(value, trimmed), Encoding::Url, sink);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let cases = [
            ("/a/b?c=d&e", ("", "/a/b", "c=d&e")),
            ("http://h:8/a?b", ("h:8", "/a", "b")),
            ("http://h?b", ("h", "", "b")),
            ("http://h", ("h", "", "")),
            ("/a?u=http://x/y", ("", "/a", "u=http://x/y")),
            ("*", ("", "*", "")),
        ];
        for (target, (authority, path, query)) in cases {
            assert_eq!(Target::split(target), Target { authority, path, query }, "{target}");
        }
    }
}
