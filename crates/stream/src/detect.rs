//! What protocol a stream speaks, by its first bytes alone: evidence, never a port.
//!
//! *Invariants*: what was decided of the first bytes stays so with more of them.

use crate::mail::smtp;
use crate::{dns, http2, ldap, postgres, redis, syslog};

/// Methods of RFC 9110 and RFC 5789, WebDAV (RFC 4918, 3253, 5323), and some that caches and calendars use.
const METHODS: &[&[u8]] = &[
    b"GET ",
    b"POST ",
    b"PUT ",
    b"HEAD ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"CONNECT ",
    b"TRACE ",
    b"QUERY ",
    b"PROPFIND ",
    b"PROPPATCH ",
    b"MKCOL ",
    b"COPY ",
    b"MOVE ",
    b"LOCK ",
    b"UNLOCK ",
    b"REPORT ",
    b"SEARCH ",
    b"MKCALENDAR ",
    b"PURGE ",
    b"LINK ",
    b"UNLINK ",
];

const STATUS_LINE: &[u8] = b"HTTP/1.";

/// Line ends that may stand before a message (RFC 9112, section 2.2); more is something else.
const LEAD_BYTES_MAX: usize = 16;

/// Which kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Response,
}

/// What the first bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Too few to tell.
    Wait,
    Http(Kind),
    Known(Known),
    Other,
}

/// A protocol with a [`Session`](crate::session::Session) of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Http2,
    Smtp,
    Dns,
    Syslog,
    Postgres,
    Ldap,
    Redis,
}

/// Readers that know by the first bytes whether these are theirs.
const READERS: &[fn(&[u8]) -> Verdict] = &[
    http1,
    http2::frame::verdict,
    smtp::verdict,
    dns::verdict,
    syslog::verdict,
    postgres::verdict,
    ldap::verdict,
    redis::verdict,
];

/// Judges the first bytes of a stream, or those behind a pause.
pub(crate) fn verdict(bytes: &[u8]) -> Verdict {
    let mut verdict = Verdict::Other;
    for reader in READERS {
        match reader(bytes) {
            Verdict::Other => {}
            Verdict::Wait => verdict = Verdict::Wait,
            decided => return decided,
        }
    }
    verdict
}

/// Whether bytes begin an HTTP/1 message. Decides within 32 bytes.
fn http1(bytes: &[u8]) -> Verdict {
    let lead = lead(bytes);
    let start = &bytes[lead..];
    let begins = |token: &&[u8]| start.starts_with(token);
    let may_begin = |token: &&[u8]| token.starts_with(start);
    if lead > LEAD_BYTES_MAX {
        Verdict::Other
    } else if METHODS.iter().any(begins) {
        Verdict::Http(Kind::Request)
    } else if begins(&STATUS_LINE) {
        Verdict::Http(Kind::Response)
    } else if METHODS.iter().any(may_begin) || may_begin(&STATUS_LINE) {
        Verdict::Wait
    } else {
        Verdict::Other
    }
}

/// How many line-end bytes stand before the message.
pub(crate) fn lead(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count()
}

/// Whether a first line, without its line feed, is one of HTTP/1.
pub(crate) fn is_first_line(kind: Kind, line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    match kind {
        Kind::Request => line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0"),
        Kind::Response => matches!(line.get(7..12), Some([b'0' | b'1', b' ', code @ ..]) if is_number(code)),
    }
}

