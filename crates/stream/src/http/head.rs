//! A message head, read by httparse, and what it says about the body.
//!
//! *Limits*: [`FIELDS_MAX`] fields.

use std::mem::MaybeUninit;
use std::str::FromStr;

use crate::detect::Kind;
use crate::plain::Plain;
use crate::said::Said;

/// Most header fields that are read.
pub(crate) const FIELDS_MAX: usize = 128;

/// The first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start<'a> {
    Request { method: &'a str, target: &'a str },
    Response { code: u16 },
}

/// See the module.
pub(crate) struct Head<'a> {
    pub(crate) start: Start<'a>,
    pub(crate) fields: Vec<httparse::Header<'a>>,
}

/// How the end of the body is known (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No body.
    None,
    Length(u64),
    Chunked,
    /// Until the connection closes.
    Close,
    /// A request that ought to have a body and does not say how long: if no new request follows, what
    /// follows is the body.
    Unsaid,
}

impl<'a> Head<'a> {
    /// Reads a whole head.
    pub(crate) fn parse(kind: Kind, bytes: &'a [u8]) -> Option<Self> {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut config = httparse::ParserConfig::default();
        config
            .ignore_invalid_headers_in_requests(true)
            .ignore_invalid_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_multiple_spaces_in_request_line_delimiters(true);
        match kind {
            Kind::Request => {
                let mut request = httparse::Request::new(&mut []);
                let status = config.parse_request_with_uninit_headers(&mut request, bytes, &mut fields);
                status.ok().filter(httparse::Status::is_complete)?;
                let start = Start::Request { method: request.method?, target: request.path? };
                Some(Self { start, fields: request.headers.to_vec() })
            }
            Kind::Response => {
                let mut response = httparse::Response::new(&mut []);
                let status = config.parse_response_with_uninit_headers(&mut response, bytes, &mut fields);
                status.ok().filter(httparse::Status::is_complete)?;
                Some(Self {
                    start: Start::Response { code: response.code? },
                    fields: response.headers.to_vec(),
                })
            }
        }
    }

    /// Calls `with` with the head that `bytes` are the beginning of, closed where they end.
    pub(crate) fn with_beginning(kind: Kind, bytes: &[u8], with: impl FnOnce(&Head<'_>, &[u8])) {
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let before_version = bytes.iter().rposition(|byte| *byte == b' ').unwrap_or(0);
        let closings: [(&[u8], &[u8]); 3] = [
            (bytes, b"\r\n\r\n"),
            (bytes, b" HTTP/1.1\r\n\r\n"),
            (&bytes[..before_version], b" HTTP/1.1\r\n\r\n"),
        ];
        for (bytes, ending) in closings {
            let mut closed = Plain::with_capacity(bytes.len() + ending.len());
            closed.append(bytes);
            closed.append(ending);
            if let Some(head) = Head::parse(kind, closed.as_slice()) {
                return with(&head, closed.as_slice());
            }
        }
    }

    /// The value of the first field of that name.
    pub(crate) fn field(&self, name: &str) -> Option<&'a [u8]> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// The same without space around it; empty if there is none.
    fn trimmed(&self, name: &str) -> &'a [u8] {
        self.field(name).unwrap_or_default().trim_ascii()
    }

    pub(crate) fn framing(&self) -> Framing {
        let (coding, length) = (self.trimmed("transfer-encoding"), self.trimmed("content-length"));
        let is_chunked =
            coding.last_chunk().is_some_and(|end: &[u8; 7]| end.eq_ignore_ascii_case(b"chunked"));
        match self.start {
            Start::Request { method: "CONNECT", .. } => Framing::None,
            Start::Response { code: 100..=199 | 204 | 304 } => Framing::None,
            _ if is_chunked => Framing::Chunked,
            Start::Response { .. } if !coding.is_empty() => Framing::Close,
            _ => match (first_number(length), self.start) {
                (Some(0), _) => Framing::None,
                (Some(length), _) => Framing::Length(length),
                (None, Start::Response { .. }) => Framing::Close,
                (None, Start::Request { method: "POST" | "PUT" | "PATCH", .. }) => Framing::Unsaid,
                (None, Start::Request { .. }) => Framing::None,
            },
        }
    }

