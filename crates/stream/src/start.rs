//! What content is, by its first bytes.

use crate::encoding::Coding;
use crate::said::Syntax;

/// First bytes by which content is recognised, white space at its start included.
const START_BYTES_MAX: usize = 64;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// First bytes of a zip archive with members.
const ZIP: &[u8] = b"PK\x03\x04";

/// How an HTML page begins, in lower case.
const HTML: [&[u8]; 2] = [b"<!doctype html", b"<html"];

/// What was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Coded(Coding),
    Json,
    Xml,
    Html,
    Zip,
    /// What the sender says, or text.
    AsSaid,
}

/// What content that begins with `start` is; `None` while too few bytes are there, unless `now`.
pub(crate) fn of(start: &[u8], now: bool, said: Option<&Syntax>) -> Option<Start> {
    let start = &start[..start.len().min(START_BYTES_MAX)];
    let waits = !now && start.len() < START_BYTES_MAX;
    if let Some(coding) = Coding::by_magic(start) {
        return Some(Start::Coded(coding));
    }
    if start.starts_with(ZIP) {
        return Some(Start::Zip);
    }
    let may_be = |magic: &[u8]| magic.starts_with(start);
    if waits && (may_be(BYTE_ORDER_MARK) || may_be(ZIP) || Coding::may_be_magic(start)) {
        return None;
    }
    let text = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(start).trim_ascii_start();
    match (text.first(), said) {
        (None, _) if waits => None,
        (Some(b'{' | b'['), Some(Syntax::Form | Syntax::Json)) => Some(Start::Json),
        (Some(b'{' | b'['), None) => json(text, waits),
        (Some(b'<'), None | Some(Syntax::Form)) => markup(text, waits),
        _ => Some(Start::AsSaid),
    }
}

/// Whether content is packed or encoded as a whole, by its first bytes.
pub(crate) fn is_packed(bytes: &[u8]) -> bool {
    matches!(of(bytes, true, None), Some(Start::Coded(_) | Start::Zip))
}

/// Whether text that begins with a bracket goes on like JSON. A line of a log may begin with one too.
fn json(text: &[u8], waits: bool) -> Option<Start> {
    let (open, rest) = text.split_first()?;
    match (open, rest.trim_ascii_start().first()) {
        (_, None) if waits => None,
        (b'{', Some(b'"' | b'}')) | (b'[', Some(b'"' | b'{' | b'[' | b']')) => Some(Start::Json),
        _ => Some(Start::AsSaid),
    }
}

/// Whether text that begins with `<` goes on like a document.
fn markup(text: &[u8], waits: bool) -> Option<Start> {
    let begins = |mark: &&[u8]| text.get(..mark.len()).is_some_and(|start| start.eq_ignore_ascii_case(mark));
    let may_begin =
        |mark: &&[u8]| mark.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text));
    if HTML.iter().any(begins) {
        return Some(Start::Html);
    }
    if waits && (text.len() < 2 || HTML.iter().any(may_begin)) {
        return None;
    }
    match text.get(1) {
        Some(b'?' | b'!' | b'_') => Some(Start::Xml),
        Some(byte) if byte.is_ascii_alphabetic() => Some(Start::Xml),
        _ => Some(Start::AsSaid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts() {
        let cases: &[(&[u8], Option<Syntax>, Option<Start>)] = &[
            (b"\x1F\x8B\x08\x00", None, Some(Start::Coded(Coding::Gzip))),
            (b"\x1F\x8B", None, None),
            (b"\x1F\x9D\x90", None, Some(Start::AsSaid)),
            (b"PK\x03\x04", None, Some(Start::Zip)),
            (b"PK", None, None),
            (b"PK is a name", None, Some(Start::AsSaid)),
            (b"{ \"", None, Some(Start::Json)),
            (b"{", None, None),
            (b"{", Some(Syntax::Json), Some(Start::Json)),
            (b"{a}", None, Some(Start::AsSaid)),
            (b"[2026-11-28 12:00] a line", None, Some(Start::AsSaid)),
            (b"[[1]]", None, Some(Start::Json)),
            (b"\xEF\xBB\xBF[\"a\"]", None, Some(Start::Json)),
            (b"\xEF\xBB", None, None),
            (b"  ", None, None),
            (b"<?xml version", None, Some(Start::Xml)),
            (b"<!DOCTYPE HTML>", None, Some(Start::Html)),
            (b"<!DOCTYPE", None, None),
            (b"<!DOCTYPE a>", None, Some(Start::Xml)),
            (b"<HTML lang", None, Some(Start::Html)),
            (b"<ht", None, None),
            (b"<person>", None, Some(Start::Xml)),
            (b"<34>Oct 11", None, Some(Start::AsSaid)),
            (b"<", None, None),
            (b"<p>", Some(Syntax::Html), Some(Start::AsSaid)),
            (b"a=b", Some(Syntax::Form), Some(Start::AsSaid)),
        ];
        for (start, said, expected) in cases {
            assert_eq!(of(start, false, said.as_ref()), *expected, "{}", String::from_utf8_lossy(start));
            assert!(of(start, true, said.as_ref()).is_some());
        }
    }
}
