//! What a decoder hands out: plain content with its provenance.

use std::ops::Range;

use crate::plain::Plain;

/// Receives windows as they become known.
pub type Sink<'a> = dyn FnMut(Window<'_>) + 'a;

/// A piece of plain content and where it stood.
///
/// Windows with a specific [`Part`] come before the [`Part::Body`] or [`Part::Raw`] window over the same
/// bytes, except after `quiet` or where a message is larger than the buffer: then raw pieces of earlier
/// bytes may come before specific windows of later ones.
pub struct Window<'a> {
    /// Content after `decodings`.
    pub bytes: &'a [u8],
    /// The part of `bytes` that this window answers for: a hit counts only if it starts here.
    pub owned: Range<usize>,
    /// What was recognised.
    pub protocol: Protocol,
    /// Where in the message.
    pub part: Part,
    /// Header name, parameter, form key, cookie name or JSON key path (`persons[].cpr`), as sent.
    pub field: Option<&'a str>,
    /// URL path of the message, as sent, without the query.
    pub path: Option<&'a str>,
    /// Host of the message, as sent.
    pub host: Option<&'a str>,
    /// Number of the message in its stream, from 0: a request, a response, a datagram, 64 KiB of raw stream.
    pub message: u64,
    /// What was undone, outermost first.
    pub decodings: &'a [Decoding],
    /// Whether the content is text or a recognised protocol; false means opaque. See [`crate::is_text`].
    pub text: bool,
    /// Stream offsets (bytes since the start, gaps included) this window was made from. Exact, except that
    /// in a chunked body of many small chunks it is the closest known chunk border plus the distance.
    pub source: Range<u64>,
    /// Stream bytes that this window accounts for: the sum over all windows until `finish` is exactly the
    /// number of bytes pushed. 0 for windows that show bytes another window accounts for.
    pub counted: u64,
}

/// What the bytes were recognised as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// HTTP/1.0 or HTTP/1.1 (RFC 9112).
    Http11,
    /// Nothing known.
    Raw,
    /// HTTP/2 (RFC 9113).
    Http2,
    /// gRPC over HTTP/2.
    Grpc,
    /// WebSocket (RFC 6455).
    WebSocket,
    /// SMTP (RFC 5321) and the mail in it.
    Smtp,
    /// DNS (RFC 1035).
    Dns,
    /// Syslog (RFC 5424, RFC 3164).
    Syslog,
    /// PostgreSQL's protocol, version 3.
    Postgres,
    /// Redis's protocol (RESP).
    Redis,
}

impl Protocol {
    /// The name used in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http11 => "http/1.1",
            Self::Raw => "raw",
            Self::Http2 => "http/2",
            Self::Grpc => "grpc",
            Self::WebSocket => "websocket",
            Self::Smtp => "smtp",
            Self::Dns => "dns",
            Self::Syslog => "syslog",
            Self::Postgres => "postgresql",
            Self::Redis => "redis",
        }
    }

    /// Whether messages of one direction of a stream may overlap: the number of a later window is then not always
    /// the higher one.
    pub const fn interleaves(self) -> bool {
        matches!(self, Self::Http2 | Self::Grpc)
    }
}

/// Where in a message content stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// Path of the request target.
    UrlPath,
    /// A parameter of the request target.
    UrlQuery,
    /// Host header or authority of the request target.
    UrlHost,
    /// A header or trailer field.
    Header,
    /// A cookie.
    Cookie,
    /// The URL a request says it came from.
    Referer,
    /// A field of a urlencoded form.
    Form,
    /// A value or key of a JSON text.
    Json,
    /// Message content as such.
    Body,
    /// Stream bytes as such.
    Raw,
    /// The text of a database query.
    Sql,
    /// The key of a store.
    Key,
    /// A value without a name of its own: of a query's parameter, of a key, of a numbered field.
    Value,
    /// A name that is asked for.
    DnsName,
    /// Sender or recipient that a mail server is told.
    MailEnvelope,
    /// A header field of a mail or of a part of one.
    MailHeader,
    /// The text of a mail.
    MailBody,
    /// A log message, or an element of one.
    Log,
}

impl Part {
    /// The name used in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UrlPath => "url.path",
            Self::UrlQuery => "url.query",
            Self::UrlHost => "url.host",
            Self::Header => "header",
            Self::Cookie => "cookie",
            Self::Referer => "referer",
            Self::Form => "form",
            Self::Json => "json",
            Self::Body => "body",
            Self::Raw => "raw",
            Self::Sql => "sql",
            Self::Key => "key",
            Self::Value => "value",
            Self::DnsName => "dns.name",
            Self::MailEnvelope => "mail.envelope",
            Self::MailHeader => "mail.header",
            Self::MailBody => "mail.body",
            Self::Log => "log",
        }
    }

    /// Whether this names a place in a message, rather than just showing its bytes.
    pub const fn is_specific(self) -> bool {
        !matches!(self, Self::Body | Self::Raw)
    }
}

/// A transformation that was undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Decoding {
    /// Chunked transfer coding (RFC 9112, section 7.1).
    Chunked,
    /// Percent-encoding (RFC 3986, section 2.1).
    Percent,
    /// `+` for a space, as in urlencoded forms.
    FormPlus,
    /// Escapes in JSON strings (RFC 8259, section 7).
    JsonEscape,
    /// Header compression (RFC 7541).
    Hpack,
}

impl Decoding {
    /// The name used in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chunked => "chunked",
            Self::Percent => "percent",
            Self::FormPlus => "form-plus",
            Self::JsonEscape => "json-escape",
            Self::Hpack => "hpack",
        }
    }
}

/// What is common to the windows of one message.
pub(crate) struct Place {
    pub(crate) protocol: Protocol,
    pub(crate) message: u64,
    pub(crate) path: Option<Plain>,
    pub(crate) host: Option<Plain>,
}

impl Place {
    pub(crate) const fn raw(message: u64) -> Self {
        Self { protocol: Protocol::Raw, message, path: None, host: None }
    }

    /// Whether each piece of a stream is a message of its own.
    pub(crate) fn is_raw(&self) -> bool {
        self.protocol == Protocol::Raw
    }

    /// A window that owns all of `bytes`, for the rest to be filled in.
    pub(crate) fn window<'a>(&'a self, part: Part, bytes: &'a [u8]) -> Window<'a> {
        Window {
            bytes,
            owned: 0..bytes.len(),
            protocol: self.protocol,
            part,
            field: None,
            path: self.path.as_ref().and_then(Plain::as_str),
            host: self.host.as_ref().and_then(Plain::as_str),
            message: self.message,
            decodings: &[],
            text: true,
            source: 0..0,
            counted: 0,
        }
    }
}