    /// What is said of the body.
    pub(crate) fn said(&self) -> Said<'a> {
        let field = |name| self.field(name).unwrap_or_default();
        Said {
            content_type: field("content-type"),
            content_encoding: field("content-encoding"),
            transfer_encoding: field("transfer-encoding"),
            message_encoding: field("grpc-encoding"),
        }
    }

    /// Whether what follows are WebSocket frames, if the other side agrees or has agreed (RFC 6455, section 4).
    pub(crate) fn upgrades_to_websocket(&self) -> bool {
        let is_upgrade =
            matches!(self.start, Start::Request { method: "GET", .. } | Start::Response { code: 101 });
        is_upgrade && self.trimmed("upgrade").eq_ignore_ascii_case(b"websocket")
    }

    /// Whether the client waits for leave to send the body, and may do without (RFC 9110, section 10.1.1).
    pub(crate) fn expects_continue(&self) -> bool {
        self.trimmed("expect").eq_ignore_ascii_case(b"100-continue")
    }
}

/// The length in a Content-Length field; a list of equal lengths is one length (RFC 9110, section 8.6).
fn first_number(length: &[u8]) -> Option<u64> {
    let first = length.split(|byte| *byte == b',').next()?.trim_ascii();
    let digits =
        std::str::from_utf8(first).ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    u64::from_str(digits).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(head: &str) -> Framing {
        let kind = if head.starts_with("HTTP") { Kind::Response } else { Kind::Request };
        let bytes = head.replace('|', "\r\n") + "\r\n\r\n";
        Head::parse(kind, bytes.as_bytes()).expect("a head").framing()
    }

    #[test]
    fn framings() {
        let cases = [
            ("GET / HTTP/1.1", Framing::None),
            ("POST / HTTP/1.1|Content-Length: 12", Framing::Length(12)),
            ("POST / HTTP/1.1|content-length: 12, 12", Framing::Length(12)),
            ("POST / HTTP/1.1|Content-Length: 0", Framing::None),
            ("POST / HTTP/1.1|Content-Length: +5", Framing::Unsaid),
            ("POST / HTTP/1.1|Content-Length: 99999999999999999999999", Framing::Unsaid),
            ("POST / HTTP/1.0", Framing::Unsaid),
            ("POST / HTTP/1.1|Content-Length: 5|Transfer-Encoding: gzip, Chunked", Framing::Chunked),
            ("CONNECT a:443 HTTP/1.1|Content-Length: 5", Framing::None),
            ("HTTP/1.1 200 OK", Framing::Close),
            ("HTTP/1.1 200 OK|Content-Length: 7", Framing::Length(7)),
            ("HTTP/1.1 200 OK|Transfer-Encoding: gzip", Framing::Close),
            ("HTTP/1.1 204 No Content|Content-Length: 7", Framing::None),
            ("HTTP/1.1 101 Switching Protocols", Framing::None),
        ];
        for (head, expected) in cases {
            assert_eq!(framing(head), expected, "{head}");
        }
    }

    #[test]
    fn beginnings_are_closed() {
        let whole = "GET /a?b=c HTTP/1.1\r\nHost: x\r\nCookie: d=e\r\n\r\n";
        let mut read = Vec::new();
        for len in 4..whole.len() {
            Head::with_beginning(Kind::Request, &whole.as_bytes()[..len], |head, _| {
                let Start::Request { target, .. } = head.start else { return };
                read.push((len, target.to_owned(), head.fields.len()));
            });
        }
        let lens: Vec<usize> = read.iter().map(|(len, ..)| *len).collect();
        let missing: Vec<usize> = (4..whole.len()).filter(|len| !lens.contains(len)).collect();
        assert_eq!(missing, [4], "no target yet");
        assert_eq!(read.last(), Some(&(whole.len() - 1, "/a?b=c".to_owned(), 2)));
    }
}