fn is_number(code: &[u8]) -> bool {
    code.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        let request = Verdict::Http(Kind::Request);
        let cases: &[(&str, Verdict)] = &[
            ("", Verdict::Wait),
            ("GET /", request),
            ("GET", Verdict::Wait),
            ("\r\n\r\nPOST /", request),
            ("\r\n\r\n", Verdict::Wait),
            ("GETTING", Verdict::Other),
            ("get / ", Verdict::Other),
            ("HTTP/1.1 200 OK", Verdict::Http(Kind::Response)),
            ("HTTP/2", Verdict::Other),
            ("PROPPATC", Verdict::Wait),
            ("PRI * HTTP/2.0", Verdict::Wait),
            ("PRI * HTTP/2.1", Verdict::Other),
            ("\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\nGET / ", Verdict::Other),
            ("\u{16}\u{3}\u{1}", Verdict::Other),
        ];
        for (input, expected) in cases {
            assert_eq!(verdict(input.as_bytes()), *expected, "{input:?}");
        }
    }

    /// Protocol, or not, and that no byte more changes what was decided.
    fn check(bytes: &[u8], expected: Option<Known>) {
        let verdicts: Vec<Verdict> = (0..=bytes.len()).map(|len| verdict(&bytes[..len])).collect();
        let text = bytes.escape_ascii();
        let decided =
            verdicts.iter().position(|verdict| *verdict != Verdict::Wait).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(verdicts[decided], expected.map_or(Verdict::Other, Verdict::Known), "{text}");
        assert!(
            verdicts[decided..].iter().all(|verdict| *verdict == verdicts[decided]),
            "{text}: {verdicts:?}"
        );
    }

    #[test]
    fn protocols() {
        let query = b"\0\x1b\xab\xcd\x01\0\0\x01\0\0\0\0\0\0\x01a\x07example\0\0\x01\0\x01";
        let cases: &[(&[u8], Known)] = &[
            (b"EHLO a.example\r\n", Known::Smtp),
            (b"mail from:<a@b.example>\r\n", Known::Smtp),
            (b"RCPT TO:<a@b.example>\r\n", Known::Smtp),
            (query, Known::Dns),
            (b"<34>1 2026-11-28T10:00:00Z host app - - - text", Known::Syslog),
            (b"<34>1 - host app - - - text", Known::Syslog),
            (b"<13>Nov 28 10:00:00 host app: text", Known::Syslog),
            (b"75 <13>1 - host app - - - text", Known::Syslog),
            (b"\0\0\0\x10\0\x03\0\0user\0a\0\0", Known::Postgres),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", Known::Postgres),
            (b"Q\0\0\0\x0dselect 1\0", Known::Postgres),
            (b"P\0\0\0\x20s1\0 insert into t\0", Known::Postgres),
            (b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00", Known::Ldap),
            (b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n", Known::Redis),
        ];
        for (bytes, known) in cases {
            check(bytes, Some(*known));
        }
    }

    #[test]
    fn look_alikes_of_protocols() {
        let cases: &[&[u8]] = &[
            b"HELLO there",
            b"MAIL FROM: nobody in brackets",
            b"RCPT TO nobody",
            b"<html><body>",
            b"<1234>text",
            b"<13>text without a date",
            b"<13>2 - a later version",
            b"12 angry men",
            b"2512489996",
            b"251248-9996",
            b"012 <13>1 - a zero before a length",
            b"*** stars ***",
            b"*2 of these",
            b"*2\r\nnothing",
            b"*1\r\n$2\r\n\x01\x02\r\n",
            b"Quarterly report",
            b"Q\0\0\0\x20neither a statement nor short",
            b"P\x7f\0\0\0 too long",
            b"\0\0\0\x08\0\0\0\0\0",
            b"\0\x1d\xab\xcd\x81\x80\0\x01\0\x01\0\0\0\0 an answer",
            b"\0\x1b\xab\xcd\x01\0\0\x01\0\0\0\0\0\0\xc1a\x07example\0\0\x01\0\x01",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"\x16\x03\x01\x02\0\x01",
            b"0000000000000",
        ];
        for bytes in cases {
            check(bytes, None);
        }
    }

    #[test]
    fn first_lines() {
        let cases: &[(Kind, &str, bool)] = &[
            (Kind::Request, "GET / HTTP/1.1\r", true),
            (Kind::Request, "GET / HTTP/1.0", true),
            (Kind::Request, "GET 2512489996\r", false),
            (Kind::Request, "GET /", false),
            (Kind::Response, "HTTP/1.1 200 OK\r", true),
            (Kind::Response, "HTTP/1.1 204", true),
            (Kind::Response, "HTTP/1.x", false),
        ];
        for (kind, line, expected) in cases {
            assert_eq!(is_first_line(*kind, line.as_bytes()), *expected, "{line:?}");
        }
    }
}
